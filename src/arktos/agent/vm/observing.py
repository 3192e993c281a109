"""Asks a VM runtime what it has of a pod."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from arktos.agent.pods.observed import Container, Observed, Sandbox
from arktos.agent.pods.observing import container_of
from arktos.agent.runtimes import Runtime
from arktos.agent.spec import labels
from arktos.agent.vm.machine import Machine, from_message
from arktos.model import dates
from arktos.model.kinds import Obj
from arktos.rpc import cri, vm
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is of one pod: as CRI has it, the machine itself, and what resources it was given last."""

    observed: Observed
    machine: Machine | None
    resources: pb.LinuxContainerResources | None = None


async def look(runtime: Runtime, uid: str) -> Seen:
    """What the runtime has now. A machine keeps its id over its starts, so nothing of it is remembered. Raises
    RpcError."""
    mine = {labels.POD_UID: uid}
    sandboxes, containers, machines = await asyncio.gather(
        runtime.call(cri.LIST_POD_SANDBOX, pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(label_selector=mine))),
        runtime.call(cri.LIST_CONTAINERS, pb.ListContainersRequest(filter=pb.ContainerFilter(label_selector=mine))),
        runtime.call(vm.LIST, vm_pb2.ListRequest()),
    )
    found_sandboxes = await asyncio.gather(*(_sandbox(runtime, each.id) for each in sandboxes.items))
    found_containers = await asyncio.gather(*(_container(runtime, each) for each in containers.containers))
    rooms = sorted((each for each in found_sandboxes if each), key=lambda each: -each.attempt)
    seen = sorted((each for each in found_containers if each), key=lambda each: -each[0].created_at)
    told = {each.id: from_message(each) for each in machines.machines}
    observed = Observed(tuple(rooms), tuple(container for container, _ in seen))
    return Seen(observed, told.get(seen[0][0].id), seen[0][1]) if seen else Seen(observed, None)


async def _sandbox(runtime: Runtime, id: str) -> Sandbox | None:
    try:
        answer = await runtime.call(cri.POD_SANDBOX_STATUS, pb.PodSandboxStatusRequest(pod_sandbox_id=id))
    except RpcError as error:
        if error.code == "NOT_FOUND":
            return None
        raise
    status = answer.status
    ips = (status.network.ip, *(each.ip for each in status.network.additional_ips))
    return Sandbox(
        id,
        status.metadata.attempt,
        status.state == pb.SANDBOX_READY,
        status.created_at / _NANO,
        tuple(ip for ip in ips if ip),
    )


async def _container(runtime: Runtime, listed: pb.Container) -> tuple[Container, pb.LinuxContainerResources] | None:
    try:
        answer = await runtime.call(cri.CONTAINER_STATUS, pb.ContainerStatusRequest(container_id=listed.id))
    except RpcError as error:
        if error.code == "NOT_FOUND":
            return None
        raise
    return container_of(answer.status, listed), answer.status.resources.linux


async def snapshots(runtime: Runtime, machine: Machine) -> tuple[Obj, ...]:
    """The snapshots of a machine, as a pod's status has them, the eldest first. Raises RpcError."""
    answer = await runtime.call(vm.LIST_SNAPSHOTS, vm_pb2.ListSnapshotsRequest(id=machine.id))
    found = sorted(answer.snapshots, key=lambda each: each.created_at)
    return tuple(
        {
            "name": each.name,
            "creationTimestamp": dates.rfc3339(dates.from_unix(each.created_at // _NANO)),
            "memory": each.memory,
            "size": each.bytes,
        }
        for each in found
    )
