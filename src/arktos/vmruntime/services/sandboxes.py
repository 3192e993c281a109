"""CRI's RuntimeService as far as it is of the runtime itself and of pod sandboxes."""

from __future__ import annotations

import asyncio
import importlib.metadata
import time

from arktos.rpc import cri
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime.errors import Invalid, NotFound, WrongState
from arktos.vmruntime.filters import sandbox_matches
from arktos.vmruntime.life import Life
from arktos.vmruntime.machines import Machines
from arktos.vmruntime.messages import container_status, pod_sandbox, pod_sandbox_status
from arktos.vmruntime.operations import Operations
from arktos.vmruntime.sandboxes import Sandboxes
from arktos.vmruntime.services import Implementation
from arktos.vmruntime.streaming import StreamingServer

RUNTIME_NAME = "arktos-vm"


class SandboxService:
    def __init__(
        self,
        sandboxes: Sandboxes,
        machines: Machines,
        life: Life,
        operations: Operations,
        streaming: StreamingServer,
        accelerator: str,
    ) -> None:
        self._sandboxes = sandboxes
        self._machines = machines
        self._life = life
        self._operations = operations
        self._streaming = streaming
        self._accelerator = accelerator

    def implementations(self) -> list[Implementation]:
        return [
            (cri.VERSION, self.version),
            (cri.STATUS, self.status),
            (cri.UPDATE_RUNTIME_CONFIG, self.update_runtime_config),
            (cri.RUN_POD_SANDBOX, self.run),
            (cri.STOP_POD_SANDBOX, self.stop),
            (cri.REMOVE_POD_SANDBOX, self.remove),
            (cri.POD_SANDBOX_STATUS, self.sandbox_status),
            (cri.LIST_POD_SANDBOX, self.list),
            (cri.PORT_FORWARD, self.port_forward),
        ]

    async def version(self, question: pb.VersionRequest) -> pb.VersionResponse:
        return pb.VersionResponse(
            version="0.1.0",
            runtime_name=RUNTIME_NAME,
            runtime_version=importlib.metadata.version("arktos"),
            runtime_api_version="v1",
        )

    async def status(self, question: pb.StatusRequest) -> pb.StatusResponse:
        problem = await asyncio.to_thread(self._sandboxes.network_problem)
        network = pb.RuntimeCondition(
            type="NetworkReady",
            status=not problem,
            reason="NetworkPluginNotReady" if problem else "",
            message=f"Network plugin returns error: {problem}" if problem else "",
        )
        runtime = pb.RuntimeCondition(type="RuntimeReady", status=True)
        info = {"accelerator": self._accelerator} if question.verbose else {}
        return pb.StatusResponse(status=pb.RuntimeStatus(conditions=[runtime, network]), info=info)

    async def update_runtime_config(self, question: pb.UpdateRuntimeConfigRequest) -> pb.UpdateRuntimeConfigResponse:
        """The pod CIDR is CNI's business."""
        return pb.UpdateRuntimeConfigResponse()

    async def run(self, question: pb.RunPodSandboxRequest) -> pb.RunPodSandboxResponse:
        if not question.config.metadata.name:
            raise Invalid("config.metadata.name", "is required")
        id = await self._operations.finish(self._sandboxes.run(question.config, question.runtime_handler))
        return pb.RunPodSandboxResponse(pod_sandbox_id=id)

    async def stop(self, question: pb.StopPodSandboxRequest) -> pb.StopPodSandboxResponse:
        await self._operations.finish(self._stop(question.pod_sandbox_id))
        return pb.StopPodSandboxResponse()

    async def _stop(self, id: str) -> None:
        try:
            await self._sandboxes.retire(id)
            for machine in self._machines.of_sandbox(id):
                await self._life.stop(machine, 0)
            await self._sandboxes.stop(id)
        except NotFound:
            return

    async def remove(self, question: pb.RemovePodSandboxRequest) -> pb.RemovePodSandboxResponse:
        await self._operations.finish(self._remove(question.pod_sandbox_id))
        return pb.RemovePodSandboxResponse()

    async def _remove(self, id: str) -> None:
        await self._stop(id)
        for machine in self._machines.of_sandbox(id):
            await self._machines.remove(machine.record.id)
        await self._sandboxes.remove(id)

    async def sandbox_status(self, question: pb.PodSandboxStatusRequest) -> pb.PodSandboxStatusResponse:
        record = self._sandboxes.get(question.pod_sandbox_id)
        info = {"netns": record.netns, "gateway": record.gateway, "address": record.address}
        return pb.PodSandboxStatusResponse(
            status=pod_sandbox_status(record),
            info=info if question.verbose else {},
            containers_statuses=[
                container_status(machine.record, str(self._machines.log_path(machine.record) or ""))
                for machine in self._machines.of_sandbox(record.id)
            ],
            timestamp=time.time_ns(),
        )

    async def list(self, question: pb.ListPodSandboxRequest) -> pb.ListPodSandboxResponse:
        found = map(pod_sandbox, self._sandboxes)
        return pb.ListPodSandboxResponse(items=[each for each in found if sandbox_matches(question.filter, each)])

    async def port_forward(self, question: pb.PortForwardRequest) -> pb.PortForwardResponse:
        record = self._sandboxes.ready(question.pod_sandbox_id)
        address = record.address.partition("/")[0]
        if not address:
            raise WrongState(f"pod sandbox {record.id!r} has no address")
        return pb.PortForwardResponse(url=self._streaming.port_forward(address))
