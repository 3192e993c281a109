"""What can be done to a virtual machine by an Action. Pure data: API server, agent and commands read the same table."""

from __future__ import annotations

from dataclasses import dataclass

from arktos.model.kinds import Obj


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `name` is the word in CustomAction.operation; `params` the field of CustomAction with its
    parameters, which become the field `action` of Action.spec; `result` the field of Action.status that tells of it.
    `power_spec`, where it is one of power, is what the pod's powerSpec becomes; `from_power` the power states in which
    it makes sense, all if empty."""

    name: str
    params: str
    action: str
    result: str
    power_spec: str = ""
    from_power: frozenset[str] = frozenset()


OPERATIONS: tuple[Operation, ...] = (
    Operation("reboot", "rebootParams", "rebootAction", "rebootStatus"),
    Operation("snapshot", "snapshotParams", "snapshotAction", "snapshotStatus"),
    Operation("restore", "restoreParams", "restoreAction", "restoreStatus"),
    Operation("start", "powerParams", "startAction", "powerStatus", "Running"),
    Operation("stop", "powerParams", "stopAction", "powerStatus", "Shutdown"),
    Operation("pause", "powerParams", "pauseAction", "powerStatus", "Paused", frozenset({"running", "paused"})),
    Operation(
        "resume", "powerParams", "resumeAction", "powerStatus", "Running", frozenset({"running", "paused", "suspended"})
    ),
)

BY_NAME = {each.name: each for each in OPERATIONS}
ACTION_FIELDS = tuple(each.action for each in OPERATIONS)


def operation_of(action: Obj) -> Operation | None:
    """The operation of an Action; None for one that names none."""
    spec = action.get("spec") or {}
    return next((each for each in OPERATIONS if spec.get(each.action) is not None), None)
