"""What the kernel's files say, with cgroups of version 1, of version 2, and without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from arktos.agent.node import host
from arktos.agent.node.machine import filesystem, read

MEMINFO = """MemTotal:        1000 kB
MemFree:          400 kB
Inactive(file):   100 kB
AnonPages:         50 kB
SwapTotal:         64 kB
SwapFree:          32 kB
HugePages_Total:     3
"""
STAT = "cpu  10 20 30 1000 5 1 2 3 0 0\ncpu0 1 1 1 1\nbtime 1700000000\n"
KIB = 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine without cgroups."""
    files = {
        "proc/meminfo": MEMINFO,
        "proc/stat": STAT,
        "proc/loadavg": "0.1 0.2 0.3 2/345 999\n",
        "proc/sys/kernel/pid_max": "4194304\n",
        "proc/sys/kernel/threads-max": "1000\n",
        "proc/net/route": "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU\n"
        "eth1 0000000A 00000000 1 0 0 0 000000FF 0\neth0 00000000 0100000A 3 0 0 0 00000000 0\n",
        "proc/net/dev": "Inter-|\n face |bytes\n"
        "    lo: 1 1 1 0 0 0 0 0 1 1 1 0 0 0 0 0\n  eth0: 100 9 7 0 0 0 0 0 200 8 6 0 0 0 0 0\n",
    }
    for name, text in files.items():
        write(tmp_path / name, text)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_cgroups(root: Path) -> None:
    memory = host.memory(root)
    assert (memory.capacity, memory.usage, memory.working_set) == (1000 * KIB, 600 * KIB, 500 * KIB)
    assert memory.available == 500 * KIB and (memory.swap_used, memory.swap_free) == (32 * KIB, 32 * KIB)
    assert host.cpu_nanoseconds(root) == 66 * 10_000_000
    assert host.boot_time(root) == 1_700_000_000
    assert host.processes(root) == 345 and host.pid_max(root) == 1000
    assert host.interfaces(root) == ("eth0", (host.Interface("eth0", 100, 7, 200, 6),))


def test_version_1(root: Path) -> None:
    write(root / "sys/fs/cgroup/memory/memory.usage_in_bytes", f"{300 * KIB}\n")
    write(root / "sys/fs/cgroup/memory/memory.stat", "total_rss 7\ntotal_inactive_file 1024\ntotal_pgfault 5\n")
    write(root / "sys/fs/cgroup/cpuacct/cpuacct.usage", "123456789\n")
    memory = host.memory(root)
    assert (memory.usage, memory.working_set, memory.rss, memory.page_faults) == (300 * KIB, 299 * KIB, 7, 5)
    assert host.cpu_nanoseconds(root) == 123456789


def test_version_2(root: Path) -> None:
    write(root / "sys/fs/cgroup/memory.stat", "anon 9\ninactive_file 2048\npgmajfault 4\n")
    write(root / "sys/fs/cgroup/cpu.stat", "usage_usec 1500\nuser_usec 1\n")
    memory = host.memory(root)
    assert (memory.usage, memory.working_set, memory.rss, memory.major_page_faults) == (600 * KIB, 598 * KIB, 9, 4)
    assert host.cpu_nanoseconds(root) == 1_500_000


def test_a_machine_of_files(root: Path) -> None:
    write(root / "sys/devices/system/cpu/online", "0-7\n")
    write(root / "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "16\n")
    write(root / "etc/machine-id", "abc\n")
    write(root / "etc/os-release", 'PRETTY_NAME="Some Linux"\n')
    write(root / "proc/sys/kernel/random/boot_id", "boot\n")
    machine = read(root)
    assert (machine.cpus, machine.memory, machine.hugepages) == (8, 1000 * KIB, {2048: 16})
    assert (machine.machine_id, machine.system_uuid, machine.boot_id) == ("abc", "abc", "boot")
    assert machine.os_image == "Some Linux" and machine.swap == 64 * KIB


def test_a_file_system(tmp_path: Path) -> None:
    found = filesystem(tmp_path)
    assert 0 < found.available <= found.capacity and found.used > 0
    assert found.device == tmp_path.stat().st_dev
    with pytest.raises(OSError):
        filesystem(tmp_path / "missing")
