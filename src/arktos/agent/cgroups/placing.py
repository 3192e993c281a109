"""Names of cgroups. Pure."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.qos import BEST_EFFORT, BURSTABLE, GUARANTEED, qos_class

ALL_PODS = "kubepods"
PREFIX = "pod"
_FOLDERS = {GUARANTEED: "", BURSTABLE: "burstable", BEST_EFFORT: "besteffort"}


def pod_class(pod: Obj) -> str:
    """The quality of service of a pod: what its status says, for that never changes, else what its document means."""
    stated = (pod.get("status") or {}).get("qosClass")
    return str(stated) if stated in _FOLDERS else qos_class(pod["spec"])


def class_group(root: str, qos: str) -> str:
    """The cgroup of all pods of a class, as a path below the mount point, without a slash at its start."""
    return "/".join(part for part in (root.strip("/"), ALL_PODS, _FOLDERS[qos]) if part)


def class_groups(root: str) -> list[str]:
    """The cgroups in which those of pods may be."""
    return [class_group(root, qos) for qos in _FOLDERS]


def pod_group(root: str, qos: str, uid: str) -> str:
    """The cgroup of a pod. ValueError for a uid that is no single file name."""
    if not uid or "/" in uid or uid in (".", "..") or "\0" in uid:
        raise ValueError(f"{uid!r} is no uid of a pod")
    return f"{class_group(root, qos)}/{PREFIX}{uid}"
