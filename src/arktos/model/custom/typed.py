"""A structural schema as `model.schema` has it, for what asks for topology: server-side apply and managedFields.

What a schema does not describe is deduced from the value, as structured-merge-diff does: objects are granular maps,
lists are atomic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from arktos.model.custom.schema import Node
from arktos.model.schema import Schema, named

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_TEXT = Schema(type="string")


DEDUCED = Schema(type="map")
# It holds itself: values below what is not described are not described either.
object.__setattr__(DEDUCED, "items", DEDUCED)


class _Fields(Mapping[str, Schema]):
    """The declared fields of a node, made when they are asked for."""

    def __init__(self, node: Node, whole: bool) -> None:
        self._node = node
        self._whole = whole
        self._made: dict[str, Schema] = {}

    def __getitem__(self, name: str) -> Schema:
        known = self._made.get(name)
        if known is None:
            if self._whole and name in ("apiVersion", "kind"):
                known = _TEXT
            elif self._whole and name == "metadata":
                known = named(_OBJECT_META)
            else:
                below = self._node.field(name)
                if below is None:
                    raise KeyError(name)
                known = of(below)
            self._made[name] = known
        return known

    def __iter__(self) -> Iterator[str]:
        if self._whole:
            yield from ("apiVersion", "kind", "metadata")
        for name in self._node.properties:
            if not (self._whole and name in ("apiVersion", "kind", "metadata")):
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)


def of(node: Node, *, whole: bool = False) -> Schema:
    """The schema of a node; `whole` is the root of an object, as an embedded one is."""
    whole = whole or node.embedded
    if whole or node.properties:
        unknown = DEDUCED if node.preserve else None
        if node.additional is not None:
            unknown = of(node.additional)
        return Schema(type="object", properties=_Fields(node, whole), items=unknown, map_type=node.map_type)
    if node.type == "array":
        below = node.items
        return Schema(
            type="array",
            items=of(below) if below is not None else DEDUCED,
            list_type=node.list_type or "atomic",
            list_map_keys=node.list_keys,
            key_defaults=below.defaults if below is not None else {},
        )
    if node.type == "object" or node.preserve:
        below = node.additional
        return Schema(type="map", items=of(below) if below is not None else DEDUCED, map_type=node.map_type)
    return Schema(type=node.type or "any")
