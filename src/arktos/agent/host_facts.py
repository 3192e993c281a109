"""What the agent finds out about its machine for the sake of pods, once at its start."""

from __future__ import annotations

import re
from pathlib import Path

from arktos.agent.spec.dns import parse_resolv_conf
from arktos.agent.spec.facts import NodeFacts

_CAP_SYS_RESOURCE = 24
_HUGE = re.compile(r"hugepages-(\d+)kB\Z")
_UNITS = (("Gi", 1 << 20), ("Mi", 1 << 10), ("Ki", 1))


def read(
    name: str,
    ips: tuple[str, ...],
    *,
    cluster_dns: tuple[str, ...],
    cluster_domain: str,
    resolv_conf: Path,
    seccomp_root: Path,
    cgroup_v2: bool,
) -> NodeFacts:
    """The facts, `allocatable` apart. Reads files: call it in a thread. What cannot be read is taken as not there."""
    meminfo = re.search(r"^MemTotal:\s+(\d+) kB", _text(Path("/proc/meminfo")), re.MULTILINE)
    return NodeFacts(
        name,
        ips,
        cluster_dns,
        cluster_domain,
        parse_resolv_conf(_text(resolv_conf)),
        memory_capacity=int(meminfo[1]) * 1024 if meminfo else 0,
        lowest_oom_score_adj=lowest_oom_score_adj(_text(Path("/proc/self/status")), _text(_OWN_SCORE)),
        cgroup_v2=cgroup_v2,
        huge_page_sizes=huge_page_sizes(_names(Path("/sys/kernel/mm/hugepages"))),
        seccomp_root=str(seccomp_root),
        apparmor=_text(Path("/sys/module/apparmor/parameters/enabled")).strip() == "Y",
    )


_OWN_SCORE = Path("/proc/self/oom_score_adj")


def lowest_oom_score_adj(status: str, own: str) -> int:
    """The lowest score that this process may give: its own, unless it has CAP_SYS_RESOURCE."""
    found = re.search(r"^CapEff:\s+([0-9a-f]+)", status, re.MULTILINE)
    if found and int(found[1], 16) >> _CAP_SYS_RESOURCE & 1:
        return -1000
    return int(own.strip() or 0)


def huge_page_sizes(names: list[str]) -> tuple[str, ...]:
    """Page sizes as resources name them, from the kernel's names (`hugepages-2048kB`)."""
    sizes = sorted(int(found[1]) for found in map(_HUGE.match, names) if found)
    return tuple(_shown(size) for size in sizes)


def _shown(kib: int) -> str:
    unit, factor = next((unit, factor) for unit, factor in _UNITS if kib % factor == 0)
    return f"{kib // factor}{unit}"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _names(path: Path) -> list[str]:
    try:
        return [each.name for each in path.iterdir()]
    except OSError:
        return []
