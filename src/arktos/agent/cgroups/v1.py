"""cgroup version 1: a tree for each controller, or for several mounted together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from arktos.agent.cgroups import files
from arktos.agent.cgroups.hierarchy import GroupUsage
from arktos.agent.cgroups.limits import Limits

_OURS = ("cpu", "cpuacct", "memory", "pids")
"""In the other trees the runtime makes the cgroups, where it needs them."""


class V1:
    """`trees` says where each controller is mounted. See `Hierarchy`."""

    def __init__(self, trees: Mapping[str, Path]) -> None:
        self._trees = trees

    def create(self, group: str) -> None:
        for controller in _OURS:
            if controller in self._trees:
                self._make(self._trees[controller], group, controller)

    def limit(self, group: str, limits: Limits) -> None:
        if "cpu" in self._trees:
            cpu = self._trees["cpu"] / group
            files.write(cpu / "cpu.shares", limits.cpu_shares)
            if (cpu / "cpu.cfs_quota_us").exists():
                files.write(cpu / "cpu.cfs_period_us", limits.cpu_period)
                files.write(cpu / "cpu.cfs_quota_us", limits.cpu_quota or -1)
        if "memory" in self._trees:
            memory = self._trees["memory"] / group
            files.refuse_below(files.number(memory / "memory.usage_in_bytes"), limits.memory, group)
            files.write(memory / "memory.limit_in_bytes", limits.memory or -1)
        if "pids" in self._trees:
            files.write(self._trees["pids"] / group / "pids.max", limits.processes or "max")

    def usage(self, group: str) -> GroupUsage:
        memory = self._trees.get("memory", Path("/nonexistent")) / group
        used = files.number(memory / "memory.usage_in_bytes")
        droppable = files.table(memory / "memory.stat").get("total_inactive_file", 0)
        return GroupUsage(
            self._number("cpuacct", group, "cpuacct.usage"),
            used,
            None if used is None else max(0, used - droppable),
            self._number("pids", group, "pids.current"),
        )

    def shares(self, group: str) -> int:
        return self._number("cpu", group, "cpu.shares") or 0

    def folders(self, group: str) -> list[Path]:
        return [tree / group for tree in dict.fromkeys(self._trees.values())]

    def _make(self, tree: Path, group: str, controller: str) -> None:
        for part in reversed([PurePosixPath(group), *PurePosixPath(group).parents][:-1]):
            folder = tree / part
            if folder.is_dir():
                continue
            folder.mkdir(exist_ok=True)
            hierarchical = folder / "memory.use_hierarchy"
            # Without it, before Linux 5.11, a pod's limit does not count what its containers use.
            if controller == "memory" and files.number(hierarchical) == 0:
                files.write(hierarchical, 1)

    def _number(self, controller: str, group: str, name: str) -> int | None:
        tree = self._trees.get(controller)
        return files.number(tree / group / name) if tree is not None else None
