"""What machines use: processor, memory, disk and network, from /proc and the file system. Blocks; call in a thread."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from arktos.hostnet import netns

_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process; nanoseconds of processor time, bytes, counts since its start."""

    cpu: int = 0
    memory: int = 0
    page_faults: int = 0
    major_page_faults: int = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of one interface, as the guest's network sees it."""

    received: int = 0
    receive_errors: int = 0
    sent: int = 0
    send_errors: int = 0


def of_process(pid: int) -> Usage:
    """Nothing for a process that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return Usage()
    return Usage((int(fields[11]) + int(fields[12])) * _TICK, int(fields[21]) * _PAGE, int(fields[7]), int(fields[9]))


def occupied(folder: Path) -> tuple[int, int]:
    """Bytes on disk, and how many files, of a folder and what is directly in the folders of it."""
    total, count = 0, 0
    for place in (folder, *(entry for entry in _entries(folder) if entry.is_dir())):
        for entry in _entries(place):
            try:
                found = entry.lstat()
            except FileNotFoundError:
                continue
            total += found.st_blocks * 512
            count += 1
    return total, count


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def traffic(netns_path: str, interface: str) -> Traffic:
    """Nothing where the namespace or the interface is gone."""
    try:
        text = netns.run_in(netns_path, Path("/proc/thread-self/net/dev").read_text)
    except OSError:
        return Traffic()
    for line in text.splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == interface:
            numbers = [int(each) for each in counters.split()]
            return Traffic(numbers[0], numbers[2], numbers[8], numbers[10])
    return Traffic()
