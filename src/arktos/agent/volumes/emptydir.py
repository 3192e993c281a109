"""emptyDir: a directory of the pod's own, on disk, in memory or in huge pages. Blocks: call it in a thread."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from arktos.agent.volumes import mounting
from arktos.agent.volumes.confined import remove_tree
from arktos.agent.volumes.ownership import give_to_group
from arktos.agent.volumes.volume import VolumeError
from arktos.model import quantity, workload
from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity

_OPEN = 0o777
_HUGE_PAGES = "hugepages-"


def size_limit(source: Obj) -> int:
    """Bytes that the volume may hold, 0 for no limit of its own."""
    stated = source.get("sizeLimit")
    return quantity.parse(str(stated)).value if stated not in (None, "") else 0


def memory_size(source: Obj, pod: Obj, allocatable: Mapping[str, Quantity]) -> int:
    """Bytes of a volume in memory: no more than the pod or, where it has no limit, the node has; 0 if nothing says."""
    limits = workload.limits(pod)
    memory = limits.get("memory") or allocatable.get("memory")
    bounds = [bound for bound in (size_limit(source), memory.value if memory else 0) if bound > 0]
    return min(bounds, default=0)


def set_up(path: Path, source: Obj, pod: Obj, group: int | None, allocatable: Mapping[str, Quantity]) -> None:
    """Makes the volume if it is not there; what it holds is left alone. VolumeError, OSError."""
    medium = source.get("medium") or ""
    if medium == "":
        _on_disk(path, group)
    elif medium == "Memory":
        size = memory_size(source, pod, allocatable)
        _mounted(path, "tmpfs", (f"size={size}",) if size else (), group)
    elif medium == "HugePages" or medium.startswith("HugePages-"):
        _mounted(path, "hugetlbfs", (f"pagesize={_page_size(medium, pod)}",), group)
    else:
        raise VolumeError(f"unknown storage medium {medium!r}")


def in_memory(path: Path) -> None:
    """A directory in memory that only we write, for secrets; an ordinary one where we may not mount."""
    path.mkdir(parents=True, exist_ok=True, mode=0o755)
    if os.geteuid() == 0 and not mounting.is_mount_point(path):
        mounting.tmpfs(str(path), "mode=0755", mounting.MS_NOSUID | mounting.MS_NODEV)


def empty(folder: Path) -> None:
    """Deletes what is in all volumes of a folder; what is mounted there stays. OSError."""
    for volume in folder.iterdir() if folder.is_dir() else ():
        if volume.is_symlink() or not volume.is_dir() or mounting.is_mount_point(volume):
            continue
        mounting.unmount_below(volume)
        for inner in list(volume.iterdir()):
            remove_tree(inner)


def _on_disk(path: Path, group: int | None) -> None:
    if path.is_dir():
        return
    # Made aside and renamed, so that a directory that is there has its rights.
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"..{path.name}")
    remove_tree(fresh)
    fresh.mkdir()
    fresh.chmod(_OPEN)
    if group is not None:
        give_to_group(fresh, group, read_only=False)
    os.rename(fresh, path)


def _mounted(path: Path, filesystem: str, options: tuple[str, ...], group: int | None) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if mounting.is_mount_point(path):
        return
    if os.geteuid() != 0:
        raise VolumeError(f"a volume on {filesystem} needs root")
    rights = ("mode=0777",) if group is None else ("mode=02777", f"gid={group}")
    joined = ",".join((*options, *rights))
    if filesystem == "tmpfs":
        mounting.tmpfs(str(path), joined)
    else:
        mounting.mount("nodev", str(path), filesystem, options=joined)


def _page_size(medium: str, pod: Obj) -> str:
    """The size of pages as the kernel writes it. VolumeError unless the medium, or the pod, names exactly one."""
    sizes = {name.removeprefix(_HUGE_PAGES) for name in workload.requests(pod) if name.startswith(_HUGE_PAGES)}
    named = medium.removeprefix("HugePages").removeprefix("-")
    if named:
        if named not in sizes:
            raise VolumeError(f"medium {medium} is not requested by the pod: hugepages-{named}")
        sizes = {named}
    if len(sizes) != 1:
        raise VolumeError(
            f"medium HugePages can only be used with one size of huge pages, the pod requests {len(sizes)}"
        )
    return sizes.pop().removesuffix("i")
