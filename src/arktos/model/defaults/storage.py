"""Defaults of volumes, claims, storage classes and CSI drivers."""

from __future__ import annotations

from arktos.model.defaults import resources, volumes
from arktos.model.kinds import Obj


def persistent_volume(obj: Obj) -> None:
    """A PersistentVolume."""
    _phase(obj)
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    if spec.get("capacity"):
        resources.round_up(spec["capacity"])
    volumes.persistent_source(spec)


def persistent_volume_claim(obj: Obj) -> None:
    """A PersistentVolumeClaim, also inside a StatefulSet."""
    _phase(obj)
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    volumes.claim_spec(spec)
    for name in ("capacity", "allocatedResources"):
        if obj["status"].get(name):
            resources.round_up(obj["status"][name])


def _phase(obj: Obj) -> None:
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Pending"


def storage_class(obj: Obj) -> None:
    """A StorageClass."""
    if not obj.get("reclaimPolicy"):
        obj["reclaimPolicy"] = "Delete"
    if not obj.get("volumeBindingMode"):
        obj["volumeBindingMode"] = "Immediate"


def csi_driver(obj: Obj) -> None:
    """A CSIDriver."""
    spec = obj.get("spec")
    if spec is None:
        return
    spec.setdefault("attachRequired", True)
    spec.setdefault("podInfoOnMount", False)
    spec.setdefault("storageCapacity", False)
    spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]
    spec.setdefault("requiresRepublish", False)
    spec.setdefault("seLinuxMount", False)
