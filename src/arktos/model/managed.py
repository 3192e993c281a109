"""managedFields: who owns which fields of an object (KEP-555), kept true over every write that is no apply.

The owner of a field is the manager that set it last; a field that goes leaves all sets; a write that changes nothing
changes no timestamp. What names an object or what the server alone writes (`STRIPPED`) is owned by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from arktos.model import fieldset
from arktos.model.fieldset import FieldSet
from arktos.model.kinds import Obj
from arktos.model.schema import Schema
from arktos.model.shape import Shape, compare, shape

MAX_UPDATE_MANAGERS = 10
ANCIENT_CHANGES = "ancient-changes"
"""The manager under which the oldest Update entries are merged, once there are more than `MAX_UPDATE_MANAGERS`."""

STRIPPED = frozenset(
    (
        "name",
        "namespace",
        "tenant",
        "generateName",
        "uid",
        "hashKey",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
    )
)
"""The fields of `metadata` that are never owned; neither are `apiVersion` and `kind`."""

_STRIPPED_SET = fieldset.of(
    ("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{n}") for n in STRIPPED)
)
_PARTS = ("metadata", "spec", "status")

Key = tuple[str, str, str, str]


class Entry(NamedTuple):
    """One manager's set: manager, operation (Apply or Update), the version its paths are of, subresource, time."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet

    @property
    def key(self) -> Key:
        """What makes an entry one: appliers have one entry whatever version they use."""
        version = "" if self.operation == "Apply" else self.api_version
        return self.manager, self.operation, version, self.subresource

    def wire(self) -> Obj:
        """The entry of `metadata.managedFields`."""
        result: Obj = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields,
        }
        if not self.time:
            del result["time"]
        if self.subresource:
            result["subresource"] = self.subresource
        return result


Managed = dict[Key, Entry]


def update(
    schema: Schema,
    old: Obj | None,
    new: Obj,
    *,
    manager: str,
    api_version: str,
    now: str,
    operation: str = "Update",
    subresource: str = "",
    ignored: Sequence[str] = (),
) -> list[Obj]:
    """The managedFields of `new`, written by `manager` in place of `old` (None: created). Neither object is changed.

    To be called with `new` as it will be stored. `now` is RFC 3339; `ignored` are dotted paths that this request cannot
    write (`status` on the main resource, `spec` on the status subresource). What the client itself put into
    `new.metadata.managedFields` counts, subresources apart: an empty list, or one empty entry, resets it; what cannot
    be decoded is ignored. An object without managedFields (reset, or never tracked) has none until it is first applied.
    An empty list means that the object has none, and the key is to be removed.
    """
    before: list[Obj] = _carried(old)
    managed, supplied = _current(before, new, subresource)
    if not managed and old is not None:
        return []
    try:
        changed, removed = differences(shape(schema), old, new, ignored)
    except (ValueError, RecursionError):
        return before  # elements that cannot be named, endless nesting: nothing can be said, and the write may go on
    if not (changed or removed or supplied):
        return before
    released = fieldset.union(changed, removed)
    managed = release(managed, released) if released else managed
    if changed:
        entry = Entry(manager, operation, api_version, subresource, now, changed)
        known = managed.get(entry.key)
        if known is not None and not supplied:
            changed = fieldset.canonical_along(fieldset.union(known.fields, changed), changed)
        elif known is not None:
            changed = fieldset.canonical(fieldset.union(known.fields, changed))
        elif old is not None:  # the fields of what is created are in order
            changed = fieldset.canonical(changed)
        managed[entry.key] = entry._replace(fields=changed)
    return encode(capped(managed))


def differences(root: Shape, old: Obj | None, new: Obj, ignored: Sequence[str] = ()) -> tuple[FieldSet, FieldSet]:
    """What `new` changes or adds, and what it removes, of what can be owned. Raises ValueError as `shape.elements`."""
    skip = frozenset(path for path in ignored if "." not in path)
    after = owned_part(new, skip)
    before = _blank(after) if old is None else owned_part(old, skip)
    if before == after:
        return {}, {}
    changed, removed = compare(root, before, after)
    if len(skip) != len(ignored):
        deep = fieldset.of_names(*ignored)
        return fieldset.recursive_difference(changed or {}, deep), fieldset.recursive_difference(removed or {}, deep)
    return changed or {}, removed or {}


def owned_part(obj: Obj, skip: frozenset[str] = frozenset()) -> Obj:
    """The object without what nobody owns and without the fields `skip`. It always has `metadata`."""
    part = {name: value for name, value in obj.items() if name not in skip}
    part.pop("apiVersion", None)
    part.pop("kind", None)
    metadata = part.get("metadata")
    part["metadata"] = {k: v for k, v in metadata.items() if k not in STRIPPED} if isinstance(metadata, dict) else {}
    return part


def _blank(part: Obj) -> Obj:
    """What a new object is compared with: the parts that every object has count as present, as they do upstream."""
    return {name: {} for name in _PARTS if isinstance(part.get(name), dict)}


def strip(fields: FieldSet) -> FieldSet:
    """The set without what nobody owns."""
    return fieldset.difference(fields, _STRIPPED_SET)


def release(managed: Managed, fields: FieldSet) -> Managed:
    """The entries without `fields`; those that have nothing left are gone."""
    result: Managed = {}
    for key, entry in managed.items():
        kept = fieldset.difference(entry.fields, fields)
        if kept is entry.fields:
            result[key] = entry
        elif kept:
            result[key] = entry._replace(fields=kept)
    return result


def read(entries: Iterable[Obj]) -> Managed:
    """The entries of a stored object, which are known to be well-formed."""
    managed: Managed = {}
    for raw in entries:
        entry = Entry(
            raw.get("manager", ""),
            raw["operation"],
            raw["apiVersion"],
            raw.get("subresource", ""),
            raw.get("time") or "",
            raw.get("fieldsV1") or {},
        )
        managed[entry.key] = entry
    return managed


def decode(entries: Any) -> Managed:
    """The entries that a client sent. Raises ValueError when they are malformed."""
    if not isinstance(entries, list):
        raise ValueError("managedFields is not a list")
    managed: Managed = {}
    for index, raw in enumerate(entries):
        if not isinstance(raw, dict):
            raise ValueError(f"managed fields entry {index} is not an object")
        if raw.get("operation") not in ("Apply", "Update"):
            raise ValueError("operation must be `Apply` or `Update`")
        if not raw.get("apiVersion"):
            raise ValueError("apiVersion must not be empty")
        if raw.get("fieldsType") != "FieldsV1":
            raise ValueError(f"missing or invalid fieldsType in managed fields entry {index}")
        names = ("manager", "apiVersion", "subresource", "time")
        if not all(isinstance(raw.get(name) or "", str) for name in names):
            raise ValueError(f"managed fields entry {index} has a value that is not a string")
        manager, version, subresource, time = (raw.get(name) or "" for name in names)
        fields = strip(fieldset.decode(raw.get("fieldsV1")))
        entry = Entry(manager, raw["operation"], version, subresource, time, fields)
        managed[entry.key] = entry
    return managed


def encode(managed: Managed) -> list[Obj]:
    """The list for `metadata.managedFields`, in Kubernetes' order: appliers first, then by time and name."""
    entries = sorted(managed.values(), key=lambda e: (e.operation, e.time, e.manager, e.api_version, e.subresource))
    return [entry.wire() for entry in entries]


def capped(managed: Managed) -> Managed:
    """The entries with the oldest updaters of a version merged into one, while there are too many."""
    updaters = [entry for entry in managed.values() if entry.operation == "Update"]
    excess = len(updaters) - MAX_UPDATE_MANAGERS
    if excess <= 0:
        return managed
    updaters.sort(key=lambda entry: (entry.time, entry.key))
    oldest: dict[str, list[Entry]] = {}
    for entry in updaters:
        if excess <= 0:
            break
        group = oldest.setdefault(entry.api_version, [])
        excess -= 1 if group else 0
        group.append(entry)
    result = dict(managed)
    for version, group in oldest.items():
        if len(group) > 1:
            _merge_group(result, version, group)
    return result


def _merge_group(managed: Managed, version: str, group: list[Entry]) -> None:
    bucket = Entry(ANCIENT_CHANGES, "Update", version, "", group[-1].time, {})
    for entry in group:
        del managed[entry.key]
    fields = managed[bucket.key].fields if bucket.key in managed else {}
    for entry in group:
        fields = fieldset.union(fields, entry.fields)
    managed[bucket.key] = bucket._replace(fields=fieldset.canonical(fields))


def _carried(obj: Obj | None) -> list[Obj]:
    """The managedFields of a stored object."""
    metadata = obj.get("metadata") if obj is not None else None
    return (metadata.get("managedFields") or []) if isinstance(metadata, dict) else []


def _current(before: list[Obj], new: Obj, subresource: str) -> tuple[Managed, bool]:
    """The entries to go on from, and whether the client supplied them."""
    metadata = new.get("metadata")
    sent = metadata.get("managedFields") if isinstance(metadata, dict) else None
    if subresource or sent is None or sent is before or sent == before:
        return read(before), False
    if sent in ([], [{}]):
        return {}, True
    try:
        managed = decode(sent)
    except (ValueError, RecursionError):
        return read(before), False
    return (managed, True) if managed else (read(before), False)
