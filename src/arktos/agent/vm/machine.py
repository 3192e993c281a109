"""What a VM runtime says of a machine, and what its pod wants of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from arktos.model.kinds import Obj
from arktos.rpc.protos import vm_pb2

GUEST_SHUTDOWN = "GuestShutdown"
"""The reason of a machine that stopped because its guest powered it off."""

_NANO = 1_000_000_000


class Power(Enum):
    """The states of `arktos.vm.v1`; NONE is a machine that does not exist."""

    NONE = "none"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    CRASHED = "crashed"


class Want(Enum):
    """`spec.virtualMachine.powerSpec`."""

    RUNNING = "Running"
    PAUSED = "Paused"
    SUSPENDED = "Suspended"
    SHUTDOWN = "Shutdown"


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine. `changed_at`, in seconds after the epoch, is when it took on its power state; `starts` counts its
    processes, `reboots` its resets. `cpus` and `memory`, in bytes, are what its process has, 0 without one;
    `resize_pending` says why that is not yet what it was given last."""

    id: str
    power: Power
    reason: str = ""
    message: str = ""
    changed_at: float = 0.0
    starts: int = 0
    reboots: int = 0
    cpus: int = 0
    memory: int = 0
    resize_pending: str = ""


def from_message(told: vm_pb2.VirtualMachine) -> Machine:
    """What the runtime told."""
    name = vm_pb2.Power.Name(told.power).lower()
    power = Power(name) if name in {each.value for each in Power} else Power.CREATED
    return Machine(
        told.id,
        power,
        told.reason,
        told.message,
        told.changed_at / _NANO,
        told.starts,
        told.reboots,
        told.cpus,
        told.memory_bytes,
        told.resize_pending,
    )


def wanted(pod: Obj) -> Want:
    """What a pod wants; an unknown word, which validation refuses, is read as Running."""
    stated = str(pod["spec"]["virtualMachine"].get("powerSpec") or "")
    return Want(stated) if stated in {each.value for each in Want} else Want.RUNNING


def terminates(pod: Obj) -> bool:
    """Whether a guest that powers itself off ends its pod."""
    return str(pod["spec"]["virtualMachine"].get("shutdownBehavior") or "stop") == "terminate"
