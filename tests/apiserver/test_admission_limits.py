"""LimitRanges, default storage classes and runtime classes through the API."""

from __future__ import annotations

from typing import Any

import pytest

ROOT = "/api/v1/namespaces/default"
PODS, RANGES, CLAIMS = f"{ROOT}/pods", f"{ROOT}/limitranges", f"{ROOT}/persistentvolumeclaims"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses"


def limit_range(*items: Any) -> Any:
    return {"metadata": {"name": "lr"}, "spec": {"limits": list(items)}}


def claim(name: str, storage: str = "1Gi", **spec: Any) -> Any:
    needs = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}, **spec}
    return {"metadata": {"name": name}, "spec": needs}


async def test_defaults_come_before_all_that_counts(api: Any) -> None:
    before = (await api.post(PODS, api.pod("before"))).ok(201)
    assert before["status"]["qosClass"] == "BestEffort"
    item = {"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}}
    (await api.post(RANGES, limit_range(item))).ok(201)
    pod = (await api.post(PODS, api.pod("a"))).ok(201)
    assert pod["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "1", "memory": "1Gi"},
    }
    assert pod["status"]["qosClass"] == "Guaranteed"
    assert pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"].startswith(
        "LimitRanger plugin set: cpu, memory"
    )
    machine = (await api.post(PODS, api.vm_pod("v"))).ok(201)
    assert machine["spec"]["virtualMachine"]["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    (await api.delete(f"{RANGES}/lr")).ok()
    assert not (await api.post(PODS, api.pod("b"))).ok(201)["spec"]["containers"][0].get("resources")


async def test_bounds_are_kept_by_creates_and_resizes(api: Any) -> None:
    item = {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}, "defaultRequest": {"cpu": "200m"}}
    (await api.post(RANGES, limit_range(item))).ok(201)
    large = api.pod("x")
    large["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "2"}}
    status = (await api.post(PODS, large)).refused(403)
    assert status["message"] == ('pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2')
    (await api.post(PODS, api.pod("x"))).ok(201)
    resize = {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "3"}}}]}}
    (await api.patch(f"{PODS}/x/resize", resize, api.STRATEGIC)).refused(403, "maximum cpu usage per Container is 1")


async def test_claims_keep_bounds(api: Any) -> None:
    item = {"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"}}
    (await api.post(RANGES, limit_range(item))).ok(201)
    (await api.post(CLAIMS, claim("c", "3Gi"))).refused(
        403, "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
    )
    (await api.post(CLAIMS, claim("c"))).ok(201)


async def test_limit_ranges_are_of_their_namespace(api: Any) -> None:
    await api.tenant("acme")
    item = {"type": "Container", "max": {"cpu": "1m"}}
    (await api.post(f"/tenants/acme{RANGES}", limit_range(item))).ok(201)
    needy = api.pod("x")
    needy["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1"}}
    (await api.post(PODS, needy)).ok(201)
    (await api.post(f"/tenants/acme{PODS}", needy)).refused(403, "maximum cpu usage")


async def test_the_default_class_of_claims(api: Any) -> None:
    def storage_class(name: str, default: bool = True) -> Any:
        marks = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
        return {"metadata": {"name": name, "annotations": marks}, "provisioner": "example.com/p"}

    await api.tenant("acme")
    assert "storageClassName" not in (await api.post(CLAIMS, claim("none"))).ok(201)["spec"]
    for body in (storage_class("shared"), storage_class("another", default=False)):
        (await api.post(CLASSES, body)).ok(201)
    assert (await api.post(CLAIMS, claim("a"))).ok(201)["spec"]["storageClassName"] == "shared"
    assert (await api.post(CLAIMS, claim("b", storageClassName=""))).ok(201)["spec"]["storageClassName"] == ""
    assert (await api.post(f"/tenants/acme{CLAIMS}", claim("a"))).ok(201)["spec"]["storageClassName"] == "shared"
    (await api.post(f"/tenants/acme{CLASSES}", storage_class("own"))).ok(201)
    assert (await api.post(f"/tenants/acme{CLAIMS}", claim("b"))).ok(201)["spec"]["storageClassName"] == "own"


async def test_runtime_classes(api: Any) -> None:
    await api.tenant("acme")
    (await api.post(PODS, api.pod("x", runtimeClassName="sandbox"))).refused(
        403, 'pod rejected: RuntimeClass "sandbox" not found'
    )
    toleration = {"key": "sandboxed", "operator": "Exists", "effect": "NoSchedule"}
    body = {
        "metadata": {"name": "sandbox"},
        "handler": "sandbox",
        "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {"nodeSelector": {"runtime": "sandbox"}, "tolerations": [toleration]},
    }
    (await api.post(RUNTIMES, body)).ok(201)
    for root in ("", "/tenants/acme"):
        spec = (await api.post(f"{root}{PODS}", api.pod("x", runtimeClassName="sandbox"))).ok(201)["spec"]
        assert spec["overhead"] == {"cpu": "250m"}
        assert spec["nodeSelector"] == {"runtime": "sandbox"}
        assert toleration in spec["tolerations"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"overhead": {"cpu": "1"}}, "Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
        (
            {"nodeSelector": {"runtime": "other"}},
            "conflict: runtimeClass.scheduling.nodeSelector[runtime] = sandbox; pod.spec.nodeSelector[runtime] = other",
        ),
        ({"runtimeClassName": None, "overhead": {"cpu": "1"}}, "Pod Overhead set without corresponding RuntimeClass"),
    ],
)
async def test_pods_that_contradict_their_class(api: Any, more: Any, why: str) -> None:
    body = {
        "metadata": {"name": "sandbox"},
        "handler": "sandbox",
        "overhead": {"podFixed": {"cpu": "250m"}},
        "scheduling": {"nodeSelector": {"runtime": "sandbox"}},
    }
    (await api.post(RUNTIMES, body)).ok(201)
    (await api.post(PODS, api.pod("x", **{"runtimeClassName": "sandbox", **more}))).refused(403, f"pod rejected: {why}")
