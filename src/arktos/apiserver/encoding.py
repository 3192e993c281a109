"""From a decoded object to what the store keeps, and back: one encode per write, one decode per read-modify-write.

The encoded body starts with `kind`, `apiVersion`, `metadata.resourceVersion`, in this order, so that the first
occurrence of the slot (`store.records.SLOT`) is the object's own revision whatever the user wrote elsewhere.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from arktos.model import dates, registry
from arktos.model.fields import selectable
from arktos.model.kinds import SYSTEM_TENANT, Kind, Obj, Scope
from arktos.store.records import Header, Key, Owner, Record, Store

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def key_of(kind: Kind, tenant: str, namespace: str, name: str) -> Key:
    """The stored key: cluster-scoped kinds live under `system`, whoever asks."""
    resource = registry.stored_as(kind).resource if kind.storage else kind.resource
    if kind.scope is Scope.CLUSTER:
        return Key(resource, SYSTEM_TENANT, "", name)
    return Key(resource, tenant, namespace if kind.scope is Scope.NAMESPACE else "", name)


def tenant_key(tenant: str) -> Key:
    """Where a Tenant object is stored."""
    return Key("tenants", SYSTEM_TENANT, "", tenant)


def header_of(kind: Kind, obj: Obj) -> Header:
    meta = obj["metadata"]
    owners = meta.get("ownerReferences")
    return Header(
        uid=meta.get("uid", ""),
        hash_key=meta.get("hashKey", 0),
        labels=meta.get("labels") or {},
        fields=selectable(kind, obj),
        owners=tuple(Owner(o.get("kind", ""), o.get("uid", ""), o.get("hashKey", 0)) for o in owners) if owners else (),
        deleting="deletionTimestamp" in meta,
    )


def encode(kind: Kind, obj: Obj) -> bytes:
    """JSON with an empty revision slot."""
    meta = obj["metadata"]
    ordered: Obj = {
        "kind": kind.kind,
        "apiVersion": kind.api_version,
        "metadata": {"resourceVersion": ""},
    }
    slot = ordered["metadata"]
    for name, value in meta.items():
        if name != "resourceVersion":
            slot[name] = value
    for name, value in obj.items():
        if name not in ordered:
            ordered[name] = value
    return _encoder.encode(ordered)


def decode(record: Record) -> Obj:
    """A fresh dict of the stored object, its `metadata.resourceVersion` set."""
    decoded: Obj = _decoder.decode(record.body)
    return decoded


def dumps(value: object) -> bytes:
    return _encoder.encode(value)


def loads(data: bytes) -> Obj:
    decoded: Obj = _decoder.decode(data)
    return decoded


def created(record: Record) -> float:
    """When the object was created, in unix seconds; 0 for one that does not say."""
    text = decode(record)["metadata"].get("creationTimestamp")
    return dates.unix(text) if text else 0.0


def birthday(store: Store, key: Key) -> str:
    """When the object at `key` was created, as its metadata says it; that of the epoch where there is none. What is
    virtual is as old as the tenant or namespace that it is in."""
    record = store.get(key)
    return _EPOCH if record is None else _birthday(record.header.uid, record)


_EPOCH = "1970-01-01T00:00:00Z"
_birthdays: dict[str, str] = {}


def _birthday(uid: str, record: Record) -> str:
    found = _birthdays.get(uid)
    if found is None:
        if len(_birthdays) >= 4096:
            _birthdays.clear()
        found = _birthdays[uid] = decode(record)["metadata"].get("creationTimestamp") or _EPOCH
    return found


def stamp(now: float) -> str:
    """A unix time as metadata holds it: RFC 3339, UTC, whole seconds."""
    return _stamp(int(now))


@lru_cache(maxsize=16)
def _stamp(second: int) -> str:
    return dates.rfc3339(dates.from_unix(second))
