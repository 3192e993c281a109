"""The types of expressions, and when a value of one may stand where another is wanted.

`dyn` fits everywhere and takes everything: what it holds is found out when the expression runs. An `ObjectType` has
declared fields only, so a misspelt one is an error of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Type:
    """A type by name, with those it is made of. A parameter (`T`) stands for any one type within a signature."""

    name: str
    parts: tuple[Type, ...] = ()
    parameter: bool = False

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parts))})" if self.parts else self.name


class ObjectType(Type):
    """An object with these fields. `fields` maps a name in expressions to the key in the object and the type there; it
    is asked for when first needed, so that a type may contain itself."""

    __slots__ = ("_load", "_loaded")

    _load: Callable[[], Mapping[str, tuple[str, Type]]]
    _loaded: Mapping[str, tuple[str, Type]] | None

    def __init__(self, name: str, fields: Callable[[], Mapping[str, tuple[str, Type]]]) -> None:
        Type.__init__(self, name)
        object.__setattr__(self, "_load", fields)
        object.__setattr__(self, "_loaded", None)

    @property
    def fields(self) -> Mapping[str, tuple[str, Type]]:
        loaded = self._loaded
        if loaded is None:
            loaded = self._load()
            object.__setattr__(self, "_loaded", loaded)
        return loaded

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


DYN = Type("dyn")
ERROR = Type("!error!")
"""The type of what is wrong already: it fits everywhere, so that one mistake is told once."""
BOOL = Type("bool")
INT = Type("int")
UINT = Type("uint")
DOUBLE = Type("double")
STRING = Type("string")
BYTES = Type("bytes")
NULL = Type("null")
TIMESTAMP = Type("timestamp")
DURATION = Type("duration")
TYPE = Type("type")


def list_of(element: Type) -> Type:
    return Type("list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    return Type("optional_type", (value,))


def parameter(name: str) -> Type:
    return Type(name, parameter=True)


Bindings = dict[str, Type]

_ANY = (DYN, ERROR)
_NEVER_NULL = frozenset({"bool", "int", "uint", "double", "string", "bytes", "list", "map", "type"})


def fits(wanted: Type, given: Type, bound: Bindings) -> bool:
    """Whether a value of type `given` may stand where `wanted` is asked for. Parameters are bound as they are met; a
    first binding is widened to `dyn` where a later one is."""
    if wanted.parameter:
        known = bound.get(wanted.name)
        if known is None or known in _ANY:
            bound[wanted.name] = given if known is None else known
            return True
        if given in _ANY:
            bound[wanted.name] = DYN
            return True
        if known is NULL and fits(given, known, {}):
            bound[wanted.name] = given
            return True
        return fits(known, given, {})
    if wanted in _ANY or given in _ANY:
        return True
    if given is NULL and wanted.name not in _NEVER_NULL:
        return True
    if isinstance(wanted, ObjectType) or isinstance(given, ObjectType):
        return wanted is given or _as_map(wanted, given)
    if wanted.name != given.name or len(wanted.parts) != len(given.parts):
        return False
    return all(fits(w, g, bound) for w, g in zip(wanted.parts, given.parts, strict=True))


def _as_map(wanted: Type, given: Type) -> bool:
    """An object written as a map, `{'name': 'x'}`, may be compared with one that has declared fields."""
    return wanted.name == "map" or given.name == "map" or wanted.name == given.name


def replaced(type: Type, bound: Bindings) -> Type:
    """`type` with its parameters replaced by what they are bound to; one that nothing bound is `dyn`."""
    if type.parameter:
        return bound.get(type.name, DYN)
    if type.parts:
        return Type(type.name, tuple(replaced(part, bound) for part in type.parts))
    return type


def joined(first: Type, second: Type) -> Type:
    """The type of what is either: the same where they agree, else `dyn`."""
    if first == second or second is ERROR:
        return first
    if first is NULL and fits(second, first, {}):
        return second
    if second is NULL and fits(first, second, {}):
        return first
    if first.parts and first.name == second.name and len(first.parts) == len(second.parts):
        return Type(first.name, tuple(joined(a, b) for a, b in zip(first.parts, second.parts, strict=True)))
    return DYN
