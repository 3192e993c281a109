"""How the values of a type fall apart into fields that can be owned one by one (KEP-555, "topology").

A `Shape` is what server-side apply needs of a schema node, worked out once: whether a value is one field (scalars,
atomic lists and maps, untyped values), a map of fields (objects, granular maps), or a list whose elements are known by
their keys or by their value. Everything about ownership walks shapes: which fields a value has, in what two values
differ, a value without some of its fields. Nulls are values here: a null that is applied is owned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from arktos.model.fieldset import LEAF, SELF, FieldSet, in_order, is_member, key_element, value_element
from arktos.model.schema import Schema

KEY_DEFAULTS = {"protocol": "TCP"}
"""What a list-map key is when an element leaves it out: the only keys of built-in types that have a default."""


class Shape:
    """One node. `leaf`: the value is one field. Otherwise it is a map or, with `element`, a list of elements.

    `element` names a list element: it raises ValueError for one that has none of its keys.
    """

    __slots__ = ("_below", "_fields", "_patterns", "_schema", "element", "leaf")

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._fields: dict[str, tuple[str, Shape]] = {}
        self._below: Shape | None = None
        self._patterns: dict[tuple[str, ...], Pattern] = {}
        self.element = _element_namer(schema) if schema.type == "array" else None
        self.leaf = not (self.element or _is_map(schema))

    def field(self, name: str) -> tuple[str, Shape]:
        """The path element of a map's field, and its shape."""
        known = self._fields.get(name)
        if known is not None:
            return known
        schema = self._schema.properties.get(name)
        if schema is None:  # an arbitrary key: not kept
            return "f:" + name, self.items
        found = self._fields[name] = (f"f:{name}", _LEAF_SHAPE if _is_leaf(schema) else Shape(schema))
        return found

    def pattern(self, names: tuple[str, ...]) -> Pattern:
        """The subtree of a new map with these fields, as far as their values do not matter, and the fields whose
        values do."""
        known = self._patterns.get(names)
        if known is None:
            subtree: FieldSet = {SELF: LEAF}
            deep: list[tuple[str, str, Shape]] = []
            for name in sorted(names):
                element, below = self.field(name)
                subtree[element] = LEAF
                if not below.leaf:
                    deep.append((name, element, below))
            known = subtree, deep
            # Types declare few fields, and clients write them in few orders; keys that somebody chose are not kept.
            if self._schema.properties and len(self._patterns) < _PATTERNS:
                self._patterns[names] = known
        return known

    @property
    def items(self) -> Shape:
        """The shape of a list's elements, or of a map's values under arbitrary keys."""
        if self._below is None:
            schema = self._schema.items
            self._below = _LEAF_SHAPE if schema is None or _is_leaf(schema) else Shape(schema)
        return self._below

    def declares(self, element: str) -> bool:
        """Whether the path element is a field that the type declares, as opposed to a key that somebody chose."""
        return element[2:] in self._schema.properties

    def below(self, element: str) -> Shape:
        """The shape at a path element."""
        return self.field(element[2:])[1] if element[0] == "f" else self.items


Pattern = tuple[FieldSet, list[tuple[str, str, Shape]]]
_PATTERNS = 256


@lru_cache(maxsize=512)
def shape(schema: Schema) -> Shape:
    """The shape of a schema node, made once per node."""
    return Shape(schema)


def _is_map(schema: Schema) -> bool:
    if schema.map_type == "atomic":
        return False
    return bool(schema.properties) if schema.type == "object" else schema.type == "map"


def _is_leaf(schema: Schema) -> bool:
    return not _is_map(schema) and (schema.type != "array" or _list_keys(schema) is None)


def _list_keys(schema: Schema) -> tuple[str, ...] | None:
    """The keys of a list's elements: () for a set, None for an atomic list. Old types have merge keys only."""
    if schema.list_type == "map":
        return schema.list_map_keys
    if schema.list_type == "set":
        return ()
    if schema.list_type == "atomic" or "merge" not in schema.patch_strategies:
        return None
    return (schema.patch_merge_key,) if schema.patch_merge_key else ()


def _element_namer(schema: Schema) -> Callable[[Any], str] | None:
    keys = _list_keys(schema)
    if keys is None:
        return None
    if not keys:
        return _set_element
    names = tuple(sorted(keys))
    absent = KEY_DEFAULTS if schema.key_defaults is None else schema.key_defaults
    single = names[0] if len(names) == 1 else ""

    def name(item: Any) -> str:
        if not isinstance(item, dict):
            raise ValueError("associative list with keys may not have non-map elements")
        if single and type(item.get(single)) is str:
            return _named(single, item[single])
        found = [(key, item.get(key, absent.get(key))) for key in names]
        found = [(key, value) for key, value in found if value is not None]
        if not found:
            raise ValueError(f"associative list with keys has an element that omits all key fields {list(keys)}")
        return key_element(found)

    return name


@lru_cache(maxsize=4096)
def _named(key: str, value: str) -> str:
    return key_element(((key, value),))


def _set_element(item: Any) -> str:
    if isinstance(item, dict | list) or item is None:
        raise ValueError("associative list without keys has an element that's not a scalar")
    return value_element(item)


_LEAF_SHAPE = Shape(Schema(type="any"))


def elements(node: Shape, items: list[Any]) -> dict[str, Any]:
    """A list's elements by their path element. Those that share one are a tuple: they are owned as one.

    Raises ValueError when an element cannot be named.
    """
    name = node.element
    assert name is not None
    found: dict[str, Any] = {}
    for item in items:
        element = name(item)
        if element in found:
            before = found[element]
            found[element] = (*before, item) if isinstance(before, tuple) else (before, item)
        else:
            found[element] = item
    return found


def all_fields(node: Shape, value: Any) -> FieldSet:
    """The subtree of a value that is new: it, every container in it, and every field; in canonical order."""
    result: FieldSet
    if node.leaf or not value:
        return LEAF
    if node.element is not None:
        if not isinstance(value, list):
            return LEAF
        found = elements(node, value)
        below, result = node.items, {SELF: LEAF}
        for element in in_order(found):
            result[element] = all_fields_or_one(below, found[element])
        return result
    if not isinstance(value, dict):
        return LEAF
    result, deep = node.pattern(tuple(value))
    if deep:
        result = result.copy()
        for name, element, inner in deep:
            result[element] = all_fields(inner, value[name])
    return result


def applied_fields(node: Shape, value: Any) -> FieldSet | None:
    """The subtree of a value that is applied: its leaves, list elements and chosen map keys; None for an empty list.

    Declared containers are not members, for applying a field below them says nothing about them.
    """
    if node.leaf or value is None or isinstance(value, tuple):
        return LEAF
    result: FieldSet = {}
    if node.element is not None:
        if not isinstance(value, list):
            return LEAF
        for element, item in elements(node, value).items():
            below = applied_fields(node.items, item)
            result[element] = {SELF: LEAF, **below} if below else LEAF
        return result or None
    if not isinstance(value, dict) or not value:
        return LEAF
    for name, item in value.items():
        element, child = node.field(name)
        subtree = applied_fields(child, item)
        if not node.declares(element):
            result[element] = {SELF: LEAF, **subtree} if subtree else LEAF
        elif subtree is not None:
            result[element] = subtree
    return result or None


Difference = tuple[FieldSet | None, FieldSet | None]
"""What changed or appeared, and what went: two subtrees."""


def compare(node: Shape, old: Any, new: Any) -> Difference:
    """In what two different values of one shape differ."""
    if node.leaf:
        return LEAF, None
    if node.element is not None:
        if isinstance(old or [], list) and isinstance(new or [], list) and (old or new):
            return _compare_items(node, elements(node, old or []), elements(node, new or []))
        return LEAF, None
    if isinstance(old or {}, dict) and isinstance(new or {}, dict) and (old or new):
        return _compare_maps(node, old or {}, new or {})
    return LEAF, None


def _compare_maps(node: Shape, old: dict[str, Any], new: dict[str, Any]) -> Difference:
    changed: FieldSet = {}
    removed: FieldSet = {}
    for name in sorted(new):
        after = new[name]
        if name in old:
            before = old[name]
            if after is before or (after == before and isinstance(after, bool) == isinstance(before, bool)):
                continue
            element, below = node.field(name)
            more, less = (LEAF, None) if below.leaf else compare(below, before, after)
            if more is not None:
                changed[element] = more
            if less is not None:
                removed[element] = less
        else:
            element, below = node.field(name)
            changed[element] = LEAF if below.leaf else all_fields(below, after)
    if len(old) + len(changed) > len(new):
        for name, before in old.items():
            if name not in new:
                element, below = node.field(name)
                removed[element] = all_fields(below, before)
    return changed or None, removed or None


def _compare_items(node: Shape, old: dict[str, Any], new: dict[str, Any]) -> Difference:
    changed: FieldSet = {}
    removed: FieldSet = {}
    for element, after in new.items():
        before = old.get(element)
        if before is None:
            changed[element] = all_fields_or_one(node.items, after)
        elif after != before:
            if isinstance(before, tuple) or isinstance(after, tuple):
                # one element was several, or became several: all of it changes hands
                changed[element] = all_fields_or_one(node.items, after)
                removed[element] = all_fields_or_one(node.items, before)
                continue
            more, less = compare(node.items, before, after)
            if more is not None:
                changed[element] = more
            if less is not None:
                removed[element] = less
    for element, before in old.items():
        if element not in new:
            removed[element] = all_fields_or_one(node.items, before)
    return changed or None, removed or None


def all_fields_or_one(node: Shape, item: Any) -> FieldSet:
    """The subtree of a new list element: duplicates (a tuple) are one field."""
    return LEAF if isinstance(item, tuple) else all_fields(node, item)


def without(node: Shape, value: Any, fields: FieldSet) -> Any:
    """The value without the members of `fields` (a non-empty subtree, the value itself no member).

    A container that thereby becomes empty is None. What has no members in `fields` is shared with `value`.
    """
    if node.leaf:
        return value
    if node.element is not None:
        return _without_items(node, value, fields) if isinstance(value, list) else value
    if not isinstance(value, dict):
        return value
    result: dict[str, Any] = {}
    same = True
    for name, item in value.items():
        element, below = node.field(name)
        gone = fields.get(element)
        if gone is None:
            result[name] = item
            continue
        kept = None if is_member(gone) else without(below, item, gone)
        same = same and kept is item
        if kept is not None:
            result[name] = kept
    return value if same else (result or None)


def _without_items(node: Shape, value: list[Any], fields: FieldSet) -> Any:
    name = node.element
    assert name is not None
    result: list[Any] = []
    same = True
    for item in value:
        gone = fields.get(name(item))
        if gone is not None:
            kept = None if is_member(gone) else without(node.items, item, gone)
            same = same and kept is item
            if kept is None:
                continue
            item = kept
        result.append(item)
    return value if same else (result or None)


def with_declared(node: Shape, fields: FieldSet) -> FieldSet:
    """The set with every declared field on the way to a member made a member too."""
    result: FieldSet = {}
    for element, subtree in fields.items():
        if not subtree:
            result[element] = subtree
            continue
        below = with_declared(node.below(element), subtree)
        if SELF not in below and element[0] == "f" and node.declares(element):
            below = {SELF: LEAF, **below}
        result[element] = below
    return result
