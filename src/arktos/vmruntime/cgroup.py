"""The cgroup of a machine's QEMU: `<that of the pod>/<machine id>`. Everything blocks, and raises OSError.

The agent makes the pod's, which says how the pod stands to others; this one bounds the process by the hardware that it
has, whatever its pod's document says by now:

* memory: the guest's and OVERHEAD, which is what QEMU needs beside it. More is a fault, and the kernel ends it.
* CPU time: its vCPUs and one more. A guest cannot use more than its vCPUs; disks, network and the monitor are served
  by threads beside them, which must not have to wait until the vCPUs have slept. A vCPU that stands still while its
  guest thinks that it runs looks like broken hardware, so nothing less than whole vCPUs is given. What is left is a
  bound for a QEMU that has been taken over.

Machines of version 1 have a tree for each controller, of version 2 one for all.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

OVERHEAD = 128 << 20
"""Bytes above a guest's memory."""

_PERIOD = 100_000
_CONTROLLERS = ("cpu", "cpuacct", "memory", "pids")
_PATIENCE, _PAUSE = 1.0, 0.02


@dataclass(frozen=True, slots=True)
class Trees:
    """Where cgroups are mounted: `v2` if the unified tree has the controllers, else `v1` by controller."""

    v2: Path | None = None
    v1: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """CPU nanoseconds since the process was started; bytes of memory, and of these what cannot be dropped at once."""

    cpu: int
    memory: int
    working_set: int


def mounted(mountinfo: str) -> Trees:
    """Reads the kernel's table of mounts, /proc/self/mountinfo."""
    unified: Path | None = None
    trees: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, about = left.split(), right.split()
        if len(fields) < 5 or len(about) < 3:
            continue
        if about[0] == "cgroup2":
            unified = unified or Path(fields[4])
        elif about[0] == "cgroup":
            trees.update({name: Path(fields[4]) for name in about[2].split(",") if name in _CONTROLLERS})
    if unified is not None and "memory" in _text(unified / "cgroup.controllers").split():
        return Trees(v2=unified)
    return Trees(v1=trees)


class Cgroup:
    """`parent` is the path of the pod's, as CRI has it; "" for none, then nothing is bounded or counted."""

    def __init__(self, trees: Trees, parent: str, name: str) -> None:
        self._v2 = trees.v2
        self._group = f"{parent.strip('/')}/{name}"
        found = {"": trees.v2} if trees.v2 is not None else dict(trees.v1)
        self._trees: dict[str, Path] = {each: tree for each, tree in found.items() if parent.strip("/")}

    def prepare(self, cpus: int, memory_mib: int) -> None:
        """Makes it anew, empty, with its bounds."""
        self.remove()
        for folder in self._folders():
            folder.mkdir(parents=True, exist_ok=True)
        self.bound(cpus, memory_mib)

    def bound(self, cpus: int, memory_mib: int) -> None:
        """Sets the bounds. EBUSY for memory below what is used."""
        memory, quota = (memory_mib << 20) + OVERHEAD, (cpus + 1) * _PERIOD
        if self._v2 is not None:
            self._set("", "memory.max", memory)
            self._set("", "cpu.max", f"{quota} {_PERIOD}")
            return
        self._set("memory", "memory.limit_in_bytes", memory)
        self._set("cpu", "cpu.cfs_period_us", _PERIOD)
        self._set("cpu", "cpu.cfs_quota_us", quota)

    def take(self, pid: int) -> None:
        """Puts a process into it, with all its threads."""
        for folder in self._folders():
            if folder.is_dir():
                _write(folder / "cgroup.procs", pid)

    def oom_kills(self) -> int:
        """How often the kernel has ended a process of it for want of memory."""
        file = "memory.oom_control" if self._v2 is None else "memory.events"
        return self._table("memory", file).get("oom_kill", 0)

    def usage(self) -> GroupUsage | None:
        """None where nothing is counted."""
        if self._v2 is not None:
            cpu = self._table("", "cpu.stat").get("usage_usec", 0) * 1000
            used, droppable = self._number("", "memory.current"), "inactive_file"
        else:
            cpu = self._number("cpuacct", "cpuacct.usage") or 0
            used, droppable = self._number("memory", "memory.usage_in_bytes"), "total_inactive_file"
        if used is None:
            return None
        return GroupUsage(cpu, used, max(0, used - self._table("memory", "memory.stat").get(droppable, 0)))

    def remove(self) -> None:
        """Once its process has ended; idempotent. What resists goes with the pod's."""
        deadline = time.monotonic() + _PATIENCE
        for folder in self._folders():
            while True:
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError as error:
                    if error.errno != errno.EBUSY or time.monotonic() > deadline:
                        break
                    time.sleep(_PAUSE)
                else:
                    break

    def _folders(self) -> list[Path]:
        return [tree / self._group for tree in dict.fromkeys(self._trees.values())]

    def _file(self, controller: str, name: str) -> Path | None:
        tree = self._trees.get("" if self._v2 is not None else controller)
        return None if tree is None else tree / self._group / name

    def _set(self, controller: str, name: str, value: int | str) -> None:
        """Nothing where the kernel lacks the controller."""
        path = self._file(controller, name)
        if path is not None and path.exists():
            _write(path, value)

    def _number(self, controller: str, name: str) -> int | None:
        path = self._file(controller, name)
        text = "" if path is None else _text(path).strip()
        return int(text) if text.isdigit() else None

    def _table(self, controller: str, name: str) -> dict[str, int]:
        path = self._file(controller, name)
        pairs = [] if path is None else [line.split() for line in _text(path).splitlines()]
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text()
    return ""


def _write(path: Path, value: int | str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, str(value).encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        # A control file's name says more than the number of the error.
        raise OSError(error.errno, f"cannot set to {value}: {error.strerror}", str(path)) from error
