"""Conditions in a status: found, set, dropped. Pure; lists are never changed in place."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.model.kinds import Obj


def find(conditions: Sequence[Obj] | None, type: str) -> Obj | None:
    """The condition of a type, if there is one."""
    return next((c for c in conditions or () if c.get("type") == type), None)


def without(conditions: Sequence[Obj] | None, type: str) -> list[Obj]:
    return [c for c in conditions or () if c.get("type") != type]


def is_true(conditions: Sequence[Obj] | None, type: str) -> bool:
    found = find(conditions, type)
    return found is not None and found.get("status") == "True"


def put(
    conditions: Sequence[Obj] | None, type: str, status: str, reason: str, message: str, now: str, **more: str
) -> list[Obj]:
    """The list with this condition. `lastTransitionTime` is `now` only where the status changes; a condition that says
    the same already stays as it is."""
    old = find(conditions, type)
    same = old is not None and old.get("status") == status
    new: Obj = {
        "type": type,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": (old or {}).get("lastTransitionTime", now) if same else now,
        **more,
    }
    if old is None:
        return [*(conditions or ()), new]
    return [new if c is old else c for c in conditions or ()]
