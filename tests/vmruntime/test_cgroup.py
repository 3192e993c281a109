"""QEMU in the cgroup of its pod."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from arktos.rpc import cri
from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2 as vmpb
from arktos.vmruntime.cgroup import OVERHEAD, Cgroup, GroupUsage, Trees, mounted
from vmruntime.harness import RuntimeClient, RuntimeProcess

MIB = 1 << 20


def test_trees_of_both_versions(tmp_path: Path) -> None:
    v1 = "32 31 0:29 / /c/cpu,cpuacct rw - cgroup none rw,cpu,cpuacct\n33 31 0:30 / /c/m rw - cgroup none rw,memory\n"
    both = Path("/c/cpu,cpuacct")
    assert mounted(v1) == Trees(v1={"cpu": both, "cpuacct": both, "memory": Path("/c/m")})
    unified = f"41 31 0:38 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    assert mounted(unified + v1).v2 is None
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    assert mounted(unified + v1) == Trees(v2=tmp_path)


def test_version_2(tmp_path: Path) -> None:
    """With files in the kernel's place."""
    group = Cgroup(Trees(v2=tmp_path), "/arktos/kubepods/podu", "m")
    folder = tmp_path / "arktos/kubepods/podu/m"
    group.prepare(2, 256)
    for name, text in {
        "memory.max": "",
        "cpu.max": "",
        "cgroup.procs": "",
        "memory.current": "3000",
        "memory.stat": "anon 1000\ninactive_file 500\n",
        "cpu.stat": "usage_usec 7\n",
        "memory.events": "oom 2\noom_kill 1\n",
    }.items():
        (folder / name).write_text(text)
    group.bound(2, 256)
    group.take(77)
    assert (folder / "memory.max").read_text() == str(256 * MIB + OVERHEAD)
    assert (folder / "cpu.max").read_text() == "300000 100000"
    assert (folder / "cgroup.procs").read_text() == "77"
    assert group.usage() == GroupUsage(7000, 3000, 2500) and group.oom_kills() == 1


def test_without_cgroups_nothing_is_bounded(tmp_path: Path) -> None:
    for group in (Cgroup(Trees(v2=tmp_path), "", "m"), Cgroup(Trees(), "/pod", "m")):
        group.prepare(1, 64)
        group.take(1)
        assert (group.usage(), group.oom_kills(), list(tmp_path.iterdir())) == (None, 0, [])
        group.remove()


@pytest.fixture
def parent() -> Iterator[str]:
    """A pod's cgroup of the test's own, under version 1."""
    if not Path("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists():
        pytest.skip("needs the memory controller of cgroup v1")
    name = f"/vmtest-{secrets.token_hex(4)}"
    yield name
    for folder in Path("/sys/fs/cgroup").glob(f"*{name}"):
        for where, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):
                os.rmdir(where)


def number(path: Path) -> int | None:
    """What a control file holds; None where there is none."""
    return int(path.read_text()) if path.exists() else None


def of_process(pid: int) -> dict[str, str]:
    """The cgroups of a process, by controller."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {line.split(":")[1]: line.split(":")[2] for line in lines}


async def test_a_machine_is_bounded_counted_and_taken_up(
    runtime: RuntimeProcess, client: RuntimeClient, parent: str
) -> None:
    sandbox = await client.sandbox("a", linux=pb.LinuxPodSandboxConfig(cgroup_parent=parent))
    config = client.container_config()
    config.linux.resources.oom_score_adj = 321
    machine = await client.container(sandbox, config)
    await client.start(machine)
    pid, own = runtime.qemus()[machine], f"{parent}/{machine}"
    assert {of_process(pid)[name] for name in ("cpu", "cpuacct", "memory", "pids")} == {own}
    assert number(Path(f"/proc/{pid}/oom_score_adj")) == 321
    limit = Path(f"/sys/fs/cgroup/memory{own}/memory.limit_in_bytes")
    assert number(limit) == 192 * MIB + OVERHEAD
    assert number(Path(f"/sys/fs/cgroup/cpu{own}/cpu.cfs_quota_us")) in (None, 200_000)
    found = (await client(cri.CONTAINER_STATS, pb.ContainerStatsRequest(container_id=machine))).stats
    assert 8 * MIB < found.memory.working_set_bytes.value <= found.memory.usage_bytes.value
    assert found.cpu.usage_core_nano_seconds.value > 0

    runtime.kill()
    (Path("/sys/fs/cgroup/memory") / "cgroup.procs").write_text(str(pid))
    await runtime.start()
    assert of_process(pid)["memory"] == own

    await client.power(machine, vmpb.STOPPED)
    assert number(limit) is None


async def test_out_of_memory_is_said(runtime: RuntimeProcess, client: RuntimeClient, parent: str) -> None:
    sandbox = await client.sandbox("a", linux=pb.LinuxPodSandboxConfig(cgroup_parent=parent))
    machine = await client.container(sandbox)
    await client.start(machine)
    folder = Path(f"/sys/fs/cgroup/memory{parent}/{machine}")
    limit = folder / "memory.limit_in_bytes"
    limit.write_text(str((number(folder / "memory.usage_in_bytes") or 0) + 8 * MIB))
    crashed = await client.until_power(machine, vmpb.CRASHED, 120)
    assert (crashed.reason, crashed.exit_code) == ("OOMKilled", 137)
    assert "the kernel killed QEMU" in crashed.message
    assert number(limit) is None
    # Anew, with its own bounds; and noticed, too, by a runtime that was away.
    await client.start(machine)
    assert number(limit) == 192 * MIB + OVERHEAD
    runtime.kill()
    limit.write_text(str((number(folder / "memory.usage_in_bytes") or 0) + 8 * MIB))
    while machine in runtime.qemus():
        continue
    await runtime.start()
    assert (await client.machine(machine)).reason == "OOMKilled"
    assert number(limit) is None
