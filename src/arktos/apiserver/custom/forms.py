"""Stored custom resources as a version has them.

What was written since its definition last changed is stored as its storage version has it, and served as it lies.
Older objects, and other versions, are converted when they are read: pruned and defaulted by the schema of the version
that is asked for, once per object and definition.

Over all tenants no webhook is asked, neither an object's own tenant's, which could hold up or fail what is read of the
others, nor ever another's, which must not see it: what would need one is shown as it is stored.
"""

from __future__ import annotations

from arktos.apiserver.custom.definitions import is_across, own
from arktos.apiserver.encoding import decode, dumps, loads
from arktos.model.kinds import Kind, Obj
from arktos.store.records import Key, Record

_KEPT = 16384
_CLEAN = 65536

_Mark = tuple[Key, int, int, tuple[object, ...]]
_converted: dict[_Mark, bytes] = {}
_clean: dict[_Mark, None] = {}
"""Objects that conversion leaves as they are."""


class Unconverted(Exception):
    """Objects must be converted by their definition's webhook before they can be read as `kind`."""

    def __init__(self, kind: Kind, records: list[Record]) -> None:
        super().__init__(f"{len(records)} objects are not converted to {kind.api_version}")
        self.kind = kind
        self.records = records


def is_current(record: Record, kind: Kind) -> bool:
    """Whether the stored bytes are those of the kind's storage version, as its definition is now."""
    assert kind.custom is not None
    return record.revision > kind.custom.definition.since


def body(record: Record, kind: Kind) -> bytes:
    """The record's JSON as `kind` has it. Raises Unconverted where a webhook must be asked first (`keep`)."""
    asked, kind = kind, own(kind, record.key.tenant)
    assert kind.custom is not None
    if kind is asked and is_across(asked):
        return record.body  # nobody in its tenant defines it any more
    if is_current(record, kind) and kind.version == kind.custom.definition.storage:
        return record.body
    mark = _mark(record, kind)
    found = _converted.get(mark)
    if found is not None:
        return found
    if mark in _clean:
        return record.body
    obj = decode(record)
    stored = obj.get("apiVersion")
    if kind.custom.definition.by_webhook and stored != kind.api_version:
        if is_across(asked):
            return record.body
        raise Unconverted(kind, [record])
    return keep(record, kind, obj)


def keep(record: Record, kind: Kind, obj: Obj) -> bytes:
    """Takes what the record's object is in another version: brought into shape, remembered, returned as JSON."""
    assert kind.custom is not None
    obj["apiVersion"] = kind.api_version
    kind.custom.shape_up(obj)
    made, mark = dumps(obj), _mark(record, kind)
    if made == record.body:
        if len(_clean) >= _CLEAN:
            _clean.clear()
        _clean[mark] = None
        return record.body
    while len(_converted) >= _KEPT:
        del _converted[next(iter(_converted))]
    _converted[mark] = made
    return made


def decoded(record: Record, kind: Kind) -> Obj:
    """A fresh dict of the record's object as `kind` has it. Raises Unconverted."""
    return loads(body(record, kind))


def _mark(record: Record, kind: Kind) -> _Mark:
    assert kind.custom is not None
    # What a dry run answers has the revision of the object that stands: the bytes are told apart, too.
    return record.key, record.revision, hash(record.body), kind.custom.mark
