"""`arktos.vm.v1`: what CRI lacks for virtual machines."""

from __future__ import annotations

from collections.abc import AsyncIterator

from arktos.rpc import vm
from arktos.rpc.protos import vm_pb2 as pb
from arktos.vmruntime import snapshots
from arktos.vmruntime.disks import DiskSnapshot
from arktos.vmruntime.errors import Invalid, NotFound
from arktos.vmruntime.life import Life
from arktos.vmruntime.machine import Machine
from arktos.vmruntime.machines import Machines
from arktos.vmruntime.messages import sandbox_config, virtual_machine
from arktos.vmruntime.operations import Operations
from arktos.vmruntime.sandboxes import Sandboxes
from arktos.vmruntime.services import Implementation

_DEFAULT_GRACE = 30


class MachineService:
    def __init__(self, machines: Machines, sandboxes: Sandboxes, life: Life, operations: Operations) -> None:
        self._machines = machines
        self._sandboxes = sandboxes
        self._life = life
        self._operations = operations

    def implementations(self) -> list[Implementation]:
        return [
            (vm.LIST, self.list),
            (vm.WATCH, self.watch),
            (vm.SET_POWER, self.set_power),
            (vm.REBOOT, self.reboot),
            (vm.CREATE_SNAPSHOT, self.create_snapshot),
            (vm.RESTORE_SNAPSHOT, self.restore_snapshot),
            (vm.DELETE_SNAPSHOT, self.delete_snapshot),
            (vm.LIST_SNAPSHOTS, self.list_snapshots),
        ]

    async def list(self, question: pb.ListRequest) -> pb.ListResponse:
        return pb.ListResponse(machines=[self._message(machine) for machine in self._machines])

    async def watch(self, question: pb.WatchRequest) -> AsyncIterator[pb.WatchResponse]:
        with self._machines.changes.listening() as changes:
            for machine in self._machines:
                yield pb.WatchResponse(machine=self._message(machine))
            yield pb.WatchResponse(synced=True)
            while True:
                id = await changes.next()
                changed = self._machines.find(id)
                if changed is None:
                    yield pb.WatchResponse(removed=id)
                else:
                    yield pb.WatchResponse(machine=self._message(changed))

    async def set_power(self, question: pb.SetPowerRequest) -> pb.SetPowerResponse:
        machine = self._machines.get(question.id)
        if question.power == pb.RUNNING:
            work = self._life.start(machine)
        elif question.power == pb.PAUSED:
            work = self._life.pause(machine)
        elif question.power == pb.SUSPENDED:
            work = self._life.suspend(machine)
        elif question.power == pb.STOPPED:
            work = self._life.stop(machine, question.grace_seconds)
        else:
            raise Invalid("power", "must be RUNNING, PAUSED, SUSPENDED or STOPPED")
        await self._operations.finish(work)
        return pb.SetPowerResponse(machine=self._message(machine))

    async def reboot(self, question: pb.RebootRequest) -> pb.RebootResponse:
        machine = self._machines.get(question.id)
        grace = question.grace_seconds or _DEFAULT_GRACE
        await self._operations.finish(self._life.reboot(machine, hard=question.hard, grace=grace))
        return pb.RebootResponse()

    async def create_snapshot(self, question: pb.CreateSnapshotRequest) -> pb.CreateSnapshotResponse:
        machine = self._machines.get(question.id)
        made = await self._operations.finish(snapshots.create(machine, question.name))
        return pb.CreateSnapshotResponse(snapshot=_snapshot(made))

    async def restore_snapshot(self, question: pb.RestoreSnapshotRequest) -> pb.RestoreSnapshotResponse:
        machine = self._machines.get(question.id)
        await self._operations.finish(snapshots.restore(machine, self._life, question.name))
        return pb.RestoreSnapshotResponse()

    async def delete_snapshot(self, question: pb.DeleteSnapshotRequest) -> pb.DeleteSnapshotResponse:
        await self._operations.finish(snapshots.delete(self._machines.get(question.id), question.name))
        return pb.DeleteSnapshotResponse()

    async def list_snapshots(self, question: pb.ListSnapshotsRequest) -> pb.ListSnapshotsResponse:
        found = await snapshots.listed(self._machines.get(question.id))
        return pb.ListSnapshotsResponse(snapshots=[_snapshot(each) for each in found])

    def _message(self, machine: Machine) -> pb.VirtualMachine:
        record = machine.record
        try:
            uid = sandbox_config(self._sandboxes.get(record.sandbox_id)).metadata.uid
        except NotFound:
            uid = ""
        return virtual_machine(record, uid, machine.agent_present, machine.taken)


def _snapshot(found: DiskSnapshot) -> pb.Snapshot:
    return pb.Snapshot(
        name=found.name, created_at=found.created_at, memory=found.memory_bytes > 0, bytes=found.memory_bytes
    )
