"""The operators and functions that CEL itself has (language definition, "List of Standard Definitions")."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from operator import add, mul, sub
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from arktos.model.cel import patterns
from arktos.model.cel.declarations import Library, Overload, bounded
from arktos.model.cel.errors import EvaluationError
from arktos.model.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Type,
    list_of,
    map_of,
    parameter,
)
from arktos.model.cel.values import (
    EARLIEST,
    INT_MAX,
    INT_MIN,
    LATEST,
    SECOND,
    UINT_MAX,
    Duration,
    Timestamp,
    UInt,
    comparable,
    duration,
    equal,
    finite,
    offset_of,
    timestamp,
    type_name,
)

A, B = parameter("A"), parameter("B")
Operation = Callable[[Any, Any], Any]


def install(library: Library) -> None:
    _arithmetic(library)
    _comparisons(library)
    _conversions(library)
    _times(library)
    for type in (STRING, BYTES, list_of(A), map_of(A, B)):
        library.function("size", [type], INT, len)
        library.method("size", [type], INT, len)
    library.function("@in", [A, list_of(A)], BOOL, _in_list)
    library.function("@in", [A, map_of(A, B)], BOOL, _in_map)
    library.function("!_", [BOOL], BOOL, lambda a: not a)
    library.function("type", [DYN], TYPE, lambda a: Type(type_name(a)))
    library.function("dyn", [DYN], DYN, lambda a: a)
    library.method("startsWith", [STRING, STRING], BOOL, str.startswith)
    library.method("endsWith", [STRING, STRING], BOOL, str.endswith)
    library.method("contains", [STRING, STRING], BOOL, str.__contains__)
    for member in (False, True):
        library.add("matches", Overload((STRING, STRING), BOOL, patterns.matches, member, price=patterns.price))


def _in_list(a: Any, items: list[Any]) -> bool:
    return any(equal(a, item) for item in items)


def _in_map(a: Any, items: dict[Any, Any]) -> bool:
    return type(a) in (str, int, UInt, bool) and a in items


def _int(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError("integer overflow")
    return value


def _uint(value: int) -> UInt:
    if not 0 <= value <= UINT_MAX:
        raise EvaluationError("unsigned integer overflow")
    return UInt(value)


def _span(value: int) -> Duration:
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError("duration overflow")
    return Duration(value)


def _moment(value: int) -> Timestamp:
    if not EARLIEST.nanoseconds <= value <= LATEST.nanoseconds:
        raise EvaluationError("timestamp overflow")
    return Timestamp(value)


def _divided(a: int, b: int) -> int:
    if b == 0:
        raise EvaluationError("division by zero")
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _left_over(a: int, b: int) -> int:
    if b == 0:
        raise EvaluationError("modulus by zero")
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


def _quotient(a: float, b: float) -> float:
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def _arithmetic(library: Library) -> None:
    whole: dict[str, Operation] = {
        "_+_": add, "_-_": sub, "_*_": mul, "_/_": _divided, "_%_": _left_over,
    }  # fmt: skip
    for name, operation in whole.items():
        library.function(name, [INT, INT], INT, lambda a, b, f=operation: _int(f(a, b)))
        library.function(name, [UINT, UINT], UINT, lambda a, b, f=operation: _uint(f(int(a), int(b))))
    for name, real in {"_+_": add, "_-_": sub, "_*_": mul, "_/_": _quotient}.items():
        library.function(name, [DOUBLE, DOUBLE], DOUBLE, real)
    library.function("-_", [INT], INT, lambda a: _int(-a))
    library.function("-_", [DOUBLE], DOUBLE, lambda a: -a)
    for type in (STRING, BYTES, list_of(A)):
        library.function("_+_", [type, type], type, _concatenated)
    library.function("_+_", [DURATION, DURATION], DURATION, lambda a, b: _span(a.nanoseconds + b.nanoseconds))
    library.function("_-_", [DURATION, DURATION], DURATION, lambda a, b: _span(a.nanoseconds - b.nanoseconds))
    library.function("_+_", [TIMESTAMP, DURATION], TIMESTAMP, lambda a, b: _moment(a.nanoseconds + b.nanoseconds))
    library.function("_+_", [DURATION, TIMESTAMP], TIMESTAMP, lambda a, b: _moment(a.nanoseconds + b.nanoseconds))
    library.function("_-_", [TIMESTAMP, DURATION], TIMESTAMP, lambda a, b: _moment(a.nanoseconds - b.nanoseconds))
    library.function("_-_", [TIMESTAMP, TIMESTAMP], DURATION, lambda a, b: _span(a.nanoseconds - b.nanoseconds))


def _concatenated(a: Any, b: Any) -> Any:
    bounded(len(a) + len(b))
    return a + b


def _comparisons(library: Library) -> None:
    def checked(compare: Operation) -> Operation:
        def run(a: Any, b: Any) -> bool:
            if not comparable(a, b):
                raise EvaluationError("no such overload")
            return bool(compare(a, b))

        return run

    numbers = (INT, UINT, DOUBLE)
    pairs = [(t, t) for t in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)]
    pairs += [(a, b) for a in numbers for b in numbers if a is not b]
    orders: dict[str, Operation] = {
        "_<_": lambda a, b: a < b,
        "_<=_": lambda a, b: a <= b,
        "_>_": lambda a, b: a > b,
        "_>=_": lambda a, b: a >= b,
    }
    for name, compare in orders.items():
        library.add(name, *(Overload(pair, BOOL, checked(compare)) for pair in pairs))
    library.function("_==_", [A, A], BOOL, equal)
    library.function("_!=_", [A, A], BOOL, lambda a, b: not equal(a, b))


def _int_of(text: str) -> int:
    try:
        if len(text) > 20 or text != text.strip() or "_" in text:
            raise ValueError
        value = int(text)
    except ValueError:
        raise EvaluationError(f"type conversion error from 'string' to 'int': \"{text}\"") from None
    return _int(value)


def _double_of(text: str) -> float:
    try:
        if len(text) > 1000 or text != text.strip() or "_" in text:
            raise ValueError
        return float(text)
    except ValueError:
        raise EvaluationError(f"type conversion error from 'string' to 'double': \"{text}\"") from None


def _truncated(value: float) -> int:
    if not finite(value) or not INT_MIN < value < INT_MAX:
        raise EvaluationError("integer overflow")
    return int(value)


_BOOLS = {
    **dict.fromkeys(("1", "t", "true", "TRUE", "True", "T"), True),
    **dict.fromkeys(("0", "f", "false", "FALSE", "False", "F"), False),
}


def _bool_of(text: str) -> bool:
    if text not in _BOOLS:
        raise EvaluationError(f"type conversion error from 'string' to 'bool': \"{text}\"")
    return _BOOLS[text]


def number_text(value: float) -> str:
    """A double as CEL writes it: the shortest form that reads back the same."""
    if not finite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].rjust(2, '0')}" if e else text


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _conversions(library: Library) -> None:
    table: list[tuple[str, Type, Type, Callable[[Any], Any]]] = [
        ("int", INT, INT, lambda a: a),
        ("int", UINT, INT, lambda a: _int(int(a))),
        ("int", DOUBLE, INT, _truncated),
        ("int", STRING, INT, _int_of),
        ("int", TIMESTAMP, INT, lambda a: a.nanoseconds // SECOND),
        ("int", DURATION, INT, lambda a: a.nanoseconds),
        ("uint", UINT, UINT, lambda a: a),
        ("uint", INT, UINT, _uint),
        ("uint", DOUBLE, UINT, lambda a: _uint(_truncated(a))),
        ("uint", STRING, UINT, lambda a: _uint(_int_of(a))),
        ("double", DOUBLE, DOUBLE, lambda a: a),
        ("double", INT, DOUBLE, float),
        ("double", UINT, DOUBLE, float),
        ("double", STRING, DOUBLE, _double_of),
        ("bool", BOOL, BOOL, lambda a: a),
        ("bool", STRING, BOOL, _bool_of),
        ("string", STRING, STRING, lambda a: a),
        ("string", BOOL, STRING, lambda a: "true" if a else "false"),
        ("string", INT, STRING, str),
        ("string", UINT, STRING, lambda a: str(int(a))),
        ("string", DOUBLE, STRING, number_text),
        ("string", BYTES, STRING, _decoded),
        ("string", TIMESTAMP, STRING, str),
        ("string", DURATION, STRING, str),
        ("bytes", BYTES, BYTES, lambda a: a),
        ("bytes", STRING, BYTES, str.encode),
        ("timestamp", TIMESTAMP, TIMESTAMP, lambda a: a),
        ("timestamp", STRING, TIMESTAMP, timestamp),
        ("timestamp", INT, TIMESTAMP, lambda a: _moment(a * SECOND)),
        ("duration", DURATION, DURATION, lambda a: a),
        ("duration", STRING, DURATION, duration),
        ("duration", INT, DURATION, Duration),
    ]
    for name, given, result, convert in table:
        library.function(name, [given], result, convert)


def _zone(moment: Timestamp, name: str) -> datetime:
    try:
        if ":" in name:
            return moment.at(offset_of(name))
        return moment.at().astimezone(ZoneInfo(name))
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        raise EvaluationError(f"unknown time zone {name}") from None


def _times(library: Library) -> None:
    fields: dict[str, Callable[[datetime], int]] = {
        "getFullYear": lambda t: t.year,
        "getMonth": lambda t: t.month - 1,
        "getDate": lambda t: t.day,
        "getDayOfMonth": lambda t: t.day - 1,
        "getDayOfWeek": lambda t: t.isoweekday() % 7,
        "getDayOfYear": lambda t: t.timetuple().tm_yday - 1,
        "getHours": lambda t: t.hour,
        "getMinutes": lambda t: t.minute,
        "getSeconds": lambda t: t.second,
    }
    for name, field in fields.items():
        library.method(name, [TIMESTAMP], INT, lambda a, f=field: f(a.at()))
        library.method(name, [TIMESTAMP, STRING], INT, lambda a, zone, f=field: f(_zone(a, zone)))
    for declared in ([TIMESTAMP], [TIMESTAMP, STRING]):
        library.method("getMilliseconds", declared, INT, lambda a, _="": a.nanoseconds % SECOND // 10**6)
    spans = {"getHours": 3600 * SECOND, "getMinutes": 60 * SECOND, "getSeconds": SECOND}
    for name, unit in spans.items():
        library.method(name, [DURATION], INT, lambda a, u=unit: _divided(a.nanoseconds, u))
    library.method("getMilliseconds", [DURATION], INT, lambda a: _divided(a.nanoseconds, 10**6) % 1000)
