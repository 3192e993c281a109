"""What cgroups this machine has: version 2, version 1 (each controller in a tree of its own), or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from arktos.agent.cgroups.limits import Limits

_CONTROLLERS = frozenset(
    {"cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb", "blkio", "devices", "freezer", "net_cls", "net_prio"}
    | {"perf_event", "rdma", "misc"}
)


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """What a cgroup has used: CPU nanoseconds since it was made; bytes of memory, and of these what can't be dropped
    at once; processes. None where the kernel does not count."""

    cpu_nanoseconds: int | None = None
    memory: int | None = None
    working_set: int | None = None
    processes: int | None = None


class Hierarchy(Protocol):
    """The cgroups of a machine, by path below the mount point. Everything blocks, and raises OSError."""

    def create(self, group: str) -> None:
        """Makes a cgroup and those above it, unless they are there."""
        ...

    def limit(self, group: str, limits: Limits) -> None:
        """Sets the bounds of a cgroup. EBUSY for memory below what it uses now."""
        ...

    def usage(self, group: str) -> GroupUsage: ...

    def shares(self, group: str) -> int:
        """The CPU shares of a cgroup, nearly: version 2 has coarser ones. 0 if it is not there."""
        ...

    def folders(self, group: str) -> list[Path]:
        """Where the cgroup is in each tree, whether it is there or not."""
        ...


@dataclass(frozen=True, slots=True)
class Mounted:
    """Where cgroups are mounted. `v2` if the unified tree has the controllers; else `v1` says where each one is, the
    trees without controllers (`name=systemd`, `unified`) among them."""

    v2: Path | None = None
    v1: Mapping[str, Path] = field(default_factory=dict)


def mounted(mountinfo: str) -> Mounted:
    """Reads the kernel's table of mounts (/proc/self/mountinfo). OSError if a tree found there cannot be read."""
    unified: Path | None = None
    trees: dict[str, Path] = {}
    for line in mountinfo.split("\n"):
        left, _, right = line.partition(" - ")
        fields, about = left.split(), right.split()
        if len(fields) < 5 or len(about) < 3:
            continue
        path = Path(fields[4])
        if about[0] == "cgroup2":
            unified = unified or path
        elif about[0] == "cgroup":
            for option in about[2].split(","):
                if option in _CONTROLLERS or option.startswith("name="):
                    trees.setdefault(option, path)
    if unified is not None and "memory" in _read(unified / "cgroup.controllers").split():
        return Mounted(v2=unified)
    if unified is not None:
        # Beside version 1 it has no controllers, but the runtime makes its cgroups there, too.
        trees["unified"] = unified
    return Mounted(v1=trees)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
