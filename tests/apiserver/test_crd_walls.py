"""Definitions of several tenants under one name: none of them is asked, or told, about the objects of another."""

from __future__ import annotations

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
