"""The selectable fields of an object: what a field selector may ask for, read once, when the object is written."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any

from arktos.model.kinds import Kind, Obj
from arktos.model.schema import Schema, named

_Paths = tuple[tuple[str, ...], ...]

_ZERO = {"boolean": "false", "integer": "0"}
_MAX_KINDS = 4096

_readers: dict[int, tuple[Mapping[str, str], tuple[tuple[str, _Paths, str], ...]]] = {}


def selectable(kind: Kind, obj: Obj) -> dict[str, str]:
    """The value of each selectable field of a kind, by label: booleans as `true` and `false`, numbers in decimal, what
    is missing as the zero of its type (`false`, `0`, empty). `obj` is in the kind's stored form."""
    if kind.custom is not None:
        fields = kind.custom.definition.header_fields
        return {label: _value(obj, (tuple(path.split(".")),), "") for label, path in fields.items()}
    if not kind.selectable:
        return {}
    return {label: _value(obj, paths, zero) for label, paths, zero in _reader(kind)}


def _value(obj: Obj, paths: _Paths, zero: str) -> str:
    for path in paths:
        value: Any = obj
        for step in path:
            value = value.get(step) if type(value) is dict else None
        if type(value) is str:
            if value:
                return intern(value)
        elif value is not None:
            return _text(value)
    return zero


def _text(value: Any) -> str:
    if type(value) is bool:
        return "true" if value else "false"
    return intern(str(value))


def _reader(kind: Kind) -> tuple[tuple[str, _Paths, str], ...]:
    """The paths to read, compiled once per row."""
    known = _readers.get(id(kind.selectable))
    if known is not None and known[0] is kind.selectable:
        return known[1]
    if len(_readers) >= _MAX_KINDS:
        _readers.clear()
    root = _root(kind)
    compiled = []
    for label, source in kind.selectable.items():
        paths = tuple(tuple(path.split(".")) for path in source.split("|"))
        compiled.append((label, paths, _zero(root, paths[0])))
    _readers[id(kind.selectable)] = kind.selectable, tuple(compiled)
    return tuple(compiled)


def _root(kind: Kind) -> Schema | None:
    try:
        return named(kind.schema)
    except KeyError:
        return None


def _zero(schema: Schema | None, path: tuple[str, ...]) -> str:
    """What a missing value at a path counts as; a kind without a schema in the tables has no zeros."""
    for step in path:
        schema = schema.properties.get(step) if schema is not None else None
    return _ZERO.get(schema.type, "") if schema is not None else ""
