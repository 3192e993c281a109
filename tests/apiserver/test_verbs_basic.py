"""Create, get, list, update, delete, as Kubernetes 1.36 does them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


async def test_create_get_update_delete(api: Any) -> None:
    created = (await api.post(CMS, api.config_map("a", k="1"))).ok(201)
    meta = created["metadata"]
    assert meta["name"] == "a" and meta["namespace"] == "default" and meta["tenant"] == "system"
    assert meta["uid"] and meta["hashKey"] and meta["creationTimestamp"].endswith("Z")
    assert [(e["manager"], e["operation"]) for e in meta["managedFields"]] == [("test", "Update")]
    assert (await api.get(f"{CMS}/a")).ok() == created
    changed = (await api.put(f"{CMS}/a", {**created, "data": {"k": "2"}})).ok()
    assert changed["data"] == {"k": "2"} and int(changed["metadata"]["resourceVersion"]) > int(meta["resourceVersion"])
    assert changed["metadata"]["uid"] == meta["uid"]
    gone = (await api.delete(f"{CMS}/a")).ok()
    assert gone["kind"] == "Status" and gone["status"] == "Success"
    assert gone["details"] == {"name": "a", "kind": "configmaps", "uid": meta["uid"]}
    status = (await api.get(f"{CMS}/a")).refused(404, 'configmaps "a" not found')
    assert status["reason"] == "NotFound" and status["details"] == {"name": "a", "kind": "configmaps"}


async def test_delete_of_a_pod_answers_the_pod(api: Any) -> None:
    (await api.post(PODS, api.pod("p"))).ok(201)
    assert (await api.delete(f"{PODS}/p")).ok()["kind"] == "Pod"


async def test_create_twice(api: Any) -> None:
    (await api.post(CMS, api.config_map("a"))).ok(201)
    status = (await api.post(CMS, api.config_map("a"))).refused(409, 'configmaps "a" already exists')
    assert status["reason"] == "AlreadyExists" and status["details"] == {"name": "a", "kind": "configmaps"}


async def test_concurrent_creates_have_one_winner(api: Any) -> None:
    answered = await asyncio.gather(*(api.post(CMS, api.config_map("a", k=str(i))) for i in range(8)))
    assert sorted(a.code for a in answered) == [201] + [409] * 7


async def test_create_without_a_name(api: Any) -> None:
    body = {"metadata": {}}
    (await api.post(CMS, body)).refused(422, "metadata.name: Required value: name or generateName is required")


async def test_generate_name(api: Any) -> None:
    body = {"metadata": {"generateName": "job-"}}
    names = {(await api.post(CMS, body)).ok(201)["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20 and all(n.startswith("job-") and len(n) == 9 for n in names)


async def test_generate_name_draws_again_when_taken(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["aaaaa", "aaaaa", "aaaaa", "bbbbb"])
    monkeypatch.setattr("arktos.apiserver.writes.random_suffix", lambda length=5: next(drawn))
    first = (await api.post(CMS, {"metadata": {"generateName": "x-"}})).ok(201)
    second = (await api.post(CMS, {"metadata": {"generateName": "x-"}})).ok(201)
    assert (first["metadata"]["name"], second["metadata"]["name"]) == ("x-aaaaa", "x-bbbbb")


async def test_generate_name_gives_up(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arktos.apiserver.writes.random_suffix", lambda length=5: "aaaaa")
    (await api.post(CMS, {"metadata": {"generateName": "x-"}})).ok(201)
    (await api.post(CMS, {"metadata": {"generateName": "x-"}})).refused(409, "already exists")


async def test_create_refuses_a_resource_version(api: Any) -> None:
    body = {"metadata": {"name": "a", "resourceVersion": "7"}}
    (await api.post(CMS, body)).refused(400, "resourceVersion should not be set")


async def test_client_uids_are_ignored(api: Any) -> None:
    body = {"metadata": {"name": "a", "uid": "11111111-1111-1111-1111-111111111111", "hashKey": 5, "generation": 7}}
    meta = (await api.post(CMS, body)).ok(201)["metadata"]
    assert meta["uid"] != body["metadata"]["uid"] and meta["hashKey"] != 5 and "generation" not in meta


async def test_create_to_a_name_is_not_allowed(api: Any) -> None:
    (await api.post(f"{CMS}/a", api.config_map("a"))).refused(405)


async def test_put_and_patch_of_a_collection_are_not_allowed(api: Any) -> None:
    (await api.put(CMS, api.config_map("a"))).refused(405)
    (await api.patch(CMS, {})).refused(405)
    (await api("OPTIONS", CMS)).refused(405)


async def test_create_without_a_namespace(api: Any) -> None:
    (await api.post("/api/v1/configmaps", api.config_map("a"))).refused(405)
    (await api.delete("/api/v1/configmaps")).refused(405)
    (await api.get("/api/v1/configmaps/a")).refused(404)
    (await api.put("/api/v1/configmaps/a", api.config_map("a"))).refused(404)
    (await api.delete("/api/v1/configmaps/a")).refused(404)


async def test_create_in_a_missing_namespace(api: Any) -> None:
    status = (await api.post("/api/v1/namespaces/none/configmaps", api.config_map("a"))).refused(404)
    assert status["details"] == {"name": "none", "kind": "namespaces"}
    assert status["message"] == 'namespaces "none" not found'


@pytest.mark.parametrize(
    ("meta", "text"),
    [
        ({"name": "b"}, "does not match the name on the URL"),
        ({"name": "a", "namespace": "other"}, "namespace of the provided object does not match"),
        ({"name": "a", "tenant": "other"}, "tenant of the provided object does not match"),
    ],
)
async def test_put_elsewhere_than_the_path_says(api: Any, meta: Any, text: str) -> None:
    (await api.post(CMS, api.config_map("a"))).ok(201)
    (await api.put(f"{CMS}/a", {"metadata": meta})).refused(400, text)


async def test_create_elsewhere_than_the_path_says(api: Any) -> None:
    (await api.post(CMS, {"metadata": {"name": "a", "namespace": "other"}})).refused(400, "namespace")
    (await api.post(CMS, {"metadata": {"name": "a", "tenant": "other"}})).refused(400, "tenant")
    (await api.post(CMS, {"kind": "Secret", "metadata": {"name": "a"}})).refused(400, "kind")
    (await api.post(CMS, {"apiVersion": "v2", "metadata": {"name": "a"}})).refused(400, "API version")


async def test_update_of_nothing(api: Any) -> None:
    (await api.put(f"{CMS}/a", api.config_map("a"))).refused(404)


async def test_update_with_a_stale_revision(api: Any) -> None:
    old = (await api.post(CMS, api.config_map("a"))).ok(201)
    (await api.put(f"{CMS}/a", {**old, "data": {"k": "1"}})).ok()
    status = (await api.put(f"{CMS}/a", {**old, "data": {"k": "2"}})).refused(409, "the object has been modified")
    assert status["reason"] == "Conflict" and status["details"] == {"name": "a", "kind": "configmaps"}


async def test_update_with_another_uid(api: Any) -> None:
    old = (await api.post(CMS, api.config_map("a"))).ok(201)
    old["metadata"] |= {"uid": "x", "resourceVersion": ""}
    (await api.put(f"{CMS}/a", old)).refused(409, "Precondition failed: UID in precondition: x")


async def test_unconditional_update(api: Any) -> None:
    (await api.post(CMS, api.config_map("a"))).ok(201)
    assert (await api.put(f"{CMS}/a", api.config_map("a", k="1"))).ok()["data"] == {"k": "1"}


async def test_concurrent_unconditional_updates_all_succeed(api: Any) -> None:
    (await api.post(CMS, api.config_map("a"))).ok(201)
    answered = await asyncio.gather(*(api.put(f"{CMS}/a", api.config_map("a", k=str(i))) for i in range(10)))
    assert {a.code for a in answered} == {200}
    assert len({a.rv for a in answered}) == 10


async def test_concurrent_conditional_updates_have_one_winner(api: Any) -> None:
    old = (await api.post(CMS, api.config_map("a"))).ok(201)
    answered = await asyncio.gather(*(api.put(f"{CMS}/a", {**old, "data": {"k": str(i)}}) for i in range(6)))
    assert sorted(a.code for a in answered) == [200] + [409] * 5
    assert all("modified" in a.message for a in answered if a.code == 409)


async def test_a_change_of_nothing_writes_nothing(api: Any) -> None:
    created = (await api.post(CMS, api.config_map("a", k="1"))).ok(201)
    revision = api.store.revision
    assert (await api.put(f"{CMS}/a", created)).ok() == created
    assert (await api.put(f"{CMS}/a", api.config_map("a", k="1"))).ok() == created
    assert (await api.patch(f"{CMS}/a", {"data": {"k": "1"}})).ok() == created
    assert (await api.patch(f"{CMS}/a", {})).ok() == created
    assert api.store.revision == revision
    made = (await api.post(DEPLOYMENTS, api.deployment("d"))).ok(201)
    revision = api.store.revision
    assert (await api.put(f"{DEPLOYMENTS}/d", api.deployment("d"))).ok() == made
    assert (await api.put(f"{DEPLOYMENTS}/d/status", made)).ok() == made
    assert api.store.revision == revision


async def test_immutable_metadata(api: Any) -> None:
    created = (await api.post(CMS, api.config_map("a"))).ok(201)
    created["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z"
    (await api.put(f"{CMS}/a", created)).refused(422, "metadata.creationTimestamp")


async def test_generation_counts_specs_only(api: Any) -> None:
    made = (await api.post(DEPLOYMENTS, api.deployment("d"))).ok(201)
    assert made["metadata"]["generation"] == 1
    labelled = (await api.patch(f"{DEPLOYMENTS}/d", {"metadata": {"labels": {"x": "y"}}})).ok()
    assert labelled["metadata"]["generation"] == 1
    scaled = (await api.patch(f"{DEPLOYMENTS}/d", {"spec": {"replicas": 3}})).ok()
    assert scaled["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("path", "make"), [(CMS, "config_map"), (PODS, "pod"), (DEPLOYMENTS, "deployment")], ids=["cm", "pod", "deployment"]
)
async def test_dry_run_changes_nothing(api: Any, path: str, make: str) -> None:
    obj = getattr(api, make)("a")
    revision = api.store.revision
    dry = (await api.post(path, obj, dryRun="All")).ok(201)
    assert dry["metadata"]["uid"] and "resourceVersion" not in dry["metadata"]
    assert api.store.revision == revision
    (await api.get(f"{path}/a")).refused(404)
    created = (await api.post(path, obj)).ok(201)
    (await api.post(path, obj, dryRun="All")).refused(409, "already exists")
    revision = api.store.revision
    created["metadata"]["labels"] = {"x": "y"}
    assert (await api.put(f"{path}/a", created, dryRun="All")).ok()["metadata"]["labels"] == {"x": "y"}
    patched = (await api.patch(f"{path}/a", {"metadata": {"labels": {"x": "z"}}}, dryRun="All")).ok()
    assert patched["metadata"]["labels"] == {"x": "z"}
    applied = (
        await api.apply(f"{path}/a", {**obj, "metadata": {"name": "a", "labels": {"q": "1"}}}, dryRun="All")
    ).ok()
    assert applied["metadata"]["labels"] == {"q": "1"}
    (await api.apply(f"{path}/new", {**obj, "metadata": {"name": "new"}}, dryRun="All")).ok(201)
    (await api.delete(f"{path}/a", dryRun="All")).ok()
    (await api.delete(f"{path}/a", {"dryRun": ["All"]})).ok()
    assert (await api.delete(path, dryRun="All")).names == ["a"] if path != CMS else True
    assert api.store.revision == revision
    assert "labels" not in (await api.get(f"{path}/a")).ok()["metadata"]
    (await api.post(path, getattr(api, make)("b"), dryRun="Some")).refused(400, "dryRun")


async def test_dry_run_meets_the_same_refusals(api: Any) -> None:
    (await api.post("/api/v1/namespaces/none/configmaps", api.config_map("a"), dryRun="All")).refused(404, "none")
    (await api.post(CMS, api.config_map("a"), dryRun="None")).refused(400)
    created = (await api.post(CMS, api.config_map("a"))).ok(201)
    (await api.put(f"{CMS}/a", {**created, "data": {"k": "v"}})).ok()
    (await api.put(f"{CMS}/a", created, dryRun="All")).refused(409)


async def test_list_of_all_namespaces(api: Any) -> None:
    await api.namespace("other")
    for namespace in ("default", "other"):
        (await api.post(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "s"}})).ok(201)
    found = (await api.get("/api/v1/secrets")).ok()
    assert found["kind"] == "SecretList" and found["apiVersion"] == "v1"
    assert [i["metadata"]["namespace"] for i in found["items"]] == ["default", "other"]
    assert int(found["metadata"]["resourceVersion"]) == api.store.revision
    assert (await api.get("/api/v1/namespaces/none/secrets")).items == []


async def test_pods_always_have_containers(api: Any) -> None:
    made = (await api.post(PODS, api.vm_pod("v"))).ok(201)
    assert made["spec"]["containers"] == []
    assert (await api.get(f"{PODS}/v")).ok()["spec"]["containers"] == []
    for containers in ([], None):
        body = api.vm_pod(f"v{containers is None}".lower())
        body["spec"]["containers"] = containers
        assert (await api.post(PODS, body)).ok(201)["spec"]["containers"] == []
    both = api.pod("both", virtualMachine=api.vm_pod("x")["spec"]["virtualMachine"])
    (await api.post(PODS, both)).refused(422)
    neither = api.pod("neither")
    del neither["spec"]["containers"]
    (await api.post(PODS, neither)).refused(422, "spec.containers")


async def test_put_by_a_client_that_does_not_know_our_fields(api: Any) -> None:
    made = (await api.post(PODS, api.vm_pod("v", vpc="net"))).ok(201)
    unknowing = {**made, "metadata": {k: v for k, v in made["metadata"].items() if k not in ("tenant", "hashKey")}}
    unknowing["metadata"]["labels"] = {"x": "y"}
    unknowing["spec"] = {k: v for k, v in made["spec"].items() if k not in ("virtualMachine", "vpc", "nics")}
    after = (await api.put(f"{PODS}/v", unknowing)).ok()
    assert after["spec"] == made["spec"] and after["metadata"]["labels"] == {"x": "y"}
    assert after["metadata"]["tenant"] == "system" and after["metadata"]["hashKey"] == made["metadata"]["hashKey"]


async def test_create_on_update(api: Any) -> None:
    lease = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    body = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
    assert (await api.put(lease, body)).ok(201)["metadata"]["uid"]
    (await api.put(lease, body)).refused(422, "metadata.resourceVersion: Invalid value: 0: must be specified")
    (await api.put("/api/v1/namespaces/default/endpoints/e", {"metadata": {"name": "e"}})).ok(201)
    (await api.put("/api/v1/namespaces/none/endpoints/e", {"metadata": {"name": "e"}})).refused(404, "none")


async def test_create_on_update_names_no_revision_or_uid(api: Any) -> None:
    target = "/api/v1/namespaces/default/endpoints/e"
    (await api.put(target, {"metadata": {"name": "e", "resourceVersion": "5"}})).refused(409)
    (await api.put(target, {"metadata": {"name": "e", "uid": "x"}})).refused(409)
    (await api.get(target)).refused(404)


async def test_methods_and_kinds_that_there_are_not(api: Any) -> None:
    (await api.get("/api/v1/namespaces/default/widgets")).refused(404, "could not find the requested resource")
    (await api.get("/api/v2/namespaces/default/pods")).refused(404)
    (await api.get("/apis/nope.io/v1/things")).refused(404)
    (await api.get(f"{PODS}/p/nosuch")).refused(404)
    (await api.delete("/api/v1/namespaces")).refused(405)
    (await api.get("/apis/authentication.k8s.io/v1/selfsubjectreviews")).refused(405)


async def test_head_is_a_get(api: Any) -> None:
    (await api.post(CMS, api.config_map("a"))).ok(201)
    assert (await api("HEAD", f"{CMS}/a")).code == 200
    assert (await api("HEAD", f"{CMS}/b")).code == 404


async def test_accept(api: Any) -> None:
    (await api.get(CMS, accept="image/png")).refused(406)
    assert (await api.get(CMS, accept="image/png,application/json")).content_type == api.JSON
    (await api.get(CMS, accept="*/*")).ok()


async def test_a_namespace_around_what_has_none(api: Any) -> None:
    """A role of the namespace must not decide about what lies outside of it."""
    for path in ("nodes", "persistentvolumes", "tenants", "namespaces/other", "nodes/n"):
        (await api.get(f"/api/v1/namespaces/default/{path}")).refused(404)
    (await api.get("/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles")).refused(404)
    (await api.get("/api/v1/namespaces/default")).ok()


async def test_many_writers_of_one_object(api: Any) -> None:
    """Updates, patches, deletes of what another is about to write go on from there, and all in one batch."""
    (await api.post(PODS, api.pod("p"))).ok(201)
    bind = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    answered = await asyncio.gather(
        *(api.patch(f"{PODS}/p", {"metadata": {"labels": {f"l{i}": "x"}}}) for i in range(30)),
        *(api.patch(f"{PODS}/p/status", {"status": {"message": str(i)}}) for i in range(30)),
        api.post(f"{PODS}/p/binding", bind),
    )
    assert {a.code for a in answered} == {200, 201}
    now = (await api.get(f"{PODS}/p")).ok()
    assert len(now["metadata"]["labels"]) == 30 and now["spec"]["nodeName"] == "n" and now["status"]["message"] == "29"
    answered = await asyncio.gather(
        api.patch(f"{PODS}/p", {"metadata": {"labels": {"last": "x"}}}), api.delete(f"{PODS}/p", gracePeriodSeconds=0)
    )
    assert [a.code for a in answered] == [200, 200]
    (await api.get(f"{PODS}/p")).refused(404)


async def test_a_change_of_nothing_waits_for_what_it_saw(api: Any) -> None:
    (await api.post(CMS, api.config_map("a"))).ok(201)
    answered = await asyncio.gather(*(api.put(f"{CMS}/a", api.config_map("a", k="1")) for _ in range(5)))
    assert len({a.rv for a in answered}) == 1 and int(answered[0].rv) == api.store.revision
