"""Strategic merge patch: a merge patch that knows, from the schema, which lists merge and by which key. Pure.

The rules are those of Kubernetes' sig-api-machinery/strategic-merge-patch.md: objects merge field by field, null
removes, a list whose field has the `merge` strategy merges by its merge key (objects) or as a set (scalars), every
other list is replaced. Directives in the patch change that:

  `$patch: replace | delete | merge`      in an object: take it as it is, empty it, or merge (the default); as an
                                          element of a merging list: replace the list, delete that element
  `$retainKeys: [..]`                     remove all fields of this object that are not named
  `$deleteFromPrimitiveList/x: [..]`      remove these scalars from the list x
  `$setElementOrder/x: [..]`              put the list x into this order; elements that only the server has keep their
                                          place among their neighbours

The input document is never changed, and what the patch leaves alone is shared with the result.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from arktos.model.kinds import Obj
from arktos.model.schema import Schema
from arktos.model.status import BadRequest, Invalid

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"

_ANY = Schema(type="any")
_BAD_DELETE = "invalid patch format of primitive list"
_BAD_RETAIN = "invalid patch format of retainKeys"
_BAD_ORDER = "invalid patch format of setElementOrder list"


def apply(schema: Schema, doc: Obj, patch: Any) -> Obj:
    """The document with the patch merged in, by the merge rules of `schema`.

    Returns `doc` itself when no field changes (a replaced list or object counts as a change). Raises BadRequest for a
    malformed patch or directive, Invalid when the patch doesn't fit the lists it merges into (an element without its
    merge key, mixed elements, a list of lists).
    """
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: a strategic merge patch is an object")
    try:
        return _merge_object(schema, doc, patch)
    except RecursionError:
        raise BadRequest("the patch is nested too deeply") from None


def _merge_object(schema: Schema, doc: Obj, patch: Obj) -> Obj:
    """`patch` merged into `doc`. What is new merges into an empty object, so that directives never reach the result."""
    directive = patch.get(_PATCH)
    if directive is not None:
        patch = {key: value for key, value in patch.items() if key != _PATCH}
        if directive == "replace":
            doc = {}
        elif directive == "delete":
            return {}
        elif directive != "merge":
            raise BadRequest(f"unknown patch type: {go_text(directive)} in map: {go_text(patch)}")
    fields, orders, deletions = _split(patch)
    result = dict(_retained(doc, patch)) if _RETAIN in patch else doc.copy()
    changed = len(result) != len(doc) or directive == "replace"
    for key in {**fields, **deletions, **orders}:
        before = result.get(key)
        after = _merge_field(schema, key, before, fields, deletions, orders)
        if after is not before:
            changed = True
            if after is None:
                del result[key]
            else:
                result[key] = after
    return result if changed else doc


def _split(patch: Obj) -> tuple[Obj, dict[str, list[Any]], dict[str, list[Any]]]:
    """The patch's own fields, the orders it sets and the scalars it deletes, each by the field's name."""
    fields: Obj = {}
    orders: dict[str, list[Any]] = {}
    deletions: dict[str, list[Any]] = {}
    for key, value in patch.items():
        if key[:1] != "$":
            fields[key] = value
        elif key.startswith(_ORDER):
            orders[key[len(_ORDER) :]] = _listed(value, _BAD_ORDER)
        elif key.startswith(_DELETE):
            deletions[key[len(_DELETE) :]] = _listed(value, _BAD_DELETE)
        elif key != _RETAIN:
            fields[key] = value
    return fields, orders, deletions


def _listed(value: Any, complaint: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(complaint)
    return value


def _retained(doc: Obj, patch: Obj) -> Obj:
    """The fields of `doc` that `$retainKeys` names. What the patch sets must be among them."""
    names = _listed(patch[_RETAIN], _BAD_RETAIN)
    if not all(isinstance(name, str) for name in names):
        raise BadRequest(_BAD_RETAIN)
    retained = frozenset(names)
    if any(value is not None and key[:1] != "$" and key not in retained for key, value in patch.items()):
        raise BadRequest("patch content doesn't match retainKeys list")
    return {key: value for key, value in doc.items() if key in retained}


def _merge_field(
    schema: Schema,
    key: str,
    before: Any,
    fields: Obj,
    deletions: dict[str, list[Any]],
    orders: dict[str, list[Any]],
) -> Any:
    """One field after the patch: the same object as `before` when it doesn't change, None when it goes."""
    field = _field(schema, key)
    after = before
    if key in fields:
        after = _merge_value(field, before, fields[key], orders.get(key))
    if key in deletions and isinstance(after, list):
        gone = deletions[key]
        kept = [item for item in after if item not in gone]
        after = kept if len(kept) != len(after) else after
    if key in orders and key not in fields and isinstance(after, list):
        after = _ordered_as(field, after, orders[key], before)
    return after


def _field(schema: Schema, key: str) -> Schema:
    if schema.type == "object":
        return schema.properties.get(key) or _ANY
    if schema.type == "map" and schema.items is not None:
        return schema.items
    return _ANY


def _merge_value(field: Schema, before: Any, value: Any, order: list[Any] | None) -> Any:
    if isinstance(value, dict):
        if isinstance(before, dict) and "replace" not in field.patch_strategies:
            return _merge_object(field, before, value)
        return _plain(field, value)
    if isinstance(value, list) and "merge" in field.patch_strategies:
        return _merge_list(field, before if isinstance(before, list) else [], value, order)
    if isinstance(value, list):
        return [_plain(field.items or _ANY, item) for item in value if not _only_directive(item)]
    return before if value == before and isinstance(value, bool) == isinstance(before, bool) else value


def _plain(schema: Schema, value: Any) -> Any:
    """A value that replaces: the directives in it, and the nulls, mean nothing and are left out."""
    if isinstance(value, dict):
        if _PATCH in value:
            value = {key: item for key, item in value.items() if key != _PATCH}
        return _merge_object(schema, {}, value)
    if isinstance(value, list):
        return [_plain(schema.items or _ANY, item) for item in value if not _only_directive(item)]
    return value


def _only_directive(item: Any) -> bool:
    """An element that is there for its directive, not as an element."""
    return isinstance(item, dict) and _PATCH in item and (item[_PATCH] == "delete" or len(item) == 1)


def _merge_list(field: Schema, before: list[Any], patch: list[Any], order: list[Any] | None) -> list[Any]:
    if not patch and not before:
        return before
    if _of_objects(before, patch):
        key = field.patch_merge_key
        if not key:
            raise Invalid("cannot merge lists without merge key for type map")
        kept, added = _without_directives(before, patch, key)
        merged = _merge_elements(field.items or _ANY, kept, added, key)
        if order is not None:
            _check_order(added, order, key)
        return _arranged(merged, _keys(order if order is not None else added, key), _keys(kept, key), key, before)
    merged = list(dict.fromkeys([*before, *patch]))
    if order is not None:
        _check_order(patch, order, "")
    return _arranged(merged, order if order is not None else patch, before, "", before)


def _of_objects(*lists: list[Any]) -> bool:
    """Whether the elements are objects; all must be of one type, and none a list."""
    kinds = {_kind(item) for items in lists for item in items}
    if "slice" in kinds:
        raise Invalid("lists of lists are not supported")
    if len(kinds) > 1:
        raise Invalid(f"list element types are not identical: {go_text(list(lists))}")
    return "map" in kinds


def _kind(item: Any) -> str:
    if isinstance(item, dict):
        return "map"
    if isinstance(item, list):
        return "slice"
    if isinstance(item, bool) or item is None:
        return type(item).__name__
    return "number" if isinstance(item, int | float) else "string"


def _without_directives(before: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """What remains of the list once `$patch` elements have done their work, and the patch without them."""
    added: list[Any] = []
    kept = before
    replace = False
    for item in patch:
        directive = item.get(_PATCH)
        if directive is None:
            added.append(item)
        elif directive == "delete":
            gone = _merge_key(item, key)
            kept = [other for other in kept if other.get(key) != gone]
        elif directive == "replace":
            replace = True
            if len(item) > 1:
                added.append({name: value for name, value in item.items() if name != _PATCH})
        elif directive == "merge":
            added.append({name: value for name, value in item.items() if name != _PATCH})
        else:
            raise BadRequest(f"unknown patch type: {go_text(directive)} in map: {go_text(item)}")
    return ([] if replace else kept), added


def _merge_elements(schema: Schema, kept: list[Any], added: list[Any], key: str) -> list[Any]:
    merged = list(kept)
    places: dict[Hashable, int] = {}
    for index, item in enumerate(kept):
        places.setdefault(_hashable(item.get(key)), index)
    for item in added:
        name = _hashable(_merge_key(item, key))
        if name in places:
            merged[places[name]] = _merge_object(schema, merged[places[name]], item)
        else:
            places[name] = len(merged)
            merged.append(_merge_object(schema, {}, item))
    return merged


def _merge_key(item: Obj, key: str) -> Any:
    if key not in item:
        raise Invalid(f"map: {go_text(item)} does not contain declared merge key: {key}")
    return item[key]


def _hashable(value: Any) -> Hashable:
    if isinstance(value, dict | list):
        raise Invalid(f"a merge key must be a scalar, got {go_text(value)}")
    return (isinstance(value, bool), value)


def _keys(items: Iterable[Any], key: str) -> list[Any]:
    found = []
    for item in items:
        if not isinstance(item, dict):
            raise BadRequest(_BAD_ORDER)
        found.append(_merge_key(item, key))
    return found


def _check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """The patch's elements must all stand in `$setElementOrder`, in the same relative order."""
    wanted = iter(_keys(order, key) if key else order)
    for item in patch:
        name = _merge_key(item, key) if key else item
        if not any(name == other for other in wanted):
            raise BadRequest(
                f"The order in patch list:\n{go_text(patch)}\n doesn't match $setElementOrder list:\n{go_text(order)}\n"
            )


def _ordered_as(field: Schema, items: list[Any], order: list[Any], before: Any) -> list[Any]:
    if "merge" not in field.patch_strategies:
        return items
    key = field.patch_merge_key if _of_objects(items) else ""
    if key:
        return _arranged(items, _keys(order, key), _keys(items, key), key, before)
    return _arranged(items, order, items, "", before)


def _arranged(items: list[Any], first: list[Any], live: list[Any], key: str, before: Any) -> list[Any]:
    """`items` with those named in `first` in that order, and the others, in the order of `live`, woven in between.

    An element that only the server has comes before the first named element that followed it in `live`.
    """
    rank = {_hashable(name): place for place, name in reversed(list(enumerate(first)))}
    place = {_hashable(name): index for index, name in reversed(list(enumerate(live)))}

    def name(item: Any) -> Hashable:
        return _hashable(item.get(key) if key else item)

    named = sorted((item for item in items if name(item) in rank), key=lambda item: rank[name(item)])
    others = [item for item in items if name(item) not in rank]
    result: list[Any] = []
    for item in named:
        at = place.get(name(item), -1)
        while others and at >= 0 and place.get(name(others[0]), at) < at:
            result.append(others.pop(0))
        result.append(item)
    result.extend(others)
    if (
        isinstance(before, list)
        and len(before) == len(result)
        and all(a is b for a, b in zip(before, result, strict=True))
    ):
        return before
    return result


def go_text(value: Any) -> str:
    """A value as Kubernetes prints it in its messages: `map[image:nginx name:web]`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
