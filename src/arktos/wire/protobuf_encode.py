"""JSON-shaped objects to Kubernetes protobuf. What the table doesn't know (fields of ours) is left out, as is null."""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Callable
from typing import Any

from arktos.wire import json
from arktos.wire.protobuf_table import (
    BOOL,
    BYTES,
    DOUBLE,
    INLINE,
    INT32,
    INT64,
    MAP,
    MESSAGE,
    REPEATED,
    SPECIAL,
    STRING,
    Field,
    Message,
    message,
    varint,
)
from arktos.wire.protobuf_values import parse_duration, parse_time

MAX_DEPTH = 100
_LIMITS = {INT32: 1 << 31, INT64: 1 << 63}


class EncodeError(ValueError):
    """The object does not fit its message; the text names the field."""


def write_message(kind: Message, value: object, depth: int) -> bytes:
    """The fields of `value` in the order of their numbers, maps by key. Raises `EncodeError`."""
    if not isinstance(value, dict):
        raise EncodeError(f"{kind.name}: expected an object, got {json.type_name(value)}")
    if depth > MAX_DEPTH:
        raise EncodeError(f"exceeded max depth of {MAX_DEPTH}")
    parts: list[bytes] = []
    for field in kind.fields:
        if field.label == INLINE:
            _sized(parts, field.tag_bytes, write_message(field.message, value, depth + 1))
            continue
        item = value.get(field.name)
        if item is None:
            continue
        try:
            _write_field(parts, field, item, depth)
        except EncodeError:
            raise
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise EncodeError(f"{field.name}: {error}") from error
    return b"".join(parts)


def _write_field(parts: list[bytes], field: Field, item: Any, depth: int) -> None:
    if field.label == REPEATED:
        if not isinstance(item, list):
            raise EncodeError(f"{field.name}: expected an array, got {json.type_name(item)}")
        for element in item:
            _write_value(parts, field, element, depth)
    elif field.label == MAP:
        if not isinstance(item, dict):
            raise EncodeError(f"{field.name}: expected an object, got {json.type_name(item)}")
        for key in sorted(item):
            entry = [b"\x0a", varint(len(key.encode())), key.encode()]
            _sized(entry, b"\x12", _sized_bytes(field, item[key], depth))
            _sized(parts, field.tag_bytes, b"".join(entry))
    else:
        _write_value(parts, field, item, depth)


def _write_value(parts: list[bytes], field: Field, item: Any, depth: int) -> None:
    kind = field.kind
    if kind in (STRING, MESSAGE, BYTES, SPECIAL):
        _sized(parts, field.tag_bytes, _sized_bytes(field, item, depth))
        return
    parts.append(field.tag_bytes)
    if kind == BOOL:
        if not isinstance(item, bool):
            raise EncodeError(f"{field.name}: expected a boolean, got {json.type_name(item)}")
        parts.append(b"\x01" if item else b"\x00")
        return
    if isinstance(item, bool) or not isinstance(item, int | float):
        raise EncodeError(f"{field.name}: expected a number, got {json.type_name(item)}")
    if kind == DOUBLE:
        parts.append(struct.pack("<d", item))
        return
    if item != int(item) or not -_LIMITS[kind] <= item < _LIMITS[kind]:
        raise EncodeError(f"{field.name}: {item} is not an integer of its size")
    parts.append(varint(int(item)))


def _sized_bytes(field: Field, item: Any, depth: int) -> bytes:
    kind = field.kind
    if kind == SPECIAL:
        return _SPECIAL[field.special](field, item, depth + 1)
    if kind == MESSAGE:
        return write_message(field.message, {} if item is None else item, depth + 1)
    if not isinstance(item, str):
        if item is None:
            return b""
        raise EncodeError(f"{field.name}: expected a string, got {json.type_name(item)}")
    return b64decode(item, validate=True) if kind == BYTES else item.encode()


def _sized(parts: list[bytes], tag: bytes, body: bytes) -> None:
    parts += (tag, varint(len(body)), body)


def _plain(field: Field, parts: dict[str, Any], depth: int) -> bytes:
    return write_message(message(field.type_name), parts, depth)


def _quantity(field: Field, item: Any, depth: int) -> bytes:
    if isinstance(item, bool) or not isinstance(item, str | int | float):
        raise EncodeError(f"{field.name}: expected a quantity, got {json.type_name(item)}")
    return _plain(field, {"string": str(item)}, depth)


def _int_or_string(field: Field, item: Any, depth: int) -> bytes:
    if isinstance(item, str):
        return _plain(field, {"type": 1, "intVal": 0, "strVal": item}, depth)
    return _plain(field, {"type": 0, "intVal": item, "strVal": ""}, depth)


def _time(field: Field, item: Any, depth: int) -> bytes:
    if item is None:
        return b""
    seconds, nanos = parse_time(item)
    return _plain(field, {"seconds": seconds, "nanos": nanos if field.special == "micro_time" else 0}, depth)


def _duration(field: Field, item: Any, depth: int) -> bytes:
    return _plain(field, {"duration": parse_duration(item)}, depth)


def _strings(field: Field, item: Any, depth: int) -> bytes:
    return _plain(field, {"items": item}, depth)


def _raw(field: Field, item: Any, depth: int) -> bytes:
    document = [b""]
    _sized(document, b"\x0a", json.encode(item))
    return b"".join(document)


def _schema_or_array(field: Field, item: Any, depth: int) -> bytes:
    return _plain(field, {"jSONSchemas": item} if isinstance(item, list) else {"schema": item}, depth)


def _schema_or_bool(field: Field, item: Any, depth: int) -> bytes:
    return _plain(field, {"allows": item} if isinstance(item, bool) else {"allows": True, "schema": item}, depth)


def _schema_or_strings(field: Field, item: Any, depth: int) -> bytes:
    return _plain(field, {"property": item} if isinstance(item, list) else {"schema": item}, depth)


_SPECIAL: dict[str, Callable[[Field, Any, int], bytes]] = {
    "quantity": _quantity,
    "int_or_string": _int_or_string,
    "time": _time,
    "micro_time": _time,
    "duration": _duration,
    "fields_v1": _raw,
    "raw_extension": _raw,
    "raw_json": _raw,
    "strings": _strings,
    "schema_or_array": _schema_or_array,
    "schema_or_bool": _schema_or_bool,
    "schema_or_strings": _schema_or_strings,
}
