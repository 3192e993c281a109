"""Quotas through the API: charged with the object, never exceeded, given back, counted anew without a fight."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from arktos.model import quota as quotas
from arktos.model.quota import COUNTED_AT

ROOT = "/api/v1/namespaces/default"
QUOTAS, PODS, CLAIMS, SERVICES, CMS = (
    f"{ROOT}/{name}" for name in ("resourcequotas", "pods", "persistentvolumeclaims", "services", "configmaps")
)
PATHS = {
    "pods": "api/v1",
    "services": "api/v1",
    "configmaps": "api/v1",
    "secrets": "api/v1",
    "persistentvolumeclaims": "api/v1",
    "resourcequotas": "api/v1",
    "replicationcontrollers": "api/v1",
    "deployments.apps": "apis/apps/v1",
}


def quota(name: str = "q", scopes: list[str] | None = None, selector: list[Any] | None = None, **hard: str) -> Any:
    spec: dict[str, Any] = {"hard": {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}}
    if scopes:
        spec["scopes"] = scopes
    if selector:
        spec["scopeSelector"] = {"matchExpressions": selector}
    return {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec}


def sized(api: Any, name: str, requests: Any = None, limits: Any = None, **more: Any) -> Any:
    pod = api.pod(name, **more)
    pod["spec"]["containers"][0]["resources"] = {"requests": requests or {}, "limits": limits or {}}
    return pod


async def recount(api: Any, name: str = "q", root: str = "", **stale: str) -> Any:
    """What the controller does: counts as of the quota's revision, and says so."""
    obj = (await api.get(f"{root}{QUOTAS}/{name}")).ok()
    used = await count(api, obj, obj["metadata"]["resourceVersion"], root)
    patch = {
        "metadata": {"annotations": {COUNTED_AT: obj["metadata"]["resourceVersion"]}},
        "status": {"hard": obj["spec"]["hard"], "used": {**quotas.written(used), **stale}},
    }
    return (await api.patch(f"{root}{QUOTAS}/{name}/status", patch)).ok()


async def count(api: Any, obj: Any, revision: str, root: str = "") -> quotas.Amounts:
    parsed = quotas.parse(obj)
    total = dict.fromkeys(parsed.names, quotas._ZERO)
    for resource in quotas.resources_of(parsed.names):
        target = f"{root}/{PATHS[resource]}/namespaces/default/{resource.partition('.')[0]}"
        listed = (await api.get(target, resourceVersion=revision, resourceVersionMatch="Exact")).items
        for name, amount in quotas.count(parsed, resource, listed).items():
            total[name] = total[name] + amount
    return total


async def made(api: Any, body: Any, root: str = "") -> Any:
    (await api.post(f"{root}{QUOTAS}", body)).ok(201)
    return await recount(api, body["metadata"]["name"], root)


async def used(api: Any, name: str = "q") -> dict[str, str]:
    return dict((await api.get(f"{QUOTAS}/{name}")).ok()["status"]["used"])


async def test_a_quota_limits_pods_and_gives_back(api: Any) -> None:
    await made(api, quota(pods="2", count__pods="3"))
    for name in "ab":
        (await api.post(PODS, api.pod(name))).ok(201)
    assert await used(api) == {"count/pods": "2", "pods": "2"}
    status = (await api.post(PODS, api.pod("c"))).refused(403)
    assert status["reason"] == "Forbidden"
    assert status["message"] == (
        'pods "c" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2'
    )
    (await api.post(PODS, api.pod("c"), dryRun="All")).refused(403, "exceeded quota")
    # One that has ended is no pod any more, but still an object.
    (await api.patch(f"{PODS}/a/status", {"status": {"phase": "Succeeded"}})).ok()
    assert await used(api) == {"count/pods": "2", "pods": "1"}
    (await api.post(PODS, api.pod("c"))).ok(201)
    (await api.delete(f"{PODS}/a")).ok()
    (await api.delete(f"{PODS}/b", {"gracePeriodSeconds": 0})).ok()
    assert await used(api) == {"count/pods": "1", "pods": "1"}
    (await api.post(PODS, api.pod("d"), dryRun="All")).ok(201)
    assert await used(api) == {"count/pods": "1", "pods": "1"}


async def test_compute_is_charged_and_resized(api: Any) -> None:
    await made(api, quota(requests_cpu="1", memory="1Gi", limits_memory="2Gi"))
    (await api.post(PODS, api.pod("x"))).refused(
        403, "failed quota: q: must specify limits.memory for: c; memory for: c; requests.cpu for: c"
    )
    need = {"cpu": "400m", "memory": "256Mi"}
    (await api.post(PODS, sized(api, "x", need, {"memory": "512Mi"}))).ok(201)
    assert await used(api) == {"limits.memory": "512Mi", "memory": "256Mi", "requests.cpu": "400m"}
    patch = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "900m"}}}]}}
    (await api.patch(f"{PODS}/x/resize", patch, api.STRATEGIC)).ok()
    assert (await used(api))["requests.cpu"] == "900m"
    patch["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "1100m"  # type: ignore[index]
    (await api.patch(f"{PODS}/x/resize", patch, api.STRATEGIC)).refused(
        403, "exceeded quota: q, requested: requests.cpu=200m, used: requests.cpu=900m, limited: requests.cpu=1"
    )
    assert (await used(api))["requests.cpu"] == "900m"


async def test_a_virtual_machine_counts_as_what_it_boots_with(api: Any) -> None:
    await made(api, quota(requests_cpu="2", requests_memory="3Gi", limits_cpu="9"))
    (await api.post(PODS, api.vm_pod("v"))).ok(201)
    assert await used(api) == {"limits.cpu": "1", "requests.cpu": "1", "requests.memory": "1Gi"}
    large = api.vm_pod("w")
    large["spec"]["virtualMachine"]["resources"] = {"requests": {"cpu": "2", "memory": "1Gi"}}
    (await api.post(PODS, large)).refused(403, "exceeded quota: q, requested: requests.cpu=2")


@pytest.mark.parametrize(
    ("scopes", "selector", "counted"),
    [
        (["Terminating"], None, {"deadline"}),
        (["NotTerminating"], None, {"plain", "sized", "urgent"}),
        (["BestEffort"], None, {"plain", "deadline", "urgent"}),
        (["NotBestEffort"], None, {"sized"}),
        (None, [{"scopeName": "PriorityClass", "operator": "Exists"}], {"urgent"}),
        (None, [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}], {"urgent"}),
        (
            None,
            [{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}],
            {"plain", "sized", "deadline"},
        ),
        (None, [{"scopeName": "PriorityClass", "operator": "DoesNotExist"}], {"plain", "sized", "deadline"}),
        (["CrossNamespacePodAffinity"], None, set()),
    ],
)
async def test_scopes(api: Any, scopes: Any, selector: Any, counted: set[str]) -> None:
    high = {"metadata": {"name": "high"}, "value": 1000}
    (await api.post("/apis/scheduling.k8s.io/v1/priorityclasses", high)).ok(201)
    await made(api, quota(scopes=scopes, selector=selector, pods="9"))
    (await api.post(PODS, api.pod("plain"))).ok(201)
    (await api.post(PODS, api.pod("deadline", activeDeadlineSeconds=9))).ok(201)
    (await api.post(PODS, sized(api, "sized", {"cpu": "1"}))).ok(201)
    (await api.post(PODS, api.pod("urgent", priorityClassName="high"))).ok(201)
    assert await used(api) == {"pods": str(len(counted))}
    for name in counted:
        (await api.delete(f"{PODS}/{name}", {"gracePeriodSeconds": 0})).ok()
    assert await used(api) == {"pods": "0"}
    # Which pods terminate is a matter of a field that may change.
    if scopes == ["Terminating"]:
        (await api.patch(f"{PODS}/plain", {"spec": {"activeDeadlineSeconds": 5}})).ok()
        assert await used(api) == {"pods": "1"}


async def test_objects_services_and_claims(api: Any) -> None:
    names = {"count/deployments.apps": "1", "configmaps": "2", "services": "9", "services.nodeports": "3"}
    names |= {"services.loadbalancers": "1", "persistentvolumeclaims": "9", "requests.storage": "10Gi"}
    names |= {"gold.storageclass.storage.k8s.io/requests.storage": "4Gi"}
    names |= {"gold.storageclass.storage.k8s.io/persistentvolumeclaims": "9", "resourcequotas": "2"}
    body = quota()
    body["spec"]["hard"] = names
    status = (await made(api, body))["status"]
    assert status["used"] == dict.fromkeys(names, "0") | {"configmaps": "1", "resourcequotas": "1"}
    (await api.post(CMS, api.config_map("one"))).ok(201)
    (await api.post(CMS, api.config_map("two"))).refused(403, "requested: configmaps=1, used: configmaps=2, limited")
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    (await api.post(deployments, api.deployment("d"))).ok(201)
    (await api.post(deployments, api.deployment("e"))).refused(403, "count/deployments.apps=1")
    ports = [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]
    (await api.post(SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": ports}})).ok(201)
    assert (await used(api))["services.nodeports"] == "0"
    (await api.patch(f"{SERVICES}/s", {"spec": {"type": "NodePort"}})).ok()
    (await api.post(SERVICES, {"metadata": {"name": "t"}, "spec": {"type": "LoadBalancer", "ports": ports}})).refused(
        403, "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=2, limited"
    )
    claim = {
        "metadata": {"name": "p"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "gold",
            "resources": {"requests": {"storage": "3Gi"}},
        },
    }
    (await api.post(CLAIMS, claim)).ok(201)
    claim["metadata"] = {"name": "r"}
    (await api.post(CLAIMS, claim)).refused(403, "gold.storageclass.storage.k8s.io/requests.storage=3Gi, used")
    claim["spec"]["storageClassName"] = "iron"  # type: ignore[index]
    (await api.post(CLAIMS, claim)).ok(201)
    found = await used(api)
    assert (found["requests.storage"], found["persistentvolumeclaims"]) == ("6Gi", "2")
    (await api.post(QUOTAS, quota("second", pods="1"))).ok(201)
    (await api.post(QUOTAS, quota("third", pods="1"))).refused(403, "resourcequotas=1, used: resourcequotas=2")
    for name in "pr":
        (await api.patch(f"{CLAIMS}/{name}", {"metadata": {"finalizers": None}})).ok()
    for target in (f"{CMS}/one", f"{deployments}/d", f"{SERVICES}/s", f"{CLAIMS}/p", f"{CLAIMS}/r", f"{QUOTAS}/second"):
        assert (await api.delete(target)).code == 200
    assert await used(api) == status["used"]


async def test_a_quota_is_of_its_tenant_and_namespace(api: Any) -> None:
    await api.tenant("acme")
    await made(api, quota(pods="0"), "/tenants/acme")
    (await api.post(PODS, api.pod("x"))).ok(201)
    (await api.post(f"/tenants/acme{PODS}", api.pod("x"))).refused(403, "exceeded quota: q")
    await api.namespace("other", "acme")
    (await api.post("/tenants/acme/api/v1/namespaces/other/pods", api.pod("x"))).ok(201)


async def test_limits_change_at_once_and_new_ones_when_counted(api: Any) -> None:
    (await api.post(PODS, api.pod("a"))).ok(201)
    await made(api, quota(pods="2"))
    changed = (await api.patch(f"{QUOTAS}/q", {"spec": {"hard": {"pods": "1", "count/pods": "1"}}})).ok()
    assert changed["status"] == {"hard": {"pods": "1"}, "used": {"pods": "1"}}
    (await api.post(PODS, api.pod("b"))).refused(403, "limited: pods=1")
    assert (await recount(api))["status"]["used"] == {"count/pods": "1", "pods": "1"}
    # Below what is used: nothing more, and giving back is allowed.
    (await api.patch(f"{QUOTAS}/q", {"spec": {"hard": {"pods": "0"}}})).ok()
    (await api.patch(f"{PODS}/a", {"metadata": {"labels": {"x": "y"}}})).ok()
    (await api.delete(f"{PODS}/a", {"gracePeriodSeconds": 0})).ok()
    assert await used(api) == {"count/pods": "0", "pods": "0"}
    changed = (await api.patch(f"{QUOTAS}/q", {"spec": {"hard": {"count/pods": None}}})).ok()
    assert changed["status"] == {"hard": {"pods": "0"}, "used": {"pods": "0"}}


async def test_a_count_of_another_time_is_brought_forward(api: Any) -> None:
    (await api.post(QUOTAS, quota(pods="9"))).ok(201)
    (await api.post(PODS, api.pod("a"))).ok(201)
    then = (await api.get(f"{QUOTAS}/q")).ok()
    at = then["metadata"]["resourceVersion"]
    for name in "bc":
        (await api.post(PODS, api.pod(name))).ok(201)
    (await api.delete(f"{PODS}/a", {"gracePeriodSeconds": 0})).ok()
    counted = {"hard": {"pods": "9"}, "used": quotas.written(await count(api, then, at))}
    assert counted["used"] == {"pods": "1"}
    patch = {"metadata": {"annotations": {COUNTED_AT: at}}, "status": counted}
    stored = (await api.patch(f"{QUOTAS}/q/status", patch)).ok()
    assert stored["status"] == {"hard": {"pods": "9"}, "used": {"pods": "2"}}
    assert "annotations" not in stored["metadata"]
    # Of what is no longer, or never was, a count says nothing.
    (await api.patch(f"{QUOTAS}/q", {"spec": {"hard": {"pods": "3"}}})).ok()
    for text in (at, "1", "x", str(10**30)):
        patch["metadata"]["annotations"][COUNTED_AT] = text
        (await api.patch(f"{QUOTAS}/q/status", patch)).refused(409, "count again")


async def test_writers_never_exceed_a_quota(api: Any) -> None:
    """64 writers create, resize, end and delete pods while limits move and the quota is counted again and again."""
    await made(api, quota(pods="10", requests_cpu="5", count__pods="20"))
    chance = random.Random(7)
    refused = 0

    async def write(number: int) -> None:
        nonlocal refused
        for step in range(8):
            name = f"p{number}-{step}"
            answered = await api.post(PODS, sized(api, name, {"cpu": f"{chance.choice([100, 500, 900])}m"}))
            if answered.code == 403:
                refused += 1
                assert "exceeded quota: q" in answered.message
                continue
            assert answered.code == 201, answered.body
            if chance.random() < 0.4:
                (await api.patch(f"{PODS}/{name}/status", {"status": {"phase": "Failed"}})).ok()
            if chance.random() < 0.7:
                (await api.delete(f"{PODS}/{name}", {"gracePeriodSeconds": 0})).ok()

    async def meddle() -> None:
        for _ in range(20):
            await recount(api)
            (await api.patch(f"{QUOTAS}/q", {"metadata": {"labels": {"n": str(chance.random())[2:9]}}})).ok()

    watch = await api.watch(QUOTAS)
    await asyncio.gather(meddle(), *(write(number) for number in range(64)))
    final = (await api.get(f"{QUOTAS}/q")).ok()
    assert refused
    exact = quotas.written(await count(api, final, final["metadata"]["resourceVersion"]))
    assert final["status"]["used"] == exact
    hard = quotas.amounts(final["spec"]["hard"])
    # Each state that ever was kept the limits.
    while True:
        seen = (await watch.next())["object"]
        for name, amount in quotas.amounts((seen.get("status") or {}).get("used")).items():
            assert quotas._ZERO <= amount <= hard[name]
        if seen["metadata"]["resourceVersion"] == final["metadata"]["resourceVersion"]:
            break


async def test_a_quota_made_among_writers_is_counted_exactly(api: Any) -> None:
    async def write(number: int) -> None:
        for step in range(10):
            name = f"p{number}-{step}"
            (await api.post(PODS, api.pod(name))).ok(201)
            if step % 2:
                (await api.delete(f"{PODS}/{name}", {"gracePeriodSeconds": 0})).ok()

    async def make() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        await made(api, quota(pods="1000"))

    await asyncio.gather(*(write(number) for number in range(16)), make())
    assert await used(api) == {"pods": "80"}


async def test_deleting_and_making_it_again(api: Any) -> None:
    await made(api, quota(pods="0"))
    (await api.delete(f"{QUOTAS}/q")).ok()
    (await api.post(PODS, api.pod("a"))).ok(201)
    await made(api, quota(pods="1"))
    (await api.post(PODS, api.pod("b"))).refused(403, "used: pods=1")


async def test_what_collections_and_finalizers_remove_is_given_back(api: Any) -> None:
    await made(api, quota(configmaps="5"))
    held = api.config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    for body in (held, api.config_map("free")):
        (await api.post(CMS, body)).ok(201)
    (await api.delete(CMS, labelSelector="!none")).ok()
    assert await used(api) == {"configmaps": "2"}
    (await api.patch(f"{CMS}/held", {"metadata": {"finalizers": None}})).ok()
    assert await used(api) == {"configmaps": "1"}


async def test_the_mark_of_a_count_is_never_kept(api: Any) -> None:
    body = quota(pods="1")
    body["metadata"]["annotations"] = {COUNTED_AT: "1", "own": "x"}
    assert (await api.post(QUOTAS, body)).ok(201)["metadata"]["annotations"] == {"own": "x"}
    marked = await api.patch(f"{QUOTAS}/q", {"metadata": {"annotations": {COUNTED_AT: "1"}}})
    assert marked.ok()["metadata"]["annotations"] == {"own": "x"}
    assert (await recount(api))["status"]["hard"] == {"pods": "1"}
