"""CRI's statistics of containers and sandboxes."""

from __future__ import annotations

import asyncio
import time

from arktos.rpc import cri
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime import stats
from arktos.vmruntime.filters import container_stats_match, sandbox_stats_match
from arktos.vmruntime.machine import Machine
from arktos.vmruntime.machines import Machines
from arktos.vmruntime.messages import container, container_config, pod_sandbox
from arktos.vmruntime.records import SandboxRecord
from arktos.vmruntime.sandboxes import Sandboxes
from arktos.vmruntime.services import Implementation

_INTERFACE = "eth0"


class StatsService:
    """Figures are taken when they are asked for; the rate of processor use is since the question before."""

    def __init__(self, machines: Machines, sandboxes: Sandboxes) -> None:
        self._machines = machines
        self._sandboxes = sandboxes
        self._before: dict[str, tuple[int, int]] = {}

    def implementations(self) -> list[Implementation]:
        return [
            (cri.CONTAINER_STATS, self.of_container),
            (cri.LIST_CONTAINER_STATS, self.of_containers),
            (cri.POD_SANDBOX_STATS, self.of_sandbox),
            (cri.LIST_POD_SANDBOX_STATS, self.of_sandboxes),
        ]

    async def of_container(self, question: pb.ContainerStatsRequest) -> pb.ContainerStatsResponse:
        return pb.ContainerStatsResponse(stats=await self._container(self._machines.get(question.container_id)))

    async def of_containers(self, question: pb.ListContainerStatsRequest) -> pb.ListContainerStatsResponse:
        wanted = [
            machine for machine in self._machines if container_stats_match(question.filter, container(machine.record))
        ]
        return pb.ListContainerStatsResponse(stats=[await self._container(machine) for machine in wanted])

    async def of_sandbox(self, question: pb.PodSandboxStatsRequest) -> pb.PodSandboxStatsResponse:
        return pb.PodSandboxStatsResponse(stats=await self._sandbox(self._sandboxes.get(question.pod_sandbox_id)))

    async def of_sandboxes(self, question: pb.ListPodSandboxStatsRequest) -> pb.ListPodSandboxStatsResponse:
        wanted = [each for each in self._sandboxes if sandbox_stats_match(question.filter, pod_sandbox(each))]
        return pb.ListPodSandboxStatsResponse(stats=[await self._sandbox(each) for each in wanted])

    async def _container(self, machine: Machine) -> pb.ContainerStats:
        config = container_config(machine.record)
        pid = machine.process.pid if machine.process is not None else 0
        usage = await asyncio.to_thread(stats.of_process, pid) if pid else stats.Usage()
        group = await asyncio.to_thread(machine.cgroup.usage) if pid else None
        cpu = group.cpu if group is not None else usage.cpu
        used, files = await asyncio.to_thread(stats.occupied, machine.folder)
        now = time.time_ns()
        return pb.ContainerStats(
            attributes=pb.ContainerAttributes(
                id=machine.record.id, metadata=config.metadata, labels=config.labels, annotations=config.annotations
            ),
            cpu=pb.CpuUsage(
                timestamp=now,
                usage_core_nano_seconds=_count(cpu),
                usage_nano_cores=_count(self._rate(machine.record.id, cpu, now)),
            ),
            memory=pb.MemoryUsage(
                timestamp=now,
                working_set_bytes=_count(group.working_set if group is not None else usage.memory),
                usage_bytes=_count(group.memory if group is not None else usage.memory),
                rss_bytes=_count(usage.memory),
                page_faults=_count(usage.page_faults),
                major_page_faults=_count(usage.major_page_faults),
            ),
            writable_layer=pb.FilesystemUsage(
                timestamp=now,
                fs_id=pb.FilesystemIdentifier(mountpoint=str(self._machines.folder)),
                used_bytes=_count(used),
                inodes_used=_count(files),
            ),
        )

    def _rate(self, id: str, cpu: int, now: int) -> int:
        before = self._before.get(id)
        self._before = {each: it for each, it in self._before.items() if self._machines.find(each) is not None}
        self._before[id] = (cpu, now)
        if before is None or cpu < before[0] or now <= before[1]:
            return 0
        return (cpu - before[0]) * 1_000_000_000 // (now - before[1])

    async def _sandbox(self, record: SandboxRecord) -> pb.PodSandboxStats:
        sandbox = pod_sandbox(record)
        machines = self._machines.of_sandbox(record.id)
        containers = [await self._container(machine) for machine in machines]
        traffic = await asyncio.to_thread(stats.traffic, record.netns, _INTERFACE) if record.netns else stats.Traffic()
        now = time.time_ns()
        return pb.PodSandboxStats(
            attributes=pb.PodSandboxAttributes(
                id=record.id, metadata=sandbox.metadata, labels=sandbox.labels, annotations=sandbox.annotations
            ),
            linux=pb.LinuxPodSandboxStats(
                cpu=pb.CpuUsage(
                    timestamp=now,
                    usage_core_nano_seconds=_count(sum(each.cpu.usage_core_nano_seconds.value for each in containers)),
                    usage_nano_cores=_count(sum(each.cpu.usage_nano_cores.value for each in containers)),
                ),
                memory=pb.MemoryUsage(
                    timestamp=now,
                    working_set_bytes=_count(sum(each.memory.working_set_bytes.value for each in containers)),
                    usage_bytes=_count(sum(each.memory.usage_bytes.value for each in containers)),
                    rss_bytes=_count(sum(each.memory.rss_bytes.value for each in containers)),
                ),
                network=pb.NetworkUsage(timestamp=now, default_interface=_interface(traffic)),
                process=pb.ProcessUsage(
                    timestamp=now, process_count=_count(sum(machine.process is not None for machine in machines))
                ),
                containers=containers,
            ),
        )


def _interface(traffic: stats.Traffic) -> pb.NetworkInterfaceUsage:
    return pb.NetworkInterfaceUsage(
        name=_INTERFACE,
        rx_bytes=_count(traffic.received),
        rx_errors=_count(traffic.receive_errors),
        tx_bytes=_count(traffic.sent),
        tx_errors=_count(traffic.send_errors),
    )


def _count(number: int) -> pb.UInt64Value:
    return pb.UInt64Value(value=number)
