"""Types of variables from OpenAPI schemas: those of built-in kinds and the structural ones of custom resources.

As in Kubernetes: declared properties become fields, under names that an expression can write (`escaped`);
`additionalProperties` a map; `int-or-string` and what is preserved unknown `dyn`; the formats `date-time`, `duration`
and `byte` values of their own. What may be null is `dyn`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from arktos.model.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    ObjectType,
    Type,
    list_of,
    map_of,
)
from arktos.model.schema import Schema

_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_TO_ESCAPE = re.compile(r"__|\.|-|/")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)
_FORMATS = {"date": TIMESTAMP, "date-time": TIMESTAMP, "duration": DURATION, "byte": BYTES, "binary": BYTES}
_SCALARS = {"boolean": BOOL, "integer": INT, "number": DOUBLE, "string": STRING}


def escaped(name: str) -> str | None:
    """A property's name as expressions write it (`a-b` is `a__dash__b`, `if` is `__if__`); None for one that no
    expression can reach."""
    if name in _RESERVED:
        return f"__{name}__"
    text = _TO_ESCAPE.sub(lambda found: _ESCAPES[found[0]], name)
    return text if _NAME.match(text) else None


def declared(schema: Mapping[str, Any], name: str = "object", *, root: bool = False) -> Type:
    """The type of a value of this structural schema. `root` adds what every object has (`apiVersion`, `kind`,
    `metadata.name`, `metadata.generateName`)."""
    if schema.get("nullable") or schema.get("x-kubernetes-int-or-string"):
        return DYN
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return _object(schema, name, root or bool(schema.get("x-kubernetes-embedded-resource")))
    if kind == "array":
        items = schema.get("items")
        return list_of(declared(items, f"{name}.@idx") if isinstance(items, Mapping) else DYN)
    if kind == "string":
        return _FORMATS.get(schema.get("format") or "", STRING) if schema.get("format") != "date" else TIMESTAMP
    return _SCALARS.get(kind or "", DYN)


def _object(schema: Mapping[str, Any], name: str, whole: bool) -> Type:
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    if isinstance(additional, Mapping) and not properties:
        return map_of(STRING, declared(additional, f"{name}.@elem"))
    if additional is True or (not properties and not whole):
        return map_of(STRING, DYN) if additional is True else DYN

    def fields() -> dict[str, tuple[str, Type]]:
        found: dict[str, tuple[str, Type]] = {}
        for key, below in properties.items():
            written = escaped(key)
            if written is not None and isinstance(below, Mapping):
                found[written] = (key, declared(below, f"{name}.{key}"))
        if whole:
            found["apiVersion"], found["kind"] = ("apiVersion", STRING), ("kind", STRING)
            found["metadata"] = ("metadata", _METADATA)
        return found

    return ObjectType(name, fields)


_METADATA = ObjectType("object.metadata", lambda: {"name": ("name", STRING), "generateName": ("generateName", STRING)})

_KINDS = {"boolean": BOOL, "integer": INT, "number": DOUBLE, "quantity": STRING}


def of_schema(schema: Schema) -> Type:
    """The type of a value of a built-in kind's schema."""
    known = _known.get(id(schema))
    if known is None:
        known = _known[id(schema)] = _of_schema(schema)
    return known


_known: dict[int, Type] = {}
"""By node: nodes of built-in types live as long as the process, and may contain themselves."""


def _of_schema(schema: Schema) -> Type:
    if schema.type == "object":
        return ObjectType(schema.name or "object", lambda: _fields(schema))
    if schema.type == "map":
        return map_of(STRING, of_schema(schema.items) if schema.items is not None else DYN)
    if schema.type == "array":
        return list_of(of_schema(schema.items) if schema.items is not None else DYN)
    if schema.type == "string":
        return _FORMATS.get(schema.format, STRING)
    return _KINDS.get(schema.type, DYN)


def _fields(schema: Schema) -> dict[str, tuple[str, Type]]:
    named = ((escaped(key), key, below) for key, below in schema.properties.items())
    return {written: (key, of_schema(below)) for written, key, below in named if written is not None}
