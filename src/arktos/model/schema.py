"""Schemas: what JSON value may stand where. Facts only, as data; descriptions stay in the upstream wheel.

A `Schema` is one node of a type. `named` resolves a type with all that it refers to when it is first asked for, so a
process that touches few kinds holds few nodes, and types share their nodes: a type that refers to itself (CRD schemas)
is a cycle of nodes, never a copy.

The facts come from three tables: `kubernetes.json.gz` (extracted by `scripts/extract_schema.py`), `additions` (what
Arktos adds) and `enums` (which values a string may take; the published schemas don't tell).
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from arktos.model import additions, enums
from arktos.model.kinds import Kind


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One node. `type` is one of object, map, array, string, integer, number, boolean, int-or-string, quantity, any.

    `object` has `properties` (a closed set: other fields are unknown); `map` has `items` as the type of its values;
    `array` has `items` as the type of its elements; `any` is left alone (RawExtension, JSON, FieldsV1).
    Merge facts: `patch_merge_key` and `patch_strategies` serve strategic merge patch, `list_type`
    (atomic, set, map or ""), `list_map_keys` and `map_type` (atomic, granular or "") serve server-side apply.
    `key_defaults` are what keys of list elements are when left out (None: as built-in types have it).
    `name` is the upstream type's name where the node is a named type, also of one that is no object (Time, Quantity).
    """

    type: str
    format: str = ""
    name: str = ""
    properties: Mapping[str, Schema] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    items: Schema | None = None
    enum: tuple[str, ...] = ()
    list_type: str = ""
    list_map_keys: tuple[str, ...] = ()
    map_type: str = ""
    patch_merge_key: str = ""
    patch_strategies: frozenset[str] = frozenset()
    key_defaults: Mapping[str, Any] | None = None


class _Node(msgspec.Struct, frozen=True, gc=False):
    """A property or element as the table has it: a type (`t`) or a reference (`r`), with its topology. `n` names the
    upstream type that `t` stands for."""

    t: str = ""
    r: str = ""
    n: str = ""
    f: str = ""
    i: _Node | None = None
    lt: str = ""
    lk: tuple[str, ...] = ()
    mt: str = ""
    mk: str = ""
    ms: tuple[str, ...] = ()


class _Type(msgspec.Struct, frozen=True, gc=False):
    """A named type as the table has it: properties, required ones, map type."""

    p: dict[str, _Node]
    q: tuple[str, ...] = ()
    mt: str = ""


_known: dict[str, Schema] = {}
_shared: dict[tuple[Any, ...], Schema] = {}


@cache
def _table() -> dict[str, msgspec.Raw]:
    """The types, undecoded until they are asked for."""
    packed = Path(__file__).with_name("kubernetes.json.gz").read_bytes()
    return msgspec.json.decode(gzip.decompress(packed), type=dict[str, msgspec.Raw])


@cache
def _added() -> dict[str, _Type]:
    return msgspec.convert(additions.types(), dict[str, _Type])


def names() -> Iterator[str]:
    """The names of all types, those of Arktos included, in no particular order."""
    yield from _table()
    yield from _added()


def named(type_name: str) -> Schema:
    """The schema of a named type, such as `io.k8s.api.core.v1.Pod`. KeyError if there is no such type."""
    known = _known.get(type_name)
    if known is not None:
        return known
    facts = _type(type_name)
    properties: dict[str, Schema] = {}
    schema = Schema(
        type="object",
        name=type_name,
        properties=properties,
        required=frozenset(facts.q),
        map_type=facts.mt,
    )
    _known[type_name] = schema
    for name, node in facts.p.items():
        properties[name] = _resolve(node, enums.values(type_name, name))
    return schema


def of(kind: Kind) -> Schema:
    """The schema of a kind's objects, built-in or defined by a CustomResourceDefinition."""
    return named(kind.schema) if kind.custom is None else kind.custom.schema


def _type(type_name: str) -> _Type:
    added = _added().get(type_name)
    if added is not None:
        return added
    facts = msgspec.json.decode(_table()[type_name], type=_Type)
    fields = additions.fields(type_name)
    if not fields and type_name not in additions.OPTIONAL:
        return facts
    return _Type(
        p={**facts.p, **msgspec.convert(fields, dict[str, _Node])},
        q=tuple(name for name in facts.q if name not in additions.OPTIONAL.get(type_name, ())),
        mt=facts.mt,
    )


def _resolve(node: _Node, enum: tuple[str, ...]) -> Schema:
    """The schema of one property or element; equal leaves are one object. An enum of a list is that of its elements."""
    if node.r:
        target = named(node.r)
        if node.mt and node.mt != target.map_type:
            return _with_map_type(target, node.mt)
        return target
    items = _resolve(node.i, enum) if node.i is not None else None
    key = (node.t, node.f, node.n, id(items), enum, node.lt, node.lk, node.mt, node.mk, node.ms)
    found = _shared.get(key)
    if found is None:
        found = _shared[key] = Schema(
            type=node.t,
            format=node.f,
            name=node.n,
            items=items,
            enum=enum if items is None else (),
            list_type=node.lt,
            list_map_keys=node.lk,
            map_type=node.mt,
            patch_merge_key=node.mk,
            patch_strategies=frozenset(node.ms),
        )
    return found


def _with_map_type(target: Schema, map_type: str) -> Schema:
    """A named type used with a topology of the place's own; the properties are shared."""
    key = (target.name, map_type)
    found = _shared.get(key)
    if found is None:
        found = _shared[key] = Schema(
            type=target.type,
            name=target.name,
            properties=target.properties,
            required=target.required,
            map_type=map_type,
        )
    return found
