"""The runtime as a whole: what it is made of, and its gRPC server."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import grpc.aio

from arktos.hostnet.cni import Cni
from arktos.rpc.method import OPTIONS, serve
from arktos.vmruntime.accelerator import groups
from arktos.vmruntime.life import Life
from arktos.vmruntime.machines import Machines
from arktos.vmruntime.operations import Operations
from arktos.vmruntime.records import MachineRecord, Records, SandboxRecord
from arktos.vmruntime.sandboxes import Sandboxes
from arktos.vmruntime.services.containers import ContainerService
from arktos.vmruntime.services.images import Images, ImageService
from arktos.vmruntime.services.machines import MachineService
from arktos.vmruntime.services.sandboxes import SandboxService
from arktos.vmruntime.services.stats import StatsService
from arktos.vmruntime.streaming import StreamingServer
from arktos.vmruntime.users import Users

_DRAIN = 10.0


class Runtime:
    """Use as an async context manager: what a former runtime left is adopted, then calls are served on the socket. On
    leaving, machines run on. Raises OSError for a folder or socket that cannot be had."""

    def __init__(
        self, data_dir: Path, socket: Path, images: Images, cni: Cni, *, users: Users, accelerator: str
    ) -> None:
        self._socket = socket
        self._images = images
        self._streaming = StreamingServer()
        self.operations = Operations()
        self.sandboxes = Sandboxes(Records(data_dir / "sandboxes", SandboxRecord), cni)
        self.life = Life(self.sandboxes, accelerator)
        machine_records = Records(data_dir / "machines", MachineRecord)
        self.machines = Machines(machine_records, self.sandboxes, self.life, users, groups(accelerator))
        self._services = (
            SandboxService(self.sandboxes, self.machines, self.life, self.operations, self._streaming, accelerator),
            ContainerService(self.machines, self.life, images, self.operations, self._streaming),
            ImageService(images, self.machines, self.operations, data_dir / "images"),
            StatsService(self.machines, self.sandboxes),
            MachineService(self.machines, self.sandboxes, self.life, self.operations),
        )
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.sandboxes.adopt()
        await self.machines.adopt()
        # Not before the machines are known: their images must not be taken for left-overs.
        await self._images.open()
        await self._streaming.__aenter__()
        self._server = grpc.aio.server(options=OPTIONS)
        for service in self._services:
            serve(self._server, service.implementations())
        await asyncio.to_thread(self._make_way)
        if not self._server.add_insecure_port(f"unix:{self._socket}"):
            raise OSError(f"cannot listen on {self._socket}")
        await self._server.start()
        await asyncio.to_thread(os.chmod, self._socket, 0o600)
        return self

    def _make_way(self) -> None:
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self._socket.unlink()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await self._server.stop(grace=0.5)
        await self.operations.drained(_DRAIN)
        await self._streaming.__aexit__(None, None, None)
        await self._images.aclose()
        await self.machines.let_go()
        self.sandboxes.close()
