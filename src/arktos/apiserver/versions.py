"""Objects in another version than the stored one: converted once per object version, on demand."""

from __future__ import annotations

from arktos.apiserver.custom import forms
from arktos.apiserver.encoding import decode, dumps
from arktos.model import convert, registry
from arktos.model.kinds import Kind, Obj
from arktos.store.records import Key, Record

_CACHED = 4096
_converted: dict[tuple[Key, int, str], bytes] = {}


def storage_kind(kind: Kind) -> Kind:
    """The version in which objects of this kind are stored."""
    return registry.stored_as(kind) if kind.storage else kind


def body(record: Record, kind: Kind) -> bytes:
    """The record's JSON as `kind`, one of the served versions of its resource. Cached: a record never changes."""
    if kind.custom is not None:
        return forms.body(record, kind)
    mark = (record.key, record.revision, kind.api_version)
    found = _converted.get(mark)
    if found is None:
        if len(_converted) >= _CACHED:
            _converted.clear()
        found = _converted[mark] = dumps(from_storage(kind, decode(record)))
    return found


def to_storage(kind: Kind, obj: Obj) -> Obj:
    """A decoded object of a served version as the stored version has it."""
    return convert.convert(kind, storage_kind(kind), obj) if kind.storage and kind.custom is None else obj


def from_storage(kind: Kind, obj: Obj) -> Obj:
    return convert.convert(storage_kind(kind), kind, obj) if kind.storage and kind.custom is None else obj


def working_kind(kind: Kind) -> Kind:
    """The version in which a write is checked: custom resources are what the request's version says, others what is
    stored."""
    return kind if kind.custom is not None else storage_kind(kind)


def decoded(record: Record, kind: Kind) -> Obj:
    """A fresh dict of a stored object, as `working_kind` of this kind has it."""
    return decode(record) if kind.custom is None else forms.decoded(record, kind)


def keep(record: Record, kind: Kind, obj: Obj, revision: int) -> None:
    """Remembers what a custom resource that was just written is in the version of the write."""
    metadata = {"resourceVersion": str(revision), **obj["metadata"]} if revision else dict(obj["metadata"])
    if revision:
        metadata["resourceVersion"] = str(revision)
    forms.keep(record, kind, {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata, **_rest(obj)})


def _rest(obj: Obj) -> Obj:
    return {name: value for name, value in obj.items() if name not in ("kind", "apiVersion", "metadata")}


def is_stored(record: Record, kind: Kind) -> bool:
    """Whether a write that changes nothing would store what is stored already."""
    return kind.custom is None or forms.is_current(record, kind)
