"""DELETE and deletecollection: finalizers, propagation, grace, preconditions; lives of namespaces and tenants."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

CMS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


async def _make(api: Any, name: str = "a", **meta: Any) -> Any:
    return (await api.post(CMS, {"metadata": {"name": name, **meta}})).ok(201)


async def test_finalizers_hold_an_object(api: Any) -> None:
    await _make(api, finalizers=["x.io/a", "x.io/b"])
    marked = (await api.delete(f"{CMS}/a")).ok()
    assert marked["kind"] == "ConfigMap" and marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    revision = api.store.revision
    assert (await api.delete(f"{CMS}/a")).ok() == marked
    assert api.store.revision == revision, "a second delete changes nothing"
    (await api.patch(f"{CMS}/a", {"metadata": {"finalizers": ["x.io/a", "x.io/c"]}})).refused(422, "finalizers")
    watch = await api.watch(CMS, resourceVersion=revision)
    (await api.patch(f"{CMS}/a", {"metadata": {"finalizers": ["x.io/b"]}})).ok()
    (await api.patch(f"{CMS}/a", {"metadata": {"finalizers": []}})).ok()
    (await api.get(f"{CMS}/a")).refused(404)
    assert await watch.take(2) == [("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_patch_that_frees_and_changes(api: Any) -> None:
    await _make(api, finalizers=["x.io/a"])
    (await api.delete(f"{CMS}/a")).ok()
    obj = (await api.get(f"{CMS}/a")).ok()
    del obj["metadata"]["finalizers"]
    (await api.put(f"{CMS}/a", obj, dryRun="All")).ok()
    (await api.get(f"{CMS}/a")).ok()
    (await api.put(f"{CMS}/a", obj)).ok()
    (await api.get(f"{CMS}/a")).refused(404)


@pytest.mark.parametrize(
    ("options", "finalizers"),
    [
        ({}, None),
        ({"propagationPolicy": "Background"}, None),
        ({"propagationPolicy": "Foreground"}, ["foregroundDeletion"]),
        ({"propagationPolicy": "Orphan"}, ["orphan"]),
        ({"orphanDependents": True}, ["orphan"]),
        ({"orphanDependents": False}, None),
    ],
)
@pytest.mark.parametrize("where", ["body", "query"])
async def test_propagation(api: Any, options: dict[str, Any], finalizers: list[str] | None, where: str) -> None:
    (await api.post(DEPLOYMENTS, api.deployment("d"))).ok(201)
    if where == "body":
        answer = await api.delete(f"{DEPLOYMENTS}/d", {"kind": "DeleteOptions", "apiVersion": "v1", **options})
    else:
        answer = await api.delete(
            f"{DEPLOYMENTS}/d", **{k: str(v).lower() if v in (True, False) else v for k, v in options.items()}
        )
    if finalizers is None:
        assert answer.ok()["kind"] == "Status"
        (await api.get(f"{DEPLOYMENTS}/d")).refused(404)
    else:
        meta = answer.ok()["metadata"]
        assert meta["finalizers"] == finalizers and meta["deletionTimestamp"]
        assert meta["generation"] == 2


async def test_propagation_may_be_changed_later(api: Any) -> None:
    (await api.post(DEPLOYMENTS, api.deployment("d"))).ok(201)
    (await api.delete(f"{DEPLOYMENTS}/d", propagationPolicy="Foreground")).ok()
    assert (await api.delete(f"{DEPLOYMENTS}/d")).ok()["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert (await api.delete(f"{DEPLOYMENTS}/d", propagationPolicy="Orphan")).ok()["metadata"]["finalizers"] == [
        "orphan"
    ]
    (await api.delete(f"{DEPLOYMENTS}/d", propagationPolicy="Background")).ok()
    (await api.get(f"{DEPLOYMENTS}/d")).refused(404)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"propagationPolicy": "Sideways"}, 422),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, 422),
        ({"gracePeriodSeconds": "x"}, 400),
        ({"gracePeriodSeconds": 1.5}, 400),
        ({"preconditions": []}, 400),
        ({"preconditions": {"uid": 5}}, 400),
        ({"dryRun": "All"}, 400),
        ({"dryRun": ["Some"]}, 422),
        ({"kind": "Pod"}, 400),
        ({"kind": {}}, 400),
        ([], 400),
        (b"{", 400),
    ],
)
async def test_bad_options(api: Any, options: Any, code: int) -> None:
    await _make(api)
    (await api.delete(f"{CMS}/a", options)).refused(code)
    (await api.delete(CMS, options)).refused(code)
    (await api.get(f"{CMS}/a")).ok()


async def test_preconditions(api: Any) -> None:
    made = await _make(api)
    uid, rv = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    text = f"the UID in the precondition (x) does not match the UID in record ({uid})"
    (await api.delete(f"{CMS}/a", {"preconditions": {"uid": "x"}})).refused(409, text)
    (await api.delete(f"{CMS}/a", {"preconditions": {"resourceVersion": "1"}})).refused(409, "ResourceVersion")
    (await api.delete(f"{CMS}/a", {"preconditions": {"uid": uid, "resourceVersion": rv}})).ok()


async def test_options_in_protobuf(api: Any) -> None:
    from arktos.wire import protobuf

    await _make(api)
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground", "gracePeriodSeconds": 0}
    answer = await api.delete(f"{CMS}/a", protobuf.encode(options), type="application/vnd.kubernetes.protobuf")
    assert answer.ok()["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_a_pod_on_a_node_waits_for_its_node(api: Any) -> None:
    (await api.post(PODS, api.pod("p", nodeName="n"))).ok(201)
    marked = (await api.delete(f"{PODS}/p")).ok()["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 30 and marked["deletionTimestamp"] > marked["creationTimestamp"]
    shorter = (await api.delete(f"{PODS}/p", gracePeriodSeconds=5)).ok()["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5 and shorter["deletionTimestamp"] < marked["deletionTimestamp"]
    longer = (await api.delete(f"{PODS}/p", gracePeriodSeconds=50)).ok()["metadata"]
    assert longer == shorter
    (await api.patch(f"{PODS}/p/status", {"status": {"phase": "Running"}})).ok()
    (await api.delete(f"{PODS}/p", {"gracePeriodSeconds": 0})).ok()
    (await api.get(f"{PODS}/p")).refused(404)


async def test_a_pod_has_its_own_grace(api: Any) -> None:
    (await api.post(PODS, api.pod("p", nodeName="n", terminationGracePeriodSeconds=7))).ok(201)
    assert (await api.delete(f"{PODS}/p")).ok()["metadata"]["deletionGracePeriodSeconds"] == 7


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_pod_that_is_done_goes_at_once(api: Any, phase: str) -> None:
    (await api.post(PODS, api.pod("p", nodeName="n"))).ok(201)
    (await api.patch(f"{PODS}/p/status", {"status": {"phase": phase}})).ok()
    (await api.delete(f"{PODS}/p")).ok()
    (await api.get(f"{PODS}/p")).refused(404)


async def test_a_pod_without_a_node_goes_at_once(api: Any) -> None:
    (await api.post(PODS, api.pod("p"))).ok(201)
    (await api.delete(f"{PODS}/p", gracePeriodSeconds=30)).ok()
    (await api.get(f"{PODS}/p")).refused(404)


async def test_a_pod_with_finalizers_outlives_its_grace(api: Any) -> None:
    body = api.pod("p", nodeName="n")
    body["metadata"]["finalizers"] = ["x.io/a"]
    (await api.post(PODS, body)).ok(201)
    (await api.delete(f"{PODS}/p")).ok()
    held = (await api.delete(f"{PODS}/p", gracePeriodSeconds=0)).ok()["metadata"]
    assert held["deletionGracePeriodSeconds"] == 0
    (await api.patch(f"{PODS}/p", {"metadata": {"finalizers": None}})).ok()
    (await api.get(f"{PODS}/p")).refused(404)


async def test_finalizers_gone_before_the_grace(api: Any) -> None:
    body = api.pod("p", nodeName="n")
    body["metadata"]["finalizers"] = ["x.io/a"]
    (await api.post(PODS, body)).ok(201)
    (await api.delete(f"{PODS}/p")).ok()
    (await api.patch(f"{PODS}/p", {"metadata": {"finalizers": None}})).ok()
    (await api.get(f"{PODS}/p")).ok()
    (await api.delete(f"{PODS}/p", gracePeriodSeconds=0)).ok()
    (await api.get(f"{PODS}/p")).refused(404)


async def test_deletecollection(api: Any) -> None:
    for i in range(4):
        await _make(api, f"c{i}", labels={"odd": str(i % 2)}, **({"finalizers": ["x.io/a"]} if i == 3 else {}))
    answer = await api.delete(CMS, labelSelector="odd=1")
    assert answer.obj["kind"] == "ConfigMapList" and answer.names == ["c1", "c3"]
    assert "deletionTimestamp" in answer.items[1]["metadata"]
    assert (await api.get(CMS, labelSelector="odd")).names == ["c0", "c2", "c3"]
    (await api.delete(CMS)).ok()
    assert (await api.get(CMS, labelSelector="odd")).names == ["c3"]
    (await api.get(f"{CMS}/kube-root-ca.crt")).ok()


async def test_concurrent_deletes(api: Any) -> None:
    await _make(api)
    codes = sorted(a.code for a in await asyncio.gather(*(api.delete(f"{CMS}/a") for _ in range(4))))
    assert codes == [200, 404, 404, 404]


async def test_a_create_right_after_a_delete(api: Any) -> None:
    await _make(api)
    deleted, created = await asyncio.gather(api.delete(f"{CMS}/a"), api.post(CMS, api.config_map("a")))
    assert deleted.code == 200 and created.code in (201, 409)


# --- namespaces and tenants ---------------------------------------------------------------------------------------


async def test_a_namespace_from_first_to_last(api: Any) -> None:
    await api.namespace("ns")
    made = (await api.get("/api/v1/namespaces/ns")).ok()
    assert made["spec"]["finalizers"] == ["kubernetes"] and made["status"] == {"phase": "Active"}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "ns"}
    marked = (await api.delete("/api/v1/namespaces/ns")).ok()
    assert marked["kind"] == "Namespace" and marked["status"]["phase"] == "Terminating"
    assert marked["metadata"]["deletionTimestamp"]
    (await api.delete("/api/v1/namespaces/ns")).refused(409, "ensuring all content is removed from this namespace")
    cms = "/api/v1/namespaces/ns/configmaps"
    text = "unable to create new content in namespace ns because it is being terminated"
    for answer in (
        await api.post(cms, api.config_map("a")),
        await api.post(cms, api.config_map("a"), dryRun="All"),
        await api.apply(f"{cms}/a", api.config_map("a")),
        await api.put("/api/v1/namespaces/ns/endpoints/e", {"metadata": {"name": "e"}}),
    ):
        status = answer.refused(403, text)
        assert status["details"]["causes"][0]["reason"] == "NamespaceTerminating"
        assert status["details"]["causes"][0]["field"] == "metadata.namespace"
    account = "/api/v1/namespaces/ns/serviceaccounts/default"
    (await api.patch(account, {"metadata": {"labels": {"x": "y"}}})).ok()
    (await api.delete(account)).ok()
    finalized = {**marked, "spec": {"finalizers": []}}
    (await api.put("/api/v1/namespaces/ns/finalize", finalized)).ok()
    (await api.get("/api/v1/namespaces/ns")).refused(404)
    await api.namespace("ns")


async def test_finalize_writes_finalizers_only(api: Any) -> None:
    await api.namespace("ns")
    made = (await api.get("/api/v1/namespaces/ns")).ok()
    changed = {**made, "spec": {"finalizers": ["kubernetes", "x.io/y"]}}
    changed["metadata"] = {**made["metadata"], "labels": {"no": "no"}}
    after = (await api.put("/api/v1/namespaces/ns/finalize", changed)).ok()
    assert after["spec"]["finalizers"] == ["kubernetes", "x.io/y"] and "no" not in after["metadata"]["labels"]
    kept = (await api.put("/api/v1/namespaces/ns", {"metadata": {"name": "ns"}})).ok()
    assert kept["spec"]["finalizers"] == ["kubernetes", "x.io/y"]


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
@pytest.mark.parametrize("tenant", ["system", "acme"])
async def test_immortal_namespaces(api: Any, name: str, tenant: str) -> None:
    await api.tenant("acme")
    await api.namespace(name, tenant)
    path = f"/tenants/{tenant}/api/v1/namespaces/{name}"
    (await api.delete(path)).refused(403, "this namespace may not be deleted")
    (await api.delete(path, dryRun="All")).refused(403)
    (await api.get(path)).ok()


async def test_nothing_slips_into_a_namespace_that_goes(api: Any) -> None:
    """Creates and the delete race; whatever was created is in before the delete, by revision."""
    await api.namespace("ns")
    cms = "/api/v1/namespaces/ns/configmaps"
    deleted, *created = await asyncio.gather(
        api.delete("/api/v1/namespaces/ns"), *(api.post(cms, api.config_map(f"c{i}")) for i in range(5))
    )
    assert deleted.code == 200
    for answer in created:
        assert answer.code == 403 or int(answer.rv) < int(deleted.rv)


async def test_a_tenant_from_first_to_last(api: Any) -> None:
    await api.tenant("acme")
    tenant = (await api.get("/api/v1/tenants/acme")).ok()
    assert tenant["spec"]["finalizers"] == ["kubernetes"] and tenant["status"]["phase"] == "Active"
    assert "tenant" not in tenant["metadata"]
    acme = api.admin_of("acme")
    (await api.put("/api/v1/tenants/acme/status", {**tenant, "status": {"phase": "Terminating"}})).refused(422)
    marked = (await api.delete("/api/v1/tenants/acme")).ok()
    assert marked["status"]["phase"] == "Terminating"
    (await api.delete("/api/v1/tenants/acme")).refused(409, "ensuring all content is removed from this tenant")
    text = "unable to create new content in tenant acme because it is being terminated"
    for user, path, body in (
        (acme, CMS, api.config_map("a")),
        (acme, "/api/v1/namespaces", {"metadata": {"name": "n"}}),
        (api.ADMIN, f"/tenants/acme{CMS}", api.config_map("a")),
        (acme, "/api/v1/persistentvolumes", _volume()),
    ):
        status = (await api.post(path, body, user=user)).refused(403, text)
        assert status["details"]["causes"][0]["reason"] == "TenantTerminating"
    (await api.delete("/tenants/acme/api/v1/namespaces/default")).ok()
    (await api.put("/api/v1/tenants/acme/finalize", {"metadata": {"name": "acme"}, "spec": {}})).ok()
    (await api.get("/api/v1/tenants/acme")).refused(404)
    (await api.post("/tenants/acme/api/v1/persistentvolumes", _volume())).refused(404, 'tenants "acme" not found')
    (await api.post("/tenants/acme/api/v1/persistentvolumes", _volume(), user=acme)).refused(403)


def _volume() -> dict[str, Any]:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "nfs": {"server": "nfs", "path": "/x"}}
    return {"metadata": {"name": "v"}, "spec": spec}


async def test_reserved_tenants(api: Any) -> None:
    for name in ("all", "default"):
        (await api.post("/api/v1/tenants", {"metadata": {"name": name}})).refused(403, "reserved")
    (await api.post("/api/v1/tenants", {"metadata": {"name": "system"}})).refused(409)
    (await api.delete("/api/v1/tenants/system")).refused(403, "this tenant may not be deleted")
    (await api.delete("/api/v1/tenants/system", dryRun="All")).refused(403)
    for name in ("A", "a.b", "-a", "a_b", "a" * 64):
        (await api.post("/api/v1/tenants", {"metadata": {"name": name}})).refused(422, "metadata.name")


async def test_a_generated_tenant_is_not_reserved(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arktos.apiserver.writes.random_suffix", lambda length=5: "ll")
    (await api.post("/api/v1/tenants", {"metadata": {"generateName": "a"}})).refused(403, "reserved")
    (await api.apply("/api/v1/tenants/all", {"metadata": {"name": "all"}})).refused(403, "reserved")


async def test_tenants_have_no_deletecollection(api: Any) -> None:
    (await api.delete("/api/v1/tenants")).refused(405)
    (await api.delete("/api/v1/namespaces")).refused(405)


async def test_a_frozen_tenant_reads_and_deletes(api: Any) -> None:
    await api.tenant("acme")
    acme = api.admin_of("acme")
    (await api.post(CMS, api.config_map("a"), user=acme)).ok(201)
    (await api.patch("/api/v1/tenants/acme", {"spec": {"frozen": True}})).ok()
    for answer in (
        await api.post(CMS, api.config_map("b"), user=acme),
        await api.patch(f"{CMS}/a", {"data": {"k": "v"}}, user=acme),
        await api.put(f"{CMS}/a", api.config_map("a", k="v"), user=acme),
        await api.apply(f"{CMS}/c", api.config_map("c"), user=acme),
    ):
        answer.refused(403, "tenant acme is frozen")
    (await api.get(f"{CMS}/a", user=acme)).ok()
    (await api.post(f"/tenants/acme{CMS}", api.config_map("by-operator"))).ok(201)
    (await api.delete(f"{CMS}/a", user=acme)).ok()
    (await api.patch("/api/v1/tenants/acme", {"spec": {"frozen": False}})).ok()
    (await api.post(CMS, api.config_map("b"), user=acme)).ok(201)


async def test_changes_and_deletes_of_one_object_at_once(api: Any) -> None:
    """Each finds what the others have just written, or that it is gone."""
    for _ in range(5):
        await _make(api)
        answered = await asyncio.gather(
            api.patch(f"{CMS}/a", {"data": {"k": "1"}}),
            api.delete(f"{CMS}/a"),
            api.patch(f"{CMS}/a", {"data": {"k": "2"}}),
            api.post(CMS, api.config_map("a", k="3")),
            api.patch(f"{CMS}/a", {"data": {"l": "4"}}),
            api.apply(f"{CMS}/a", api.config_map("a", l="5"), force="true"),
        )
        assert [a.code for a in answered] == [200, 200, 404, 201, 200, 200]
        assert (await api.get(f"{CMS}/a")).ok()["data"] == {"k": "3", "l": "5"}
        (await api.delete(f"{CMS}/a")).ok()


async def test_built_in_objects_are_overridden_and_come_back(api: Any) -> None:
    await api.tenant("acme")
    acme = api.admin_of("acme")
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    built_in = (await api.get(f"{roles}/view", user=acme)).ok()
    assert built_in["metadata"]["tenant"] == "acme" and "view" in (await api.get(roles, user=acme)).names
    (await api.post(roles, {"metadata": {"name": "view"}, "rules": []}, user=acme, dryRun="All")).ok(201)
    (await api.delete(f"{roles}/view", user=acme)).refused(403, "built in")
    (await api.delete(roles, user=acme)).ok()
    answered = await asyncio.gather(
        *(api.patch(f"{roles}/view", {"metadata": {"labels": {f"l{i}": "x"}}}, user=acme) for i in range(4))
    )
    assert [a.code for a in answered] == [200] * 4
    stored = (await api.get(f"{roles}/view", user=acme)).ok()
    assert {"l0", "l1", "l2", "l3"} <= set(stored["metadata"]["labels"])
    assert int(stored["metadata"]["resourceVersion"]) > 1 and stored["metadata"]["uid"] == built_in["metadata"]["uid"]
    assert (await api.get(roles, user=acme)).names.count("view") == 1
    assert "l0" not in (await api.get(f"{roles}/view")).ok()["metadata"].get("labels", {})
    (await api.delete(f"{roles}/view", user=acme)).ok()
    assert (await api.get(f"{roles}/view", user=acme)).ok() == built_in


async def test_the_root_certificate_is_deleted_and_there_again(api: Any) -> None:
    target = f"{CMS}/kube-root-ca.crt"
    before = (await api.get(target)).ok()
    status = (await api.delete(target)).ok()
    assert status["status"] == "Success" and "uid" not in status["details"], "who waits for its end must not wait"
    assert (await api.get(target)).ok() == before
    (await api.delete(target, {"preconditions": {"uid": "x"}})).refused(409)
    (await api.delete("/api/v1/namespaces/none/configmaps/kube-root-ca.crt")).refused(404)
    (await api.put(target, api.config_map("kube-root-ca.crt", other="x"))).ok()
    assert (await api.get(target)).ok()["data"] == {"other": "x"}
    assert "uid" in (await api.delete(target)).ok()["details"]
    assert (await api.get(target)).ok() == before


async def test_deletecollection_with_options(api: Any) -> None:
    for name in "abc":
        await _make(api, name, labels={"mine": ""})
    uid = (await api.get(f"{CMS}/b")).ok()["metadata"]["uid"]
    tried = (await api.delete(CMS, {"dryRun": ["All"]}, labelSelector="mine")).names
    assert tried == ["a", "b", "c"] == (await api.delete(CMS, labelSelector="mine", dryRun="All")).names
    assert (await api.get(CMS, labelSelector="mine")).names == ["a", "b", "c"]
    # Preconditions are each object's: the first that does not meet them ends it.
    (await api.delete(CMS, {"preconditions": {"uid": uid}}, labelSelector="mine")).refused(
        409, "UID in the precondition"
    )
    one = await api.delete(CMS, {"preconditions": {"uid": uid}}, fieldSelector="metadata.name=b")
    assert one.names == ["b"]
    held = await api.delete(CMS, labelSelector="mine", propagationPolicy="Foreground")
    assert [item["metadata"]["finalizers"] for item in held.items] == [["foregroundDeletion"]] * 2
    (await api.delete(CMS, fieldSelector="spec.none=1")).refused(400, "field label not supported")
    (await api.delete(CMS, {"propagationPolicy": "Sideways"})).refused(422)
