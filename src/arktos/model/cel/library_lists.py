"""Lists, sets, numbers and optionals: CEL's extensions `lists`, `sets`, `math`, `optional`, and Kubernetes' lists."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cmp_to_key
from itertools import pairwise
from typing import Any

from arktos.model.cel.declarations import Library, Overload, bounded
from arktos.model.cel.errors import CostExceeded, EvaluationError
from arktos.model.cel.types import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    list_of,
    optional_of,
    parameter,
)
from arktos.model.cel.values import INT_MAX, INT_MIN, NONE, Duration, Optional, UInt, comparable, equal, finite

T = parameter("T")
_LIST = list_of(T)
_ORDERED = (BOOL, INT, UINT, DOUBLE, STRING, TIMESTAMP, DURATION)
_COSTLY = 200_000


def install(library: Library) -> None:
    _lists(library)
    _sets(library)
    _numbers(library)
    _optionals(library)


def _lists(library: Library) -> None:
    library.method("isSorted", [_LIST], BOOL, _is_sorted)
    library.method("sum", [_LIST], T, _sum)
    library.method("min", [_LIST], T, lambda items: _extreme(items, "min"))
    library.method("max", [_LIST], T, lambda items: _extreme(items, "max"))
    library.method("indexOf", [_LIST, T], INT, lambda items, x: _position(items, x, range(len(items))))
    library.method("lastIndexOf", [_LIST, T], INT, lambda items, x: _position(items, x, range(len(items) - 1, -1, -1)))
    library.method("slice", [_LIST, INT, INT], _LIST, _slice)
    library.method("flatten", [list_of(DYN)], list_of(DYN), _flat)
    library.method("flatten", [list_of(DYN), INT], list_of(DYN), _flat)
    library.method("distinct", [_LIST], _LIST, _distinct)
    library.method("reverse", [_LIST], _LIST, lambda items: items[::-1])
    library.method("sort", [_LIST], _LIST, _sorted)
    library.function("lists.range", [INT], list_of(INT), _range)


def _less(a: Any, b: Any) -> bool:
    if not comparable(a, b):
        raise EvaluationError("no such overload")
    return bool(a < b)


def _is_sorted(items: list[Any]) -> bool:
    return not any(_less(b, a) for a, b in pairwise(items))


def _sum(items: list[Any]) -> Any:
    if not items:
        return 0
    if len({type(item) for item in items}) != 1:
        raise EvaluationError("no such overload")
    kind = type(items[0])
    if kind is Duration:
        return Duration(sum(item.nanoseconds for item in items))
    if kind not in (int, UInt, float):
        raise EvaluationError("no such overload")
    total = sum(items)
    if kind is int and not INT_MIN <= total <= INT_MAX:
        raise EvaluationError("integer overflow")
    return UInt(total) if kind is UInt else total


def _extreme(items: list[Any], name: str) -> Any:
    if not items:
        raise EvaluationError(f"{name} called on empty list")
    best = items[0]
    for item in items[1:]:
        if _less(item, best) if name == "min" else _less(best, item):
            best = item
    return best


def _position(items: list[Any], wanted: Any, order: range) -> int:
    return next((index for index in order if equal(items[index], wanted)), -1)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvaluationError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(items):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flat(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    for _ in range(min(depth, 32)):
        if not any(type(item) is list for item in items):
            break
        flat: list[Any] = []
        for item in items:
            flat.extend(item) if type(item) is list else flat.append(item)
            bounded(len(flat))
        items = flat
    return items


def _distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    _quadratic(items, items)
    for item in items:
        if not any(equal(item, other) for other in found):
            found.append(item)
    return found


def _sorted(items: list[Any]) -> list[Any]:
    return sorted(items, key=cmp_to_key(lambda a, b: -1 if _less(a, b) else int(_less(b, a))))


def _range(count: int) -> list[int]:
    if count > 100_000:
        raise CostExceeded()
    return list(range(count))


def _quadratic(a: list[Any], b: list[Any]) -> None:
    if len(a) * len(b) > _COSTLY:
        raise CostExceeded()


def _sets(library: Library) -> None:
    library.function("sets.contains", [_LIST, _LIST], BOOL, _contains)
    library.function("sets.equivalent", [_LIST, _LIST], BOOL, lambda a, b: _contains(a, b) and _contains(b, a))
    library.function("sets.intersects", [_LIST, _LIST], BOOL, _intersects)


def _contains(items: list[Any], others: list[Any]) -> bool:
    _quadratic(items, others)
    return all(any(equal(item, other) for item in items) for other in others)


def _intersects(items: list[Any], others: list[Any]) -> bool:
    _quadratic(items, others)
    return any(any(equal(item, other) for item in items) for other in others)


def _numbers(library: Library) -> None:
    numbers = (INT, UINT, DOUBLE)
    for name, pick in (("greatest", max), ("least", min)):
        chosen = _chosen(pick)
        for type in numbers:
            library.function(f"math.{name}", [type], type, lambda a: a)
            library.function(f"math.{name}", [list_of(type)], type, lambda items, f=chosen: f(*items))
            for count in range(2, 6):
                library.function(f"math.{name}", [type] * count, type, chosen)
        library.add(f"math.{name}", *(Overload((a, b), DYN, chosen) for a in numbers for b in numbers if a is not b))
    rounds: dict[str, Callable[[float], float]] = {
        "ceil": math.ceil,
        "floor": math.floor,
        "trunc": math.trunc,
        "round": lambda a: math.copysign(math.floor(abs(a) + 0.5), a),
    }
    for name, rounded in rounds.items():
        library.function(f"math.{name}", [DOUBLE], DOUBLE, lambda a, f=rounded: float(f(a)) if finite(a) else a)
    library.function("math.isNaN", [DOUBLE], BOOL, math.isnan)
    library.function("math.isInf", [DOUBLE], BOOL, math.isinf)
    library.function("math.isFinite", [DOUBLE], BOOL, finite)
    for type in (INT, DOUBLE):
        library.function("math.abs", [type], type, abs)
        library.function("math.sign", [type], type, lambda a: type_of(a)((a > 0) - (a < 0)))
    for type in numbers:
        library.function("math.sqrt", [type], DOUBLE, lambda a: math.sqrt(a) if a >= 0 else math.nan)


def type_of(value: Any) -> Callable[[int], Any]:
    return type(value)


def _chosen(pick: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        if not args or not all(comparable(args[0], item) for item in args):
            raise EvaluationError("math.@max(list) argument must not be empty" if not args else "no such overload")
        return pick(args)

    return run


def _optionals(library: Library) -> None:
    opt = optional_of(T)
    library.function("optional.of", [T], opt, Optional)
    library.function("optional.none", [], opt, lambda: NONE)
    library.function("optional.ofNonZeroValue", [T], opt, lambda a: Optional(a) if a else NONE)
    library.method("hasValue", [opt], BOOL, lambda a: a.present)
    library.method("value", [opt], T, _value)
    library.method("orValue", [opt, T], T, lambda a, b: a.value if a.present else b)
    library.method("or", [opt, opt], opt, lambda a, b: a if a.present else b)


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise EvaluationError("optional.none() dereference")
    return optional.value
