"""Lists as clients print them: `meta.k8s.io` Tables, and metadata without the rest.

A row is spliced from pieces. Its cells are made once per version of the object, with holes where they depend on the
time; the object beside them is the stored bytes, or the part of them that is the metadata. Made cells are kept in a
bounded cache of two generations: what was used since the last turn survives the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec

from arktos.apiserver import versions
from arktos.apiserver.custom.definitions import own
from arktos.apiserver.encoding import dumps
from arktos.model import columns
from arktos.model.columns_cell import Since
from arktos.model.kinds import Column, Kind, Obj, Scope
from arktos.model.status import BadRequest
from arktos.store.records import Key, Record

GENERATION = 8192
"""Rows in one generation of the cache; a row of a pod takes about 500 bytes."""

_TENANT = Column("Tenant", description="The tenant that it belongs to.")
_COMPLETED = {"Succeeded": "It ran to its end.", "Failed": "It ended with an error."}

_Row = tuple[bytes | Since, ...]
_Mark = tuple[str, Key, int, str]


class _Metadata(msgspec.Struct, frozen=True, gc=False):
    """The one part of an object that is read, undecoded."""

    metadata: msgspec.Raw


_metadata = msgspec.json.Decoder(_Metadata)


class _Rows:
    """The rows that were asked for of late."""

    def __init__(self) -> None:
        self._young: dict[_Mark, _Row] = {}
        self._old: dict[_Mark, _Row] = {}

    def get(self, kind: Kind, record: Record) -> _Row:
        asked, plural = kind, kind.plural
        if kind.custom is not None:
            kind = own(kind, record.key.tenant)
            plural = kind.custom.shown if kind.custom is not None else plural
        mark = (plural, record.key, record.revision, record.header.uid)
        row = self._young.get(mark)
        if row is None:
            row = self._old.get(mark) or _compile(kind, versions.decoded(record, asked))
            if len(self._young) >= GENERATION:
                self._old, self._young = self._young, {}
            self._young[mark] = row
        return row


_rows = _Rows()


def _compile(kind: Kind, obj: Obj) -> _Row:
    """Everything of a row up to its object, time apart: `"cells":[...]` and its conditions."""
    printer = columns.printer(kind)
    pieces: list[bytes | Since] = []
    written = bytearray()
    for cell in printer.cells(obj):
        written += b"," if written or pieces else b""
        if isinstance(cell, Since):
            pieces += (bytes(written), cell)
            written.clear()
        else:
            written += dumps(cell)
    written += b"]"
    reason = printer.completed(obj) if printer.completed is not None else ""
    if reason:
        condition = {"type": "Completed", "status": "True", "reason": reason, "message": _COMPLETED[reason]}
        written += b',"conditions":[' + dumps(condition) + b"]"
    return (*pieces, bytes(written))


@cache
def _definitions(shown: tuple[Column, ...]) -> bytes:
    return dumps(
        [
            {
                "name": column.name,
                "type": column.type,
                "format": column.format,
                "description": column.description,
                "priority": column.priority,
            }
            for column in shown
        ]
    )


def partial_object(record: Record, version: str = "v1") -> bytes:
    """The object's metadata and nothing else, as PartialObjectMetadata."""
    metadata = _metadata.decode(record.body).metadata
    return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%b","metadata":%b}' % (
        version.encode(),
        bytes(metadata),
    )


def table(
    kind: Kind,
    records: Sequence[Record],
    revision: int,
    *,
    continue_token: str = "",
    remaining: int = -1,
    include_object: str = "Metadata",
    with_tenant: bool = False,
    now: float,
    version: str = "v1",
    columns_header: bool = True,
) -> bytes:
    """A Table of stored objects, encoded. `remaining` is told beside a `continue_token` where it is known (> 0);
    `with_tenant` puts a column Tenant before the others; without `columns_header` the definitions are left out, as in
    all events of a watch but the first. BadRequest for an unknown `include_object`."""
    if include_object not in {"None", "Metadata", "Object"}:
        raise BadRequest(f"unrecognized includeObject value: {include_object!r}")
    with_tenant = with_tenant and kind.scope is not Scope.CLUSTER
    metadata: Obj = {"resourceVersion": str(revision)}
    if continue_token:
        metadata["continue"] = continue_token
        if remaining > 0:
            metadata["remainingItemCount"] = remaining
    header = b"[]"
    if columns_header:
        shown = columns.columns_for(kind)
        header = _definitions((_TENANT, *shown) if with_tenant else shown)
    parts: list[bytes] = [
        b'{"kind":"Table","apiVersion":"meta.k8s.io/%b","metadata":' % version.encode(),
        dumps(metadata),
        b',"columnDefinitions":',
        header,
        b',"rows":[',
    ]
    for index, record in enumerate(records):
        parts.append(b',{"cells":[' if index else b'{"cells":[')
        if with_tenant:
            parts.append(b'"%b",' % record.key.tenant.encode())
        for piece in _rows.get(kind, record):
            parts.append(piece if type(piece) is bytes else _filled(piece, now))
        if include_object == "Metadata":
            parts += (b',"object":', partial_object(record, version))
        elif include_object == "Object":
            parts += (b',"object":', versions.body(record, kind) if kind.storage else record.body)
        parts.append(b"}")
    parts.append(b"]}")
    return b"".join(parts)


def _filled(piece: bytes | Since, now: float) -> bytes:
    return b'"%b"' % piece.render(now).encode() if isinstance(piece, Since) else piece
