"""Limits of what pods keep on the node's disk: emptyDir sizes, and limits of ephemeral storage. Pure."""

from __future__ import annotations

from arktos.agent.node.stats.samples import PodReading
from arktos.model import quantity
from arktos.model.kinds import Obj
from arktos.model.workload import limits, workloads

STORAGE = "ephemeral-storage"


def is_limited(pod: Obj) -> bool:
    """Whether anything of a pod has to be counted."""
    return bool(_empty_dir_limits(pod) or _container_limits(pod) or limits(pod).get(STORAGE))


def violation(pod: Obj, reading: PodReading) -> str:
    """Why a pod has to go for what it keeps on disk, in kubelet's words; "" if it need not."""
    for name, limit in _empty_dir_limits(pod).items():
        disk = reading.volumes.get(name)
        if disk is not None and disk.used > limit.value:
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
    whole, of_pod = reading.ephemeral, limits(pod).get(STORAGE)
    container_limits = _container_limits(pod)
    every_limited = len(container_limits) == len(workloads(pod))
    if whole is not None and of_pod and every_limited and whole.used > of_pod.value:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {of_pod}. "
    for name, limit in container_limits.items():
        container = reading.containers.get(name)
        if container is None:
            continue
        used = sum(disk.used for disk in (container.rootfs, container.logs) if disk is not None)
        if used > limit.value:
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return ""


def _empty_dir_limits(pod: Obj) -> dict[str, quantity.Quantity]:
    """Size limits of emptyDirs that are on disk; what is in memory the kernel limits."""
    found: dict[str, quantity.Quantity] = {}
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        source = volume.get("emptyDir")
        if source and source.get("sizeLimit") and source.get("medium", "") == "":
            limit = quantity.parse(str(source["sizeLimit"]))
            if limit.sign > 0:
                found[volume["name"]] = limit
    return found


def _container_limits(pod: Obj) -> dict[str, quantity.Quantity]:
    found: dict[str, quantity.Quantity] = {}
    for workload in workloads(pod):
        stated = ((workload.get("resources") or {}).get("limits") or {}).get(STORAGE)
        if stated is not None:
            found[workload.get("name", "")] = quantity.parse(str(stated))
    return found
