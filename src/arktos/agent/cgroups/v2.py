"""cgroup version 2: one tree, with controllers handed down from each cgroup to those in it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from arktos.agent.cgroups import files
from arktos.agent.cgroups.hierarchy import GroupUsage
from arktos.agent.cgroups.limits import Limits
from arktos.agent.spec.resources import shares_of, weight

_WANTED = ("cpu", "cpuset", "hugetlb", "io", "memory", "pids")


class V2:
    """`root` is where the tree is mounted. See `Hierarchy`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self, group: str) -> None:
        above = self._root
        for part in PurePosixPath(group).parts:
            self._hand_down(above)
            above = above / part
            above.mkdir(exist_ok=True)
        # What the runtime makes in it needs them too.
        self._hand_down(above)

    def limit(self, group: str, limits: Limits) -> None:
        folder = self._root / group
        files.write(folder / "cpu.weight", weight(limits.cpu_shares))
        if (folder / "cpu.max").exists():
            files.write(folder / "cpu.max", f"{limits.cpu_quota or 'max'} {limits.cpu_period}")
        files.refuse_below(files.number(folder / "memory.current"), limits.memory, group)
        files.write(folder / "memory.max", limits.memory or "max")
        if (folder / "pids.max").exists():
            files.write(folder / "pids.max", limits.processes or "max")

    def usage(self, group: str) -> GroupUsage:
        folder = self._root / group
        spent, used = files.table(folder / "cpu.stat").get("usage_usec"), files.number(folder / "memory.current")
        droppable = files.table(folder / "memory.stat").get("inactive_file", 0)
        return GroupUsage(
            None if spent is None else spent * 1000,
            used,
            None if used is None else max(0, used - droppable),
            files.number(folder / "pids.current"),
        )

    def shares(self, group: str) -> int:
        found = files.number(self._root / group / "cpu.weight")
        return shares_of(found) if found is not None else 0

    def folders(self, group: str) -> list[Path]:
        return [self._root / group]

    def _hand_down(self, folder: Path) -> None:
        offered = (folder / "cgroup.controllers").read_text().split()
        given = (folder / "cgroup.subtree_control").read_text().split()
        missing = [f"+{name}" for name in _WANTED if name in offered and name not in given]
        if missing:
            files.write(folder / "cgroup.subtree_control", " ".join(missing))
