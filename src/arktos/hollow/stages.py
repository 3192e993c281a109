"""Where a hollow pod stands, and what moves it on: the table that the machine follows. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Stage(enum.Enum):
    """STOPPED is a pod that was deleted and has ended; PAUSED, SUSPENDED and SHUTDOWN are virtual machines' alone."""

    STARTING = "starting"
    RUNNING = "running"
    CRASHED = "crashed"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    SHUTDOWN = "shutdown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    STOPPED = "stopped"

    # The identity's hash: the one of enum is computed in Python, at every look-up.
    __hash__ = object.__hash__


class Event(enum.Enum):
    """What comes to pass when a timer ends."""

    START = "start"
    CRASH = "crash"
    FAIL = "fail"
    COMPLETE = "complete"
    PAUSE = "pause"
    SUSPEND = "suspend"
    SHUT_DOWN = "shut down"
    STOP = "stop"

    __hash__ = object.__hash__


S, E = Stage, Event
_POWERED = (S.RUNNING, S.CRASHED, S.PAUSED, S.SUSPENDED, S.SHUTDOWN)

TRANSITIONS: Mapping[tuple[Stage, Event], Stage] = {
    (S.STARTING, E.START): S.RUNNING,
    (S.STARTING, E.CRASH): S.CRASHED,
    (S.STARTING, E.FAIL): S.FAILED,
    (S.STARTING, E.SHUT_DOWN): S.SHUTDOWN,
    (S.RUNNING, E.COMPLETE): S.SUCCEEDED,
    **{(stage, E.START): S.RUNNING for stage in _POWERED if stage is not S.RUNNING},
    **{(stage, E.CRASH): S.CRASHED for stage in _POWERED},
    **{(stage, E.PAUSE): S.PAUSED for stage in _POWERED},
    **{(stage, E.SUSPEND): S.SUSPENDED for stage in _POWERED},
    **{(stage, E.SHUT_DOWN): S.SHUTDOWN for stage in _POWERED},
    **{(stage, E.STOP): S.STOPPED for stage in (S.STARTING, *_POWERED)},
}

FINISHED = frozenset({S.SUCCEEDED, S.FAILED, S.REJECTED, S.STOPPED})
"""Nothing moves these on."""

POWER: Mapping[str, tuple[Stage, Event]] = {
    "Running": (S.RUNNING, E.START),
    "Paused": (S.PAUSED, E.PAUSE),
    "Suspended": (S.SUSPENDED, E.SUSPEND),
    "Shutdown": (S.SHUTDOWN, E.SHUT_DOWN),
}
"""Of `spec.virtualMachine.powerSpec`: where that is, and what leads there."""
