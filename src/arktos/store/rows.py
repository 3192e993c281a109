"""How a change is laid down in the file: one row, with a checksum over all that it says."""

from __future__ import annotations

from enum import IntEnum
from zlib import crc32

import msgspec

from arktos.store.records import Delete, Event, Header, Key, Record, Write
from arktos.store.sharing import Pool
from arktos.store.views import newest

Row = tuple[int, int, str, bytes | None, bytes | None, float, int]
"""Revision, op, key, header, body, expires, crc: the columns of log and state, in this order."""

_encode_header = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode


class Op(IntEnum):
    PUT = 1
    LAZY_PUT = 2
    DELETE = 3


_PUT, _LAZY_PUT, _DELETE = int(Op.PUT), int(Op.LAZY_PUT), int(Op.DELETE)


class BadRow(Exception):
    """A row does not hold what was written."""


def key_text(key: Key) -> str:
    """A key as the file spells it. ValueError for one that would not come back the same."""
    resource, tenant, namespace, name = key
    if not tenant or "/" in tenant or "/" in namespace or "/" in resource:
        raise ValueError(f"not a key: {key}")
    return f"{resource}/{tenant}/{namespace}/{name}"


def parse_key(text: str) -> Key:
    parts = text.split("/", 3)
    if len(parts) != 4:
        raise BadRow(f"not a key: {text!r}")
    return Key(*parts)


def encode(write: Write, event: Event) -> Row:
    """The row of a write that became `event`. A deletion holds the last state only where the write gave one."""
    record = newest(event)
    header: bytes | None = _encode_header(record.header)
    body: bytes | None = record.body
    if isinstance(write, Delete):
        op = _DELETE
        if write.body is None:
            body = None
            if write.header is None:
                header = None
    else:
        op = _LAZY_PUT if write.lazy else _PUT
    key = key_text(record.key)
    return (
        record.revision,
        op,
        key,
        header,
        body,
        record.expires,
        _checksum(record.revision, op, key, header, body, record.expires),
    )


def check(row: Row) -> None:
    """BadRow if the checksum does not match."""
    revision, op, key, header, body, expires, crc = row
    try:
        right = _checksum(revision, op, key, header, body, expires) == crc
    except (TypeError, ValueError, UnicodeError):
        right = False
    if not right:
        raise BadRow(f"the record of {key!r} at revision {revision!r} does not match its checksum")


def to_record(row: Row, pool: Pool, previous: Record | None = None) -> Record:
    """The record of a put whose row was checked. BadRow."""
    revision, _, key, header, body, expires, _ = row
    if header is None or body is None:
        raise BadRow(f"the record of {key!r} at revision {revision} is not complete")
    shared = pool.key(parse_key(key) if previous is None else previous.key, previous)
    return Record(shared, revision, pool.header(_header(row), previous), body, expires or 0.0)


def last_state(row: Row, pool: Pool, previous: Record) -> tuple[Header, bytes | None]:
    """Header and, where given, body of a deletion whose row was checked. BadRow."""
    header = previous.header if row[3] is None else pool.header(_header(row), previous)
    return header, row[4]


def _header(row: Row) -> Header:
    try:
        return _decode_header(row[3] or b"")
    except msgspec.MsgspecError as error:
        raise BadRow(f"the header of {row[2]!r} at revision {row[0]} is not readable") from error


def _checksum(revision: int, op: int, key: str, header: bytes | None, body: bytes | None, expires: float) -> int:
    return crc32(body or b"", crc32(header or b"", crc32(f"{revision} {op} {expires!r} {key}".encode())))
