"""A ControllerInstance as the ring reads and writes it. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from arktos.model.hashranges import Range, held
from arktos.model.kinds import Obj

HOLDER = "arktos.io/holder"
"""The annotation that says which process an instance is of."""
MOST = 2**31 - 1
"""`workloadNum` is an int32."""


class Instance(msgspec.Struct, frozen=True):
    """One instance as of revision `rv`. `range` is None while it owns nothing; `heir` names who is to take what it gave
    up last; `load` is what it had to do when it reported last; silent for `lease` seconds, it is dead."""

    type: str
    name: str
    uid: str
    rv: int
    range: Range | None = None
    epoch: int = 0
    heir: str = ""
    load: int = 0
    lease: float = 15.0


def read(obj: Obj, lease: float) -> Instance:
    """`lease` counts where the object names none."""
    meta = obj["metadata"]
    text = meta.get("resourceVersion") or ""
    return Instance(
        obj.get("controllerType") or "",
        meta.get("name") or "",
        meta.get("uid") or "",
        int(text) if text.isdecimal() else 0,
        held(obj),
        int(obj.get("epoch") or 0),
        obj.get("handOverTo") or "",
        int(obj.get("workloadNum") or 0),
        float(obj.get("leaseDurationSeconds") or lease),
    )


def fresh(type: str, name: str, lease: float, holder: str = "") -> Obj:
    """The object of one that joins: it owns nothing."""
    return {
        "apiVersion": "v1",
        "kind": "ControllerInstance",
        "metadata": {"name": name, **({"annotations": {HOLDER: holder}} if holder else {})},
        "controllerType": type,
        "controllerKey": 0,
        "workloadNum": 0,
        "isLocked": True,
        "leaseDurationSeconds": max(1, round(lease)),
    }


def renewal(uid: str, load: int) -> dict[str, Any]:
    """A patch that says no more than: alive, and this busy. It is harmless however late it comes."""
    return {"metadata": {"uid": uid}, "workloadNum": min(load, MOST)}


def moved(uid: str, rv: int, range: Range | None, heir: str, load: int) -> dict[str, Any]:
    """A patch that gives the instance another range, or (None) none."""
    body: dict[str, Any] = {
        "metadata": {"uid": uid, "resourceVersion": str(rv)},
        "isLocked": range is None,
        "handOverTo": heir or None,
        "workloadNum": min(load, MOST),
    }
    if range is not None:
        body |= {"rangeStart": range.start, "controllerKey": range.end}
    return body
