"""The values of expressions, and how they compare.

null, bool, int, double, string, bytes, list and map are Python's own, as JSON decodes to. What Python has not got is
here: unsigned integers, durations and timestamps in nanoseconds, optionals, types. Numbers compare by value, whatever
their type; a bool is never a number.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from arktos.model.cel.errors import EvaluationError
from arktos.model.cel.types import Type

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1
SECOND = 10**9


def _fraction(nanoseconds: int) -> str:
    return f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""


class UInt(int):
    """An unsigned integer, in 0 .. 2^64 - 1."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time, in nanoseconds."""

    nanoseconds: int

    def __str__(self) -> str:
        whole, rest = divmod(abs(self.nanoseconds), SECOND)
        sign = "-" if self.nanoseconds < 0 else ""
        return f"{sign}{whole}{_fraction(rest)}s"


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time, in nanoseconds since 1970 in UTC."""

    nanoseconds: int

    def at(self, offset: timedelta = timedelta(0)) -> datetime:
        whole = self.nanoseconds // SECOND
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole) + offset

    def __str__(self) -> str:
        written = self.at().strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
        return f"{written}{_fraction(self.nanoseconds % SECOND)}Z"


@dataclass(frozen=True, slots=True)
class Optional:
    """A value, or none."""

    value: Any = None
    present: bool = True


NONE = Optional(present=False)

EARLIEST = Timestamp(-62135596800 * SECOND)
LATEST = Timestamp(253402300799 * SECOND + SECOND - 1)

_LONGEST_DURATION = 200
_UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 10**6, "us": 10**3, "µs": 10**3, "ns": 1}
_DURATION = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|us|µs|ns|m|s)", re.ASCII)
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)


def duration(text: str) -> Duration:
    """A Go duration (`1h30m`). EvaluationError."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    total, at = 0, 0
    if len(text) > _LONGEST_DURATION:
        raise EvaluationError("type conversion error from string to duration: invalid duration")
    for found in _DURATION.finditer(rest):
        if found.start() != at or len(found[1]) > 40:
            break
        whole, _, fraction = found[1].partition(".")
        unit = _UNITS[found[2]]
        total += int(whole or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        at = found.end()
    if (rest != "0" and (at != len(rest) or not rest)) or total > INT_MAX:
        raise EvaluationError(f'type conversion error from string to duration: invalid duration "{text}"')
    return Duration(-total if text[:1] == "-" else total)


def timestamp(text: str) -> Timestamp:
    """A point of RFC 3339. EvaluationError."""
    found = _TIMESTAMP.match(text)
    if found is not None:
        year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
        try:
            at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            found = None
    if found is None:
        raise EvaluationError(f'type conversion error from string to timestamp: cannot parse "{text}"')
    if found[8] not in ("Z", "z"):
        at -= offset_of(found[8])
    seconds = int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return Timestamp(seconds * SECOND + int((found[7] or "0").ljust(9, "0")))


def offset_of(text: str) -> timedelta:
    """`+02:00`, `-08:00`, `02:00`."""
    hours, minutes = text.lstrip("+-").split(":")
    span = timedelta(hours=int(hours), minutes=int(minutes))
    return -span if text[0] == "-" else span


NAMES: dict[type, str] = {
    type(None): "null_type",
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    Duration: "google.protobuf.Duration",
    Timestamp: "google.protobuf.Timestamp",
    Optional: "optional_type",
    Type: "type",
}
"""What `type(x)` says; kinds that a library adds are entered by it."""


def type_name(value: Any) -> str:
    return NAMES.get(type(value)) or type(value).__name__


def equal(a: Any, b: Any) -> bool:
    """CEL's `==`: numbers by value, lists and maps by what they hold, values of different kinds never."""
    kind, other = type(a), type(b)
    if kind is other and kind in _SIMPLE:
        return bool(a == b)
    if kind is bool or other is bool:
        return False
    if kind is list:
        return other is list and len(a) == len(b) and all(map(equal, a, b))
    if kind is dict:
        return other is dict and len(a) == len(b) and all(k in b and equal(v, b[k]) for k, v in a.items())
    if kind is Optional and other is Optional:
        return a.present == b.present and (not a.present or equal(a.value, b.value))
    if kind in _NUMBERS and other in _NUMBERS:
        return bool(a == b)
    return kind is other and bool(a == b)


_SIMPLE = frozenset({str, int, float, UInt, bytes, bool})
_NUMBERS = frozenset({int, UInt, float})
ORDERED = frozenset({str, int, UInt, float, bool, bytes, Duration, Timestamp})


def comparable(a: Any, b: Any) -> bool:
    """Whether `<` knows what to do with the two."""
    kind, other = type(a), type(b)
    return (kind is other and kind in ORDERED) or (kind in _NUMBERS and other in _NUMBERS)


def weight(value: Any, most: int = 1_000_000) -> int:
    """How large a value is to walk: the characters of a string by ten, the members of a list or map with all that they
    hold. Stops counting past `most`."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) // 10 + 1
    if kind is not list and kind is not dict:
        return 1
    total, rest = 0, [value]
    while rest and total <= most:
        this = rest.pop()
        kind = type(this)
        if kind is list:
            total += len(this) + 1
            if total <= most:
                rest.extend(this)
        elif kind is dict:
            total += len(this) + 1
            if total <= most:
                rest.extend(this.values())
        elif kind is str:
            total += len(this) // 10
    return total


def finite(value: float) -> bool:
    return not (math.isnan(value) or math.isinf(value))
