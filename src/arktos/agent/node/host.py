"""What the host as a whole uses now: /proc and the root of its cgroups, version 1 or 2.

All functions read files and are to be called in a thread. They raise OSError where the kernel's own files cannot be
read. `root` is `/` but for tests.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from arktos.agent.node.machine import parse_meminfo

ROOT = Path("/")
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class HostMemory:
    """Bytes. `working_set` is what is used and cannot simply be dropped; `available` the rest of the capacity."""

    capacity: int
    usage: int
    working_set: int
    rss: int
    page_faults: int
    major_page_faults: int
    swap_used: int
    swap_free: int

    @property
    def available(self) -> int:
        return max(0, self.capacity - self.working_set)


class Interface(NamedTuple):
    """One network interface, counted since it was made."""

    name: str
    rx_bytes: int
    rx_errors: int
    tx_bytes: int
    tx_errors: int


def memory(root: Path = ROOT) -> HostMemory:
    """As kubelet counts it: usage of the root cgroup less its inactive file cache. Version 2 has no usage of the root;
    there it is what is not free."""
    info = parse_meminfo((root / "proc/meminfo").read_text())
    v1 = root / "sys/fs/cgroup/memory"
    inactive, usage = info["Inactive(file)"], info["MemTotal"] - info["MemFree"]
    stat = _numbers(v1 / "memory.stat") or _numbers(root / "sys/fs/cgroup/memory.stat")
    counted = _number(v1 / "memory.usage_in_bytes")
    if counted is not None:
        usage, inactive = counted, stat.get("total_inactive_file", 0)
    elif "inactive_file" in stat:
        inactive = stat["inactive_file"]
    return HostMemory(
        capacity=info["MemTotal"],
        usage=usage,
        working_set=max(0, usage - inactive),
        rss=stat.get("total_rss", stat.get("anon", info["AnonPages"])),
        page_faults=stat.get("total_pgfault", stat.get("pgfault", 0)),
        major_page_faults=stat.get("total_pgmajfault", stat.get("pgmajfault", 0)),
        swap_used=info["SwapTotal"] - info["SwapFree"],
        swap_free=info["SwapFree"],
    )


def cpu_nanoseconds(root: Path = ROOT) -> int:
    """CPU time of everything since boot: the root cgroup's, which is exact, or else the ticks of /proc/stat."""
    v1 = _number(root / "sys/fs/cgroup/cpuacct/cpuacct.usage")
    if v1 is None:
        v1 = _number(root / "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage")
    if v1 is not None:
        return v1
    microseconds = _numbers(root / "sys/fs/cgroup/cpu.stat").get("usage_usec")
    if microseconds is not None:
        return microseconds * 1000
    words = (root / "proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(word) for word in words[1:9])
    return (user + nice + system + irq + softirq + steal) * _TICK


def boot_time(root: Path = ROOT) -> float:
    """Seconds since the epoch."""
    for line in (root / "proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def processes(root: Path = ROOT) -> int:
    """Tasks, threads included: what process numbers are used up by."""
    running = (root / "proc/loadavg").read_text().split()[3]
    return int(running.partition("/")[2])


def pid_max(root: Path = ROOT) -> int:
    """How many tasks there can be."""
    found = [_number(root / "proc/sys/kernel" / name) for name in ("pid_max", "threads-max")]
    return min((value for value in found if value is not None), default=32768)


def interfaces(root: Path = ROOT) -> tuple[str, tuple[Interface, ...]]:
    """The interface of the default route ("" without one), and all but the loopback, of this network namespace."""
    default = ""
    for line in (root / "proc/net/route").read_text().splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == words[7] == "00000000":
            default = words[0]
            break
    found = []
    for line in (root / "proc/net/dev").read_text().splitlines()[2:]:
        name, _, rest = line.partition(":")
        words = rest.split()
        if name.strip() != "lo":
            found.append(Interface(name.strip(), int(words[0]), int(words[2]), int(words[8]), int(words[10])))
    return default, tuple(found)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _numbers(path: Path) -> dict[str, int]:
    try:
        text = path.read_text()
    except OSError:
        return {}
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
