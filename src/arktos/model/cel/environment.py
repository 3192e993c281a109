"""Expressions: compiled once, evaluated often, never for longer than a budget allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from arktos.model.cel import (
    library_authorizer,
    library_kubernetes,
    library_lists,
    library_network,
    library_standard,
    library_strings,
)
from arktos.model.cel.declarations import Library
from arktos.model.cel.errors import CelError, CostExceeded, EvaluationError, Issue
from arktos.model.cel.frame import MISSING, Frame, PatientFrame
from arktos.model.cel.parser import parse
from arktos.model.cel.planning import Planner, Run
from arktos.model.cel.syntax import Bind, Call, Fold, ListOf, MapOf, Node, ObjectOf, Select
from arktos.model.cel.types import DYN, Type, fits
from arktos.model.cel.values import weight

PER_CALL = 1_000_000
"""What one evaluation may cost in units, as in Kubernetes. Some 100-300 ms of one processor: not for an event loop."""

INLINE = 15_000
"""What an evaluation may cost that holds the event loop: at most about 5 ms."""

DEEPEST_TREE = 160
"""How deep an expression may nest, chains of `+` and `.` counted."""


@lru_cache(maxsize=1)
def standard() -> Library:
    """Every function there is."""
    library = Library()
    for module in (
        library_standard,
        library_strings,
        library_lists,
        library_network,
        library_kubernetes,
        library_authorizer,
    ):
        module.install(library)
    return library


class Budget:
    """What several evaluations may cost together. `left` falls with each."""

    __slots__ = ("left",)

    def __init__(self, units: int) -> None:
        self.left = units


class Program:
    """A compiled expression. Immutable: it may be evaluated by any thread, any number of times."""

    __slots__ = ("_run", "_size", "_slots", "expression", "type", "uses")

    def __init__(self, expression: str, type: Type, run: Run, used: Mapping[str, int], size: int) -> None:
        self.expression = expression
        self.type = type
        self.uses = frozenset(used)
        self._run = run
        self._slots = tuple(used.items())
        self._size = size

    def evaluate(
        self, values: Mapping[str, Any], budget: Budget | None = None, limit: int = INLINE, *, patient: bool = False
    ) -> Any:
        """The value for these variables. EvaluationError where there is none; CostExceeded, which is one, after `limit`
        units, or when the budget is spent. `patient`: in a thread beside an event loop, to which it gives way."""
        allowed = limit if budget is None or budget.left > limit else budget.left
        slots: list[Any] = [MISSING] * self._size
        for name, slot in self._slots:
            slots[slot] = values.get(name, MISSING)
        frame = PatientFrame(slots, allowed) if patient else Frame(slots, allowed)
        try:
            value = self._run(frame)
            if type(value) is list or type(value) is dict:  # small parts many times over: as large as it is to walk
                frame.spend(weight(value, frame.left))
            return value
        except RecursionError:
            raise CostExceeded() from None
        except (OverflowError, MemoryError, ZeroDivisionError) as error:
            raise EvaluationError(str(error) or "out of range") from None
        finally:
            if budget is not None:
                budget.left -= allowed - max(frame.left, 0)


def compile(
    expression: str,
    variables: Mapping[str, Type],
    result: Type | Iterable[Type] = DYN,
    objects: Callable[[str], Type | None] = lambda name: None,
) -> Program:
    """A program over these variables that gives one of the result types. CelError, worded as in Kubernetes.

    `objects` says which `Type{...}` may be written: from a name to the type that it makes, or None."""
    tree = parse(expression)
    _limit_depth(expression, tree)
    planner = Planner(standard(), variables, objects)
    given, run = planner.plan(tree)
    if planner.issues:
        raise CelError(expression, planner.issues)
    wanted = (result,) if isinstance(result, Type) else tuple(result)
    if not any(fits(each, given, {}) for each in wanted):
        raise ResultError(wanted)
    return Program(expression, given, run, planner.used, planner.size)


class ResultError(CelError):
    """The expression is sound, but gives something else than it should: `must evaluate to bool`."""

    def __init__(self, wanted: tuple[Type, ...]) -> None:
        ValueError.__init__(
            self,
            f"must evaluate to {wanted[0]}"
            if len(wanted) == 1
            else f"must evaluate to one of [{' '.join(map(str, wanted))}]",
        )
        self.issues = ()


def _limit_depth(expression: str, tree: Node) -> None:
    level: list[Node] = [tree]
    depth = 0
    while level:
        depth += 1
        if depth > DEEPEST_TREE:
            raise CelError(expression, [Issue(level[0].at, f"expression recursion limit exceeded: {DEEPEST_TREE}")])
        level = [below for node in level for below in _below(node)]


def _below(node: Node) -> list[Node]:
    if isinstance(node, Select):
        return [node.operand]
    if isinstance(node, Call):
        return [*([node.target] if node.target else ()), *node.args]
    if isinstance(node, Fold):
        return [node.range, node.body, *([node.filter] if node.filter else ())]
    if isinstance(node, Bind):
        return [node.value, node.body]
    if isinstance(node, ListOf | MapOf | ObjectOf):
        return [part for member in node.members for part in (member.key, member.value) if part is not None]
    return []
