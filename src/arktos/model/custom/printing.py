"""The cells of custom resources, and the replicas that a scale reads and writes, by JSONPath."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from arktos.model.columns_cell import Cell, Since, instant, name_of
from arktos.model.custom import jsonpath
from arktos.model.kinds import Obj
from arktos.model.status import FieldError
from arktos.model.validation.causes import invalid, show

AGE = (".metadata.creationTimestamp", "date")
_MAX_REPLICAS = (1 << 31) - 1


def cells(columns: Sequence[tuple[str, str]]) -> Callable[[Obj], list[Cell]]:
    """What fills a row: the name, then the value at each path, as its column's type has it."""
    found = [(_find(path), kind) for path, kind in columns]
    return lambda obj: [name_of(obj), *(_cell(next(find(obj), None), kind) for find, kind in found)]


def _find(path: str) -> jsonpath.Find:
    try:
        return jsonpath.compiled(path)
    except jsonpath.PathError:
        return lambda obj: iter(())


def _cell(value: Any, kind: str) -> Cell:
    if value is None:
        return None
    match kind:
        case "string":
            return value if isinstance(value, str) else show(value)
        case "integer":
            return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "number":
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date" if isinstance(value, str):
            at = instant(value)
            return "<invalid>" if at is None else Since(at)
    return None


def scale_faults(scale: Obj, obj: Obj) -> list[FieldError]:
    """What is wrong with the replicas at a scale's paths."""
    found = []
    for path in (scale.get("specReplicasPath", ""), scale.get("statusReplicasPath", "")):
        value = at(path, obj)
        if value is None:
            continue
        field = path.lstrip(".")
        if not isinstance(value, int) or isinstance(value, bool):
            found.append(invalid(field, value, "must be an integer"))
        elif value < 0:
            found.append(invalid(field, value, "should be a non-negative integer"))
        elif value > _MAX_REPLICAS:
            found.append(invalid(field, value, f"should be less than or equal to {_MAX_REPLICAS}"))
    return found


def at(path: str, obj: Obj) -> Any:
    """The value at a plain path (`.spec.replicas`), None where there is none."""
    value: Any = obj
    for step in path.lstrip(".").split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def put(path: str, obj: Obj, value: Any) -> Obj:
    """A copy of the object with a value at a plain path; only what leads to it is copied."""
    *steps, last = path.lstrip(".").split(".")
    copied = dict(obj)
    place = copied
    for step in steps:
        inner = place.get(step)
        place[step] = place = dict(inner) if isinstance(inner, dict) else {}
    place[last] = value
    return copied
