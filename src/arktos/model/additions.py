"""What Arktos adds to the Kubernetes schemas: types, fields, and fields that are no longer required.

A type is written as `field: shape`. A shape is `string`, `boolean`, `int32`, `int64`, `quantity`, `any`, `time`,
`bytes`, the name of a type (upstream's in full, ours without the prefix), `[shape]` for a list, `{shape}` for a map; a
list of objects with a key is `[shape] by key`, with further patch strategies after the key. A trailing `!` marks a
required field. Sources: the wire format of the original, and the design's Tenant.
"""

from __future__ import annotations

from typing import Any

PREFIX = "io.arktos.api.core.v1."
METRICS_PREFIX = "io.k8s.metrics.pkg.apis.metrics.v1beta1."
_CORE = "io.k8s.api.core.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."

OPTIONAL: dict[str, tuple[str, ...]] = {
    _CORE + "PodSpec": ("containers",),
}
"""Required upstream, but not here: a pod has containers or a virtual machine."""

CLEARED: dict[str, tuple[str, ...]] = {
    _CORE + "PodSpec": ("workloadInfo",),
}
"""Fields of the original's wire that are derived: what a client sends there is dropped, and is not an unknown field."""

_SCHEMA_PROPS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
HELD: dict[str, str] = {f"{_SCHEMA_PROPS}Or{other}": _SCHEMA_PROPS for other in ("Array", "Bool", "StringArray")}
"""Types that are written as an object of another type, or as something simpler in its place."""

FIELDS: dict[str, dict[str, str]] = {
    _META + "ObjectMeta": {"tenant": "string", "hashKey": "int64"},
    _META + "OwnerReference": {"hashKey": "int64"},
    _META + "APIResource": {"tenanted": "boolean"},
    _CORE + "PodSpec": {
        "virtualMachine": "VirtualMachine",
        "vpc": "string",
        "nics": "[Nic] by name retainKeys",
    },
    _CORE + "PodStatus": {
        "virtualMachineStatus": "VirtualMachineStatus",
        "nicStatuses": "[NicStatus] by name",
    },
    _CORE + "ServiceSpec": {"subnetID": "string"},
}

_OBJECT = {"apiVersion": "string", "kind": "string", "metadata": _META + "ObjectMeta"}
_LIST = {"apiVersion": "string", "kind": "string", "metadata": _META + "ListMeta"}

TYPES: dict[str, dict[str, str]] = {
    "VirtualMachine": {
        "name": "string!",
        "image": "string",
        "imagePullPolicy": "string",
        "resources": _CORE + "ResourceRequirements",
        "volumeMounts": f"[{_CORE}VolumeMount] by mountPath",
        "volumeDevices": f"[{_CORE}VolumeDevice] by devicePath",
        "keyPairName": "string",
        "publicKey": "string",
        "userData": "bytes",
        "cloudInitUserDataScript": "string",
        "trustedImageCertificate": "[string]",
        "shutdownBehavior": "string",
        "bootVolume": "string",
        "powerSpec": "string",
    },
    "Nic": {
        "name": "string",
        "subnetName": "string",
        "portId": "string",
        "ipAddress": "string",
        "tag": "string",
        "ipv6Enabled": "boolean",
    },
    "VirtualMachineStatus": {
        "name": "string",
        "virtualMachineId": "string",
        "imageId": "string",
        "image": "string",
        "state": "string",
        "lastTerminationState": "string",
        "powerState": "string",
        "ready": "boolean",
        "restartCount": "int32",
        "snapshots": "[VirtualMachineSnapshot]",
    },
    "VirtualMachineSnapshot": {
        "name": "string!",
        "creationTimestamp": "time",
        "memory": "boolean",
        "size": "int64",
    },
    "NicStatus": {"name": "string", "portID": "string", "state": "string", "reason": "string"},
    "Tenant": {**_OBJECT, "spec": "TenantSpec", "status": "TenantStatus"},
    "TenantList": {**_LIST, "items": "[Tenant]!"},
    "TenantSpec": {
        "finalizers": "[string]",
        "frozen": "boolean",
        "quota": "{quantity}",
        "podSecurity": "TenantPodSecurity",
        "network": "TenantNetwork",
        "storageClusterId": "string",
    },
    "TenantPodSecurity": {"enforce": "string", "audit": "string", "warn": "string", "version": "string"},
    "TenantNetwork": {"provider": "string", "vpc": "string", "cidrs": "[string]"},
    "TenantStatus": {"phase": "string", "conditions": f"[{_META}Condition] by type"},
    "Action": {**_OBJECT, "spec": "ActionSpec", "status": "ActionStatus"},
    "ActionList": {**_LIST, "items": "[Action]!"},
    "ActionSpec": {
        "nodeName": "string",
        "podName": "string",
        "podID": "string",
        "rebootAction": "RebootParams",
        "snapshotAction": "SnapshotParams",
        "restoreAction": "RestoreParams",
        "startAction": "PowerParams",
        "stopAction": "PowerParams",
        "pauseAction": "PowerParams",
        "resumeAction": "PowerParams",
    },
    "ActionStatus": {
        "complete": "boolean",
        "error": "string",
        "podName": "string",
        "podID": "string",
        "rebootStatus": "RebootStatus",
        "snapshotStatus": "SnapshotStatus",
        "restoreStatus": "RestoreStatus",
        "powerStatus": "PowerStatus",
    },
    "RebootParams": {"delayInSeconds": "int32"},
    "SnapshotParams": {"snapshotName": "string"},
    "RestoreParams": {"snapshotID": "string"},
    "PowerParams": {"gracePeriodSeconds": "int64"},
    "RebootStatus": {"rebootSuccessful": "boolean"},
    "SnapshotStatus": {"snapshotID": "string"},
    "RestoreStatus": {"restoreSuccessful": "boolean"},
    "PowerStatus": {"powerState": "string"},
    "CustomAction": {
        **_OBJECT,
        "operation": "string",
        "rebootParams": "RebootParams",
        "snapshotParams": "SnapshotParams",
        "restoreParams": "RestoreParams",
        "powerParams": "PowerParams",
    },
    "ControllerInstance": {
        **_OBJECT,
        "controllerType": "string",
        "controllerKey": "int64",
        "workloadNum": "int32",
        "isLocked": "boolean",
        "rangeStart": "int64",
        "epoch": "int64",
        "handOverTo": "string",
        "leaseDurationSeconds": "int32",
    },
    "ControllerInstanceList": {**_LIST, "items": "[ControllerInstance]!"},
}

_MEASURED = {"timestamp": "time!", "window": "string!"}

METRICS: dict[str, dict[str, str]] = {
    "NodeMetrics": {**_OBJECT, **_MEASURED, "usage": "{quantity}!"},
    "NodeMetricsList": {**_LIST, "items": f"[{METRICS_PREFIX}NodeMetrics]!"},
    "PodMetrics": {**_OBJECT, **_MEASURED, "containers": f"[{METRICS_PREFIX}ContainerMetrics]!"},
    "PodMetricsList": {**_LIST, "items": f"[{METRICS_PREFIX}PodMetrics]!"},
    "ContainerMetrics": {"name": "string!", "usage": "{quantity}!"},
}
"""The types of metrics.k8s.io, which the published schemas do not have."""

_SCALARS: dict[str, dict[str, Any]] = {
    "string": {"t": "string"},
    "boolean": {"t": "boolean"},
    "int32": {"t": "integer", "f": "int32"},
    "int64": {"t": "integer", "f": "int64"},
    "quantity": {"t": "quantity"},
    "any": {"t": "any"},
    "time": {"t": "string", "f": "date-time"},
    "bytes": {"t": "string", "f": "byte"},
}


def types() -> dict[str, dict[str, Any]]:
    """All added types by full name, in the form of the schema table."""
    named = {METRICS_PREFIX + name: shapes for name, shapes in METRICS.items()}
    named |= {PREFIX + name: shapes for name, shapes in TYPES.items()}
    return {name: _type(shapes) for name, shapes in named.items()}


def fields(type_name: str) -> dict[str, dict[str, Any]]:
    """The fields that are added to an upstream type, in the form of the schema table."""
    return {name: _node(shape) for name, shape in FIELDS.get(type_name, {}).items()}


def _type(shapes: dict[str, str]) -> dict[str, Any]:
    return {
        "p": {name: _node(shape.removesuffix("!")) for name, shape in shapes.items()},
        "q": [name for name, shape in shapes.items() if shape.endswith("!")],
    }


def _node(shape: str) -> dict[str, Any]:
    if shape in _SCALARS:
        return dict(_SCALARS[shape])
    if shape.startswith("{"):
        return {"t": "map", "i": _node(shape[1:-1])}
    if shape.startswith("["):
        element, _, topology = shape[1:].partition("]")
        node: dict[str, Any] = {"t": "array", "i": _node(element), "lt": "atomic"}
        if topology:
            _by, key, *strategies = topology.split()
            node |= {"lt": "map", "lk": [key], "mk": key, "ms": ["merge", *strategies]}
        return node
    return {"r": shape if "." in shape else PREFIX + shape}
