"""What pods, volumes and nodes mean for attaching: pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from arktos.model.kinds import Obj

PLUGIN = "kubernetes.io/csi"
MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"
KEEP_TERMINATED = "volumes.kubernetes.io/keep-terminated-pod-volumes"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_OURS = re.compile(r"csi-[0-9a-f]{64}\Z")
_SHARED_MODES = frozenset({"ReadWriteMany", "ReadOnlyMany"})


class Node(NamedTuple):
    """A node as far as volumes go. `in_use` and `attached` are unique names of volumes."""

    managed: bool = False
    keeps_terminated: bool = False
    healthy: bool = False
    out_of_service: bool = False
    in_use: frozenset[str] = frozenset()
    attached: frozenset[str] = frozenset()


GONE = Node(managed=True)
"""A node that is no more: nothing is mounted there."""


def node(obj: Obj) -> Node:
    annotations = obj["metadata"].get("annotations") or {}
    status, spec = obj.get("status") or {}, obj.get("spec") or {}
    return Node(
        annotations.get(MANAGED) == "true",
        annotations.get(KEEP_TERMINATED) == "true",
        any(each.get("type") == "Ready" and each.get("status") == "True" for each in status.get("conditions") or ()),
        any(each.get("key") == OUT_OF_SERVICE for each in spec.get("taints") or ()),
        frozenset(status.get("volumesInUse") or ()),
        frozenset(each["name"] for each in status.get("volumesAttached") or ()),
    )


def driver(volume: Obj) -> str:
    """The CSI driver of a volume, "" if it is none of a driver."""
    return str((volume["spec"].get("csi") or {}).get("driver") or "")


def unique_name(volume: Obj) -> str:
    """What agents call a volume of a driver."""
    source = volume["spec"]["csi"]
    return f"{PLUGIN}/{source['driver']}^{source['volumeHandle']}"


def needs_attaching(csi_driver: Obj | None) -> bool:
    """Whether volumes of a driver are attached before they are mounted; so it is where the driver is unknown."""
    return csi_driver is None or (csi_driver.get("spec") or {}).get("attachRequired") is not False


def is_exclusive(volume: Obj) -> bool:
    """Whether a volume may be attached to one node only."""
    modes = volume["spec"].get("accessModes") or ()
    return bool(modes) and not _SHARED_MODES & set(modes)


def attachment_name(volume: Obj, host: str) -> str:
    """The same for the same volume and node, so that no volume is attached twice."""
    source = volume["spec"]["csi"]
    digest = hashlib.sha256(f"{source['volumeHandle']}{source['driver']}{host}".encode()).hexdigest()
    return f"csi-{digest}"


def attachment(volume: Obj, host: str) -> Obj:
    """The VolumeAttachment that asks for a volume on a node."""
    meta = volume["metadata"]
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": attachment_name(volume, host), "tenant": meta["tenant"]},
        "spec": {
            "attacher": driver(volume),
            "nodeName": host,
            "source": {"persistentVolumeName": meta["name"]},
        },
    }


def is_ours(attachment: Obj) -> bool:
    """Whether an attachment has a name as we give them."""
    return _OURS.match(attachment["metadata"]["name"]) is not None


def is_over(pod: Obj) -> bool:
    """Whether a pod has stopped using its volumes: it has ended, or is being deleted and nothing of it runs."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    if "deletionTimestamp" not in pod["metadata"]:
        return False
    states = (each.get("state") or {} for each in status.get("containerStatuses") or ())
    return all("terminated" in state or "waiting" in state for state in states)


def claim_names(pod: Obj) -> Iterator[tuple[str, bool]]:
    """The claims that a pod uses, and whether each is that of an ephemeral volume."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim") is not None:
            yield volume["persistentVolumeClaim"].get("claimName", ""), False
        elif volume.get("ephemeral") is not None:
            yield f"{pod['metadata']['name']}-{volume['name']}", True


def uses(pod: Obj, claim: Obj, volume: Obj) -> bool:
    """Whether a pod has a volume by way of a claim, which the two must agree on."""
    meta, named = claim["metadata"], volume["spec"].get("claimRef") or {}
    if claim["spec"].get("volumeName") != volume["metadata"]["name"] or named.get("uid") != meta["uid"]:
        return False
    for name, ephemeral in claim_names(pod):
        if name == meta["name"]:
            return not ephemeral or any(
                each.get("controller") and each.get("uid") == pod["metadata"]["uid"]
                for each in meta.get("ownerReferences") or ()
            )
    return False
