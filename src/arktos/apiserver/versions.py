"""Objects in another version than the stored one: converted once per object version, on demand."""

from __future__ import annotations

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
    mark = (record.key, record.revision, kind.api_version)
    found = _converted.get(mark)
    if found is None:
        if len(_converted) >= _CACHED:
            _converted.clear()
        found = _converted[mark] = dumps(from_storage(kind, decode(record)))
    return found


def to_storage(kind: Kind, obj: Obj) -> Obj:
    """A decoded object of a served version as the stored version has it."""
    return convert.convert(kind, storage_kind(kind), obj) if kind.storage else obj


def from_storage(kind: Kind, obj: Obj) -> Obj:
    return convert.convert(storage_kind(kind), kind, obj) if kind.storage else obj
