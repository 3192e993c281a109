"""The life of a virtual machine: which power states there are, what may happen in each, and where that leads.

Pure. The table is all of it: a pair that is not in it cannot happen, and `after` says so by raising NotAllowed.
Requests come as events when they have been carried out, except STOP_REQUESTED, which is noted beforehand, so that an
end that follows is known to have been wanted even by a runtime that was killed and started again in between.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec


class Power(StrEnum):
    CREATED = "CREATED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    SUSPENDED = "SUSPENDED"
    STOPPED = "STOPPED"
    CRASHED = "CRASHED"


class Event(StrEnum):
    STARTED = "started"
    START_FAILED = "start-failed"
    STOP_REQUESTED = "stop-requested"
    STOP_WITHDRAWN = "stop-withdrawn"
    GUEST_SHUTDOWN = "guest-shutdown"
    KILLED = "killed"
    PROCESS_GONE = "process-gone"
    PAUSED = "paused"
    DISK_FULL = "disk-full"
    CONTINUED = "continued"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    RESTORED = "restored"
    RESET = "reset"
    DISCARDED = "discarded"


ACTIVE = frozenset({Power.RUNNING, Power.PAUSED})
"""A process exists."""
IDLE = frozenset({Power.CREATED, Power.STOPPED, Power.CRASHED})
"""No process, no memory kept."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How a machine is, and why. Times are unix nanoseconds, 0 for never. `stop_requested` while somebody has asked the
    machine to end and it has not yet ended."""

    power: Power = Power.CREATED
    reason: str = ""
    message: str = ""
    changed_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    starts: int = 0
    reboots: int = 0
    exit_code: int = 0
    stop_requested: bool = False


class NotAllowed(Exception):
    """The event cannot happen in this state."""

    def __init__(self, event: Event, power: Power) -> None:
        super().__init__(f"{event} is not possible while the machine is {power}")
        self.event = event
        self.power = power


class _Step(NamedTuple):
    power: Power
    reason: str
    wanted_reason: str = ""
    """The reason when a stop had been requested, where that differs."""


_C, _R, _P, _U, _S, _X = Power.CREATED, Power.RUNNING, Power.PAUSED, Power.SUSPENDED, Power.STOPPED, Power.CRASHED
_KEEP = "="
"""The reason stays what it was."""

_SHUTDOWN, _KILL = _Step(_S, "GuestShutdown", "Requested"), _Step(_S, "Requested")

TABLE: dict[tuple[Power, Event], _Step] = {
    **{(idle, Event.STARTED): _Step(_R, "Started") for idle in (_C, _S, _X)},
    **{(idle, Event.START_FAILED): _Step(_X, "StartFailed") for idle in (_C, _S, _X)},
    **{(idle, Event.RESTORED): _Step(_R, "Restored") for idle in (_C, _S, _X)},
    **{(active, Event.STOP_REQUESTED): _Step(active, _KEEP) for active in (_R, _P)},
    **{(active, Event.STOP_WITHDRAWN): _Step(active, _KEEP) for active in (_R, _P)},
    **{(active, Event.GUEST_SHUTDOWN): _SHUTDOWN for active in (_R, _P)},
    **{(active, Event.KILLED): _KILL for active in (_R, _P)},
    **{(active, Event.PROCESS_GONE): _Step(_X, "Killed", "Requested") for active in (_R, _P)},
    **{(active, Event.SUSPENDED): _Step(_U, "Requested") for active in (_R, _P)},
    **{(active, Event.RESTORED): _Step(_R, "Restored") for active in (_R, _P)},
    **{(active, Event.RESET): _Step(active, _KEEP) for active in (_R, _P)},
    **{(active, Event.PAUSED): _Step(_P, "Requested") for active in (_R, _P)},
    **{(active, Event.DISK_FULL): _Step(_P, "DiskFull") for active in (_R, _P)},
    **{(active, Event.CONTINUED): _Step(_R, "Requested") for active in (_R, _P)},
    (_U, Event.RESUMED): _Step(_R, "Resumed"),
    (_U, Event.START_FAILED): _Step(_U, "ResumeFailed"),
    (_U, Event.DISCARDED): _Step(_S, "Requested"),
}

_ENDS = frozenset({Event.GUEST_SHUTDOWN, Event.KILLED, Event.PROCESS_GONE, Event.DISCARDED, Event.START_FAILED})
_STARTS = frozenset({Event.STARTED, Event.RESTORED})
_KILLED_EXIT = 128 + 9


def after(
    condition: Condition, event: Event, now: int, *, reason: str = "", message: str = "", exit_code: int | None = None
) -> Condition:
    """How the machine is once the event has happened at `now`. `reason` overrides the table's where more is known.

    A reset counts as a reboot; a start of a process as a start. Raises NotAllowed.
    """
    step = TABLE.get((condition.power, event))
    if step is None:
        raise NotAllowed(event, condition.power)
    wanted = condition.stop_requested and bool(step.wanted_reason)
    power = Power.STOPPED if wanted else step.power
    kept = step.reason == _KEEP
    changes: dict[str, object] = {
        "power": power,
        "reason": condition.reason if kept else step.wanted_reason if wanted else reason or step.reason,
        "message": condition.message if kept else message,
        "changed_at": now if power is not condition.power else condition.changed_at,
        "stop_requested": _still_wanted(condition, event, power),
        "reboots": condition.reboots + (event is Event.RESET),
    }
    if event in _ENDS and power is not Power.SUSPENDED:
        default = _KILLED_EXIT if event in (Event.KILLED, Event.PROCESS_GONE) else 0
        changes["finished_at"] = now
        changes["exit_code"] = default if exit_code is None else exit_code
    if event in _STARTS and condition.power in IDLE:
        changes.update(started_at=now, finished_at=0, exit_code=0, starts=condition.starts + 1)
    return msgspec.structs.replace(condition, **changes)


def _still_wanted(condition: Condition, event: Event, power: Power) -> bool:
    if event in (Event.STOP_REQUESTED, Event.STOP_WITHDRAWN):
        return event is Event.STOP_REQUESTED
    return condition.stop_requested and power in ACTIVE


class Finding(StrEnum):
    """What a runtime that has just started does with a machine that it has a record of."""

    NOTHING = "nothing"
    ADOPT = "adopt"
    """The process is as the record says: go on."""
    CONTINUE = "continue"
    """It stands still although it should run: set it going; what was left of a suspension goes."""
    GUEST_SHUTDOWN = "guest-shutdown"
    GONE = "gone"
    SUSPENDED = "suspended"
    """No process, but its whole memory is on disk: the suspension was completed, or a resume never began to run."""
    END = "end"
    """A process that nobody needs any more."""


def finding(power: Power, status: str | None, memory_kept: bool) -> Finding:
    """What is found of a machine. `status` is QEMU's run state, None without a process; `memory_kept` whether a
    complete memory file lies beside the disk. It is removed before the guest runs on, so it is never out of date."""
    if status is None:
        if power in ACTIVE:
            return Finding.SUSPENDED if memory_kept else Finding.GONE
        return Finding.NOTHING
    if power not in ACTIVE:
        return Finding.END
    if status in ("shutdown", "guest-panicked"):
        return Finding.GUEST_SHUTDOWN
    if power is Power.RUNNING and status != "running":
        return Finding.CONTINUE
    return Finding.ADOPT
