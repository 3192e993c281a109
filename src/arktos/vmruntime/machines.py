"""All machines of the runtime: made, found, removed, adopted."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime import cgroup, cloudinit, disks, isofiles, processes, resources, stats, volumes
from arktos.vmruntime.cgroup import Cgroup
from arktos.vmruntime.changes import Changes
from arktos.vmruntime.errors import AlreadyExists, Invalid, NotFound
from arktos.vmruntime.life import Life
from arktos.vmruntime.machine import Host, Machine
from arktos.vmruntime.messages import as_json, container_config, sandbox_config
from arktos.vmruntime.power import ACTIVE
from arktos.vmruntime.processes import Process
from arktos.vmruntime.qemu_command import ROOT_DISK, SEED_DISK
from arktos.vmruntime.records import QEMU_FOLDER, MachineRecord, Records
from arktos.vmruntime.sandboxes import Sandboxes
from arktos.vmruntime.users import User, Users
from arktos.wire import logs

_log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BaseImage:
    """What a machine's disk is laid over."""

    id: str
    path: Path
    format: str
    virtual_size: int


class Machines:
    def __init__(
        self, records: Records[MachineRecord], sandboxes: Sandboxes, life: Life, users: Users, groups: list[int]
    ) -> None:
        self.changes = Changes()
        self._records = records
        self._sandboxes = sandboxes
        self._life = life
        self._users = users
        self._host = Host(records, users, groups, self.changes.tell)
        self._by_id: dict[str, Machine] = {}
        self._trees = cgroup.mounted(Path("/proc/self/mountinfo").read_text())

    @property
    def folder(self) -> Path:
        return self._records.folder

    async def usage(self) -> tuple[int, int]:
        """Bytes on disk and files of all machines."""
        found = [await asyncio.to_thread(stats.occupied, machine.folder) for machine in self]
        return sum(used for used, _ in found), sum(files for _, files in found)

    def __iter__(self) -> Iterator[Machine]:
        return iter(list(self._by_id.values()))

    def find(self, id: str) -> Machine | None:
        return self._by_id.get(id)

    def get(self, id: str) -> Machine:
        """Raises NotFound."""
        machine = self._by_id.get(id)
        if machine is None:
            raise NotFound("container", id)
        return machine

    def of_sandbox(self, id: str) -> list[Machine]:
        return [machine for machine in self if machine.record.sandbox_id == id]

    def using_image(self, id: str) -> list[Machine]:
        return [machine for machine in self if machine.record.image_id == id]

    async def create(self, sandbox_id: str, config: pb.ContainerConfig, image: BaseImage) -> str:
        """A machine with a disk of its own, not started. Raises Invalid, AlreadyExists, NotFound, WrongState, NoSpace,
        Failed; then nothing of it is left."""
        sandbox = sandbox_config(self._sandboxes.ready(sandbox_id))
        self._check_new(sandbox_id, config)
        data = cloudinit.parse(config.annotations.get(cloudinit.ANNOTATION, ""))
        if data.root_size and data.root_size < image.virtual_size:
            problem = f"is smaller than the image, which needs {image.virtual_size} bytes"
            raise Invalid(cloudinit.field("rootSize"), problem)
        await asyncio.to_thread(volumes.plan, config.mounts, data.boot_volume)
        hostname = sandbox.hostname or sandbox.metadata.name
        seed = cloudinit.files(data, hostname=hostname, instance_id=sandbox.metadata.uid or sandbox_id)
        id, uid = self._records.new_id(), self._users.claim()
        try:
            folder = self._records.path(id) / QEMU_FOLDER
            await self._make_disks(folder, self._users.user(uid), image, data.root_size, seed)
            record = MachineRecord(
                id=id,
                sandbox_id=sandbox_id,
                config=as_json(config),
                image_id=image.id,
                image_path=str(image.path),
                image_format=image.format,
                uid=uid,
                cpus=resources.cpus(config.linux.resources),
                memory_mib=resources.memory_mib(config.linux.resources),
                created_at=time.time_ns(),
            )
            await asyncio.to_thread(self._records.save, record)
            # It may have been stopped meanwhile.
            self._sandboxes.ready(sandbox_id)
        except BaseException:
            await asyncio.to_thread(self._records.remove, id)
            self._users.release(uid)
            raise
        self._by_id[id] = self._made(record)
        self.changes.tell(id)
        return id

    def _check_new(self, sandbox_id: str, config: pb.ContainerConfig) -> None:
        metadata = config.metadata
        if not metadata.name:
            raise Invalid("config.metadata.name", "is required")
        for other in self.of_sandbox(sandbox_id):
            its = container_config(other.record).metadata
            if (its.name, its.attempt) == (metadata.name, metadata.attempt):
                raise AlreadyExists(f"the sandbox has a container {metadata.name!r}, attempt {metadata.attempt}")

    async def _make_disks(self, folder: Path, user: User, image: BaseImage, size: int, seed: dict[str, bytes]) -> None:
        await asyncio.to_thread(folder.mkdir, mode=0o700)
        await disks.create_overlay(folder / ROOT_DISK, image.path, image.format, size)
        await asyncio.to_thread(isofiles.write, folder / SEED_DISK, "cidata", seed)

        def hand_over() -> None:
            for path in (folder, folder / ROOT_DISK, folder / SEED_DISK):
                os.chown(path, user.uid, user.gid)

        await asyncio.to_thread(hand_over)

    def log_path(self, record: MachineRecord) -> Path | None:
        """Where the machine's output is logged, None for nowhere."""
        config = container_config(record)
        folder = sandbox_config(self._sandboxes.get(record.sandbox_id)).log_directory
        return Path(folder, config.log_path) if folder and config.log_path else None

    def _made(self, record: MachineRecord) -> Machine:
        parent = sandbox_config(self._sandboxes.get(record.sandbox_id)).linux.cgroup_parent
        return Machine(self._host, record, self.log_path(record), Cgroup(self._trees, parent, record.id))

    async def remove(self, id: str) -> None:
        """Ends it if need be, and its disk, snapshots and kept memory with it. Idempotent."""
        machine = self._by_id.get(id)
        if machine is None:
            return
        await self._life.stop(machine, 0)
        async with machine.lock:
            await machine.end_process()
            machine.log_file.close()
            await asyncio.to_thread(self._records.remove, id)
            if self._by_id.pop(id, None) is not None:
                self._users.release(machine.record.uid)
        self.changes.tell(id)

    async def adopt(self) -> None:
        """All machines of a former runtime, and whatever QEMU runs below our folder without a record: that one ends."""
        records, broken = await asyncio.to_thread(self._records.load)
        running = await asyncio.to_thread(processes.running_below, self._records.folder)
        known = {record.sandbox_id for record in records} & {sandbox.id for sandbox in self._sandboxes}
        orphans = [record.id for record in records if record.sandbox_id not in known]
        for id in [*broken, *orphans]:
            await _end(running.pop(id, None))
            await asyncio.to_thread(self._records.remove, id)
        adopted = [self._made(record) for record in records if record.sandbox_id in known]
        self._by_id = {machine.record.id: machine for machine in adopted}
        for machine in adopted:
            self._users.hold(machine.record.uid)
        await asyncio.gather(*(self._adopt(machine, running.pop(machine.record.id, None)) for machine in adopted))
        for pid in running.values():
            await _end(pid)

    async def _adopt(self, machine: Machine, pid: int | None) -> None:
        try:
            await self._life.adopt(machine, pid)
        except Exception:
            # One machine that resists must not keep the others from their runtime.
            _log.exception("machine_not_adopted", id=machine.record.id)

    async def let_go(self) -> None:
        """The runtime ends, the machines run on."""
        for machine in self:
            await machine.let_go()

    def counts(self) -> dict[str, int]:
        """Machines by power state."""
        found: dict[str, int] = {}
        for machine in self:
            found[machine.power.value] = found.get(machine.power.value, 0) + 1
        return found

    def active(self) -> list[Machine]:
        return [machine for machine in self if machine.power in ACTIVE]


async def _end(pid: int | None) -> None:
    if pid is not None:
        process = Process(pid)
        process.kill()
        await process.ended.wait()
