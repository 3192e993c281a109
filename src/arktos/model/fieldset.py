"""Sets of fields, in the very form that managedFields carry on the wire (FieldsV1, KEP-555).

A set is a trie of plain dicts. Its keys are path elements: `f:NAME` a field, `k:{"name":"web"}` the list element with
these keys, `v:VALUE` the element of a set, `i:N` an index. An empty dict below the root is a member; a member that has
members below it holds the key `.`. So `{"f:spec": {"f:replicas": {}}}` has the one member `.spec.replicas`, and
`{"f:labels": {".": {}, "f:app": {}}}` has two. The root is never a member: `{}` at the root is the empty set.

Sets are never changed in place and share their subtrees, with each other and with the objects that carry them.
Functions on subtrees answer None for "no members".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

FieldSet: TypeAlias = dict[str, Any]
LEAF: FieldSet = {}
"""The subtree of a member without members below. Shared: never to be written into."""

SELF = "."


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """The members of either set."""
    if not left or not right:
        return left or right
    return _union(left, right)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """The members of `left` that are not in `right`; `left` itself when they have none in common."""
    if not left or not right:
        return left
    return _difference(left, right) or {}


def recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """`left` without the members of `right` and without all that stands below these."""
    if not left or not right:
        return left
    return _recursive_difference(left, right) or {}


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """The members that both sets have."""
    if not left or not right:
        return {}
    return _intersection(left, right) or {}


def is_member(subtree: FieldSet) -> bool:
    """Whether the path that leads to this subtree is a member."""
    return not subtree or SELF in subtree


def has(fields: FieldSet, path: Iterable[str]) -> bool:
    """Whether the path, given as path elements, is a member."""
    node: FieldSet | None = fields
    empty = True
    for element in path:
        node = node.get(element) if node is not None else None
        empty = False
    return node is not None and not empty and is_member(node)


def of(*paths: Iterable[str]) -> FieldSet:
    """The set of these paths, each given as path elements."""
    result: FieldSet = {}
    for path in paths:
        subtree: FieldSet = LEAF
        for element in reversed(tuple(path)):
            subtree = {element: subtree}
        result = union(result, subtree)
    return result


@lru_cache(maxsize=256)
def of_names(*dotted: str) -> FieldSet:
    """The set of dotted field paths such as `status` or `metadata.finalizers`."""
    return of(*([f"f:{name}" for name in path.split(".")] for path in dotted))


def paths(fields: FieldSet) -> Iterator[tuple[str, ...]]:
    """All members, as tuples of path elements, parents before children."""
    stack: list[tuple[tuple[str, ...], FieldSet]] = [((key,), below) for key, below in reversed(fields.items())]
    while stack:
        path, subtree = stack.pop()
        if is_member(subtree):
            yield path
        stack.extend(((*path, key), below) for key, below in reversed(subtree.items()) if key != SELF)


def path_text(path: Iterable[str]) -> str:
    """A path as Kubernetes prints it: `.spec.containers[name="web"].image`."""
    return "".join(map(_element_text, path))


def _element_text(element: str) -> str:
    kind, text = element[:2], element[2:]
    if kind == "f:":
        return "." + text
    if kind == "k:":
        keys = msgspec.json.decode(text)
        return "[" + ",".join(f"{name}={_json(keys[name])}" for name in sorted(keys)) + "]"
    if kind == "v:":
        return f"[={text}]"
    return f"[{text}]"


def key_element(keys: Iterable[tuple[str, Any]]) -> str:
    """The path element of a list element with these keys, which are sorted by name."""
    return "k:" + _json(dict(keys))


def value_element(value: Any) -> str:
    """The path element of a value in a set."""
    return "v:" + _json(value)


def _json(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    if "<" in text or ">" in text or "&" in text:  # as Go's encoder writes them
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text


def decode(fields: Any) -> FieldSet:
    """The set that a client's `fieldsV1` holds, in canonical form. Unknown kinds of path elements are left out.

    Raises ValueError for what is no FieldsV1.
    """
    if fields is None:
        return {}
    return {key: below for key, below in _decoded(fields).items() if key != SELF}


def _decoded(node: Any) -> FieldSet:
    if not isinstance(node, dict):
        raise ValueError("fieldsV1 holds a value that is not an object")
    result: FieldSet = {}
    for key, below in node.items():
        if key == SELF:
            result[SELF] = LEAF
            continue
        if len(key) < 2 or key[1] != ":":
            raise ValueError(f"fieldsV1 holds {key!r}, which is no path element")
        element = _element(key)
        if element:
            result[element] = _decoded(below)
    return LEAF if len(result) == 1 and SELF in result else result


def _element(key: str) -> str:
    """The canonical form of a path element, "" for an unknown kind."""
    kind, text = key[0], key[2:]
    if kind == "f":
        return key
    if kind == "i":
        return f"i:{int(text)}"
    if kind not in "kv":
        return ""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"fieldsV1 holds {key!r}: {error}") from None
    if kind == "v":
        return value_element(value)
    if not isinstance(value, dict) or not value:
        raise ValueError(f"fieldsV1 holds {key!r}, which names no keys")
    return key_element(sorted(value.items()))


def canonical(fields: FieldSet) -> FieldSet:
    """The same set, its keys in Kubernetes' order: `.` first, then fields, keys, values and indexes, each sorted."""
    names = list(fields)
    ordered = in_order(names)
    result = fields if names == ordered else {name: fields[name] for name in ordered}
    for name, below in fields.items():
        if below:
            settled = canonical(below)
            if settled is not below:
                if result is fields:
                    result = fields.copy()
                result[name] = settled
    return result


def canonical_along(fields: FieldSet, touched: FieldSet) -> FieldSet:
    """As `canonical`, of a set that is in order but where `touched` has members."""
    names = list(fields)
    ordered = in_order(names)
    result = fields if names == ordered else {name: fields[name] for name in ordered}
    for name, inner in touched.items():
        below = fields.get(name)
        if inner and below:
            settled = canonical_along(below, inner)
            if settled is not below:
                if result is fields:
                    result = fields.copy()
                result[name] = settled
    return result


def in_order(elements: Iterable[str]) -> list[str]:
    """The path elements of one level, sorted as Kubernetes does."""
    ordered = sorted(elements)
    if len(ordered) > 1 and ordered[-1][0] in "ikv":
        ordered.sort(key=_rank)
    return ordered


@lru_cache(maxsize=8192)
def _rank(element: str) -> tuple[int, Any]:
    kind, text = element[0], element[2:]
    if kind == "i":
        return 4, int(text)
    if kind == "k":
        keys = msgspec.json.decode(text)
        return 2, [(name, *_value_rank(keys[name])) for name in sorted(keys)]
    if kind == "v":
        return 3, _value_rank(msgspec.json.decode(text))
    return (0 if element == SELF else 1), element


def _value_rank(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, int | float):
        return 0, value
    if isinstance(value, str):
        return 1, value
    return 3, _json(value)


def _union(left: FieldSet, right: FieldSet) -> FieldSet:
    if left is right:
        return left
    if not left:
        return right if is_member(right) else {SELF: LEAF, **right}
    if not right:
        return left if SELF in left else {SELF: LEAF, **left}
    result = left
    for key, theirs in right.items():
        ours = left.get(key)
        merged = theirs if ours is None else _union(ours, theirs)
        if merged is not ours:
            if result is left:
                result = left.copy()
            result[key] = merged
    return result


def _difference(left: FieldSet, right: FieldSet) -> FieldSet | None:
    if not left:
        return None if is_member(right) else left
    if not right:
        right = {SELF: LEAF}
    result = left
    for key, theirs in right.items():
        ours = left.get(key)
        if ours is None:
            continue
        kept = _difference(ours, theirs)
        if kept is ours:
            continue
        if result is left:
            result = left.copy()
        if kept is None:
            del result[key]
        else:
            result[key] = kept
    return _settled(result)


def _recursive_difference(left: FieldSet, right: FieldSet) -> FieldSet | None:
    if not left:
        return left
    result = left
    for key, theirs in right.items():
        ours = left.get(key)
        if ours is None or key == SELF:
            continue
        kept = None if is_member(theirs) else _recursive_difference(ours, theirs)
        if kept is ours:
            continue
        if result is left:
            result = left.copy()
        if kept is None:
            del result[key]
        else:
            result[key] = kept
    return _settled(result)


def _intersection(left: FieldSet, right: FieldSet) -> FieldSet | None:
    if not left or not right:
        return LEAF if is_member(left) and is_member(right) else None
    result: FieldSet = {}
    for key, ours in left.items():
        theirs = right.get(key)
        both = None if theirs is None else _intersection(ours, theirs)
        if both is not None:
            result[key] = both
    return _settled(result)


def _settled(result: FieldSet) -> FieldSet | None:
    """A subtree in canonical form: None without members, LEAF when only itself is one."""
    if not result:
        return None
    return LEAF if len(result) == 1 and SELF in result else result
