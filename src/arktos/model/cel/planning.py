"""From a tree to something that runs: types are checked and functions chosen on the way.

Each node becomes a Python function of the frame (`Run`) with the type of what it gives. Complaints are collected; a
part that is wrong has the type `!error!`, which fits everywhere, so that each mistake is told once.

Every step that can be repeated costs units; who spends more than the frame allows is stopped (`CostExceeded`), which
no `||` or `optional` absorbs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arktos.model.cel import access, folds
from arktos.model.cel.declarations import Function, Library, Overload
from arktos.model.cel.errors import CostExceeded, EvaluationError, Issue
from arktos.model.cel.frame import MISSING, Frame
from arktos.model.cel.pace import STEPS, give_way
from arktos.model.cel.syntax import Bind, Call, Fold, ListOf, Literal, MapOf, Name, Node, Select
from arktos.model.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    ERROR,
    INT,
    NULL,
    STRING,
    TYPE,
    UINT,
    Bindings,
    Type,
    fits,
    joined,
    optional_of,
    replaced,
)
from arktos.model.cel.values import NONE, Optional, UInt, weight

Run = Callable[[Frame], Any]
Planned = tuple[Type, Run]

_CONSTANT_TYPES: dict[type, Type] = {
    type(None): NULL, bool: BOOL, int: INT, UInt: UINT, float: DOUBLE, str: STRING, bytes: BYTES,
}  # fmt: skip
_TYPE_NAMES = {
    "bool": "bool", "int": "int", "uint": "uint", "double": "double", "string": "string", "bytes": "bytes",
    "list": "list", "map": "map", "null_type": "null_type", "type": "type", "optional_type": "optional_type",
    "google.protobuf.Timestamp": "google.protobuf.Timestamp", "google.protobuf.Duration": "google.protobuf.Duration",
}  # fmt: skip


def wrong(_: Frame) -> Any:
    """Stands for a part that does not type-check; never run."""
    raise EvaluationError("the expression is invalid")


@dataclass(slots=True)
class Planner:
    """Plans one expression over `variables`. `objects` says which types `Type{...}` may make: a name to the type that
    comes of it (None: no such type)."""

    library: Library
    variables: Mapping[str, Type]
    objects: Callable[[str], Type | None] = lambda name: None
    issues: list[Issue] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)
    size: int = 0
    _steps: int = 0
    _scopes: dict[str, list[tuple[int, Type]]] = field(default_factory=dict)

    def complain(self, at: int, message: str) -> Planned:
        self.issues.append(Issue(at, message))
        return ERROR, wrong

    def plan(self, node: Node) -> Planned:
        self._steps += 1
        if not self._steps % STEPS:
            give_way()
        kind = type(node)
        if kind is Literal:
            return self._literal(node)  # type: ignore[arg-type]
        if kind is Name:
            return self._name(node)  # type: ignore[arg-type]
        if kind is Select:
            return self._select(node)  # type: ignore[arg-type]
        if kind is Call:
            return self._call(node)  # type: ignore[arg-type]
        if kind is Fold:
            return folds.plan(self, node)  # type: ignore[arg-type]
        if kind is Bind:
            return self._bind(node)  # type: ignore[arg-type]
        if kind is ListOf:
            return access.plan_list(self, node)  # type: ignore[arg-type]
        if kind is MapOf:
            return access.plan_map(self, node)  # type: ignore[arg-type]
        return access.plan_object(self, node)  # type: ignore[arg-type]

    # ---- names

    def enter(self, name: str, type: Type) -> int:
        """A new variable within a macro: its slot."""
        self.size += 1
        self._scopes.setdefault(name, []).append((self.size - 1, type))
        return self.size - 1

    def leave(self, name: str) -> None:
        self._scopes[name].pop()

    def knows(self, name: str) -> bool:
        """Whether there is a variable of this name."""
        return bool(self._scopes.get(name)) or name in self.variables

    def variable(self, name: str) -> Planned | None:
        scopes = self._scopes.get(name)
        if scopes:
            slot, declared = scopes[-1]
            return declared, _slot(slot)
        found = self.variables.get(name)
        if found is None:
            return None
        if name not in self.used:
            self.used[name] = self.size
            self.size += 1
        return found, _outer(self.used[name], name)

    def _literal(self, node: Literal) -> Planned:
        value = node.value
        return _CONSTANT_TYPES[type(value)], lambda _: value

    def _name(self, node: Name) -> Planned:
        found = self.variable(node.name)
        if found is not None:
            return found
        if node.name in _TYPE_NAMES:
            value = Type(_TYPE_NAMES[node.name])
            return TYPE, lambda _: value
        return self.complain(node.at, f"undeclared reference to '{node.name}' (in container '')")

    def _select(self, node: Select) -> Planned:
        path = dotted(node)
        if path in self.variables and path is not None:  # one that is named like a field: `authorizer.requestResource`
            found = self.variable(path)
            assert found is not None
            return found
        if path is not None and not node.test and not self.knows(path.partition(".")[0]):
            known = path if path in _TYPE_NAMES else None
            from_library = self.library.functions.get(path)
            if known or (from_library is None and path in access.TYPES_BY_NAME):
                value = Type(path)
                return TYPE, lambda _: value
        return access.plan_select(self, node)

    def _bind(self, node: Bind) -> Planned:
        given, value = self.plan(node.value)
        if node.opens:
            if given.name == "optional_type":
                given = given.parts[0]
            elif given not in (DYN, ERROR):
                return self.complain(node.at, f"found no matching overload for 'optMap' applied to '{given}'")
        slot = self.enter(node.name, given)
        result, body = self.plan(node.body)
        self.leave(node.name)
        if node.opens:
            return (
                optional_of(result) if node.opens == "map" else result,
                _opened(value, body, slot, node.opens == "map"),
            )

        def run(frame: Frame) -> Any:
            frame.slots[slot] = value(frame)
            return body(frame)

        return result, run

    # ---- calls

    def _call(self, node: Call) -> Planned:
        special = _SPECIAL.get(node.function)
        if special is not None:
            return special(self, node)
        if node.target is not None:
            path = dotted(node.target)
            if path is not None and not self.knows(path.partition(".")[0]):
                name = f"{path}.{node.function}"
                if name in self.library.functions:
                    return self._function(node, name, node.args, member=False)
            return self._function(node, node.function, (node.target, *node.args), member=True)
        return self._function(node, node.function, node.args, member=False)

    def _function(self, node: Call, name: str, args: Sequence[Node], member: bool) -> Planned:
        planned = [self.plan(arg) for arg in args]
        function = self.library.functions.get(name)
        if function is None:
            return self.complain(node.at, f"undeclared reference to '{name}' (in container '')")
        types = [each[0] for each in planned]
        fitting: list[Overload] = []
        result: Type | None = None
        for overload in function.overloads:
            bound: Bindings = {}
            if overload.member is not member or len(overload.parameters) != len(types):
                continue
            if all(fits(want, have, bound) for want, have in zip(overload.parameters, types, strict=True)):
                fitting.append(overload)
                given = replaced(overload.result, bound)
                result = given if result is None or result == given else DYN
        if result is None:
            return self.complain(
                node.at, f"found no matching overload for '{name}' applied to '{_applied(types, member)}'"
            )
        runs = [each[1] for each in planned]
        if len(fitting) == 1 and not any(_vague(t) for t in types):
            return result, _direct(fitting[0], runs)
        return result, _dispatched(function, runs, member)


def dotted(node: Node) -> str | None:
    """`a.b.c` of a chain of plain selections, else None."""
    parts: list[str] = []
    while type(node) is Select:
        if node.optional or node.test:
            return None
        parts.append(node.field)
        node = node.operand
    return ".".join([node.name, *reversed(parts)]) if type(node) is Name else None


def _vague(type: Type) -> bool:
    return type in (DYN, ERROR) or any(_vague(part) for part in type.parts)


def _applied(types: Sequence[Type], member: bool) -> str:
    shown = [str(t) for t in types]
    return f"{shown[0]}.({', '.join(shown[1:])})" if member else f"({', '.join(shown)})"


def _slot(slot: int) -> Run:
    return lambda frame: frame.slots[slot]


def _outer(slot: int, name: str) -> Run:
    def run(frame: Frame) -> Any:
        value = frame.slots[slot]
        if value is MISSING:
            raise EvaluationError(f"no such attribute(s): {name}")
        return value

    return run


def _opened(value: Run, body: Run, slot: int, wraps: bool) -> Run:
    def run(frame: Frame) -> Any:
        given = value(frame)
        if type(given) is not Optional:
            raise EvaluationError("no such overload")
        if not given.present:
            return NONE
        frame.slots[slot] = given.value
        result = body(frame)
        return Optional(result) if wraps else result

    return run


_HEAVY = frozenset({str, bytes, list, dict})


def _invoke(frame: Frame, overload: Overload, args: Sequence[Any]) -> Any:
    units = overload.cost
    for arg in args:
        if type(arg) in _HEAVY:
            units += weight(arg, frame.left)
    if overload.price is not None:
        units += overload.price(*args)
    frame.spend(units)
    result = overload.call(*args)
    if type(result) in _HEAVY:
        frame.spend(len(result) if type(result) is list else len(result) // 10)
    return result


def _direct(overload: Overload, runs: Sequence[Run]) -> Run:
    if len(runs) == 2:
        first, second = runs
        return lambda frame: _invoke(frame, overload, (first(frame), second(frame)))
    return lambda frame: _invoke(frame, overload, [each(frame) for each in runs])


def _dispatched(function: Function, runs: Sequence[Run], member: bool) -> Run:
    dispatch = function.dispatch

    def run(frame: Frame) -> Any:
        args = [each(frame) for each in runs]
        return _invoke(frame, dispatch(args, member), args)

    return run


# ---- operators that do not look at all of their operands


def _logic(planner: Planner, node: Call) -> Planned:
    stops = node.function == "_||_"
    runs: list[Run] = []
    for arg in node.args:
        given, run = planner.plan(arg)
        if not fits(BOOL, given, {}):
            shown = f"({given}, {BOOL})" if arg is node.args[0] else f"({BOOL}, {given})"
            planner.complain(node.at, f"found no matching overload for '{node.function}' applied to '{shown}'")
        runs.append(run)

    def either(frame: Frame) -> Any:
        failed: EvaluationError | None = None
        for run in runs:
            value: Any
            try:
                value = run(frame)
            except CostExceeded:
                raise
            except EvaluationError as error:
                failed = failed or error
                continue
            if value is stops:
                return stops
            if value is not (not stops):
                failed = failed or EvaluationError("no such overload")
        if failed is not None:
            raise failed
        return not stops

    return BOOL, either


def _conditional(planner: Planner, node: Call) -> Planned:
    (given, test), (yes_type, yes), (no_type, no) = (planner.plan(arg) for arg in node.args)
    result = joined(yes_type, no_type)
    concrete = not _vague(yes_type) and not _vague(no_type)
    if not fits(BOOL, given, {}) or (concrete and not fits(yes_type, no_type, {}) and not fits(no_type, yes_type, {})):
        shown = f"({given}, {yes_type}, {no_type})"
        return planner.complain(node.at, f"found no matching overload for '_?_:_' applied to '{shown}'")

    def run(frame: Frame) -> Any:
        value = test(frame)
        if value is True:
            return yes(frame)
        if value is False:
            return no(frame)
        raise EvaluationError("no such overload")

    return result, run


_SPECIAL: dict[str, Callable[[Planner, Call], Planned]] = {
    "_||_": _logic,
    "_&&_": _logic,
    "_?_:_": _conditional,
    "_[_]": lambda planner, node: access.plan_index(planner, node),
    "_[?_]": lambda planner, node: access.plan_index(planner, node),
}
