"""Subresources: status, scale, binding, eviction, finalize, action, token; service addresses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.serviceips import ADDRESSES, ServiceAllocation, parse_ranges
from arktos.model import registry
from arktos.model.status import InternalError
from arktos.store.records import Header, Key, Put

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PDBS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
SERVICES = "/api/v1/namespaces/default/services"


async def test_parts_of_a_pod(api: Any) -> None:
    body = api.pod("p", nodeName="n")
    body["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    (await api.post(PODS, body)).ok(201)
    debugger = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}}
    (await api.patch(f"{PODS}/p", debugger, api.STRATEGIC)).refused(422, "pod updates may not change fields")
    patched = (await api.patch(f"{PODS}/p/ephemeralcontainers", debugger, api.STRATEGIC)).ok()
    assert patched["spec"]["ephemeralContainers"][0]["name"] == "debug"
    larger = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}}}]}}
    (await api.patch(f"{PODS}/p", larger, api.STRATEGIC)).refused(422, "pod updates may not change fields")
    resized = (await api.patch(f"{PODS}/p/resize", larger, api.STRATEGIC)).ok()
    assert resized["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "2"}
    assert resized["metadata"]["generation"] > patched["metadata"]["generation"]


async def test_status_and_spec_are_apart(api: Any) -> None:
    made = (await api.post(DEPLOYMENTS, {**api.deployment("d"), "status": {"replicas": 9}})).ok(201)
    assert made["status"] == {}
    both = {**made, "status": {"replicas": 3}, "spec": {**made["spec"], "replicas": 7}}
    both["metadata"] = {**made["metadata"], "finalizers": ["x.io/a"]}
    by_status = (await api.put(f"{DEPLOYMENTS}/d/status", both)).ok()
    assert by_status["status"] == {"replicas": 3} and by_status["spec"]["replicas"] == 1
    assert by_status["metadata"]["generation"] == 1
    both["metadata"] = {"name": "d"}
    both["status"] = {"replicas": 5}
    by_spec = (await api.put(f"{DEPLOYMENTS}/d", both)).ok()
    assert by_spec["status"] == {"replicas": 3} and by_spec["spec"]["replicas"] == 7
    patched = (await api.patch(f"{DEPLOYMENTS}/d/status", {"status": {"replicas": 8}, "spec": {"replicas": 1}})).ok()
    assert patched["status"]["replicas"] == 8 and patched["spec"]["replicas"] == 7
    assert (await api.get(f"{DEPLOYMENTS}/d/status")).ok() == patched
    patched = (await api.patch(f"{DEPLOYMENTS}/d", {"status": {"replicas": 1}})).ok()
    assert patched["status"]["replicas"] == 8
    entries = patched["metadata"]["managedFields"]
    assert {e.get("subresource", "") for e in entries} == {"", "status"}
    (await api.delete(f"{DEPLOYMENTS}/d/status")).refused(405)
    (await api.post(f"{DEPLOYMENTS}/d/status", made)).refused(405)
    (await api.put(f"{DEPLOYMENTS}/none/status", {**made, "metadata": {"name": "none"}})).refused(404)


@pytest.mark.parametrize("kind", ["deployments", "replicasets", "statefulsets"])
async def test_scale(api: Any, kind: str) -> None:
    body = api.deployment("d")
    body["kind"] = {"deployments": "Deployment", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet"}[kind]
    root = f"/apis/apps/v1/namespaces/default/{kind}"
    (await api.post(root, body)).ok(201)
    scale = (await api.get(f"{root}/d/scale")).ok()
    assert scale["kind"] == "Scale" and scale["apiVersion"] == "autoscaling/v1" and scale["spec"] == {"replicas": 1}
    assert scale["status"] == {"replicas": 0, "selector": "app=d"}
    put = (await api.put(f"{root}/d/scale", {**scale, "spec": {"replicas": 3}})).ok()
    assert put["kind"] == "Scale" and put["spec"] == {"replicas": 3}
    (await api.put(f"{root}/d/scale", {**scale, "spec": {"replicas": 4}})).refused(409)
    assert (await api.get(f"{root}/d")).ok()["spec"]["replicas"] == 3
    for patch, form, replicas in (
        ({"spec": {"replicas": 5}}, api.MERGE, 5),
        ({"spec": {"replicas": 6}}, api.STRATEGIC, 6),
        ([{"op": "replace", "path": "/spec/replicas", "value": 7}], api.JSON_PATCH, 7),
    ):
        assert (await api.patch(f"{root}/d/scale", patch, form)).ok()["spec"]["replicas"] == replicas
    assert (await api.get(f"{root}/d")).ok()["metadata"]["generation"] == 5
    (await api.patch(f"{root}/d/scale", {"spec": {"replicas": -1}})).refused(422)
    (await api.patch(f"{root}/d/scale", {"spec": {"replicas": "x"}})).refused(400)
    (await api.patch(f"{root}/d/scale", {"spec": {"replicas": 2**31}})).refused(400)
    (await api.put(f"{root}/d/scale", {"metadata": {"name": "e"}, "spec": {"replicas": 1}})).refused(400)
    (await api.put(f"{root}/d/scale", {"kind": "Deployment", "metadata": {"name": "d"}})).refused(400)
    (await api.get(f"{root}/none/scale")).refused(404)
    (await api.put(f"{root}/none/scale", {"metadata": {"name": "none"}, "spec": {"replicas": 1}})).refused(404)
    assert (await api.patch(f"{root}/d/scale", {"spec": {"replicas": 9}}, dryRun="All")).ok()["spec"]["replicas"] == 9
    assert (await api.get(f"{root}/d/scale")).ok()["spec"]["replicas"] == 7


async def test_apply_of_a_scale(api: Any) -> None:
    (await api.apply(f"{DEPLOYMENTS}/d", api.deployment("d", replicas=2), "one")).ok(201)
    wanted = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "d"}, "spec": {"replicas": 4}}
    (await api.apply(f"{DEPLOYMENTS}/d/scale", wanted, "two")).refused(409, 'conflict with "one"')
    scaled = (await api.apply(f"{DEPLOYMENTS}/d/scale", wanted, "two", force="true")).ok()
    assert scaled["kind"] == "Scale" and scaled["spec"]["replicas"] == 4
    (await api.apply(f"{DEPLOYMENTS}/d", api.deployment("d", replicas=2), "one")).refused(409, 'conflict with "two"')
    unsized = api.deployment("d")
    del unsized["spec"]["replicas"]
    assert (await api.apply(f"{DEPLOYMENTS}/d", unsized, "one")).ok()["spec"]["replicas"] == 4
    (await api.apply(f"{DEPLOYMENTS}/none/scale", {**wanted, "metadata": {"name": "none"}}, "two")).refused(404)


async def test_binding(api: Any) -> None:
    made = (await api.post(PODS, api.pod("p"))).ok(201)
    bind = {"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    (await api.post(f"{PODS}/p/binding", {**bind, "target": {}})).refused(422, "target.name: Required value")
    (await api.post(f"{PODS}/p/binding", {**bind, "target": {"kind": "Pod", "name": "n"}})).refused(422, "target.kind")
    (await api.post(f"{PODS}/p/binding", {**bind, "metadata": {"name": "q"}})).refused(400)
    (await api.post(f"{PODS}/p/binding", {**bind, "metadata": {"name": "p", "uid": "x"}})).refused(409, "UID")
    (await api.post(f"{PODS}/none/binding", {**bind, "metadata": {"name": "none"}})).refused(404)
    (await api.post(f"{PODS}/p/binding", bind, dryRun="All")).ok(201)
    assert "nodeName" not in (await api.get(f"{PODS}/p")).ok()["spec"]
    (await api.post(f"{PODS}/none/binding", {"target": bind["target"]}, dryRun="All")).refused(404)
    status = (await api.post(f"{PODS}/p/binding", bind)).ok(201)
    assert status["kind"] == "Status" and status["status"] == "Success" and status["code"] == 201
    bound = (await api.get(f"{PODS}/p")).ok()
    assert bound["spec"]["nodeName"] == "n" and bound["metadata"]["uid"] == made["metadata"]["uid"]
    condition = next(c for c in bound["status"]["conditions"] if c["type"] == "PodScheduled")
    assert condition["status"] == "True" and condition["lastTransitionTime"]
    (await api.post(f"{PODS}/p/binding", bind)).refused(409, "already assigned to node")
    (await api.post(f"{PODS}/p/binding", bind, dryRun="All")).refused(409)


async def test_bindings_as_a_collection(api: Any) -> None:
    (await api.post(PODS, api.pod("p"))).ok(201)
    (await api.post("/api/v1/namespaces/default/bindings", {"metadata": {"name": "p"}, "target": {"name": "n"}})).ok(
        201
    )
    assert (await api.get(f"{PODS}/p")).ok()["spec"]["nodeName"] == "n"
    (await api.post("/api/v1/namespaces/default/bindings", {"target": {"name": "n"}})).refused(422)
    (await api.get("/api/v1/namespaces/default/bindings")).refused(405)


async def test_binding_of_pods_that_cannot(api: Any) -> None:
    (await api.post(PODS, api.pod("gated", schedulingGates=[{"name": "x.io/g"}]))).ok(201)
    (await api.post(f"{PODS}/gated/binding", {"target": {"name": "n"}})).refused(409, "schedulingGates")
    body = api.pod("going")
    body["metadata"]["finalizers"] = ["x.io/a"]
    (await api.post(PODS, body)).ok(201)
    (await api.delete(f"{PODS}/going")).ok()
    (await api.post(f"{PODS}/going/binding", {"target": {"name": "n"}})).refused(409, "being deleted")


async def test_one_of_many_bindings_wins(api: Any) -> None:
    (await api.post(PODS, api.pod("p"))).ok(201)
    answered = await asyncio.gather(*(api.post(f"{PODS}/p/binding", {"target": {"name": f"n{i}"}}) for i in range(6)))
    assert sorted(a.code for a in answered) == [201] + [409] * 5


async def _budget(api: Any, allowed: int, observed: int = 1, name: str = "b") -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    (await api.post(PDBS, {"metadata": {"name": name}, "spec": spec})).ok(201)
    status = {"disruptionsAllowed": allowed, "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3}
    (await api.patch(f"{PDBS}/{name}/status", {"status": {**status, "observedGeneration": observed}})).ok()


async def _running(api: Any, name: str) -> None:
    body = api.pod(name)
    body["metadata"]["labels"] = {"app": "x"}
    (await api.post(PODS, body)).ok(201)
    (await api.patch(f"{PODS}/{name}/status", {"status": {"phase": "Running"}})).ok()


async def test_eviction(api: Any) -> None:
    for i in range(3):
        await _running(api, f"p{i}")
    (await api.post(f"{PODS}/p0/eviction", {"metadata": {"name": "p0"}})).ok(201)
    (await api.get(f"{PODS}/p0")).refused(404)
    await _budget(api, 1)
    (await api.post(f"{PODS}/p1/eviction", {"metadata": {"name": "p1"}}, dryRun="All")).ok(201)
    options = {"metadata": {"name": "p1"}, "deleteOptions": {"dryRun": ["All"]}}
    (await api.post(f"{PODS}/p1/eviction", options)).ok(201)
    (await api.get(f"{PODS}/p1")).ok()
    (await api.post(f"{PODS}/p1/eviction", {"metadata": {"name": "p1"}})).ok(201)
    budget = (await api.get(f"{PDBS}/b")).ok()["status"]
    assert budget["disruptionsAllowed"] == 0 and list(budget["disruptedPods"]) == ["p1"]
    status = (await api.post(f"{PODS}/p2/eviction", {})).refused(429, "would violate the pod's disruption budget")
    assert status["reason"] == "TooManyRequests"
    assert status["details"]["causes"][0]["reason"] == "DisruptionBudget"
    assert "needs 2 healthy pods and has 3 currently" in status["details"]["causes"][0]["message"]
    (await api.get(f"{PODS}/p2")).ok()
    (await api.post(f"{PODS}/none/eviction", {})).refused(404)
    (await api.post(f"{PODS}/p2/eviction", {"deleteOptions": {"preconditions": {"uid": "x"}}})).refused(409)
    (await api.post(f"{PODS}/p2/eviction", {"deleteOptions": {"propagationPolicy": "Sideways"}})).refused(422)


async def test_eviction_counts_once_under_concurrency(api: Any) -> None:
    for i in range(5):
        await _running(api, f"p{i}")
    await _budget(api, 2)
    answered = await asyncio.gather(*(api.post(f"{PODS}/p{i}/eviction", {}) for i in range(5)))
    assert sorted(a.code for a in answered) == [201, 201, 429, 429, 429]


async def test_eviction_waits_for_the_controller(api: Any) -> None:
    await _running(api, "p")
    await _budget(api, 1, observed=0)
    answer = await api.post(f"{PODS}/p/eviction", {})
    assert "still being processed" in answer.refused(429)["details"]["causes"][0]["message"]
    assert answer.headers["retry-after"] == "10"


async def test_a_failed_eviction_spends_nothing(api: Any) -> None:
    await _running(api, "p")
    await _budget(api, 1)
    (await api.post(f"{PODS}/p/eviction", {"deleteOptions": {"preconditions": {"uid": "x"}}})).refused(409)
    assert (await api.get(f"{PDBS}/b")).ok()["status"]["disruptionsAllowed"] == 1


async def test_pending_pods_are_evicted_whatever_the_budget(api: Any) -> None:
    body = api.pod("p")
    body["metadata"]["labels"] = {"app": "x"}
    (await api.post(PODS, body)).ok(201)
    await _budget(api, 0)
    (await api.post(f"{PODS}/p/eviction", {})).ok(201)


async def test_action(api: Any) -> None:
    (await api.post(PODS, api.vm_pod("v", nodeName="n"))).ok(201)
    (await api.post(PODS, api.pod("c"))).ok(201)
    ask = {"kind": "CustomAction", "apiVersion": "v1", "operation": "snapshot", "snapshotParams": {"snapshotName": "s"}}
    status = (await api.post(f"{PODS}/v/action", ask)).ok(201)
    assert status["kind"] == "Status" and status["status"] == "Success" and status["code"] == 201
    assert status["message"] == "Created action 'snapshot' for Pod 'v'"
    action = (await api.get(f"/api/v1/namespaces/default/actions/{status['details']['name']}")).ok()
    assert action["metadata"]["name"].startswith("snapshot-") and action["metadata"]["uid"] == status["details"]["uid"]
    assert action["metadata"]["resourceVersion"] == status["metadata"]["resourceVersion"]
    assert action["spec"]["nodeName"] == "n" and action["spec"]["podName"] == "v"
    assert action["spec"]["snapshotAction"] == {"snapshotName": "s"}
    (await api.post(f"{PODS}/v/action", {"operation": "restore"})).refused(422, "snapshotID: Required value")
    restore = {"operation": "restore", "restoreParams": {"snapshotID": "s"}}
    for body in ({"operation": "reboot"}, restore, {**ask, "kind": ""}):
        (await api.post(f"{PODS}/v/action", body)).ok(201)
    (await api.post(f"{PODS}/v/action", {"operation": "explode"})).refused(400, "Unsupported operation 'explode'")
    (await api.post(f"{PODS}/v/action", {})).refused(400, "Unsupported operation ''")
    (await api.post(f"{PODS}/v/action", {"operation": 5})).refused(400)
    (await api.post(f"{PODS}/none/action", {"operation": "reboot"})).refused(404, 'pods "none" not found')
    (await api.post(f"{PODS}/c/action", {"operation": "reboot"})).refused(422, "not a virtual machine")
    count = len((await api.get("/api/v1/actions")).items)
    (await api.post(f"{PODS}/v/action", {"operation": "reboot"}, dryRun="All")).ok(201)
    assert len((await api.get("/api/v1/actions")).items) == count == 4


async def test_actions_of_a_tenant(api: Any) -> None:
    await api.tenant("acme")
    acme = api.admin_of("acme")
    (await api.post(PODS, api.vm_pod("v", nodeName="n"), user=acme)).ok(201)
    (await api.post(f"{PODS}/v/action", {"operation": "reboot"}, user=acme)).ok(201)
    assert [a["metadata"]["tenant"] for a in (await api.get("/api/v1/actions", user=acme)).items] == ["acme"]
    assert (await api.get("/api/v1/actions")).items == []


async def test_actions_of_power_change_what_the_pod_wants(api: Any) -> None:
    (await api.post(PODS, api.vm_pod("v", nodeName="n"))).ok(201)
    created = (await api.post(f"{PODS}/v/action", {"operation": "stop", "powerParams": {"gracePeriodSeconds": 5}})).ok(
        201
    )
    action = (await api.get(f"/api/v1/namespaces/default/actions/{created['details']['name']}")).ok()
    assert action["spec"]["stopAction"] == {"gracePeriodSeconds": 5}
    pod = (await api.get(f"{PODS}/v")).ok()
    assert pod["spec"]["virtualMachine"]["powerSpec"] == "Shutdown" and pod["metadata"]["generation"] == 2
    (await api.post(f"{PODS}/v/action", {"operation": "start"}, dryRun="All")).ok(201)
    assert (await api.get(f"{PODS}/v")).ok()["metadata"]["generation"] == 2
    (await api.post(f"{PODS}/v/action", {"operation": "start"})).ok(201)
    (await api.post(f"{PODS}/v/action", {"operation": "start"})).ok(201)
    pod = (await api.get(f"{PODS}/v")).ok()
    assert pod["spec"]["virtualMachine"]["powerSpec"] == "Running" and pod["metadata"]["generation"] == 3
    for operation in ("pause", "resume"):
        (await api.post(f"{PODS}/v/action", {"operation": operation})).refused(409, "power state is nostate")
    (await api.post(PODS, api.vm_pod("unbound"))).ok(201)
    (await api.post(f"{PODS}/unbound/action", {"operation": "stop"})).refused(409, "it is not on a node yet")


async def test_actions_by_hand_find_their_node(api: Any) -> None:
    actions = "/api/v1/namespaces/default/actions"
    pod = (await api.post(PODS, api.vm_pod("v", nodeName="n"))).ok(201)
    (await api.post(PODS, api.pod("c"))).ok(201)
    (await api.post(PODS, api.vm_pod("unbound"))).ok(201)

    def action(name: str, **spec: Any) -> Any:
        body = {"podName": "v", "rebootAction": {}, **spec}
        return {"kind": "Action", "apiVersion": "v1", "metadata": {"name": name}, "spec": body}

    made = (await api.post(actions, action("a"))).ok(201)
    assert (made["spec"]["nodeName"], made["spec"]["podID"]) == ("n", pod["metadata"]["uid"])
    (await api.post(actions, action("b", podName="none"))).refused(422, 'spec.podName: Not found: "none"')
    (await api.post(actions, action("b", podName="c"))).refused(422, "not a virtual machine")
    (await api.post(actions, action("b", podName="unbound"))).refused(409, "it is not on a node yet")
    (await api.post(actions, action("b", nodeName="m"))).refused(422, "pod v has n")
    (await api.post(actions, action("b", podID="x"))).refused(422, "spec.podID")
    (await api.post(actions, action("b", podName=""))).refused(422, "spec.podName: Required value")
    (await api.post(actions, action("b", stopAction={}))).refused(422, "may not specify more than 1 action")


async def test_tokens(api: Any) -> None:
    await api.tenant("acme")
    acme = api.admin_of("acme")
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    answered = (await api.post(f"{account}/token", {"spec": {"audiences": []}}, user=acme)).ok(201)
    assert answered["kind"] == "TokenRequest" and answered["status"]["token"]
    heads = {"authorization": f"Bearer {answered['status']['token']}"}
    me = (await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, headers=heads)).ok(201)
    assert me["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
    (await api.get("/tenants/system/api/v1/pods", headers=heads)).refused(403)
    (await api.get("/api/v1/pods", headers=heads)).refused(403)
    (await api.post(f"{account}x/token", {"spec": {}}, user=acme)).refused(404)
    (await api.get(f"{account}/token", user=acme)).refused(405)
    (await api.delete(account, user=acme)).ok()
    (await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, headers=heads)).refused(401)


async def test_subresources_of_the_wrong_kind(api: Any) -> None:
    (await api.get("/api/v1/namespaces/default/configmaps/a/status")).refused(404)
    (await api.get("/api/v1/namespaces/default/configmaps/a/scale")).refused(404)
    (await api.get(f"{PODS}/p/binding")).refused(405)
    (await api.put("/api/v1/nodes/n/finalize", {})).refused(404)


# --- service addresses --------------------------------------------------------------------------------------------


def _service(name: str, type: str = "ClusterIP", **spec: Any) -> dict[str, Any]:
    spec = {"type": type, **spec}
    if type != "ExternalName":
        spec.setdefault("ports", [{"port": 80}])
    return {"metadata": {"name": name}, "spec": spec}


def _held(api: Any) -> set[str]:
    from arktos.store.records import Query

    return {
        record.key.name
        for resource in ("serviceips.internal", "nodeports.internal")
        for record in api.store.list(Query(resource, None)).records
    }


async def test_addresses_are_taken_and_given_back(api: Any) -> None:
    made = (await api.post(SERVICES, _service("a", "NodePort"))).ok(201)["spec"]
    assert made["clusterIPs"] == [made["clusterIP"]] and made["clusterIP"].startswith("10.")
    assert made["ipFamilies"] == ["IPv4"] and made["ipFamilyPolicy"] == "SingleStack"
    port = made["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767 and _held(api) == {made["clusterIP"], str(port)}
    kept = (await api.put(f"{SERVICES}/a", _service("a", "NodePort"))).ok()["spec"]
    assert kept["clusterIP"] == made["clusterIP"] and kept["ports"][0]["nodePort"] == port
    plain = (await api.patch(f"{SERVICES}/a", {"spec": {"type": "ClusterIP"}})).ok()["spec"]
    assert plain["clusterIP"] == made["clusterIP"] and "nodePort" not in plain["ports"][0]
    assert _held(api) == {made["clusterIP"]}
    external = {"type": "ExternalName", "externalName": "a.example", "clusterIP": None, "clusterIPs": None}
    named = (await api.patch(f"{SERVICES}/a", {"spec": external})).ok()["spec"]
    assert "clusterIP" not in named and _held(api) == set()
    back = (await api.patch(f"{SERVICES}/a", {"spec": {"type": "ClusterIP", "externalName": None}})).ok()["spec"]
    assert _held(api) == {back["clusterIP"]}
    (await api.delete(f"{SERVICES}/a")).ok()
    assert _held(api) == set()


async def test_finalizers_keep_addresses(api: Any) -> None:
    body = _service("a")
    body["metadata"]["finalizers"] = ["x.io/a"]
    address = (await api.post(SERVICES, body)).ok(201)["spec"]["clusterIP"]
    (await api.delete(f"{SERVICES}/a")).ok()
    assert _held(api) == {address}
    (await api.patch(f"{SERVICES}/a", {"metadata": {"finalizers": None}})).ok()
    assert _held(api) == set()


async def test_deletecollection_gives_addresses_back(api: Any) -> None:
    for name in "abc":
        (await api.post(SERVICES, _service(name, "LoadBalancer"))).ok(201)
    assert len(_held(api)) == 6
    (await api.delete(SERVICES)).ok()
    assert _held(api) == set()


async def test_explicit_addresses(api: Any) -> None:
    wanted = {"clusterIP": "10.96.7.7", "ports": [{"port": 80, "nodePort": 31000}]}
    made = (await api.post(SERVICES, _service("a", "NodePort", **wanted))).ok(201)["spec"]
    assert made["clusterIPs"] == ["10.96.7.7"] and made["ports"][0]["nodePort"] == 31000
    (await api.post(SERVICES, _service("b", clusterIP="10.96.7.7"))).refused(422, "provided IP is already allocated")
    (await api.post(SERVICES, _service("b", clusterIP="1.2.3.4"))).refused(422, "not in the valid range")
    taken = _service("b", "NodePort", ports=[{"port": 80, "nodePort": 31000}])
    (await api.post(SERVICES, taken)).refused(422, "provided port is already allocated")
    (await api.post(SERVICES, _service("b", "NodePort", ports=[{"port": 80, "nodePort": 80}]))).refused(422, "range")
    (await api.put(f"{SERVICES}/a", _service("a", "NodePort", clusterIP="10.96.7.8"))).refused(422, "clusterIP")
    await api.tenant("acme")
    (await api.post(SERVICES, _service("b", clusterIP="10.96.7.7"), user=api.admin_of("acme"))).refused(422)
    headless = (await api.post(SERVICES, _service("h", clusterIP="None"))).ok(201)["spec"]
    assert headless["clusterIPs"] == ["None"] and "None" not in _held(api)


async def test_nothing_is_taken_twice(api: Any) -> None:
    """Drawn at random, named by many at once, in updates and creates: one holder each."""
    answered = await asyncio.gather(*(api.post(SERVICES, _service(f"s{i}", "NodePort")) for i in range(60)))
    specs = [a.ok(201)["spec"] for a in answered]
    assert len({s["clusterIP"] for s in specs}) == len({s["ports"][0]["nodePort"] for s in specs}) == 60
    explicit = [api.post(SERVICES, _service(f"e{i}", clusterIP="10.96.9.9")) for i in range(5)]
    answered = await asyncio.gather(*explicit)
    assert sorted(a.code for a in answered) == [201, 422, 422, 422, 422]
    assert all("already allocated" in a.message for a in answered if a.code == 422)
    for i in range(20):
        (await api.post(SERVICES, _service(f"u{i}"))).ok(201)
    answered = await asyncio.gather(*(api.patch(f"{SERVICES}/u{i}", {"spec": {"type": "NodePort"}}) for i in range(20)))
    ports = [a.ok()["spec"]["ports"][0]["nodePort"] for a in answered]
    assert len(set(ports)) == 20
    named = {"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 32000}]}}
    answered = await asyncio.gather(*(api.patch(f"{SERVICES}/s{i}", named) for i in range(5)))
    assert sorted(a.code for a in answered) == [200, 422, 422, 422, 422]


async def test_two_ports_of_one_number(api: Any) -> None:
    ports = [{"name": "a", "port": 80, "nodePort": 31001}, {"name": "b", "port": 81, "nodePort": 31001}]
    assert (await api.post(SERVICES, _service("x", "NodePort", ports=ports))).code == 422
    ports[1]["protocol"] = "UDP"
    assert (await api.post(SERVICES, _service("x", "NodePort", ports=ports))).code == 201


async def test_dry_runs_take_nothing(api: Any) -> None:
    dry = (await api.post(SERVICES, _service("a", "NodePort"), dryRun="All")).ok(201)
    assert dry["spec"]["clusterIP"] and _held(api) == set()


async def test_a_service_by_put(api: Any) -> None:
    (await api.put(f"{SERVICES}/a", _service("a"))).ok(201)
    assert len(_held(api)) == 1
    (await api.put("/api/v1/namespaces/none/services/a", _service("a"))).refused(404)
    assert len(_held(api)) == 1


@pytest.mark.parametrize("verb", ["put", "merge", "json"])
async def test_a_scale_is_booked_as_one(api: Any, verb: str) -> None:
    (await api.post(DEPLOYMENTS, api.deployment("d"), headers={"user-agent": "kubectl/1"})).ok(201)
    target = f"{DEPLOYMENTS}/d/scale"
    if verb == "put":
        scale = (await api.get(target)).ok()
        (await api.put(target, {**scale, "spec": {"replicas": 3}}, fieldManager="scaler")).ok()
    elif verb == "merge":
        (await api.patch(target, {"spec": {"replicas": 3}}, fieldManager="scaler")).ok()
    else:
        patch = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
        (await api.patch(target, patch, api.JSON_PATCH, fieldManager="scaler")).ok()
    entries = (await api.get(f"{DEPLOYMENTS}/d")).ok()["metadata"]["managedFields"]
    (entry,) = (each for each in entries if each["manager"] == "scaler")
    assert (entry["operation"], entry["subresource"], entry["apiVersion"]) == ("Update", "scale", "apps/v1")
    assert entry["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert not any("f:replicas" in each["fieldsV1"]["f:spec"] for each in entries if each["manager"] == "kubectl")


async def test_a_pod_of_two_budgets_is_not_evicted(api: Any) -> None:
    (await api.post(PODS, {**api.pod("p"), "metadata": {"name": "p", "labels": {"app": "x"}}})).ok(201)
    (await api.patch(f"{PODS}/p/status", {"status": {"phase": "Running"}})).ok()
    for name in "bc":
        await _budget(api, 1, name=name)
    status = (await api.post(f"{PODS}/p/eviction", {"metadata": {"name": "p"}})).refused(500)
    assert status["reason"] == "InternalError"
    assert status["message"] == (
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    )
    assert (await api.get(f"{PDBS}/b")).ok()["status"]["disruptionsAllowed"] == 1


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}, "nodePort"),
        ({"type": "ClusterIP", "ports": [{"port": 1}]}, "serviceIP"),
    ],
)
async def test_ranges_that_are_used_up(api: Any, spec: dict[str, Any], what: str) -> None:
    services = ServiceAllocation(api.store, parse_ranges("10.9.0.0/28"), (30000, 30000))
    taken = [f"10.9.0.{last}" for last in range(1, 15)] if what == "serviceIP" else []
    if taken:
        keys = [Key(ADDRESSES, "system", "", address) for address in taken]
        await api.store.commit([], [Put(key, Header(""), b'{"metadata":{"resourceVersion":""}}') for key in keys])
    obj = {"metadata": {"name": "s"}, "spec": spec}
    attempt = Attempt(None, registry.by_resource("services"), "create", obj, None, "")  # type: ignore[arg-type]
    with pytest.raises(InternalError, match=f"^Internal error occurred: failed to allocate a {what}: range is full$"):
        services.step(attempt, Effects())
