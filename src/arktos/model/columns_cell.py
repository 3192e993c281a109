"""What a table cell is, and the vocabulary in which printers write cells. Pure, and without a clock.

A printer reads a decoded object once and returns cells. What depends on the time is left open as a `Since`, so that the
rest can be kept for as long as the object does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from arktos.model import dates
from arktos.model.kinds import Column, Obj
from arktos.model.workload import workloads

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_YEAR = 365 * _DAY


class Since(NamedTuple):
    """A cell that tells how long ago `at` was (unix seconds; None where unknown). `text` surrounds it at its `%s`."""

    at: float | None
    text: str = "%s"

    def render(self, now: float) -> str:
        return self.text % (UNKNOWN if self.at is None else human_duration(now - self.at))


Value = str | int | float | bool | None
Cell = Value | Since


class Printer(NamedTuple):
    """How one resource is shown: its columns, and the function that fills them, one cell for each column."""

    columns: tuple[Column, ...]
    cells: Callable[[Obj], list[Cell]]
    completed: Callable[[Obj], str] | None = None
    """Why the row's object is finished ("" = it is not): the reason of the row condition `Completed`."""


NAME = Column("Name", format="name", description="The name, unique within its namespace or tenant.")
AGE = Column("Age", description="The time since it was created.")


def wide(name: str, type: str = "string", description: str = "") -> Column:
    """A column that is shown with `-o wide` only."""
    return Column(name, type, description=description, priority=1)


def human_duration(seconds: float) -> str:
    """A duration in at most three digits a unit, as apimachinery's HumanDuration: `5m10s`, `3d4h`, `2y`."""
    if seconds <= -2:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    whole = int(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    if whole < 2 * _YEAR:
        return f"{whole // _DAY}d"
    if whole < 8 * _YEAR:
        return _two(whole, _YEAR, "y", _DAY, "d")
    return f"{whole // _YEAR}y"


def _two(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    whole, rest = divmod(seconds, large)
    return f"{whole}{large_unit}{rest // small}{small_unit}" if rest // small else f"{whole}{large_unit}"


def instant(text: object) -> float | None:
    """Unix seconds of an RFC 3339 time, None for what is none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return dates.unix(text)
    except dates.DateError:
        return None


def since(text: object) -> Since:
    return Since(instant(text))


def at(obj: Any, *path: str) -> Any:
    """The value at a path of field names, None where a step is missing."""
    for step in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(step)
    return obj


def part(obj: Any, *path: str) -> Obj:
    """The object at a path, empty where there is none."""
    found = at(obj, *path)
    return found if isinstance(found, dict) else {}


def items(obj: Any, *path: str) -> list[Any]:
    """The list at a path, empty where there is none."""
    found = at(obj, *path)
    return found if isinstance(found, list) else []


def text(obj: Any, *path: str, empty: str = "") -> str:
    found = at(obj, *path)
    return empty if found is None or found == "" else str(found)


def number(obj: Any, *path: str) -> int:
    found = at(obj, *path)
    return int(found) if isinstance(found, int | float) else 0


def flag(obj: Any, *path: str, default: bool = False) -> bool:
    found = at(obj, *path)
    return found if isinstance(found, bool) else default


def name_of(obj: Obj) -> str:
    return text(obj, "metadata", "name")


def age_of(obj: Obj) -> Since:
    return since(at(obj, "metadata", "creationTimestamp"))


def deleting(obj: Obj) -> bool:
    return at(obj, "metadata", "deletionTimestamp") is not None


def condition(obj: Obj, name: str) -> Obj:
    """The condition of this type in `status.conditions`, empty where there is none."""
    for found in items(obj, "status", "conditions"):
        if at(found, "type") == name:
            return part(found)
    return {}


def joined(values: Iterable[object], empty: str = NONE, by: str = ",") -> str:
    return by.join(str(v) for v in values) or empty


def first_few(values: Sequence[str], most: int, empty: str) -> str:
    """The first `most` values, and how many were left out."""
    shown = ",".join(values[:most])
    if len(values) > most:
        return f"{shown} + {len(values) - most} more..."
    return shown or empty


def labels(found: object) -> str:
    """A map of labels as a selector is written."""
    if not isinstance(found, dict):
        return NONE
    return joined(f"{name}={value}" for name, value in sorted(found.items()))


_OPERATORS = {"In": "%s in (%s)", "NotIn": "%s notin (%s)", "Exists": "%s", "DoesNotExist": "!%s"}


def label_selector(found: object, empty: str = NONE, invalid: str = "<error>") -> str:
    """A LabelSelector as a selector string, requirements in the order of their keys."""
    parts = [(key, f"{key}={value}") for key, value in part(found, "matchLabels").items()]
    for expression in items(found, "matchExpressions"):
        key = text(expression, "key")
        form = _OPERATORS.get(text(expression, "operator"))
        if form is None:
            return invalid
        values = ",".join(sorted(str(v) for v in items(expression, "values")))
        parts.append((key, form % ((key, values) if form.count("%s") == 2 else key)))
    return joined((written for _, written in sorted(parts, key=lambda p: p[0])), empty)


def workload_names(template: Obj) -> list[Cell]:
    """The cells Containers and Images of a pod template; its virtual machine counts as one container."""
    found = workloads(template)
    return [joined((text(c, "name") for c in found), ""), joined((text(c, "image") for c in found), "")]


CONTAINERS = wide("Containers", description="The names of the containers, or of the virtual machine, in the template.")
IMAGES = wide("Images", description="The images of the template.")
SELECTOR = wide("Selector", description="Selects the pods that belong to it.")
