"""What a parsed expression is made of. `at` is where in the text (in code points) a node is complained about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    at: int
    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    at: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; `test` is `has(operand.field)`, `optional` is `operand.?field`."""

    at: int
    operand: Node
    field: str
    test: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """`function(args)` or `target.function(args)`; operators have names like `_+_`."""

    at: int
    function: str
    target: Node | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """An element of a list or map, or a field of an object, that `optional` leaves out if its value is none."""

    at: int
    key: Node | None
    value: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ListOf:
    at: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    at: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """`Type{field: value}`; the keys are literals."""

    at: int
    type: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """A macro over a list or map: `all`, `exists`, `existsOne`, `filter`, `map`, `transformList`, `transformMap`,
    `transformMapEntry`. With `second`, the variables are index (or key) and value."""

    at: int
    macro: str
    range: Node
    first: str
    second: str
    filter: Node | None
    body: Node


@dataclass(frozen=True, slots=True)
class Bind:
    """`cel.bind(name, value, body)`; with `opens`, the value is an optional and none is the result of none (`opens` is
    "map" where the result is wrapped again, "flat" where it is not)."""

    at: int
    name: str
    value: Node
    body: Node
    opens: str = ""


Node = Literal | Name | Select | Call | ListOf | MapOf | ObjectOf | Fold | Bind
