"""Creates that are alike are made once and cast later: nobody can tell, whatever changes in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.apiserver.encoding import encode, header_of, key_of, loads
from arktos.apiserver.moulds import MOST, Birth, Mould
from arktos.model import registry
from arktos.model.hashkey import hash_key
from arktos.model.quota import COUNTED_AT
from arktos.store.records import Put

PODS = "/api/v1/namespaces/default/pods"
OWN = ("name", "uid", "hashKey", "creationTimestamp", "resourceVersion", "managedFields")


def body(stem: str = "web-", **spec: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"generateName": stem, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec},
    }


def cast(api: Any) -> int:
    """How many moulds there are from which objects are cast."""
    return sum(mould is not None and mould.proven for mould in api.writer.moulds._known.values())


def common(pod: dict[str, Any]) -> dict[str, Any]:
    """What pods of one body have in common."""
    meta = {name: value for name, value in pod["metadata"].items() if name not in OWN}
    return {**pod, "metadata": meta}


async def several(api: Any, count: int = 5, **more: Any) -> list[dict[str, Any]]:
    return [(await api.post(PODS, body(), **more)).ok(201) for _ in range(count)]


async def test_nobody_can_tell(api: Any) -> None:
    pods = await several(api, 6)
    assert cast(api) == 1
    assert all(common(pod) == common(pods[0]) for pod in pods)
    assert len({pod["metadata"]["name"] for pod in pods}) == len({pod["metadata"]["uid"] for pod in pods}) == 6
    for pod in pods:
        meta = pod["metadata"]
        assert meta["hashKey"] == hash_key(meta["uid"]) and meta["name"].startswith("web-")
        assert [entry["time"] for entry in meta["managedFields"]] == [meta["creationTimestamp"]]
        assert (await api.get(f"{PODS}/{meta['name']}")).ok() == pod
    found = (await api.get(PODS, labelSelector="app=web")).ok()["items"]
    assert {pod["metadata"]["uid"] for pod in found} == {pod["metadata"]["uid"] for pod in pods}


async def test_what_follows_is_as_of_any_object(api: Any) -> None:
    name = (await several(api))[-1]["metadata"]["name"]
    changed = (await api.patch(f"{PODS}/{name}", {"metadata": {"labels": {"a": "b"}}})).ok()
    assert changed["metadata"]["labels"] == {"app": "web", "a": "b"}
    assert [entry["manager"] for entry in changed["metadata"]["managedFields"]] == ["test"]


async def test_limits_count_from_the_moment_they_are_there(api: Any) -> None:
    await several(api)
    limits = {"limits": [{"type": "Container", "default": {"cpu": "1"}, "max": {"cpu": "2"}}]}
    ranges = "/api/v1/namespaces/default/limitranges"
    (await api.post(ranges, {"metadata": {"name": "l"}, "spec": limits})).ok(201)
    for pod in await several(api):
        assert pod["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1"}
    (await api.delete(f"{ranges}/l")).ok()
    for pod in await several(api):
        assert not pod["spec"]["containers"][0].get("resources")


async def test_classes_and_accounts_and_labels_of_the_namespace(api: Any) -> None:
    await several(api)
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    (await api.post(classes, {"metadata": {"name": "high"}, "value": 7, "globalDefault": True})).ok(201)
    assert {pod["spec"]["priority"] for pod in await several(api)} == {7}
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    (await api.patch(account, {"automountServiceAccountToken": False})).ok()
    assert not any(pod["spec"].get("volumes") for pod in await several(api))
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    (await api.patch("/api/v1/namespaces/default", enforce)).ok()
    (await api.post(PODS, body())).refused(403, "violates PodSecurity")
    (await api.patch("/api/v1/namespaces/default", {"metadata": {"labels": None}})).ok()
    await several(api)
    (await api.delete(account)).ok()
    (await api.post(PODS, body())).refused(403, 'serviceaccount "default" not found')


async def test_quotas_are_charged(api: Any) -> None:
    quotas = "/api/v1/namespaces/default/resourcequotas"
    made = (await api.post(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "6"}}})).ok(201)
    counted = {"annotations": {COUNTED_AT: made["metadata"]["resourceVersion"]}}
    status = {"hard": {"pods": "6"}, "used": {"pods": "0"}}
    (await api.patch(f"{quotas}/q/status", {"metadata": counted, "status": status})).ok()
    await several(api, 6)
    assert cast(api) == 1
    (await api.post(PODS, body())).refused(403, "exceeded quota: q")
    assert (await api.get(f"{quotas}/q")).ok()["status"]["used"] == {"pods": "6"}


async def test_nothing_is_created_where_nothing_may_be(api: Any) -> None:
    await api.tenant("acme")
    pods = "/tenants/acme/api/v1/namespaces/x/pods"
    await api.namespace("x", tenant="acme")
    for _ in range(4):
        (await api.post(pods, body())).ok(201)
    assert cast(api) == 1
    (await api.patch("/api/v1/tenants/acme", {"spec": {"frozen": True}})).ok()
    (await api.post(pods, body(), user=api.admin_of("acme"))).refused(403, "tenant acme is frozen")
    (await api.patch("/api/v1/tenants/acme", {"spec": {"frozen": False}})).ok()
    (await api.delete("/tenants/acme/api/v1/namespaces/x")).ok()
    (await api.post(pods, body())).refused(403, "because it is being terminated")


async def test_only_equal_requests_are_alike(api: Any) -> None:
    await api.tenant("acme")
    await several(api)
    theirs = (await api.post("/tenants/acme" + PODS, body())).ok(201)
    assert theirs["metadata"]["tenant"] == "acme"
    agent = {"user-agent": "other/1.0"}
    assert (await several(api, 1, headers=agent))[0]["metadata"]["managedFields"][0]["manager"] == "other"
    assert (await several(api, 1, fieldManager="me"))[0]["metadata"]["managedFields"][0]["manager"] == "me"
    own = (await api.post(PODS, body(), user=api.admin_of("acme"))).ok(201)
    assert own["metadata"]["tenant"] == "acme"
    other = (await api.post(PODS, body("db-"))).ok(201)
    assert other["metadata"]["name"].startswith("db-")


async def test_a_named_object_is_not_made_twice(api: Any) -> None:
    named = body()
    named["metadata"]["name"] = "one"
    (await api.post(PODS, named)).ok(201)
    for _ in range(5):
        (await api.post(PODS, named)).refused(409, "already exists")


async def test_a_dry_run_leaves_nothing(api: Any) -> None:
    for _ in range(5):
        (await api.post(PODS, body(), dryRun="All")).ok(201)
    assert (await api.get(PODS)).ok()["items"] == [] and cast(api) == 0


async def test_warnings_are_told_each_time(api: Any) -> None:
    odd = {**body(), "colour": "red"}
    warned = {(await api.post(PODS, odd)).headers.get("warning") for _ in range(5)}
    assert warned == {'299 - "unknown field \\"colour\\""'} and cast(api) == 1


async def test_a_taken_name_is_drawn_anew(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = (await several(api))[0]["metadata"]["name"].removeprefix("web-")
    drawn = iter([taken, taken, "zzzzz"])
    monkeypatch.setattr("arktos.apiserver.writes.random_suffix", lambda length=5: next(drawn))
    assert (await api.post(PODS, body())).ok(201)["metadata"]["name"] == "web-zzzzz"
    monkeypatch.setattr("arktos.apiserver.writes.random_suffix", lambda length=5: taken)
    (await api.post(PODS, body())).refused(409, "already exists")


async def test_a_lost_range_is_noticed(api: Any) -> None:
    root = "/api/v1/controllerinstances"
    instance = {
        "metadata": {"name": "ci-1"},
        "controllerType": "ReplicaSet",
        "rangeStart": 0,
        "controllerKey": 2**63 - 1,
        "isLocked": False,
    }
    made = (await api.post(root, instance)).ok(201)
    place = f"range=0-{2**63 - 1};key=1177"
    tenure = f"type=ReplicaSet;instance=ci-1;uid={made['metadata']['uid']};epoch={made['epoch']};{place}"
    heads = {"arktos-range": tenure}
    await several(api, 5, headers=heads)
    assert cast(api) == 1
    (await api.patch(f"{root}/ci-1", {"controllerKey": 5})).ok()
    (await api.post(PODS, body(), headers=heads)).refused(409, "")


async def test_what_is_remembered_is_bounded(api: Any) -> None:
    for n in range(MOST + 5):
        (await api.post(PODS, body(f"n{n}-"))).ok(201)
    assert len(api.writer.moulds._known) == MOST


TEXT = st.text(st.sampled_from(list('ab%{}"\\é')), max_size=12)


@given(st.dictionaries(TEXT, TEXT, max_size=4), st.sampled_from(["x-", "%s-", "a"]))
def test_casting_is_encoding(annotations: dict[str, str], stem: str) -> None:
    """Whatever stands in the object, also the very texts that are put into it."""
    pods = registry.by_resource("pods")

    def born(birth: Birth) -> tuple[Put, dict[str, Any]]:
        meta = {"name": birth.name, "generateName": stem, "namespace": "n", "tenant": "t", "uid": birth.uid}
        meta |= {"hashKey": hash_key(birth.uid), "creationTimestamp": birth.time, "annotations": annotations}
        meta["managedFields"] = [{"manager": "m", "time": birth.time, "fieldsV1": {"f:x": {}}}]
        obj = {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": {"hostname": "x-1"}}
        key = key_of(pods, "t", "n", birth.name)
        return Put(key, header_of(pods, obj), encode(pods, obj)), obj

    put, obj = born(Birth("x-1", "uid-1", "2026-01-01T00:00:00Z"))
    later = Birth("x-2", "uid-2", "2026-01-01T00:00:09Z")
    made = Mould(pods, obj, put, [], ()).cast(later)
    assert made == born(later)[0]
    assert loads(made.body) == json.loads(made.body)
