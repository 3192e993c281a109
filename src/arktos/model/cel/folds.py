"""Planning of the macros that go through a list or a map: `all`, `exists`, `existsOne`, `filter`, `map`, and those with
two variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from arktos.model.cel.access import adapter
from arktos.model.cel.errors import CostExceeded, EvaluationError
from arktos.model.cel.frame import Frame
from arktos.model.cel.syntax import Fold
from arktos.model.cel.types import BOOL, DYN, ERROR, INT, Type, fits, list_of, map_of

if TYPE_CHECKING:
    from arktos.model.cel.planning import Planned, Planner

Run = Callable[[Frame], Any]
Steps = Callable[[Frame], Iterator[tuple[Any, Any]]]
"""Goes through the range, setting the variables: what stands at each step, key (or index) and value."""

STEP = 3
"""What one turn costs beside what its body does."""


def plan(planner: Planner, node: Fold) -> Planned:
    given, range_run = planner.plan(node.range)
    if given.name not in ("list", "map") and given not in (DYN, ERROR):
        return planner.complain(
            node.range.at,
            f"expression of type '{given}' cannot be range of a comprehension (must be list, map, or dynamic)",
        )
    first_type, second_type = _variables(given, bool(node.second))
    first = planner.enter(node.first, first_type)
    second = planner.enter(node.second, second_type) if node.second else None
    test = planner.plan(node.filter) if node.filter is not None else None
    result, body = planner.plan(node.body)
    planner.leave(node.first)
    if node.second:
        planner.leave(node.second)
    if test is not None and not fits(BOOL, test[0], {}):
        return planner.complain(node.at, f"found no matching overload for '_?_:_' applied to '({test[0]})'")
    if node.macro in _TESTS and not fits(BOOL, result, {}):
        name = {"all": "_&&_", "exists": "_||_"}.get(node.macro, "_?_:_")
        return planner.complain(node.at, f"found no matching overload for '{name}' applied to '(bool, {result})'")
    steps = _steps(range_run, first, second, adapter(second_type if node.second else first_type))
    made = _MADE[node.macro](given, result)
    return made, _RUNS[node.macro](steps, test[1] if test else None, body)


_TESTS = frozenset({"all", "exists", "existsOne", "filter"})


def _variables(given: Type, two: bool) -> tuple[Type, Type]:
    if given.name == "list":
        return (INT, given.parts[0]) if two else (given.parts[0], DYN)
    if given.name == "map":
        return given.parts[0], given.parts[1]
    return DYN, DYN


def _steps(range_run: Run, first: int, second: int | None, convert: Callable[[Any], Any] | None) -> Steps:
    def steps(frame: Frame) -> Iterator[tuple[Any, Any]]:
        over = range_run(frame)
        slots, spend = frame.slots, frame.spend
        if type(over) is dict:
            pairs: Any = over.items()
        elif type(over) is list:
            pairs = enumerate(over)
        else:
            raise EvaluationError("no such overload")
        single = type(over) is list and second is None
        for key, value in pairs:
            spend(STEP)
            if convert is not None and (single or second is not None):
                value = convert(value)
            slots[first] = value if single else key
            if second is not None:
                slots[second] = value
            yield key, value if single or second is not None else key

    return steps


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise EvaluationError("no such overload")
    return value


def _stopping(stops: bool) -> Callable[[Steps, Run | None, Run], Run]:
    """`all` and `exists`: an element that decides makes up for those that fail."""

    def plan_stopping(steps: Steps, _: Run | None, body: Run) -> Run:
        def run(frame: Frame) -> bool:
            failed: EvaluationError | None = None
            for _pair in steps(frame):
                try:
                    if _truth(body(frame)) is stops:
                        return stops
                except CostExceeded:
                    raise
                except EvaluationError as error:
                    failed = failed or error
            if failed is not None:
                raise failed
            return not stops

        return run

    return plan_stopping


def _exists_one(steps: Steps, _: Run | None, body: Run) -> Run:
    return lambda frame: sum(_truth(body(frame)) for _pair in steps(frame)) == 1


def _filter(steps: Steps, _: Run | None, body: Run) -> Run:
    return lambda frame: [value for _key, value in steps(frame) if _truth(body(frame))]


def _map(steps: Steps, test: Run | None, body: Run) -> Run:
    if test is None:
        return lambda frame: [body(frame) for _pair in steps(frame)]
    return lambda frame: [body(frame) for _pair in steps(frame) if _truth(test(frame))]


def _transform_map(steps: Steps, test: Run | None, body: Run) -> Run:
    def run(frame: Frame) -> dict[Any, Any]:
        return {key: body(frame) for key, _value in steps(frame) if test is None or _truth(test(frame))}

    return run


def _transform_entry(steps: Steps, test: Run | None, body: Run) -> Run:
    def run(frame: Frame) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for _pair in steps(frame):
            if test is not None and not _truth(test(frame)):
                continue
            entry = body(frame)
            if type(entry) is not dict:
                raise EvaluationError("no such overload")
            frame.spend(len(entry))
            for key, value in entry.items():
                if key in found:
                    raise EvaluationError(f"insert failed: key {key} already exists")
                found[key] = value
        return found

    return run


def _element(given: Type) -> Type:
    return given.parts[0] if given.parts else DYN


_MADE: dict[str, Callable[[Type, Type], Type]] = {
    "all": lambda given, result: BOOL,
    "exists": lambda given, result: BOOL,
    "existsOne": lambda given, result: BOOL,
    "filter": lambda given, result: list_of(_element(given)),
    "map": lambda given, result: list_of(result),
    "transformList": lambda given, result: list_of(result),
    "transformMap": lambda given, result: map_of(INT if given.name == "list" else _element(given), result),
    "transformMapEntry": lambda given, result: result if result.name == "map" else map_of(DYN, DYN),
}
_RUNS: dict[str, Callable[[Steps, Run | None, Run], Run]] = {
    "all": _stopping(False),
    "exists": _stopping(True),
    "existsOne": _exists_one,
    "filter": _filter,
    "map": _map,
    "transformList": _map,
    "transformMap": _transform_map,
    "transformMapEntry": _transform_entry,
}
