"""CRI's RuntimeService as far as it is of containers, each of which is a machine."""

from __future__ import annotations

import asyncio

from arktos.rpc import cri
from arktos.rpc.method import LARGEST_MESSAGE
from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime.errors import Invalid, WrongState
from arktos.vmruntime.filters import container_matches
from arktos.vmruntime.life import Life
from arktos.vmruntime.machine import Machine
from arktos.vmruntime.machines import Machines
from arktos.vmruntime.messages import container, container_status
from arktos.vmruntime.operations import Operations
from arktos.vmruntime.power import Power
from arktos.vmruntime.services import Implementation
from arktos.vmruntime.services.images import Images, base_image
from arktos.vmruntime.streaming import StreamingServer
from arktos.wire.remotecommand import Wanted

_LARGEST_OUTPUT = (LARGEST_MESSAGE - 4096) // 2


class ContainerService:
    def __init__(
        self, machines: Machines, life: Life, images: Images, operations: Operations, streaming: StreamingServer
    ) -> None:
        self._machines = machines
        self._life = life
        self._images = images
        self._operations = operations
        self._streaming = streaming

    def implementations(self) -> list[Implementation]:
        return [
            (cri.CREATE_CONTAINER, self.create),
            (cri.START_CONTAINER, self.start),
            (cri.STOP_CONTAINER, self.stop),
            (cri.REMOVE_CONTAINER, self.remove),
            (cri.LIST_CONTAINERS, self.list),
            (cri.CONTAINER_STATUS, self.status),
            (cri.UPDATE_CONTAINER_RESOURCES, self.update_resources),
            (cri.REOPEN_CONTAINER_LOG, self.reopen_log),
            (cri.EXEC_SYNC, self.exec_sync),
            (cri.EXEC, self.exec),
            (cri.ATTACH, self.attach),
        ]

    async def create(self, question: pb.CreateContainerRequest) -> pb.CreateContainerResponse:
        image = await base_image(self._images, question.config.image.image)
        id = await self._operations.finish(self._machines.create(question.pod_sandbox_id, question.config, image))
        return pb.CreateContainerResponse(container_id=id)

    async def start(self, question: pb.StartContainerRequest) -> pb.StartContainerResponse:
        """Also of one that has exited: the same disk boots again."""
        await self._operations.finish(self._life.start(self._machines.get(question.container_id)))
        return pb.StartContainerResponse()

    async def stop(self, question: pb.StopContainerRequest) -> pb.StopContainerResponse:
        machine = self._machines.find(question.container_id)
        if machine is not None:
            await self._operations.finish(self._life.stop(machine, question.timeout))
        return pb.StopContainerResponse()

    async def remove(self, question: pb.RemoveContainerRequest) -> pb.RemoveContainerResponse:
        await self._operations.finish(self._machines.remove(question.container_id))
        return pb.RemoveContainerResponse()

    async def list(self, question: pb.ListContainersRequest) -> pb.ListContainersResponse:
        found = (container(machine.record) for machine in self._machines)
        return pb.ListContainersResponse(
            containers=[each for each in found if container_matches(question.filter, each)]
        )

    async def status(self, question: pb.ContainerStatusRequest) -> pb.ContainerStatusResponse:
        machine = self._machines.get(question.container_id)
        log_path = str(self._machines.log_path(machine.record) or "")
        info = {"power": machine.power.value, "folder": str(machine.folder)}
        if machine.process is not None:
            info["pid"] = str(machine.process.pid)
        return pb.ContainerStatusResponse(
            status=container_status(machine.record, log_path), info=info if question.verbose else {}
        )

    async def update_resources(
        self, question: pb.UpdateContainerResourcesRequest
    ) -> pb.UpdateContainerResourcesResponse:
        """vCPUs and memory: of the process, where it can have them; in any case of the next."""
        machine = self._machines.get(question.container_id)
        await self._operations.finish(self._life.resize(machine, question.linux))
        return pb.UpdateContainerResourcesResponse()

    async def reopen_log(self, question: pb.ReopenContainerLogRequest) -> pb.ReopenContainerLogResponse:
        machine = self._running(question.container_id)
        await self._operations.finish(asyncio.to_thread(machine.log_file.reopen))
        return pb.ReopenContainerLogResponse()

    async def exec_sync(self, question: pb.ExecSyncRequest) -> pb.ExecSyncResponse:
        machine = self._running(question.container_id)
        outcome = await machine.agent.run(list(question.cmd), within=float(question.timeout))
        return pb.ExecSyncResponse(
            stdout=outcome.output[:_LARGEST_OUTPUT],
            stderr=outcome.errors[:_LARGEST_OUTPUT],
            exit_code=outcome.exit_code,
        )

    async def exec(self, question: pb.ExecRequest) -> pb.ExecResponse:
        machine = self._running(question.container_id)
        if not question.cmd:
            raise Invalid("cmd", "is required")
        wanted = Wanted(question.stdin, question.stdout, question.stderr, question.tty)
        return pb.ExecResponse(url=self._streaming.exec(machine, list(question.cmd), wanted))

    async def attach(self, question: pb.AttachRequest) -> pb.AttachResponse:
        machine = self._machines.get(question.container_id)
        wanted = Wanted(question.stdin, question.stdout, question.stderr, question.tty)
        return pb.AttachResponse(url=self._streaming.attach(machine, wanted))

    def _running(self, id: str) -> Machine:
        machine = self._machines.get(id)
        if machine.power is not Power.RUNNING:
            raise WrongState(f"the machine is {machine.power}, not running")
        return machine
