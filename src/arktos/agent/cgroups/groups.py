"""The cgroups of this node's pods."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
import time
from collections.abc import Collection
from pathlib import Path

from arktos.agent.cgroups import files, placing
from arktos.agent.cgroups.hierarchy import GroupUsage, Hierarchy, Mounted, mounted
from arktos.agent.cgroups.limits import Limits, pod_limits
from arktos.agent.cgroups.v1 import V1
from arktos.agent.cgroups.v2 import V2
from arktos.agent.spec.resources import shares
from arktos.model.kinds import Obj
from arktos.model.qos import BEST_EFFORT, BURSTABLE, GUARANTEED

_PATIENCE = 5.0
"""Seconds that the last processes of a pod, killed, are waited for."""
_PAUSE = 0.02
_MOUNTINFO = Path("/proc/self/mountinfo")


def hierarchy_of(found: Mounted) -> Hierarchy | None:
    """The dialect to speak; None on a machine without cgroups for memory and CPU."""
    if found.v2 is not None:
        return V2(found.v2)
    if "memory" in found.v1 and "cpu" in found.v1:
        return V1(found.v1)
    return None


class Cgroups:
    """`root` is the cgroup below which all of this node's are, `/arktos`; two nodes on one machine need two.
    `process_limit` is for each pod, 0 for none.

    Everything raises OSError. On a machine without cgroups pods have none, and nothing is limited.
    """

    def __init__(self, root: str, *, process_limit: int = 0, found: Mounted | None = None) -> None:
        """`found` is what `hierarchy.mounted` gives, by default for this machine as it is now. OSError."""
        self._root = root
        self._process_limit = process_limit
        self._mounted = found if found is not None else mounted(_MOUNTINFO.read_text())
        self._hierarchy = hierarchy_of(self._mounted)
        self._balancing = threading.Lock()

    @property
    def v2(self) -> bool:
        """Whether the unified tree (version 2) is used."""
        return self._mounted.v2 is not None

    @property
    def available(self) -> bool:
        """Whether pods have cgroups at all."""
        return self._hierarchy is not None

    async def set_up(self, *, milli_cpu: int, memory: int) -> None:
        """Bounds all pods together by what the node has to give: CPU in thousandths, memory in bytes (0 for no bound).
        Without it nothing bounds them together."""
        await asyncio.to_thread(self._set_up, milli_cpu, memory)

    async def create(self, pod: Obj) -> str:
        """Makes a pod's cgroup, if need be, and sets its limits to what the pod's document says. Gives the path that a
        runtime wants as the sandbox's parent, "" where there are none."""
        if self._hierarchy is None:
            return ""
        group = placing.pod_group(self._root, placing.pod_class(pod), pod["metadata"]["uid"])
        await asyncio.to_thread(self._create, self._hierarchy, group, pod_limits(pod, self._process_limit))
        return f"/{group}"

    async def remove(self, uid: str) -> None:
        """Kills what still runs in a pod's cgroup, and removes it. Idempotent."""
        await asyncio.to_thread(self._remove, uid)

    async def dissolve(self) -> None:
        """Kills what runs in any pod's cgroup, and removes all that there is. Idempotent."""
        await asyncio.to_thread(self._dissolve)

    async def occupied(self, uid: str, inner: Collection[str]) -> bool:
        """Whether processes are in one of these cgroups within a pod's, which runtimes name by their containers. True
        where there are no cgroups: nobody knows then."""
        return await asyncio.to_thread(self._occupied, uid, inner)

    async def uids(self) -> list[str]:
        """The pods that have a cgroup in some tree, known or not."""
        return await asyncio.to_thread(self._uids)

    async def usage(self, uid: str) -> GroupUsage | None:
        """What a pod has used; None for one without a cgroup."""
        return await asyncio.to_thread(self._usage, uid)

    async def total_usage(self) -> GroupUsage | None:
        """What all pods together have used; None where there are no cgroups."""
        if self._hierarchy is None:
            return None
        return await asyncio.to_thread(self._hierarchy.usage, placing.class_group(self._root, GUARANTEED))

    def _set_up(self, milli_cpu: int, memory: int) -> None:
        if self._hierarchy is None:
            return
        group, top = placing.class_group(self._root, GUARANTEED), self._root.strip("/")
        self._hierarchy.create(group)
        self._hierarchy.limit(group, Limits(shares(milli_cpu), memory=memory))
        if top:
            # Between the machine's other processes and the pods: with the usual weight all pods together would get
            # what one of these gets.
            self._hierarchy.limit(top, Limits(shares(milli_cpu)))

    def _create(self, hierarchy: Hierarchy, group: str, limits: Limits) -> None:
        hierarchy.create(group)
        hierarchy.limit(group, limits)
        self._balance(hierarchy)

    def _balance(self, hierarchy: Hierarchy) -> None:
        """Gives the burstable pods together the CPU weight that each of them has, those of best effort the least.

        By what the kernel has, so that nothing needs to be remembered."""
        with self._balancing:
            for qos in (BURSTABLE, BEST_EFFORT):
                group = placing.class_group(self._root, qos)
                folders = [folder for folder in hierarchy.folders(group) if folder.is_dir()]
                if folders:
                    pods = {uid for folder in folders for uid in _pods_in(folder)} if qos == BURSTABLE else ()
                    total = sum(hierarchy.shares(placing.pod_group(self._root, qos, uid)) for uid in pods)
                    hierarchy.create(group)
                    hierarchy.limit(group, Limits(max(total, shares(0))))

    def _folders(self, uid: str) -> list[Path]:
        """Where a pod's cgroup is, in whatever class and tree."""
        if self._hierarchy is None:
            return []
        groups = [placing.pod_group(self._root, qos, uid) for qos in (GUARANTEED, BURSTABLE, BEST_EFFORT)]
        return [folder for group in groups for folder in self._hierarchy.folders(group) if folder.is_dir()]

    def _remove(self, uid: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            left = [folder for folder in self._folders(uid) if not _removed(folder)]
            if not left:
                if self._hierarchy is not None:
                    self._balance(self._hierarchy)
                return
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, f"processes of pod {uid} do not end", str(left[0]))
            for folder in left:
                _kill_all(folder)
            time.sleep(_PAUSE)

    def _dissolve(self) -> None:
        for uid in self._uids():
            self._remove(uid)
        if self._hierarchy is not None:
            for group in filter(None, (placing.class_group(self._root, GUARANTEED), self._root.strip("/"))):
                for folder in self._hierarchy.folders(group):
                    _removed(folder)

    def _occupied(self, uid: str, inner: Collection[str]) -> bool:
        if self._hierarchy is None:
            return True
        return any(_has_processes(folder / name) for folder in self._folders(uid) for name in inner)

    def _uids(self) -> list[str]:
        found: set[str] = set()
        if self._hierarchy is not None:
            for group in placing.class_groups(self._root):
                for folder in self._hierarchy.folders(group):
                    found.update(_pods_in(folder))
        return sorted(found)

    def _usage(self, uid: str) -> GroupUsage | None:
        if self._hierarchy is not None:
            for qos in (GUARANTEED, BURSTABLE, BEST_EFFORT):
                group = placing.pod_group(self._root, qos, uid)
                if any(folder.is_dir() for folder in self._hierarchy.folders(group)):
                    return self._hierarchy.usage(group)
        return None


def _pods_in(folder: Path) -> list[str]:
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return [name.removeprefix(placing.PREFIX) for name in names if name.startswith(placing.PREFIX)]


def _removed(folder: Path) -> bool:
    """Removes a cgroup and those in it; whether they are gone. Those that hold processes stay."""
    for where, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(where)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
    return not folder.is_dir()


def _has_processes(folder: Path) -> bool:
    for where, _, _ in os.walk(folder):
        try:
            if (Path(where) / "cgroup.procs").read_text():
                return True
        except FileNotFoundError:
            continue
    return False


def _kill_all(folder: Path) -> None:
    for where, _, _ in os.walk(folder):
        whole = Path(where) / "cgroup.kill"
        if whole.exists():
            files.write(whole, 1)
            return
        try:
            lines = (Path(where) / "cgroup.procs").read_text().split()
        except OSError:
            continue
        for pid in lines:
            # 0 is a process of another pid namespace, which cannot be named from here.
            if pid != "0":
                _kill(int(pid))


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
