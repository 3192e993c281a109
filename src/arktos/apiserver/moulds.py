"""Creates that are alike: made once in full, then cast from a mould.

The pods of a ReplicaSet are created by requests that are equal byte by byte; what is stored of them differs in name,
uid, hash key and time. So from the second of equal requests a mould is made: the stored bytes with gaps for these. The
third is made in full once more, and if casting it gives the very same object, later ones are cast.

A mould is good for one user, one place and one body, and for as long as everything that admission read is as it was.
What has to be looked at each time (the tenure of the writer, quotas, whether the tenant is alive or frozen, a free
name) is looked at each time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from arktos.apiserver.admission import Effects
from arktos.apiserver.call import Call
from arktos.apiserver.encoding import encode
from arktos.apiserver.reads import Read, holds
from arktos.model.hashkey import hash_key
from arktos.model.kinds import Kind, Obj
from arktos.store.records import Header, Put, Store

MOST = 512
"""Bodies that are remembered; the oldest goes for a new one."""
MOST_BYTES = 16 << 10
"""Of a body that is remembered."""

_Alike = tuple[object, ...]


class Birth(NamedTuple):
    """What tells objects of one mould apart; `time` is RFC 3339."""

    name: str
    uid: str
    time: str


class Mould:
    """The stored form of a new object but for its birth. `put` is what was stored of `obj`, which is never changed."""

    def __init__(self, kind: Kind, obj: Obj, put: Put, reads: Sequence[Read], warnings: Sequence[str]) -> None:
        self.obj = obj
        self.stem: str = obj["metadata"]["generateName"]
        self.warnings = warnings
        self.proven = False
        self._reads = reads
        self._header, self._key, self._lazy, self._ttl = put.header, put.key, put.lazy, put.ttl
        self._pieces, self._gaps = _cut(kind, obj)

    def holds(self, store: Store) -> bool:
        """Whether admission would decide the same now."""
        return holds(self._reads, store)

    def cast(self, birth: Birth) -> Put:
        """What is stored of an object of this birth."""
        point = hash_key(birth.uid)
        values = (birth.name.encode(), birth.uid.encode(), str(point).encode(), birth.time.encode())
        parts = [self._pieces[0]]
        for gap, piece in zip(self._gaps, self._pieces[1:], strict=True):
            parts += (values[gap], piece)
        old = self._header
        header = Header(birth.uid, point, old.labels, old.fields, old.owners, old.deleting)
        return Put(self._key._replace(name=birth.name), header, b"".join(parts), self._lazy, self._ttl)


def _cut(kind: Kind, obj: Obj) -> tuple[list[bytes], list[int]]:
    """The encoded object cut where its birth stands, and which part of the birth stands at each cut: put into its
    fields, not looked for in the text, which is the user's."""
    marks = [os.urandom(16).hex() for _ in range(4)]
    number = int(marks[2], 16) >> 66  # a hash key is a number, of at most 63 bits
    name, uid, time = marks[0], marks[1], marks[3]
    meta = {**obj["metadata"], "name": name, "uid": uid, "hashKey": number, "creationTimestamp": time}
    if "managedFields" in meta:
        meta["managedFields"] = [{**entry, "time": time} for entry in meta["managedFields"]]
    left = encode(kind, {**obj, "metadata": meta})
    wanted = (name.encode(), uid.encode(), str(number).encode(), time.encode())
    pieces: list[bytes] = []
    gaps: list[int] = []
    while True:
        found = [(at, gap) for gap, mark in enumerate(wanted) if (at := left.find(mark)) >= 0]
        if not found:
            return [*pieces, left], gaps
        at, gap = min(found)
        pieces.append(left[:at])
        gaps.append(gap)
        left = left[at + len(wanted[gap]) :]


class Moulds:
    """The moulds of a server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[_Alike, Mould | None] = {}
        """None for a body that was seen once."""

    def find(self, call: Call) -> Mould | None:
        """The mould from which a create is to be cast, None where it has to be made in full."""
        if not call.kind.alike:
            return None
        found = self._known.get(_alike(call))
        if found is None or not found.proven or call.dry_run:
            return None
        return found if found.holds(self._store) else None

    def learn(self, call: Call, kind: Kind, obj: Obj, put: Put, effects: Effects) -> None:
        """Notes a create under a generated name that was made in full."""
        body = call.request.body
        if not call.kind.alike or effects.reads is None or len(body) > MOST_BYTES:
            return
        alike = _alike(call)
        if alike not in self._known:
            if len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            self._known[alike] = None
            return
        meta = obj["metadata"]
        mould, warnings = self._known[alike], tuple(call.warnings)
        if mould is not None and not mould.proven and mould.holds(self._store):
            cast = mould.cast(Birth(meta["name"], meta["uid"], meta["creationTimestamp"]))
            mould.proven = cast == put and warnings == mould.warnings
            if mould.proven:
                return
        self._known[alike] = Mould(kind, obj, put, effects.reads, warnings)


def _alike(call: Call) -> _Alike:
    """What makes two creates equal."""
    request, info = call.request, call.info
    headers = request.headers
    said = (request.query, headers.get("content-type", ""), headers.get("user-agent", ""))
    return (
        call.kind.resource,
        call.kind.version,
        call.user,
        call.tenant,
        info.namespace,
        info.name,
        *said,
        request.body,
    )
