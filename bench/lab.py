"""What the benchmarks of a node have in common: a whole node in a network namespace, and looks at its processes.

Nodes are made as the system tests make theirs. Importing this takes the tests' folders onto the path.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).resolve().parent.parent / "tests"
# Not this folder, where a module has the name of the tests' package.
sys.path = [str(_TESTS), *(each for each in sys.path if Path(each).resolve() != Path(__file__).resolve().parent)]

from conftest import System  # noqa: E402
from system.node import conftest as nodes  # noqa: E402

_LOUD = """#!/bin/sh
exec {real} "$@" --log-level=info
"""


@contextmanager
def node() -> Iterator[Any]:
    """A node, up, whose containerd logs what it is asked. Gone afterwards with all that ran on it."""
    with tempfile.TemporaryDirectory(prefix="arktos-bench-") as name:
        folder = Path(name)
        wrapper = folder / "bin" / "containerd"
        wrapper.parent.mkdir()
        wrapper.write_text(_LOUD.format(real="/usr/bin/containerd"))
        wrapper.chmod(0o755)
        os.environ["PATH"] = f"{wrapper.parent}:{os.environ['PATH']}"
        with nodes.node(System, folder) as system:
            yield system


@dataclass(frozen=True, slots=True)
class Use:
    """What a process has used: processor seconds since its start, bytes resident."""

    seconds: float
    resident: int


def used(pid: int) -> Use:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    return Use((int(fields[11]) + int(fields[12])) / tick, int(fields[21]) * page)


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def milliseconds(values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and worst of times in seconds."""
    return {name: round(percentile(values, at) * 1e3, 1) for name, at in (("p50", 50), ("p99", 99), ("max", 100))}


def guest_overhead(pid: int, memory_mib: int) -> float:
    """MiB that are resident and not the guest's memory, which is one mapping of exactly its size."""
    total = guest = size = 0
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Size":
            size = int(value.split()[0])
        elif name == "Rss":
            resident = int(value.split()[0])
            total += resident
            guest += resident if size == memory_mib * 1024 else 0
    assert guest, "the guest's memory was not found"
    return round((total - guest) / 1024, 1)
