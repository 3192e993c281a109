"""Versions that a webhook converts: written in any, stored in one, read and watched in all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from arktos.apiserver.custom.conversion import Conversion
from arktos.apiserver.webhooks.client import WebhookFailed

Obj = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "stable.example.com"
V1, V2 = (f"/apis/{GROUP}/{version}/namespaces/default/hosts" for version in ("v1", "v2"))


def definition(storage: str = "v2") -> Obj:
    old = {"type": "object", "properties": {"hostPort": {"type": "string"}}}
    new = {"type": "object", "properties": {"host": {"type": "string"}, "port": {"type": "string", "default": "80"}}}
    versions = [
        {"name": name, "served": True, "storage": name == storage, "schema": {"openAPIV3Schema": schema}}
        for name, schema in (("v1", old), ("v2", new))
    ]
    client = {"service": {"namespace": "default", "name": "converter", "port": 443}}
    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": client}
    return {
        "metadata": {"name": f"hosts.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "hosts", "kind": "Host"},
            "versions": versions,
            "conversion": {"strategy": "Webhook", "webhook": webhook},
        },
    }


def converted(obj: Obj, wanted: str) -> Obj:
    made = {**obj, "apiVersion": wanted}
    if wanted.endswith("/v2"):
        made["host"], _, made["port"] = made.pop("hostPort", ":").partition(":")
    else:
        made["hostPort"] = f"{made.pop('host', '')}:{made.pop('port', '')}"
    return made


class Converter:
    """The webhook of tenant `system`: answers as `tamper` leaves its answers."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.tamper: Callable[[Obj], None] = lambda response: None

    async def call(self, tenant: str, config: Obj, body: bytes, *, seconds: float, hasty: bool = False) -> bytes:
        assert tenant == "system" and config["service"]["name"] == "converter"
        review = json.loads(body)
        request = review["request"]
        self.asked.append(len(request["objects"]))
        made = [converted(obj, request["desiredAPIVersion"]) for obj in request["objects"]]
        response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": made}
        self.tamper(response)
        return json.dumps({**review, "response": response}).encode()


@pytest.fixture
async def hosts(api: Any) -> Any:
    api.converter = Converter()
    api.writer.conversion = api.dispatcher._custom._conversion = Conversion(api.converter)
    (await api.post(CRDS, definition())).ok(201)
    return api


async def test_an_object_is_what_each_version_says(hosts: Any) -> None:
    made = (await hosts.post(V1, {"metadata": {"name": "a"}, "hostPort": "x:1"})).ok(201)
    assert (made["apiVersion"], made["hostPort"]) == (f"{GROUP}/v1", "x:1")
    assert hosts.converter.asked == [1]
    new = (await hosts.get(f"{V2}/a")).ok()
    assert (new["apiVersion"], new["host"], new["port"]) == (f"{GROUP}/v2", "x", "1")
    assert (await hosts.get(f"{V1}/a")).ok() == made
    changed = (await hosts.patch(f"{V1}/a", {"hostPort": "y:2"})).ok()
    assert changed["hostPort"] == "y:2"
    new = (await hosts.get(f"{V2}/a")).ok()
    assert (new["host"], new["port"], new["metadata"]["generation"]) == ("y", "2", 2)
    (await hosts.post(V2, {"metadata": {"name": "b"}, "host": "z"})).ok(201)
    assert [item["hostPort"] for item in (await hosts.get(V1)).items] == ["y:2", "z:80"]
    table = (await hosts.get(V1, accept=hosts.TABLE, includeObject="Object")).ok()
    assert [row["object"]["hostPort"] for row in table["rows"]] == ["y:2", "z:80"]
    assert (await hosts.delete(f"{V1}/a")).code == 200


async def test_a_list_asks_once_for_all_and_remembers(hosts: Any) -> None:
    for number in range(5):
        (await hosts.post(V2, {"metadata": {"name": f"h{number}"}, "host": "x"})).ok(201)
    assert hosts.converter.asked == []
    assert len((await hosts.get(V1)).items) == 5
    assert len((await hosts.get(V1)).items) == 5
    assert hosts.converter.asked == [5]


async def test_a_watch_shows_the_version_that_is_asked_for(hosts: Any) -> None:
    (await hosts.post(V2, {"metadata": {"name": "a"}, "host": "x"})).ok(201)
    watch = await hosts.watch(
        V1, allowWatchBookmarks="true", sendInitialEvents="true", resourceVersionMatch="NotOlderThan"
    )
    event = await watch.next()
    assert (event["type"], event["object"]["hostPort"]) == ("ADDED", "x:80")
    assert (await watch.next())["type"] == "BOOKMARK"
    (await hosts.patch(f"{V2}/a", {"host": "y"})).ok()
    event = await watch.next()
    assert (event["type"], event["object"]["hostPort"]) == ("MODIFIED", "y:80")
    (await hosts.delete(f"{V2}/a")).ok()
    event = await watch.next()
    assert (event["type"], event["object"]["hostPort"]) == ("DELETED", "y:80")
    (await hosts.delete(f"{CRDS}/hosts.{GROUP}")).ok()
    await watch.ended()


async def test_objects_of_an_older_storage_version_are_converted(hosts: Any) -> None:
    (await hosts.post(V2, {"metadata": {"name": "a"}, "host": "x"})).ok(201)
    found = (await hosts.get(f"{CRDS}/hosts.{GROUP}")).ok()
    for version in found["spec"]["versions"]:
        version["storage"] = version["name"] == "v1"
    (await hosts.put(f"{CRDS}/hosts.{GROUP}", found)).ok()
    read = (await hosts.get(f"{V1}/a")).ok()
    assert read["hostPort"] == "x:80"
    assert (await hosts.get(f"{V2}/a")).ok()["host"] == "x"
    (await hosts.put(f"{V1}/a", read)).ok()
    asked = len(hosts.converter.asked)
    assert (await hosts.get(f"{V1}/a")).ok()["hostPort"] == "x:80"
    assert len(hosts.converter.asked) == asked


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (lambda r: r.update(uid="other"), "expected response.uid="),
        (lambda r: r.update(result={"status": "Failure", "message": "no way"}), "no way"),
        (lambda r: r["convertedObjects"].clear(), "expected 1 converted objects, got 0"),
        (lambda r: r["convertedObjects"][0].update(apiVersion="x/v1"), "invalid converted object at index 0"),
        (lambda r: r["convertedObjects"][0]["metadata"].update(name="b"), "metadata.name must not change"),
    ],
)
async def test_what_a_webhook_may_not_answer(hosts: Any, tamper: Any, told: str) -> None:
    hosts.converter.tamper = tamper
    refused = await hosts.post(V1, {"metadata": {"name": "a"}, "hostPort": "x:1"})
    refused.refused(500, f"conversion webhook for {GROUP}/v1, Kind=Host failed: ")
    assert told in refused.message
    assert (await hosts.get(f"{V2}/a")).code == 404


async def test_a_webhook_that_is_away_fails_what_needs_it(hosts: Any) -> None:
    (await hosts.post(V2, {"metadata": {"name": "a"}, "host": "x"})).ok(201)

    async def away(*_: object, **__: object) -> bytes:
        raise WebhookFailed('Post "https://converter.default.svc:443/?timeout=30s": context deadline exceeded')

    hosts.converter.call = away
    (await hosts.get(V1)).refused(500, "context deadline exceeded")
    assert (await hosts.get(V2)).names == ["a"]
    (await hosts.delete(f"{CRDS}/hosts.{GROUP}")).ok()


async def test_only_labels_and_annotations_of_metadata_are_a_webhook_s(hosts: Any) -> None:
    def tamper(response: Obj) -> None:
        response["convertedObjects"][0]["metadata"] |= {"labels": {"by": "hook"}, "finalizers": ["x.y/z"]}

    (await hosts.post(V2, {"metadata": {"name": "a"}, "host": "x"})).ok(201)
    hosts.converter.tamper = tamper
    read = (await hosts.get(f"{V1}/a")).ok()
    assert read["metadata"]["labels"] == {"by": "hook"} and "finalizers" not in read["metadata"]
