"""Cgroups for real, and version 2 in a tree that looks like one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.spec.pods import container, pod, resources
from arktos.agent.cgroups.groups import Cgroups
from arktos.agent.cgroups.hierarchy import GroupUsage, Mounted, mounted

HOST = mounted(Path("/proc/self/mountinfo").read_text())
needs_cgroups = pytest.mark.skipif(
    os.geteuid() != 0 or not (HOST.v2 or "memory" in HOST.v1), reason="needs root and cgroups"
)


def described(uid: str, **limits: str) -> dict[str, Any]:
    return pod(container(**resources({"cpu": "100m"}, limits)), meta={"uid": uid})


@pytest.fixture
def real() -> Iterator[tuple[Cgroups, str]]:
    """Cgroups of the test's own, below a root that goes with it."""
    root = f"arktos-test-{uuid.uuid4().hex[:12]}"
    made = Cgroups(f"/{root}")
    yield made, root
    for tree in {HOST.v2, *HOST.v1.values()} - {None}:
        for where, _, _ in os.walk(tree / root, topdown=False):
            os.rmdir(where)


def control(root: str, group: str, v1: str, v2: str) -> str:
    """The content of a control file, in whichever version this machine has."""
    path = HOST.v2 / root / group / v2 if HOST.v2 else HOST.v1[v1.split(".")[0]] / root / group / v1
    return path.read_text().strip()


@needs_cgroups
async def test_a_pod_is_bounded_resized_and_removed(real: tuple[Cgroups, str]) -> None:
    groups, root = real
    await groups.set_up(milli_cpu=4000, memory=4 << 30)
    parent = await groups.create(described("u-1", cpu="500m", memory="64Mi"))
    assert parent == f"/{root}/kubepods/burstable/podu-1"
    group = "kubepods/burstable/podu-1"
    assert control(root, group, "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert control(root, group, "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert control(root, "kubepods", "memory.limit_in_bytes", "memory.max") == str(4 << 30)
    await groups.create(described("u-1", cpu="1", memory="128Mi"))
    assert control(root, group, "memory.limit_in_bytes", "memory.max") == str(128 << 20)
    assert control(root, group, "cpu.cfs_quota_us", "cpu.max").split()[0] == "100000"
    await groups.create(described("u-1"))
    assert control(root, group, "cpu.cfs_quota_us", "cpu.max").split()[0] in ("-1", "max")
    assert await groups.uids() == ["u-1"]
    await groups.create(described("u-9"))
    await groups.create(pod(meta={"uid": "u-8"}))
    await groups.create(pod(meta={"uid": "u-7"}))
    assert control(root, "kubepods/burstable", "cpu.shares", "cpu.weight") == ("8" if groups.v2 else "204")
    assert control(root, "kubepods/besteffort", "cpu.shares", "cpu.weight") == ("1" if groups.v2 else "2")
    for uid in ("u-7", "u-8", "u-9"):
        await groups.remove(uid)
    assert control(root, "kubepods/burstable", "cpu.shares", "cpu.weight") == ("4" if groups.v2 else "102")
    await groups.remove("u-1")
    await groups.remove("u-1")
    assert await groups.uids() == [] and await groups.usage("u-1") is None


WORK = "import sys,time; block = bytearray(20 << 20); print(1, flush=True); time.sleep(600)"


def enter(root: str, group: str) -> None:
    for tree in {HOST.v2} if HOST.v2 else set(HOST.v1.values()):
        procs = tree / root / group / "cgroup.procs"
        if procs.exists():
            procs.write_text("0")


@needs_cgroups
async def test_usage_is_counted_and_processes_go_with_the_pod(real: tuple[Cgroups, str]) -> None:
    groups, root = real
    await groups.create(described("u-2", memory="256Mi"))
    group = "kubepods/burstable/podu-2/inner"
    for tree in {HOST.v2} if HOST.v2 else set(HOST.v1.values()):
        if (tree / root / "kubepods" / "burstable" / "podu-2").is_dir():
            (tree / root / group).mkdir()
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", WORK], stdout=subprocess.PIPE, preexec_fn=lambda: enter(root, group)
    )
    assert process.stdout is not None and process.stdout.readline()
    usage = await groups.usage("u-2")
    assert usage is not None and usage.processes == 1
    assert usage.memory is not None and usage.working_set is not None and usage.cpu_nanoseconds is not None
    assert usage.memory >= usage.working_set >= 20 << 20 and usage.cpu_nanoseconds > 0
    total = await groups.total_usage()
    assert total is not None and total.memory is not None and total.memory >= 20 << 20
    with pytest.raises(OSError, match="below the current usage"):
        await groups.create(described("u-2", memory="1Mi"))
    await groups.remove("u-2")
    assert process.wait(10) == -9
    assert await groups.uids() == []


@needs_cgroups
async def test_who_still_has_processes(real: tuple[Cgroups, str]) -> None:
    cgroups, _ = real
    await cgroups.create(described("u1"))
    assert not await cgroups.occupied("u1", ["c1"])
    for folder in cgroups._folders("u1"):
        (folder / "c1").mkdir()
    child = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        for folder in cgroups._folders("u1"):
            (folder / "c1" / "cgroup.procs").write_text(str(child.pid))
        assert await cgroups.occupied("u1", ["c0", "c1"])
        assert not await cgroups.occupied("u1", ["c0"])
    finally:
        child.kill()
        await child.wait()
    assert not await cgroups.occupied("u1", ["c0", "c1"])
    await cgroups.remove("u1")


async def test_what_another_made_in_a_single_tree_goes_too(real: tuple[Cgroups, str]) -> None:
    """A runtime makes the pod's cgroup in every tree of version 1; a restart of ours must find it by any of them."""
    groups, root = real
    tree = HOST.v2 or HOST.v1.get("freezer") or HOST.v1["memory"]
    (tree / root / "kubepods" / "besteffort" / "podu-3" / "deep" / "er").mkdir(parents=True)
    assert await groups.uids() == ["u-3"]
    await groups.remove("u-3")
    assert await groups.uids() == []


class FakeTree:
    """A directory that looks like cgroup version 2; the kernel's files must be put there beforehand."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def group(self, path: str, **files: str) -> Path:
        folder = self.root / path
        folder.mkdir(parents=True, exist_ok=True)
        usual = {"cgroup.controllers": "cpuset cpu io memory pids", "cgroup.subtree_control": ""}
        for name, text in {**usual, **{name.replace("_", ".", 1): text for name, text in files.items()}}.items():
            (folder / name).write_text(text)
        return folder


async def test_version_2(tmp_path: Path) -> None:
    tree = FakeTree(tmp_path)
    for path in ("", "arktos", "arktos/kubepods"):
        tree.group(path)
    whole = tree.group("arktos/kubepods/burstable", cpu_weight="", memory_max="")
    folder = tree.group(
        "arktos/kubepods/burstable/podu-1",
        cpu_weight="",
        cpu_max="",
        cpu_stat="usage_usec 1500\nuser_usec 1000\n",
        memory_max="",
        memory_current="5000000",
        memory_stat="anon 1\ninactive_file 1000000\n",
        pids_max="",
        pids_current="3",
    )
    groups = Cgroups("/arktos", process_limit=100, found=Mounted(v2=tmp_path))
    assert groups.v2 and groups.available
    assert await groups.create(described("u-1", cpu="500m", memory="64Mi")) == "/arktos/kubepods/burstable/podu-1"
    read = {name: (folder / name).read_text() for name in ("cpu.weight", "cpu.max", "memory.max", "pids.max")}
    assert read == {"cpu.weight": "4", "cpu.max": "50000 100000", "memory.max": str(64 << 20), "pids.max": "100"}
    assert (whole / "cpu.weight").read_text() == "4"
    for above in ("", "arktos", "arktos/kubepods", "arktos/kubepods/burstable/podu-1"):
        assert (tmp_path / above / "cgroup.subtree_control").read_text() == "+cpu +cpuset +io +memory +pids"
    assert await groups.usage("u-1") == GroupUsage(1_500_000, 5_000_000, 4_000_000, 3)
    await groups.create(described("u-1"))
    assert (folder / "cpu.max").read_text() == "max 100000" and (folder / "memory.max").read_text() == "max"
    with pytest.raises(OSError, match="below the current usage"):
        await groups.create(described("u-1", memory="1Mi"))
    assert await groups.uids() == ["u-1"]


async def test_version_2_without_a_controller_says_so(tmp_path: Path) -> None:
    tree = FakeTree(tmp_path)
    for path in ("", "arktos", "arktos/kubepods", "arktos/kubepods/burstable", "arktos/kubepods/burstable/podu-1"):
        tree.group(path)
    groups = Cgroups("/arktos", found=Mounted(v2=tmp_path))
    with pytest.raises(FileNotFoundError, match=r"cannot set to 4.*cpu\.weight"):
        await groups.create(described("u-1"))


async def test_a_machine_without_cgroups_bounds_nothing() -> None:
    groups = Cgroups("/arktos", found=Mounted())
    assert not groups.available and await groups.create(described("u-1")) == ""
    await groups.set_up(milli_cpu=1, memory=1)
    await groups.remove("u-1")
    assert await groups.uids() == [] and await groups.usage("u-1") is None and await groups.total_usage() is None
