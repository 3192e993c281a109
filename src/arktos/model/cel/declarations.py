"""How functions are declared: a name, and overloads that differ by the types that they take.

An expression picks the overloads that fit what is known of its arguments; where that leaves more than one, or where an
argument is `dyn`, the values decide when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arktos.model.cel.errors import CostExceeded, EvaluationError
from arktos.model.cel.types import Type
from arktos.model.cel.values import NAMES, Duration, Optional, Timestamp, UInt

LONGEST_RESULT = 1_000_000
"""The most characters, or elements, that a function may make in one go."""

RUNTIME: dict[str, type] = {
    "bool": bool,
    "int": int,
    "uint": UInt,
    "double": float,
    "string": str,
    "bytes": bytes,
    "null": type(None),
    "list": list,
    "map": dict,
    "timestamp": Timestamp,
    "duration": Duration,
    "optional_type": Optional,
    "type": Type,
}
"""The Python class of a type's values. Types that a library adds are entered with `declare`."""


def declare(type: Type, values: type) -> None:
    """Makes known which class the values of a library's own type have."""
    RUNTIME[type.name] = values
    NAMES[values] = type.name


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature. A member's target is its first parameter. `call` takes the values and may raise EvaluationError;
    it costs `cost`, a unit for each ten characters and each element of what it is given and gives, and what `price`
    says of the values beforehand."""

    parameters: tuple[Type, ...]
    result: Type
    call: Callable[..., Any]
    member: bool = False
    cost: int = 1
    price: Callable[..., int] | None = None


@dataclass(slots=True)
class Function:
    """A function's overloads, and which of them takes which kinds of values (worked out once each)."""

    name: str
    overloads: tuple[Overload, ...]
    _known: dict[tuple[type, ...], Overload | None] = field(default_factory=dict)

    def dispatch(self, args: Sequence[Any], member: bool) -> Overload:
        """The overload for these values. EvaluationError."""
        kinds = (bool if member else int, *map(type, args))
        try:
            found = self._known[kinds]
        except KeyError:
            found = self._known[kinds] = self._for(kinds[1:], member)
        if found is None:
            raise EvaluationError("no such overload")
        return found

    def _for(self, kinds: tuple[type, ...], member: bool) -> Overload | None:
        for overload in self.overloads:
            wanted = overload.parameters
            if overload.member is member and len(wanted) == len(kinds) and all(map(_takes, wanted, kinds)):
                return overload
        return None


def _takes(wanted: Type, kind: type) -> bool:
    expected = RUNTIME.get(wanted.name)
    return expected is None or wanted.parameter or expected is kind


class Library:
    """A set of functions. `add` is how the modules of functions fill it."""

    def __init__(self, functions: Mapping[str, Function] | None = None) -> None:
        self.functions: dict[str, Function] = dict(functions or {})

    def add(self, name: str, *overloads: Overload) -> None:
        known = self.functions.get(name)
        self.functions[name] = Function(name, (*(known.overloads if known else ()), *overloads))

    def function(self, name: str, parameters: Sequence[Type], result: Type, call: Callable[..., Any]) -> None:
        """One global overload."""
        self.add(name, Overload(tuple(parameters), result, call))

    def method(self, name: str, parameters: Sequence[Type], result: Type, call: Callable[..., Any]) -> None:
        """One member overload; the first parameter is the target."""
        self.add(name, Overload(tuple(parameters), result, call, member=True))


def bounded(size: int) -> None:
    """CostExceeded where a function is about to make something too large."""
    if size > LONGEST_RESULT:
        raise CostExceeded()
