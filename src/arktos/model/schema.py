"""Schemas: what JSON value may stand where. Facts only, as data; descriptions stay in the upstream wheel.

A `Schema` is one node of a type. Named types are resolved lazily through `named`, so recursive types (CRD schemas) and
a start that touches few kinds both stay cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Schema:
    """One node. `type` is one of object, map, array, string, integer, number, boolean, int-or-string, quantity, any.

    `object` has `properties` (a closed set: other fields are unknown); `map` has `items` as the type of its values;
    `array` has `items` as the type of its elements; `any` is left alone (RawExtension, JSON, FieldsV1).
    Merge facts: `patch_merge_key` and `patch_strategies` serve strategic merge patch, `list_type`
    (atomic, set, map or ""), `list_map_keys` and `map_type` (atomic, granular or "") serve server-side apply.
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
