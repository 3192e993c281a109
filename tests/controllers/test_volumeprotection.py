"""What is in use stays until it is not: claims and volumes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from arktos.client import Client
from arktos.controllers.volumeprotection import (
    CLAIM,
    CLASS,
    POD,
    VOLUME,
    attribute_classes,
    claims_of,
    is_used,
    release,
)
from arktos.model import registry
from arktos.model.status import NotFound

Obj = dict[str, Any]
Until = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]
TENANT, ACCOUNT = registry.by_resource("tenants"), registry.by_resource("serviceaccounts")


def pod(name: str, node: str, *volumes: Obj, phase: str = "Running") -> Obj:
    spec = {"nodeName": node, "volumes": list(volumes), "containers": [{"name": "c", "image": "i"}]}
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}


def claim(name: str, owner: str = "") -> Obj:
    owners = [{"controller": True, "uid": owner}] if owner else []
    return {"metadata": {"name": name, "ownerReferences": owners}}


def test_who_uses_what() -> None:
    by_name: Obj = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    own: Obj = {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}}
    both = pod("p", "n", by_name, own, {"name": "e", "emptyDir": {}})
    both["metadata"]["uid"] = "u"
    assert claims_of(both) == {"data", "p-tmp"}
    assert is_used(claim("data"), [both]) and not is_used(claim("other"), [both])
    assert not is_used(claim("data"), [pod("p", "", by_name)])
    assert is_used(claim("data"), [pod("p", "n", by_name, phase="Failed")])
    # A claim that only happens to have the name is not the pod's.
    assert is_used(claim("p-tmp", "u"), [both]) and not is_used(claim("p-tmp"), [both])
    # An ended pod has its claim, as long as it is there; one that is shut down keeps its own no longer.
    both["status"]["phase"] = "Succeeded"
    assert is_used(claim("p-tmp", "u"), [both])
    both["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    assert is_used(claim("p-tmp", "u"), [both])
    both["metadata"]["deletionGracePeriodSeconds"] = 0
    assert not is_used(claim("p-tmp", "u"), [both]) and is_used(claim("data"), [both])


def test_which_classes_of_attributes_something_has() -> None:
    status = {"currentVolumeAttributesClassName": "now", "modifyVolumeStatus": {"targetVolumeAttributesClassName": "t"}}
    assert attribute_classes({"spec": {"volumeAttributesClassName": "asked"}, "status": status}) == {
        "asked",
        "now",
        "t",
    }
    assert attribute_classes({"spec": {}}) == set()


def test_a_finalizer_comes_off_what_is_being_deleted() -> None:
    meta: Obj = {"name": "c", "namespace": "ns", "tenant": "t", "resourceVersion": "5", "finalizers": ["a", "b"]}
    assert release(CLAIM, {"metadata": meta}, "a") is None
    meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found = release(CLAIM, {"metadata": meta}, "a")
    assert found is not None and found.key == ("t", "ns", "c")
    assert found.body == {"metadata": {"resourceVersion": "5", "finalizers": ["b"]}}
    assert release(CLAIM, {"metadata": meta}, "c") is None


@pytest.fixture
async def admin(running: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(running / "admin.kubeconfig") as client:
        yield client


async def test_a_claim_and_a_volume_outlive_their_deletion(admin: Client, until: Until) -> None:
    await admin.create(TENANT, {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": "kept"}, "spec": {}})

    async def ready() -> bool:
        return bool((await admin.list(ACCOUNT, tenant="kept", namespace="default")).items)

    await until(ready)
    meta = {"name": "data", "namespace": "default", "tenant": "kept"}
    size = {"storage": "1Gi"}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": size}}
    source = {"capacity": size, "accessModes": ["ReadWriteOnce"], "nfs": {"server": "s", "path": "/p"}}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "vol", "tenant": "kept"},
        "spec": source,
    }
    made = await admin.create(VOLUME, volume)
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    bound = {**claim, "volumeName": "vol"}
    made = await admin.create(
        CLAIM, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": bound}
    )
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]

    async def both_bound() -> bool:
        volume = await admin.get(VOLUME, "vol", tenant="kept")
        claim = await admin.get(CLAIM, "data", tenant="kept", namespace="default")
        return bool(volume["status"]["phase"] == claim["status"]["phase"] == "Bound")

    await until(both_bound)
    user = pod("p", "some-node", {"name": "v", "persistentVolumeClaim": {"claimName": "data"}})
    user["metadata"] = {**meta, "name": "p"}
    del user["status"]
    await admin.create(POD, {"apiVersion": "v1", "kind": "Pod", **user})
    await admin.delete(CLAIM, "data", tenant="kept", namespace="default")
    await admin.delete(VOLUME, "vol", tenant="kept")

    # Another claim that nobody uses goes; by then the first has been looked at, too.
    free = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {**meta, "name": "free"}, "spec": claim}
    await admin.create(CLAIM, free)
    await admin.delete(CLAIM, "free", tenant="kept", namespace="default")

    async def gone(kind: Any, name: str, namespace: str = "default") -> bool:
        try:
            await admin.get(kind, name, tenant="kept", namespace=namespace)
        except NotFound:
            return True
        return False

    await until(lambda: gone(CLAIM, "free"))
    assert not await gone(CLAIM, "data") and not await gone(VOLUME, "vol", "")
    await admin.delete(POD, "p", tenant="kept", namespace="default", grace_period=0)
    await until(lambda: gone(CLAIM, "data"))
    await until(lambda: gone(VOLUME, "vol", ""))


async def test_a_finalizer_that_was_taken_off_comes_back_and_a_class_that_a_claim_has_stays(
    admin: Client, until: Until
) -> None:
    made = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass"}
    for name in ("gold", "lead"):
        await admin.create(
            CLASS, {**made, "metadata": {"name": name}, "driverName": "example.com", "parameters": {"a": "b"}}
        )
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "volumeAttributesClassName": "gold",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    meta = {"name": "shiny", "namespace": "default"}
    await admin.create(CLAIM, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec})
    await admin.patch(CLAIM, "shiny", {"metadata": {"finalizers": None}}, namespace="default")

    async def protected() -> bool:
        held = (await admin.get(CLAIM, "shiny", namespace="default"))["metadata"].get("finalizers")
        return bool(held == ["kubernetes.io/pvc-protection"])

    await until(protected)
    for name in ("gold", "lead"):
        await admin.delete(CLASS, name)

    async def left(*names: str) -> bool:
        return {each["metadata"]["name"] for each in (await admin.list(CLASS)).items} == set(names)

    await until(lambda: left("gold"))
    await admin.delete(CLAIM, "shiny", namespace="default")
    await until(left)
