"""What `explain` says of the types and fields that Arktos adds. Those of Kubernetes are described by their wheel."""

from __future__ import annotations

from arktos.model.additions import METRICS_PREFIX, PREFIX

_CORE = "io.k8s.api.core.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."

_OBJECT = {
    "apiVersion": "The version of the schema that this object is written in.",
    "kind": "The kind of this object.",
    "metadata": "Standard object metadata.",
}

_FIELDS: dict[str, dict[str, str]] = {
    _META + "ObjectMeta": {
        "tenant": "The tenant that the object belongs to. Set from the request, never changes.",
        "hashKey": "The place of the object on the hash ring by which controllers share their work. Set by the server.",
    },
    _META + "OwnerReference": {"hashKey": "The place of the owner on the hash ring."},
    _META + "APIResource": {"tenanted": "Whether objects of this resource belong to a tenant."},
    _CORE + "PodSpec": {
        "virtualMachine": "The virtual machine that this pod is. A pod has either containers or a virtual machine.",
        "vpc": "The virtual private cloud that the pod is in, by name or ID.",
        "nics": "The network interfaces of the pod. If there are none, it gets one in the default network.",
    },
    _CORE + "PodStatus": {
        "virtualMachineStatus": "What the node reports of the pod's virtual machine.",
        "nicStatuses": "What the node reports of the pod's network interfaces.",
    },
    _CORE + "ServiceSpec": {"subnetID": "The subnet in which an external load balancer gets its address."},
}
"""Fields that are added to types of Kubernetes."""

_TYPES: dict[str, tuple[str, dict[str, str]]] = {
    "VirtualMachine": (
        "A virtual machine, as the workload of a pod.",
        {
            "name": "The name of the machine, a DNS label.",
            "image": "The image of its boot disk.",
            "imagePullPolicy": "When the image is fetched: Always, IfNotPresent or Never. Defaults to IfNotPresent.",
            "resources": "The CPU and memory that it gets. Both can be changed while it runs.",
            "volumeMounts": "File systems of the pod's volumes that the machine sees.",
            "volumeDevices": "Block devices of the pod's volumes that the machine sees.",
            "keyPairName": "The name of a key pair that may log in. This or publicKey is required.",
            "publicKey": "An SSH public key that may log in.",
            "userData": "Data that the machine reads on its first boot, base64-encoded; 65535 bytes at most.",
            "cloudInitUserDataScript": "A script that cloud-init runs on the first boot.",
            "trustedImageCertificate": "Certificates that the image's signature is checked with.",
            "shutdownBehavior": "What a shutdown from inside does: stop or terminate. Defaults to stop.",
            "bootVolume": "The volume that it boots from. Defaults to a disk made from the image.",
            "powerSpec": "The power state that is wanted: Running, Paused, Shutdown or Suspended. Defaults to Running.",
        },
    ),
    "Nic": (
        "A network interface of a pod.",
        {
            "name": "The name of the interface inside the pod.",
            "subnetName": "The subnet that it is in.",
            "portId": "An existing port of the network that it uses. Cannot be changed.",
            "ipAddress": "The address that it gets.",
            "tag": "A word by which programs inside the machine find it.",
            "ipv6Enabled": "Whether it gets an IPv6 address too.",
        },
    ),
    "VirtualMachineStatus": (
        "What the node reports of a virtual machine.",
        {
            "name": "The name of the machine.",
            "virtualMachineId": "The ID that the runtime gave it.",
            "imageId": "The ID of the image that it was made from.",
            "image": "The image that it was made from.",
            "state": "The state of the machine, such as active, paused, suspended, stopped or error.",
            "lastTerminationState": "The state in which it ended last.",
            "powerState": "The power state: nostate, running, paused, shutdown, crashed or suspended.",
            "ready": "Whether it has passed its readiness check.",
            "restartCount": "How often it was restarted.",
            "snapshots": "The snapshots that it can be taken back to.",
        },
    ),
    "VirtualMachineSnapshot": (
        "A snapshot of a virtual machine.",
        {
            "name": "The name, which is its ID, too.",
            "creationTimestamp": "When it was taken.",
            "memory": "Whether it holds the memory, too.",
            "size": "Bytes of memory in it.",
        },
    ),
    "NicStatus": (
        "What the node reports of a network interface.",
        {
            "name": "The name of the interface.",
            "portID": "The port of the network that it uses.",
            "state": "The state of the interface.",
            "reason": "Why it is in this state.",
        },
    ),
    "Tenant": (
        "A tenant: a cluster of its own, as its users see it, beside others that they cannot see.",
        {**_OBJECT, "spec": "What the tenant is to be.", "status": "What the tenant is."},
    ),
    "TenantList": ("A list of tenants.", {**_OBJECT, "items": "The tenants."}),
    "TenantSpec": (
        "What a tenant is to be.",
        {
            "finalizers": "Who must agree before the tenant is gone. Emptied through the finalize subresource.",
            "frozen": "Whether nothing new can be created in the tenant.",
            "quota": "How much all of the tenant's namespaces may use together.",
            "podSecurity": "The Pod Security Standards that hold in all of the tenant's namespaces.",
            "network": "The network that the tenant's pods are in by default.",
            "storageClusterId": "The store that keeps the tenant's objects. Chosen by the server if empty.",
        },
    ),
    "TenantPodSecurity": (
        "Pod Security Standards for a tenant: privileged, baseline or restricted.",
        {
            "enforce": "The standard without which a pod is refused.",
            "audit": "The standard whose breach is written to the audit log.",
            "warn": "The standard whose breach the user is warned of.",
            "version": "The version of the standards, such as latest.",
        },
    ),
    "TenantNetwork": (
        "The default network of a tenant.",
        {
            "provider": "What makes the network.",
            "vpc": "The virtual private cloud that it is in.",
            "cidrs": "The ranges of its addresses.",
        },
    ),
    "TenantStatus": (
        "What a tenant is.",
        {"phase": "Active, or Terminating once it is deleted.", "conditions": "What is known of it beyond its phase."},
    ),
    "Action": (
        "Something to be done once to a virtual machine: a reboot, a snapshot, a change of power.",
        {**_OBJECT, "spec": "What is to be done.", "status": "What became of it."},
    ),
    "ActionList": ("A list of actions.", {**_OBJECT, "items": "The actions."}),
    "ActionSpec": (
        "What is to be done. Exactly one of the actions is set.",
        {
            "nodeName": "The node that does it.",
            "podName": "The pod that it is done to.",
            "podID": "The UID of the pod.",
            "rebootAction": "Reboots the virtual machine.",
            "snapshotAction": "Takes a snapshot of the virtual machine.",
            "restoreAction": "Takes the virtual machine back to a snapshot.",
            "startAction": "Starts the virtual machine.",
            "stopAction": "Shuts the virtual machine down. Its disk, its node and its address are kept.",
            "pauseAction": "Halts the virtual machine in memory.",
            "resumeAction": "Lets a paused or suspended virtual machine go on.",
        },
    ),
    "ActionStatus": (
        "What became of an action.",
        {
            "complete": "Whether it is over, well or not.",
            "error": "What went wrong. Empty if nothing did.",
            "podName": "The pod that it was done to.",
            "podID": "The UID of that pod.",
            "rebootStatus": "What became of a reboot.",
            "snapshotStatus": "What became of a snapshot.",
            "restoreStatus": "What became of a restore.",
            "powerStatus": "What became of a change of power.",
        },
    ),
    "RebootParams": ("How to reboot.", {"delayInSeconds": "Seconds to wait before."}),
    "SnapshotParams": ("How to take a snapshot.", {"snapshotName": "The name of the snapshot."}),
    "RestoreParams": ("What to restore.", {"snapshotID": "The snapshot to go back to."}),
    "PowerParams": (
        "How to change the power.",
        {"gracePeriodSeconds": "Seconds that the guest has to shut down; those of its pod by default."},
    ),
    "PowerStatus": ("What became of a change of power.", {"powerState": "The power state that was reached."}),
    "RebootStatus": ("What became of a reboot.", {"rebootSuccessful": "Whether it was done."}),
    "SnapshotStatus": ("What became of a snapshot.", {"snapshotID": "The ID of the snapshot."}),
    "RestoreStatus": ("What became of a restore.", {"restoreSuccessful": "Whether it was done."}),
    "CustomAction": (
        "Asks for an action on a pod, through its action subresource.",
        {
            **_OBJECT,
            "operation": "What is to be done: reboot, snapshot, restore, start, stop, pause or resume.",
            "rebootParams": "How to reboot.",
            "snapshotParams": "How to take a snapshot.",
            "restoreParams": "What to restore.",
            "powerParams": "How to start, stop, pause or resume.",
        },
    ),
    "ControllerInstance": (
        "A member of the ring of controllers that share the work on one kind of objects.",
        {
            **_OBJECT,
            "controllerType": "The kind of objects that it works on.",
            "controllerKey": "The upper end of its range of hash keys; belongs to it.",
            "rangeStart": "The lower end of its range; belongs to it. Without one it holds no tenure.",
            "epoch": "Counts how often it has lost a part of its range. Set by the server.",
            "handOverTo": "The instance that is to take what it has given up last.",
            "leaseDurationSeconds": "How long it may be silent before others take its range.",
            "workloadNum": "How much it had to do when it reported last.",
            "isLocked": "Whether it must not work yet, because another is still handing its range over.",
        },
    ),
    "ControllerInstanceList": ("A list of controller instances.", {**_OBJECT, "items": "The instances."}),
}
"""Types of Arktos, without the prefix."""

_MEASURED = {
    "timestamp": "The end of the time that was measured.",
    "window": "The length of the time that was measured: CPU is the average over it.",
}

_METRICS: dict[str, tuple[str, dict[str, str]]] = {
    "NodeMetrics": ("What a node uses.", {**_OBJECT, **_MEASURED, "usage": "CPU and memory that it uses."}),
    "NodeMetricsList": ("A list of what nodes use.", {**_OBJECT, "items": "The nodes' metrics."}),
    "PodMetrics": ("What a pod uses.", {**_OBJECT, **_MEASURED, "containers": "What each of its containers uses."}),
    "PodMetricsList": ("A list of what pods use.", {**_OBJECT, "items": "The pods' metrics."}),
    "ContainerMetrics": (
        "What a container, or a virtual machine, uses.",
        {"name": "The name of the container.", "usage": "CPU and memory that it uses."},
    ),
}
"""Types of metrics.k8s.io, without the prefix."""


def of(type_name: str, field: str = "") -> str:
    """What an added type, or an added field of a type, is for. KeyError if it is not one of ours."""
    if type_name.startswith(METRICS_PREFIX):
        about, fields = _METRICS[type_name.removeprefix(METRICS_PREFIX)]
        return fields[field] if field else about
    if not type_name.startswith(PREFIX):
        return _FIELDS[type_name][field]
    about, fields = _TYPES[type_name.removeprefix(PREFIX)]
    return fields[field] if field else about


def everything() -> object:
    """All descriptions, as a value that changes when one of them does."""
    return _FIELDS, _TYPES, _METRICS
