"""How Arktos' own kinds are shown."""

from __future__ import annotations

from arktos.model.actions import OPERATIONS
from arktos.model.columns_cell import AGE, NAME, Cell, Printer, age_of, at, flag, name_of, number, part, text, wide
from arktos.model.columns_core import WITH_PHASE
from arktos.model.kinds import Column, Obj

_OPERATIONS = {each.action: each.name for each in OPERATIONS}


def action(obj: Obj) -> list[Cell]:
    spec = part(obj, "spec")
    return [
        name_of(obj),
        text(spec, "podName"),
        next((word for name, word in _OPERATIONS.items() if at(spec, name) is not None), ""),
        "Yes" if flag(obj, "status", "complete") else "No",
        text(spec, "nodeName"),
        text(obj, "status", "error"),
        age_of(obj),
    ]


def controller_instance(obj: Obj) -> list[Cell]:
    return [
        name_of(obj),
        text(obj, "controllerType"),
        text(obj, "metadata", "uid"),
        number(obj, "controllerKey"),
        number(obj, "workloadNum"),
        flag(obj, "isLocked"),
        age_of(obj),
    ]


PRINTERS = {
    "tenants": WITH_PHASE,
    "actions": Printer(
        (
            NAME,
            Column("Pod", description="The pod that it is done to."),
            Column("Operation", description="What is done."),
            Column("Complete", description="Whether it is over, well or not."),
            wide("Node", description="The node that does it."),
            wide("Error", description="What went wrong."),
            AGE,
        ),
        action,
    ),
    "controllerinstances": Printer(
        (
            NAME,
            Column("Type", description="The kind of objects that it works on."),
            wide("UID", description="Its identity."),
            Column("Key", "integer", description="The upper end of its range of hash keys."),
            Column("Workload", "integer", description="How much it had to do when it reported last."),
            Column("Locked", "boolean", description="Whether it must not work yet."),
            AGE,
        ),
        controller_instance,
    ),
}
