"""A structural schema as a tree of nodes, and the two walks that bring a value into its shape: pruning and defaulting.

A node is made from its JSONSchemaProps when a value first leads to it, so a definition of a thousand fields costs its
bytes until somebody uses it, and then what is used.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from arktos.model.kinds import Obj

RESOURCE_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
"""What every object has, whether or not a schema mentions it."""

_MISSING = object()


class Node:
    """One node of a structural schema (apiextensions.k8s.io/v1, "structural schemas").

    `raw` is its JSONSchemaProps. `preserve` keeps unknown fields, `embedded` marks a whole object, `additional` is the
    schema of values under arbitrary keys (None: there are none).
    """

    __slots__ = (
        "_additional",
        "_fields",
        "_items",
        "defaults",
        "embedded",
        "int_or_string",
        "list_keys",
        "list_type",
        "map_type",
        "nullable",
        "preserve",
        "properties",
        "raw",
        "required",
        "type",
    )

    def __init__(self, raw: Obj) -> None:
        self.raw = raw
        self.type: str = raw.get("type") or ""
        self.nullable = bool(raw.get("nullable"))
        self.preserve = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded = bool(raw.get("x-kubernetes-embedded-resource"))
        self.int_or_string = bool(raw.get("x-kubernetes-int-or-string"))
        self.list_type: str = raw.get("x-kubernetes-list-type") or ""
        self.list_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        self.map_type: str = raw.get("x-kubernetes-map-type") or ""
        self.required: tuple[str, ...] = tuple(raw.get("required") or ())
        self.properties: Mapping[str, Obj] = raw.get("properties") or {}
        self.defaults = {name: found["default"] for name, found in self.properties.items() if "default" in found}
        """What fields are when they are left out."""
        self._fields: dict[str, Node] = {}
        self._items: object = _MISSING
        self._additional: object = _MISSING

    @property
    def default(self) -> Any:
        return self.raw.get("default")

    def field(self, name: str) -> Node | None:
        """The node of a declared field."""
        known = self._fields.get(name)
        if known is None:
            raw = self.properties.get(name)
            if raw is None:
                return None
            known = self._fields[name] = Node(raw)
        return known

    @property
    def items(self) -> Node | None:
        """The node of a list's elements."""
        if self._items is _MISSING:
            found = self.raw.get("items")
            self._items = Node(found) if isinstance(found, dict) else None
        return self._items if isinstance(self._items, Node) else None

    @property
    def additional(self) -> Node | None:
        """The node of values under arbitrary keys; an empty one where they may be anything that a schema does not
        describe (`additionalProperties: true`)."""
        if self._additional is _MISSING:
            found = self.raw.get("additionalProperties")
            if found is True:
                found = {}
            self._additional = Node(found) if isinstance(found, dict) else None
        return self._additional if isinstance(self._additional, Node) else None


EMPTY = Node({})
"""Says nothing: objects below it lose all their fields."""


def prune(root: Node, obj: Obj) -> list[str]:
    """Removes what the schema does not have from an object, in place; the paths of what went, in document order."""
    gone: list[str] = []
    _prune(root, obj, "", gone, whole=True)
    return gone


def _prune(node: Node, value: Any, path: str, gone: list[str], *, whole: bool = False) -> None:
    if type(value) is dict:
        _prune_object(node, value, path, gone, whole or node.embedded)
    elif type(value) is list:
        below = node.items
        if below is None and node.preserve:
            return
        for index, item in enumerate(value):
            if type(item) is dict or type(item) is list:
                _prune(below or EMPTY, item, f"{path}[{index}]", gone)


def _prune_object(node: Node, value: Obj, path: str, gone: list[str], whole: bool) -> None:
    extra = node.additional
    unknown: list[str] = []
    for name, item in value.items():
        if whole and name in RESOURCE_FIELDS:
            continue
        below = node.field(name) or extra
        if below is None:
            if not node.preserve:
                unknown.append(name)
        elif type(item) is dict or type(item) is list:
            _prune(below, item, f"{path}.{name}" if path else name, gone)
    for name in unknown:
        del value[name]
        gone.append(f"{path}.{name}" if path else name)


def apply_defaults(root: Node, obj: Obj) -> None:
    """Writes what the author left out, in place; a null that may not be one is absent. Idempotent."""
    _default(root, obj)


def _default(node: Node, value: Any) -> None:
    if type(value) is dict:
        for name, default in node.defaults.items():
            if name not in value or (value[name] is None and not node.properties[name].get("nullable")):
                value[name] = copy.deepcopy(default)
        extra = node.additional
        for name in list(value):
            _default_field(node.field(name) or extra, value, name)
    elif type(value) is list:
        below = node.items
        if below is None:
            return
        for index, item in enumerate(value):
            if item is None and not below.nullable and "default" in below.raw:
                value[index] = copy.deepcopy(below.default)
            _default(below, value[index])


def _default_field(below: Node | None, value: Obj, name: str) -> None:
    if below is None:
        return
    if value[name] is None and not below.nullable:
        if "default" not in below.raw:
            del value[name]
            return
        value[name] = copy.deepcopy(below.default)
    _default(below, value[name])
