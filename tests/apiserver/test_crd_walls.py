"""Definitions of several tenants under one name: none of them is asked, or told, about the objects of another."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from arktos.apiserver.custom.conversion import Conversion
from arktos.apiserver.webhooks.client import WebhookFailed

Obj = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "stable.example.com"


class Listening:
    """A webhook that writes down whatever it is shown, and answers nothing."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []

    async def call(self, tenant: str, config: Obj, body: bytes, *, seconds: float, hasty: bool = False) -> bytes:
        objects = json.loads(body)["request"]["objects"]
        self.shown += [(tenant, obj["metadata"]["tenant"]) for obj in objects]
        raise WebhookFailed("no answer")


def definition(*versions: str, webhook: bool = False) -> Obj:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    listed = [{"name": name, "served": True, "storage": name == versions[0], "schema": schema} for name in versions]
    spec: Obj = {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "hosts", "kind": "Host"},
        "versions": listed,
    }
    if webhook:
        client = {"url": "https://webhook.example.com/"}
        asked = {"conversionReviewVersions": ["v1"], "clientConfig": client}
        spec["conversion"] = {"strategy": "Webhook", "webhook": asked}
    return {"metadata": {"name": f"hosts.{GROUP}"}, "spec": spec}


@pytest.fixture
async def two(api: Any) -> Any:
    """Tenants acme and globex, both with a definition of hosts; only acme's has a webhook."""
    await api.tenant("acme", "globex")
    api.converter = Listening()
    api.writer.conversion = api.dispatcher._custom._conversion = Conversion(api.converter)
    (await api.post(f"/tenants/acme{CRDS}", definition("v9", "v8", webhook=True))).ok(201)
    (await api.post(f"/tenants/globex{CRDS}", definition("v1"))).ok(201)
    body = {"metadata": {"name": "h"}, "data": "globex's own"}
    (await api.post(f"/tenants/globex/apis/{GROUP}/v1/namespaces/default/hosts", body)).ok(201)
    # From now on what is stored is older than acme's definition.
    changed = definition("v9", "v8", webhook=True)
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "changed"
    (await api.patch(f"/tenants/acme{CRDS}/hosts.{GROUP}", changed)).ok()
    return api


async def test_no_tenants_webhook_is_shown_the_objects_of_another(two: Any) -> None:
    for version in ("v9", "v8"):
        listed = (await two.get(f"/tenants/all/apis/{GROUP}/{version}/hosts")).ok()
        assert [item["metadata"]["tenant"] for item in listed["items"]] == ["globex"]
        assert listed["items"][0]["data"] == "globex's own"
        assert listed["items"][0]["apiVersion"] == f"{GROUP}/v1"
    assert two.converter.shown == []


async def test_a_webhook_that_fails_hides_nobody_elses_objects(two: Any) -> None:
    body = {"metadata": {"name": "mine"}, "data": "acme's"}
    (await two.post(f"/tenants/acme/apis/{GROUP}/v9/namespaces/default/hosts", body)).ok(201)
    listed = (await two.get(f"/tenants/all/apis/{GROUP}/v8/hosts")).ok()
    assert {item["metadata"]["tenant"] for item in listed["items"]} == {"acme", "globex"}
    watch = await two.watch(
        f"/tenants/all/apis/{GROUP}/v8/hosts",
        allowWatchBookmarks="true",
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
    )
    seen = {(await watch.next())["object"]["metadata"]["tenant"] for _ in range(2)}
    assert seen == {"acme", "globex"}
    # Within the tenant it is told that the webhook fails.
    assert (await two.get(f"/tenants/acme/apis/{GROUP}/v8/namespaces/default/hosts")).code == 500


async def test_a_tenant_has_so_many_definitions(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.tenant("acme")
    monkeypatch.setattr("arktos.apiserver.custom.naming.MOST", 12)

    def numbered(number: int) -> Obj:
        made = definition("v1")
        made["metadata"]["name"] = f"r{number}.{GROUP}"
        made["spec"]["names"] = {"plural": f"r{number}", "kind": f"R{number}"}
        return made

    for number in range(12):
        (await api.post(f"/tenants/acme{CRDS}", numbered(number))).ok(201)
    refused = (await api.post(f"/tenants/acme{CRDS}", numbered(12))).refused(403, "a tenant may have")
    assert refused["details"]["name"] == f"r12.{GROUP}"
    (await api.post(CRDS, numbered(12))).ok(201)
    (await api.patch(f"/tenants/acme{CRDS}/r3.{GROUP}", {"metadata": {"labels": {"a": "b"}}})).ok()
    # Many kinds of a group are described beside the loop.
    described = (await api.get(f"/tenants/acme/openapi/v3/apis/{GROUP}/v1")).ok()
    assert len([name for name in described["components"]["schemas"] if name.startswith("com.example.stable")]) == 24
    monkeypatch.setattr("arktos.apiserver.custom.naming.MOST_BYTES", 4096)
    (await api.patch(f"/tenants/acme{CRDS}/r3.{GROUP}", {"metadata": {"labels": {"a": "c"}}})).refused(403, "together")


@pytest.mark.parametrize("version", ["v1", "v9"])
@pytest.mark.parametrize(
    "name",
    [
        "clusterrolebindings.rbac.authorization.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
        "events.events.k8s.io",
        "pods.metrics.k8s.io",
        "certificatesigningrequests.certificates.k8s.io",
    ],
)
async def test_nobody_defines_what_the_server_has(api: Any, name: str, version: str) -> None:
    """In another version its objects would lie among the server's own, and escape all that holds for those."""
    await api.tenant("acme")
    plural, _, group = name.partition(".")
    made = definition(version)
    made["metadata"] = {"name": name, "annotations": {"api-approved.kubernetes.io": "https://example.com/1"}}
    made["spec"] |= {"group": group, "names": {"plural": plural, "kind": "Mine"}, "scope": "Cluster"}
    for prefix, user in (("/tenants/acme", api.admin_of("acme")), ("", api.ADMIN)):
        (await api.post(f"{prefix}{CRDS}", made, user=user)).refused(403, "the server itself has")
    body = {"metadata": {"name": "x"}, "roleRef": "cluster-admin"}
    assert (await api.post(f"/tenants/acme/apis/{group}/v9/{plural}", body)).code == 404


async def test_a_definition_that_cannot_be_read_stops_nobody_elses(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.tenant("acme", "globex")
    look = api.upkeep._look

    async def broken(key: Any) -> None:
        if key.tenant == "acme":
            raise KeyError("spec")
        await look(key)

    monkeypatch.setattr(api.upkeep, "_look", broken)
    for tenant in ("acme", "globex"):
        (await api.post(f"/tenants/{tenant}{CRDS}", definition("v1"))).ok(201)
    assert (await api.delete(f"/tenants/globex{CRDS}/hosts.{GROUP}")).code == 200
    async with asyncio.timeout(5):
        while (await api.get(f"/tenants/globex{CRDS}/hosts.{GROUP}")).code != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_no_object_grows_for_ever(api: Any) -> None:
    (await api.post(CRDS, definition("v1"))).ok(201)
    root = f"/apis/{GROUP}/v1/namespaces/default/hosts"
    body = {"metadata": {"name": "big", "finalizers": ["example.com/held"]}, "data": "x" * 900_000, "more": {}}
    (await api.post(root, body)).ok(201)
    for number in range(3):
        copies = [{"op": "copy", "from": "/data", "path": f"/more/{number}"}]
        (await api.patch(f"{root}/big", copies, type=api.JSON_PATCH)).ok()
    copies = [{"op": "copy", "from": "/data", "path": "/more/last"}]
    (await api.patch(f"{root}/big", copies, type=api.JSON_PATCH)).refused(413, "the object is too large")
    assert (await api.delete(f"{root}/big")).code == 200
    (await api.patch(f"{root}/big", {"metadata": {"finalizers": None}})).ok()
    assert (await api.get(f"{root}/big")).code == 404
