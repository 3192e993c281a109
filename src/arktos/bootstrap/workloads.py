"""Ending what runs on a node: every container and every virtual machine of its runtimes."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path

from arktos.agent.cgroups.groups import Cgroups
from arktos.agent.spec.labels import GRACE_PERIOD
from arktos.bootstrap.containerd import listens
from arktos.bootstrap.layout import Layout
from arktos.rpc import cri
from arktos.rpc.method import RpcError, call, connect
from arktos.rpc.protos import cri_pb2 as pb

GRACE_SECONDS = 10
"""What a workload gets at most between being told to end and being killed."""

AT_ONCE = 16
_CALL_SECONDS = 60.0
_DETACH = 2


async def end_all(layout: Layout, cgroup_root: str) -> int:
    """Stops and removes all pods of the runtimes that answer; how many there were. Their objects stay, so that the
    next start brings them back; so do volumes and images. Raises RpcError, OSError."""
    found = 0
    for socket in (layout.containerd_socket, layout.vmruntime_socket):
        if listens(socket):
            found += await _end_all_of(socket)
    await Cgroups(cgroup_root).dissolve()
    await asyncio.to_thread(_unmount_below, layout.node / "agent")
    return found


async def _end_all_of(socket: Path) -> int:
    channel = connect(str(socket))
    slots = asyncio.Semaphore(AT_ONCE)
    try:
        everything = pb.ListContainersRequest()
        containers = (await call(channel, cri.LIST_CONTAINERS, everything, within=_CALL_SECONDS)).containers
        sandboxes = (await call(channel, cri.LIST_POD_SANDBOX, pb.ListPodSandboxRequest(), within=_CALL_SECONDS)).items

        async def stop(container: pb.Container) -> None:
            async with slots:
                asked = pb.StopContainerRequest(container_id=container.id, timeout=_grace(container))
                try:
                    await call(channel, cri.STOP_CONTAINER, asked, within=GRACE_SECONDS + _CALL_SECONDS)
                except RpcError as error:
                    if error.code != "NOT_FOUND":
                        raise

        async def remove(sandbox_id: str) -> None:
            async with slots:
                stopping = pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
                await call(channel, cri.STOP_POD_SANDBOX, stopping, within=_CALL_SECONDS)
                removing = pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
                await call(channel, cri.REMOVE_POD_SANDBOX, removing, within=_CALL_SECONDS)

        running = [each for each in containers if each.state == pb.ContainerState.CONTAINER_RUNNING]
        await asyncio.gather(*map(stop, running))
        await asyncio.gather(*(remove(sandbox.id) for sandbox in sandboxes))
        return len(sandboxes)
    finally:
        await channel.close()


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
