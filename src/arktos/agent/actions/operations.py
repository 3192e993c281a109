"""What each operation of an Action does to a machine. All may be repeated: what was done already is not done again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from arktos.agent.actions.journal import Begun
from arktos.agent.pods import podspec
from arktos.agent.runtimes import Runtime
from arktos.agent.vm.machine import Machine, Power
from arktos.agent.vm.observing import snapshots
from arktos.model.kinds import Obj
from arktos.rpc import vm
from arktos.rpc.method import RpcError
from arktos.rpc.protos import vm_pb2

WITHIN = 300.0
"""Seconds for one call besides what the guest is given; memory goes to disk in it."""
_REBOOT_GRACE = 60


class Refused(Exception):
    """The operation makes no sense for the machine as it is; the text says why."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One operation to be done: the machine, its runtime and pod, the parameters, and what was begun of it before, if
    this is the second try."""

    runtime: Runtime
    machine: Machine
    pod: Obj
    params: Obj
    begun: Begun | None


Result = dict[str, object]
Operate = Callable[[Deed], Awaitable[Result]]


async def reboot(deed: Deed) -> Result:
    """Asks the guest to restart; resets it where it doesn't in time. Raises Refused, RpcError."""
    if deed.begun is not None and deed.machine.reboots > deed.begun.reboots:
        return {"rebootSuccessful": True}
    if deed.machine.power is not Power.RUNNING:
        raise Refused(f"the virtual machine is not running, but {deed.machine.power.value}")
    question = vm_pb2.RebootRequest(id=deed.machine.id, grace_seconds=_REBOOT_GRACE)
    await deed.runtime.call(vm.REBOOT, question, within=WITHIN + _REBOOT_GRACE)
    return {"rebootSuccessful": True}


async def snapshot(deed: Deed) -> Result:
    """Keeps disk and, of a machine that runs, memory. Raises RpcError: ALREADY_EXISTS for a name in use."""
    name = str(deed.params.get("snapshotName") or "")
    if not name:
        raise Refused("snapshotAction.snapshotName is empty")
    if deed.begun is not None and name in {each["name"] for each in await snapshots(deed.runtime, deed.machine)}:
        return {"snapshotID": name}
    question = vm_pb2.CreateSnapshotRequest(id=deed.machine.id, name=name)
    await deed.runtime.call(vm.CREATE_SNAPSHOT, question, within=WITHIN)
    return {"snapshotID": name}


async def restore(deed: Deed) -> Result:
    """Takes the machine back. A second time changes nothing but what happened in between. Raises RpcError."""
    name = str(deed.params.get("snapshotID") or "")
    question = vm_pb2.RestoreSnapshotRequest(id=deed.machine.id, name=name)
    await deed.runtime.call(vm.RESTORE_SNAPSHOT, question, within=WITHIN)
    return {"restoreSuccessful": True}


def change_power(power: vm_pb2.Power, name: str) -> Operate:
    """An operation that brings a machine to a power state."""

    async def change(deed: Deed) -> Result:
        grace = 0
        if power == vm_pb2.STOPPED:
            stated = deed.params.get("gracePeriodSeconds")
            grace = podspec.grace(deed.pod) if stated is None else int(stated)
        question = vm_pb2.SetPowerRequest(id=deed.machine.id, power=power, grace_seconds=grace)
        await deed.runtime.call(vm.SET_POWER, question, within=WITHIN + grace)
        return {"powerState": name}

    return change


_start = change_power(vm_pb2.RUNNING, "running")

OPERATE: dict[str, Operate] = {
    "reboot": reboot,
    "snapshot": snapshot,
    "restore": restore,
    "start": _start,
    "resume": _start,
    "stop": change_power(vm_pb2.STOPPED, "shutdown"),
    "pause": change_power(vm_pb2.PAUSED, "paused"),
}

EVENTS: dict[str, tuple[str, str]] = {
    "reboot": ("Rebooted", "Rebooted virtual machine {name}"),
    "snapshot": ("SnapshotCreated", "Took a snapshot of virtual machine {name}"),
    "restore": ("SnapshotRestored", "Took virtual machine {name} back to a snapshot"),
    "start": ("Started", "Started virtual machine {name}"),
    "resume": ("Resumed", "Resumed virtual machine {name}"),
    "stop": ("Stopped", "Stopped virtual machine {name}"),
    "pause": ("Paused", "Paused virtual machine {name}"),
}


def worth_another_try(error: RpcError) -> bool:
    """Whether a call may succeed if nothing but time passes."""
    return error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
