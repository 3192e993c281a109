"""The objects of a hollow node: the node as it registers, its status, its Lease. Pure."""

from __future__ import annotations

from functools import cache

from arktos.hollow.addresses import node_address
from arktos.hollow.options import Fleet
from arktos.model.kinds import SYSTEM_TENANT, Obj

HOLLOW = "kubernetes.io/hollow"
"""Label and taint of hollow nodes."""
NAMESPACE = "kube-node-lease"
_SHORTEST_LEASE = 40

_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    (
        "ContainerRuntimeReady",
        "True",
        "AtLeastOneContainerRuntimeIsReady",
        "at least one container runtime is ready: hollow",
    ),
    ("VmRuntimeReady", "True", "AtLeastOneVmRuntimeIsReady", "at least one VM runtime is ready: hollow"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


@cache
def _version() -> str:
    from importlib import metadata  # slow to import, and needed once

    return f"v1.36.0+arktos-{metadata.version('arktos')}"


def node(fleet: Fleet, index: int, now: str) -> Obj:
    """The object that a node registers with."""
    name = fleet.name(index)
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        HOLLOW: "true",
    }
    if fleet.zones:
        labels["topology.kubernetes.io/zone"] = f"zone-{(fleet.first + index) % fleet.zones}"
        labels["topology.kubernetes.io/region"] = "hollow"
    made: Obj = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [{"key": HOLLOW, "value": "true", "effect": "NoSchedule"}]} if fleet.shape.taint else {},
    }
    made["status"] = status(fleet, index, now)
    return made


def status(fleet: Fleet, index: int, now: str) -> Obj:
    """The whole status, all conditions as of now."""
    shape, name = fleet.shape, fleet.name(index)
    room = {"cpu": shape.cpu, "ephemeral-storage": "100Gi", "memory": shape.memory, "pods": str(shape.pods)}
    return {
        "addresses": [
            {"type": "InternalIP", "address": node_address(fleet.first + index)},
            {"type": "Hostname", "address": name},
        ],
        "capacity": room,
        "allocatable": room,
        "conditions": [{**each, "lastTransitionTime": now} for each in _conditions(now)],
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": name,
            "containerRuntimeVersion": "hollow://1",
            "kernelVersion": "",
            "kubeProxyVersion": "",
            "kubeletVersion": _version(),
            "machineID": name,
            "operatingSystem": "linux",
            "osImage": "hollow",
            "systemUUID": name,
        },
    }


def _conditions(now: str) -> list[Obj]:
    names = ("type", "status", "reason", "message")
    return [{**dict(zip(names, each, strict=True)), "lastHeartbeatTime": now} for each in _CONDITIONS]


def heartbeat(uid: str, now: str, ready: bool) -> Obj:
    """The strategic merge patch of a status that says: all as before. `ready` as far as is known: a node that others
    may have found silent dates its conditions anew."""
    told = _conditions(now)
    if not ready:
        told = [{**each, "lastTransitionTime": now} for each in told]
    return {"metadata": {"uid": uid}, "status": {"conditions": told}}


def lease(fleet: Fleet, index: int, uid: str, now: str) -> Obj:
    """The Lease of a node, owned by it: it goes with the node."""
    name = fleet.name(index)
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "tenant": SYSTEM_TENANT,
            "ownerReferences": [owner],
        },
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": max(_SHORTEST_LEASE, round(fleet.heartbeat)),
            "renewTime": now,
        },
    }
