"""What to do next with a machine: from what is wanted, and how it is. Pure.

The table is all of it: every pair is in it. What the power state alone does not decide (a machine that has ended while
it should run) is decided by why it ended.
"""

from __future__ import annotations

from enum import Enum

from arktos.agent.vm.machine import GUEST_SHUTDOWN, Machine, Power, Want


class Step(Enum):
    NOTHING = "nothing"
    CREATE = "create"
    """Sandbox, volumes, image, then the machine, which does not run yet."""
    RUN = "run"
    """Boot it, let it go on, or bring it back from its suspension."""
    PAUSE = "pause"
    SUSPEND = "suspend"
    STOP = "stop"
    RESTART = "restart"
    """As RUN, but not before its back-off is over."""
    SUCCEED = "succeed"
    """The pod has run to its end, and goes."""
    FAIL = "fail"
    """The pod has failed, and stays for its owner to see."""
    JUDGE = "judge"
    """Not a step: `next_step` looks at why the machine ended."""


_N, _RUN, _JUDGE = Step.NOTHING, Step.RUN, Step.JUDGE

TABLE: dict[Want, dict[Power, Step]] = {
    Want.RUNNING: {
        Power.NONE: Step.CREATE,
        Power.CREATED: _RUN,
        Power.RUNNING: _N,
        Power.PAUSED: _RUN,
        Power.SUSPENDED: _RUN,
        Power.STOPPED: _JUDGE,
        Power.CRASHED: _JUDGE,
    },
    Want.PAUSED: {
        Power.NONE: Step.CREATE,
        Power.CREATED: _RUN,
        Power.RUNNING: Step.PAUSE,
        Power.PAUSED: _N,
        Power.SUSPENDED: _RUN,
        Power.STOPPED: _JUDGE,
        Power.CRASHED: _JUDGE,
    },
    Want.SUSPENDED: {
        Power.NONE: _N,
        Power.CREATED: _N,
        Power.RUNNING: Step.SUSPEND,
        Power.PAUSED: Step.SUSPEND,
        Power.SUSPENDED: _N,
        Power.STOPPED: _N,
        Power.CRASHED: _N,
    },
    Want.SHUTDOWN: {
        Power.NONE: _N,
        Power.CREATED: _N,
        Power.RUNNING: Step.STOP,
        Power.PAUSED: Step.STOP,
        Power.SUSPENDED: Step.STOP,
        Power.STOPPED: _N,
        Power.CRASHED: _N,
    },
}


def next_step(want: Want, machine: Machine | None, *, terminates: bool, restart_policy: str) -> Step:
    """The next step; `machine` None for one that does not exist.

    A machine that was stopped on request is started when it shall run again. One whose guest powered it off stays off
    until somebody starts it (shutdownBehavior `stop`), or ends its pod (`terminate`). One that crashed is started
    again, unless the restart policy is Never.
    """
    power = machine.power if machine else Power.NONE
    step = TABLE[want][power]
    if step is not Step.JUDGE or machine is None:
        return step
    if power is Power.CRASHED:
        return Step.FAIL if restart_policy == "Never" else Step.RESTART
    if machine.reason != GUEST_SHUTDOWN:
        return Step.RUN
    return Step.SUCCEED if terminates else Step.NOTHING
