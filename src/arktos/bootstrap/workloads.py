"""Ending what runs on a node: every container and every virtual machine of its runtimes."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from arktos.agent.cgroups.groups import Cgroups
from arktos.agent.spec.labels import GRACE_PERIOD
from arktos.bootstrap.containerd import listens
from arktos.bootstrap.layout import Layout
from arktos.hostnet.cni import Cni
from arktos.rpc import cri
from arktos.rpc.method import Method, RpcError, call, connect
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime.records import Records, SandboxRecord
from arktos.vmruntime.sandboxes import Sandboxes

GRACE_SECONDS = 10
"""What a workload gets at most between being told to end and being killed."""

AT_ONCE = 16
_CALL_SECONDS = 60.0
_DETACH = 2


async def end_containers(layout: Layout) -> int:
    """Stops and removes all pods of containers; how many there were. Their objects stay, so that the next start brings
    them back; so do volumes and images. Raises RpcError."""
    if not listens(layout.containerd_socket):
        return 0
    async with _asking(layout.containerd_socket) as ask:
        await _stop_containers(ask)
        sandboxes = (await ask(cri.LIST_POD_SANDBOX, pb.ListPodSandboxRequest())).items

        async def remove(id: str) -> None:
            await ask(cri.STOP_POD_SANDBOX, pb.StopPodSandboxRequest(pod_sandbox_id=id))
            await ask(cri.REMOVE_POD_SANDBOX, pb.RemovePodSandboxRequest(pod_sandbox_id=id))

        await asyncio.gather(*(remove(sandbox.id) for sandbox in sandboxes))
    return len(sandboxes)


async def end_machines(layout: Layout) -> int:
    """Shuts down all machines; how many pods there were. Machines stay, and so do their disks. Raises RpcError."""
    if not listens(layout.vmruntime_socket):
        return 0
    async with _asking(layout.vmruntime_socket) as ask:
        await _stop_containers(ask)
        sandboxes = (await ask(cri.LIST_POD_SANDBOX, pb.ListPodSandboxRequest())).items
    return len(sandboxes)


async def clear(layout: Layout, cgroup_root: str) -> None:
    """Takes away what is left of ended pods: networks of machines (the VM runtime must have ended), cgroups, mounts.
    Raises OSError, RpcError."""
    cni = Cni(layout.cni_conf, [layout.cni_bin], cache_dir=layout.node / "vmruntime" / "cni")
    await Sandboxes(Records(layout.node / "vmruntime" / "sandboxes", SandboxRecord), cni).lose_all()
    await Cgroups(cgroup_root).dissolve()
    await asyncio.to_thread(_unmount_below, layout.node / "agent")


@asynccontextmanager
async def _asking(socket: Path) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Calls to a runtime, so many at once."""
    channel = connect(str(socket))
    slots = asyncio.Semaphore(AT_ONCE)

    async def ask(method: Method[Any, Any], question: Any, more: float = 0.0) -> Any:
        async with slots:
            return await call(channel, method, question, within=_CALL_SECONDS + more)

    try:
        yield ask
    finally:
        await channel.close()


async def _stop_containers(ask: Callable[..., Awaitable[Any]]) -> None:
    async def stop(container: pb.Container) -> None:
        grace = _grace(container)
        try:
            await ask(cri.STOP_CONTAINER, pb.StopContainerRequest(container_id=container.id, timeout=grace), grace)
        except RpcError as error:
            if error.code != "NOT_FOUND":
                raise

    found = (await ask(cri.LIST_CONTAINERS, pb.ListContainersRequest())).containers
    await asyncio.gather(*(stop(each) for each in found if each.state == pb.ContainerState.CONTAINER_RUNNING))


def _grace(container: pb.Container) -> int:
    """What a pod asks for itself, within bounds."""
    try:
        return max(0, min(GRACE_SECONDS, int(container.annotations[GRACE_PERIOD])))
    except (KeyError, ValueError):
        return GRACE_SECONDS


def _unmount_below(folder: Path) -> None:
    """Detaches what volumes have mounted; the deepest first."""
    libc = ctypes.CDLL(None, use_errno=True)
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((p for p in points if p.startswith(f"{folder}{os.sep}")), key=len, reverse=True):
        libc.umount2(point.encode().decode("unicode_escape").encode(), _DETACH)
