"""A cached object: its bytes and a small typed header. Decoded on demand, a fresh dict each time. Pure."""

from __future__ import annotations

from sys import intern
from typing import TypeVar

import msgspec

from arktos.model.kinds import Kind, Obj, Scope

T = TypeVar("T")

ObjectKey = tuple[str, str, str]
"""(tenant, namespace, name). Tenant is "" for cluster-scoped kinds, namespace "" for all that have none."""


class Owner(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One entry of `metadata.ownerReferences`. `controller` is true for the managing owner (at most one)."""

    uid: str
    kind: str = ""
    name: str = ""
    controller: bool | None = False
    api_version: str = ""
    block_owner_deletion: bool | None = False


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    """All of `metadata` that programs read, typed. Times are RFC 3339 text as sent."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    tenant: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: list[str] | None = None
    owner_references: list[Owner] | None = None
    hash_key: int = 0


class HeaderMeta(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The part of `metadata` that every event decodes."""

    name: str = ""
    namespace: str = ""
    tenant: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    owner_references: tuple[Owner, ...] | None = None


class Header(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Type and identity of an object, without its content."""

    kind: str = ""
    api_version: str = ""
    metadata: HeaderMeta = HeaderMeta()


class _WithMeta(msgspec.Struct, frozen=True):
    metadata: Meta = Meta()


class _Kept(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a trimmed object keeps of its metadata."""

    name: str = ""
    namespace: str = ""
    tenant: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    finalizers: list[str] | None = None
    owner_references: list[Owner] | None = None


class _WithKept(msgspec.Struct, frozen=True):
    metadata: _Kept = _Kept()


_KEPT = msgspec.json.Decoder(_WithKept)
_HEADER = msgspec.json.Decoder(Header)
_META = msgspec.json.Decoder(_WithMeta)
_NO_LABELS: dict[str, str] = {}


def decode_header(raw: bytes | msgspec.Raw) -> Header:
    """The header of an encoded object. Raises `msgspec.DecodeError` (its ValidationError included)."""
    return _HEADER.decode(raw)


def trimmed(raw: bytes | msgspec.Raw) -> bytes:
    """The object with its identity, owners and finalizers only. Raises `msgspec.DecodeError`."""
    return msgspec.json.encode(_KEPT.decode(raw))


class Cached(msgspec.Struct, frozen=True, gc=False, eq=False):
    """An object as an informer holds it. `raw` is its JSON as received; nothing here can be changed, so it is safe
    to share.

    `labels` is empty rather than None; do not write to it. `deleting` is true from the moment
    `metadata.deletionTimestamp` is set. Identity is by `uid` and `resource_version`; `key` is what queues carry.
    """

    kind: Kind
    tenant: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    labels: dict[str, str]
    owners: tuple[Owner, ...]
    deleting: bool
    raw: bytes

    @property
    def key(self) -> ObjectKey:
        return (self.tenant, self.namespace, self.name)

    @property
    def controller(self) -> Owner | None:
        """The managing owner, if there is one."""
        for owner in self.owners:
            if owner.controller:
                return owner
        return None

    @property
    def meta(self) -> Meta:
        """All metadata, decoded on each access (a few microseconds; `spec` and `status` are skipped)."""
        return _META.decode(self.raw).metadata

    def obj(self) -> Obj:
        """The whole object, decoded on each call: a dict of your own, with apiVersion and kind even from a list."""
        decoded: Obj = msgspec.json.decode(self.raw)
        decoded.setdefault("apiVersion", self.kind.api_version)
        decoded.setdefault("kind", self.kind.kind)
        return decoded

    def decode(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The parts that `decoder`'s type names, and no more: for loops that read a field or two of many objects."""
        return decoder.decode(self.raw)

    @classmethod
    def from_raw(cls, kind: Kind, raw: bytes, header: Header | None = None) -> Cached:
        """Raises `msgspec.DecodeError` if `raw` is no object with metadata."""
        meta = (header or _HEADER.decode(raw)).metadata
        return cls(
            kind,
            "" if kind.scope is Scope.CLUSTER else intern(meta.tenant),
            intern(meta.namespace),
            meta.name,
            meta.uid,
            meta.resource_version,
            meta.labels or _NO_LABELS,
            meta.owner_references or (),
            meta.deletion_timestamp is not None,
            raw,
        )
