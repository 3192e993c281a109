"""How volumes, claims, their classes and drivers are shown."""

from __future__ import annotations

from arktos.model.columns_cell import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Cell,
    Printer,
    age_of,
    at,
    deleting,
    flag,
    items,
    joined,
    name_of,
    part,
    text,
    wide,
)
from arktos.model.kinds import Column, Obj

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_DEFAULT_ATTRIBUTES_CLASS = ("volumeattributesclass.alpha.kubernetes.io/is-default-class",)


def _modes(found: list[object]) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in found)


def _class(obj: Obj) -> str:
    annotated = at(obj, "metadata", "annotations", _CLASS_ANNOTATION)
    return str(annotated) if annotated is not None else text(obj, "spec", "storageClassName")


def _phase(obj: Obj) -> str:
    return "Terminating" if deleting(obj) else text(obj, "status", "phase")


def persistent_volume(obj: Obj) -> list[Cell]:
    claim = part(obj, "spec", "claimRef")
    return [
        name_of(obj),
        text(obj, "spec", "capacity", "storage", empty="0"),
        _modes(items(obj, "spec", "accessModes")),
        text(obj, "spec", "persistentVolumeReclaimPolicy"),
        _phase(obj),
        f"{text(claim, 'namespace')}/{text(claim, 'name')}" if claim else "",
        _class(obj),
        text(obj, "spec", "volumeAttributesClassName", empty=UNSET),
        text(obj, "status", "reason"),
        age_of(obj),
        text(obj, "spec", "volumeMode", empty=UNSET),
    ]


def persistent_volume_claim(obj: Obj) -> list[Cell]:
    volume = text(obj, "spec", "volumeName")
    return [
        name_of(obj),
        _phase(obj),
        volume,
        text(obj, "status", "capacity", "storage", empty="0") if volume else "",
        _modes(items(obj, "status", "accessModes")) if volume else "",
        _class(obj),
        text(obj, "spec", "volumeAttributesClassName", empty=UNSET),
        age_of(obj),
        text(obj, "spec", "volumeMode", empty=UNSET),
    ]


def _marked(obj: Obj, annotations: tuple[str, ...]) -> str:
    """The name, with a mark where the class is the default one."""
    default = any(at(obj, "metadata", "annotations", a) == "true" for a in annotations)
    return f"{name_of(obj)} (default)" if default else name_of(obj)


def storage_class(obj: Obj) -> list[Cell]:
    return [
        _marked(obj, _DEFAULT_CLASS),
        text(obj, "provisioner"),
        text(obj, "reclaimPolicy", empty="Delete"),
        text(obj, "volumeBindingMode", empty="Immediate"),
        flag(obj, "allowVolumeExpansion"),
        age_of(obj),
    ]


def volume_attributes_class(obj: Obj) -> list[Cell]:
    return [_marked(obj, _DEFAULT_ATTRIBUTES_CLASS), text(obj, "driverName"), age_of(obj)]


def volume_attachment(obj: Obj) -> list[Cell]:
    return [
        name_of(obj),
        text(obj, "spec", "attacher"),
        text(obj, "spec", "source", "persistentVolumeName"),
        text(obj, "spec", "nodeName"),
        flag(obj, "status", "attached"),
        age_of(obj),
    ]


def csi_driver(obj: Obj) -> list[Cell]:
    spec = part(obj, "spec")
    tokens = at(spec, "tokenRequests")
    return [
        name_of(obj),
        flag(spec, "attachRequired", default=True),
        flag(spec, "podInfoOnMount"),
        flag(spec, "storageCapacity"),
        UNSET if tokens is None else joined((text(t, "audience") for t in items(spec, "tokenRequests")), ""),
        flag(spec, "requiresRepublish"),
        joined(items(spec, "volumeLifecycleModes"), NONE),
        age_of(obj),
    ]


def csi_node(obj: Obj) -> list[Cell]:
    return [name_of(obj), len(items(obj, "spec", "drivers")), age_of(obj)]


def csi_storage_capacity(obj: Obj) -> list[Cell]:
    return [name_of(obj), text(obj, "storageClassName"), text(obj, "capacity", empty=UNSET)]


_STORAGE_CLASS = Column("StorageClass", description="Its storage class.")
_ATTRIBUTES_CLASS = Column("VolumeAttributesClass", description="Its volume attributes class.")
_CAPACITY = Column("Capacity", description="Its size.")
_ACCESS_MODES = Column("Access Modes", description="How it can be mounted: RWO, ROX, RWX, RWOP.")
_STATUS = Column("Status", description="The state in one word.")
_VOLUME_MODE = wide("VolumeMode", description="Whether it is a file system or a block device.")

PRINTERS = {
    "persistentvolumes": Printer(
        (
            NAME,
            _CAPACITY,
            _ACCESS_MODES,
            Column("Reclaim Policy", description="What becomes of it when its claim goes."),
            _STATUS,
            Column("Claim", description="The claim that has it."),
            _STORAGE_CLASS,
            _ATTRIBUTES_CLASS,
            Column("Reason", description="Why it is in this state."),
            AGE,
            _VOLUME_MODE,
        ),
        persistent_volume,
    ),
    "persistentvolumeclaims": Printer(
        (
            NAME,
            _STATUS,
            Column("Volume", description="The volume that it has."),
            _CAPACITY,
            _ACCESS_MODES,
            _STORAGE_CLASS,
            _ATTRIBUTES_CLASS,
            AGE,
            _VOLUME_MODE,
        ),
        persistent_volume_claim,
    ),
    "storageclasses.storage.k8s.io": Printer(
        (
            NAME,
            Column("Provisioner", description="What makes volumes of the class."),
            Column("ReclaimPolicy", description="What becomes of its volumes when their claims go."),
            Column("VolumeBindingMode", description="When a claim gets its volume."),
            Column("AllowVolumeExpansion", description="Whether its volumes can grow."),
            AGE,
        ),
        storage_class,
    ),
    "volumeattributesclasses.storage.k8s.io": Printer(
        (NAME, Column("DriverName", description="The driver that knows the attributes."), AGE), volume_attributes_class
    ),
    "volumeattachments.storage.k8s.io": Printer(
        (
            NAME,
            Column("Attacher", format="name", description="What attaches it."),
            Column("PV", description="The volume."),
            Column("Node", description="The node."),
            Column("Attached", "boolean", description="Whether it is attached."),
            AGE,
        ),
        volume_attachment,
    ),
    "csidrivers.storage.k8s.io": Printer(
        (
            NAME,
            Column("AttachRequired", "boolean", description="Whether volumes are attached before they are mounted."),
            Column("PodInfoOnMount", "boolean", description="Whether the driver is told of the pod."),
            Column("StorageCapacity", "boolean", description="Whether the driver reports its capacity."),
            Column("TokenRequests", description="The audiences of the tokens that it needs."),
            Column("RequiresRepublish", "boolean", description="Whether it is called again from time to time."),
            Column("Modes", description="The life cycles of volumes that it supports."),
            AGE,
        ),
        csi_driver,
    ),
    "csinodes.storage.k8s.io": Printer(
        (NAME, Column("Drivers", "integer", description="How many drivers the node has."), AGE), csi_node
    ),
    "csistoragecapacities.storage.k8s.io": Printer(
        (
            NAME,
            Column("StorageClassName", description="The storage class."),
            Column("Capacity", description="How much is left."),
        ),
        csi_storage_capacity,
    ),
}
