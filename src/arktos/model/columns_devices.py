"""How devices, claims to them, and the parts of the control plane are shown."""

from __future__ import annotations

from arktos.model.columns_cell import (
    AGE,
    NAME,
    UNSET,
    Cell,
    Printer,
    age_of,
    at,
    deleting,
    items,
    joined,
    name_of,
    text,
)
from arktos.model.kinds import Column, Obj


def claim(obj: Obj) -> list[Cell]:
    states = ["deleted"] if deleting(obj) else []
    if at(obj, "status", "allocation") is None:
        states += [] if states else ["pending"]
    else:
        states += ["allocated"]
        states += ["reserved"] if items(obj, "status", "reservedFor") else []
    return [name_of(obj), joined(states, ""), age_of(obj)]


def resource_slice(obj: Obj) -> list[Cell]:
    return [
        name_of(obj),
        text(obj, "spec", "nodeName", empty=UNSET),
        text(obj, "spec", "driver"),
        text(obj, "spec", "pool", "name"),
        age_of(obj),
    ]


_WORDS = {"True": "Healthy", "False": "Unhealthy"}


def component(obj: Obj) -> list[Cell]:
    found: Obj = next((each for each in items(obj, "conditions") if text(each, "type") == "Healthy"), {})
    return [
        name_of(obj),
        _WORDS.get(text(found, "status"), "Unknown"),
        text(found, "message"),
        text(found, "error"),
    ]


PRINTERS = {
    "resourceclaims.resource.k8s.io": Printer(
        (NAME, Column("State", description="How far it has come: pending, allocated, reserved."), AGE), claim
    ),
    "resourceslices.resource.k8s.io": Printer(
        (
            NAME,
            Column("Node", description="The node that has the devices."),
            Column("Driver", description="Who publishes them."),
            Column("Pool", description="The pool that they belong to."),
            AGE,
        ),
        resource_slice,
    ),
    "componentstatuses": Printer(
        (
            NAME,
            Column("Status", description="Whether it is healthy."),
            Column("Message", description="What it says."),
            Column("Error", description="What is wrong with it."),
        ),
        component,
    ),
}
