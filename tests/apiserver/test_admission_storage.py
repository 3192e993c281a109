"""Claims that grow, volumes that say since when, classes of attributes that stay, and what tenants may not attach."""

from __future__ import annotations

from typing import Any

import pytest

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
ATTRIBUTES = "/apis/storage.k8s.io/v1/volumeattributesclasses"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"


def claim(name: str, storage_class: str, size: str = "1Gi") -> dict[str, Any]:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": size}},
    }
    return {"metadata": {"name": name}, "spec": spec}


def sized(size: str) -> dict[str, Any]:
    return {"spec": {"resources": {"requests": {"storage": size}}}}


async def test_a_claim_grows_where_its_class_allows_it(api: Any) -> None:
    await api.tenant("acme")
    for name, grows in (("rubber", True), ("stone", False)):
        made = {"metadata": {"name": name}, "provisioner": "example.com/p", "allowVolumeExpansion": grows}
        (await api.post(CLASSES, made)).ok(201)
    for name in ("rubber", "stone", ""):
        path = f"/tenants/acme{CLAIMS}/of-{name}"
        (await api.post(f"/tenants/acme{CLAIMS}", claim(f"of-{name}x", name))).ok(201)
        path += "x"
        early = (await api("PATCH", path, sized("2Gi"), type=api.MERGE)).refused(403)
        assert early["message"].endswith("is forbidden: Only bound persistent volume claims can be expanded")
        status = {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
        (await api("PATCH", f"{path}/status", status, type=api.MERGE)).ok()
        answer = await api("PATCH", path, sized("2Gi"), type=api.MERGE)
        if name == "rubber":
            answer.ok()
        else:
            answer.refused(403, "the storageclass that provisions the pvc must support resize")
        # The same size again is no growth.
        same = "2048Mi" if name == "rubber" else "1024Mi"
        (await api("PATCH", path, sized(same), type=api.MERGE)).ok()
        (await api("PATCH", path, sized("huge"), type=api.MERGE)).refused(400)


async def test_a_volume_says_since_when_it_is_in_its_phase(api: Any) -> None:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/srv"}}
    made = (await api.post(VOLUMES, {"metadata": {"name": "v"}, "spec": spec})).ok(201)
    assert made["status"]["phase"] == "Pending" and made["status"]["lastPhaseTransitionTime"]
    told = "2020-01-01T00:00:00Z"
    stated = {"status": {"phase": "Available", "lastPhaseTransitionTime": told}}
    found = (await api("PATCH", f"{VOLUMES}/v/status", stated, type=api.MERGE)).ok()
    assert found["status"]["lastPhaseTransitionTime"] == told
    same = {"status": {"phase": "Available", "message": "x"}}
    found = (await api("PATCH", f"{VOLUMES}/v/status", same, type=api.MERGE)).ok()
    assert found["status"]["lastPhaseTransitionTime"] == told
    (await api("PATCH", f"{VOLUMES}/v", {"metadata": {"labels": {"a": "b"}}}, type=api.MERGE)).ok()
    found = (await api("PATCH", f"{VOLUMES}/v/status", {"status": {"phase": "Bound"}}, type=api.MERGE)).ok()
    assert found["status"]["lastPhaseTransitionTime"] > told


async def test_a_class_of_attributes_is_protected(api: Any) -> None:
    made = {"metadata": {"name": "gold"}, "driverName": "example.com", "parameters": {"iops": "1"}}
    found = (await api.post(ATTRIBUTES, made)).ok(201)
    assert found["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]


@pytest.mark.parametrize("source", [{"persistentVolumeName": "v"}, {"inlineVolumeSpec": {"nfs": {"server": "s"}}}])
async def test_a_tenant_attaches_nothing(api: Any, source: dict[str, Any]) -> None:
    await api.tenant("acme")
    spec: dict[str, Any] = {"attacher": "example.com", "nodeName": "n", "source": source}
    body: dict[str, Any] = {"metadata": {"name": "a"}, "spec": spec}
    user = api.admin_of("acme")
    (await api.post(ATTACHMENTS, body, user=user)).refused(403, "volumes are attached by the cluster's controllers")
    body["spec"]["source"] = {"persistentVolumeName": "v"}
    (await api.post(f"/tenants/acme{ATTACHMENTS}", body)).ok(201)
    attached = {"status": {"attached": True}}
    (await api("PATCH", f"{ATTACHMENTS}/a/status", attached, type=api.MERGE, user=user)).refused(403)
