"""Kubernetes protobuf to JSON-shaped objects: one loop over the table, and the messages with a JSON form of their own.

Works by position on one buffer, so that nesting copies nothing. Whatever the bytes, it ends with an object or a
error: lengths are checked against their frame, depth is bounded, unknown fields are skipped. Where a singular field
occurs twice the last one wins; messages are not merged, which no encoder in use relies on.
"""

from __future__ import annotations

import math
import struct
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from arktos.wire import json
from arktos.wire.protobuf_table import (
    BOOL,
    BYTES,
    DOUBLE,
    INT32,
    MAP,
    MESSAGE,
    REPEATED,
    SINGLE,
    STRING,
    Field,
    Message,
    message,
    message_name,
)
from arktos.wire.protobuf_values import format_duration, format_time

MAX_DEPTH = 100
MAGIC = b"k8s\x00"
_TYPE_META = "k8s.io.apimachinery.pkg.runtime.TypeMeta"
_Reader = Callable[[Field, bytes, int, int, int], Any]


class DecodeError(ValueError):
    """The bytes are not a message of the table; the text can be shown to the client."""


def read_message(kind: Message, data: bytes, pos: int, end: int, depth: int) -> dict[str, Any]:
    """The JSON form of the message in `data[pos:end]`.

    Raises `DecodeError`; also IndexError (cut short) and UnicodeDecodeError, which the caller at the edge translates.
    """
    if depth > MAX_DEPTH:
        raise DecodeError(f"exceeded max depth of {MAX_DEPTH}")
    result: dict[str, Any] = {}
    by_tag = kind.by_tag
    while pos < end:
        tag = data[pos]
        pos += 1
        if tag > 127:
            tag, pos = _varint(data, pos - 1)
        field = by_tag.get(tag)
        if field is None:
            pos = _skip(kind, tag, data, pos, end)
            continue
        if tag & 7 == 2:
            size = data[pos]
            pos += 1
            if size > 127:
                size, pos = _varint(data, pos - 1)
            stop = pos + size
            if stop > end:
                raise DecodeError("unexpected EOF")
            _read_sized(result, field, data, pos, stop, depth)
            pos = stop
        else:
            value, pos = _read_fixed(field, data, pos, end)
            if field.label == REPEATED:
                result.setdefault(field.name, []).append(value)
            elif value or not field.drop:
                result[field.name] = value
            else:
                result.pop(field.name, None)
    if pos != end:
        raise DecodeError("unexpected EOF")
    return result


def _read_fixed(field: Field, data: bytes, pos: int, end: int) -> tuple[int | float, int]:
    """A number or boolean and the position after it."""
    if field.kind == DOUBLE:
        return _double(data, pos, end), pos + 8
    value, pos = _varint(data, pos)
    return _number(field.kind, value), pos


def _read_sized(result: dict[str, Any], field: Field, data: bytes, pos: int, stop: int, depth: int) -> None:
    """One length-delimited field into `result`."""
    label = field.label
    if label == SINGLE:
        if field.kind == STRING:
            value: Any = data[pos:stop].decode()
        elif field.kind == MESSAGE:
            value = read_message(field.message, data, pos, stop, depth + 1)
        else:
            value = _sized_value(field, data, pos, stop, depth)
        if value is None or (field.drop and not value):
            result.pop(field.name, None)
        else:
            result[field.name] = value
    elif label == REPEATED:
        into = result.setdefault(field.name, [])
        if field.tag & 7 != 2:
            _read_packed(into, field, data, pos, stop)
        else:
            into.append(_sized_value(field, data, pos, stop, depth))
    elif label == MAP:
        key, value = _read_entry(field, data, pos, stop, depth)
        result.setdefault(field.name, {})[key] = value
    else:
        result.update(read_message(field.message, data, pos, stop, depth + 1))


def _sized_value(field: Field, data: bytes, pos: int, stop: int, depth: int) -> Any:
    kind = field.kind
    if kind == STRING:
        return data[pos:stop].decode()
    if kind == MESSAGE:
        return read_message(field.message, data, pos, stop, depth + 1)
    if kind == BYTES:
        return b64encode(data[pos:stop]).decode()
    return _SPECIAL[field.special](field, data, pos, stop, depth + 1)


def _read_packed(into: list[Any], field: Field, data: bytes, pos: int, stop: int) -> None:
    while pos < stop:
        if field.kind == DOUBLE:
            into.append(_double(data, pos, stop))
            pos += 8
        else:
            value, pos = _varint(data, pos)
            into.append(_number(field.kind, value))
    if pos != stop:
        raise DecodeError("unexpected EOF")


def _read_entry(field: Field, data: bytes, pos: int, stop: int, depth: int) -> tuple[str, Any]:
    """One entry of a map: field 1 is the key, field 2 the value; what is missing is zero."""
    key = ""
    value: Any = None
    while pos < stop:
        tag = data[pos]
        if tag not in (0x0A, 0x12):
            tag, pos = _varint(data, pos)
            if tag >> 3 in (1, 2):
                raise DecodeError(f"wrong wire type in an entry of {field.name}")
            pos = _skip(None, tag, data, pos, stop)
            continue
        size, pos = _varint(data, pos + 1)
        if pos + size > stop:
            raise DecodeError("unexpected EOF")
        if tag == 0x0A:
            key = data[pos : pos + size].decode()
        else:
            value = _sized_value(field, data, pos, pos + size, depth)
        pos += size
    if value is None:
        value = _sized_value(field, data, stop, stop, depth)
    return key, value


def _varint(data: bytes, pos: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, pos
        shift += 7
        if shift > 63:
            raise DecodeError("integer overflow")


def _number(kind: int, value: int) -> int | bool:
    if kind == BOOL:
        return value != 0
    if kind == INT32:
        value &= 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value
    return value - (1 << 64) if value >> 63 else value


def _double(data: bytes, pos: int, end: int) -> int | float:
    if pos + 8 > end:
        raise DecodeError("unexpected EOF")
    value: float = struct.unpack_from("<d", data, pos)[0]
    if not math.isfinite(value):
        raise DecodeError(f"JSON has no number {value}")
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _skip(kind: Message | None, tag: int, data: bytes, pos: int, end: int) -> int:
    """The position after a field that the table doesn't have. Groups are skipped as a whole."""
    number, wire_type = tag >> 3, tag & 7
    if number == 0 or (kind is not None and number in kind.numbers):
        raise DecodeError(f"wrong wire type {wire_type} for field {number}" + (f" of {kind.name}" if kind else ""))
    open_groups = 0
    while True:
        if wire_type == 0:
            _, pos = _varint(data, pos)
        elif wire_type == 1:
            pos += 8
        elif wire_type == 2:
            size, pos = _varint(data, pos)
            pos += size
        elif wire_type == 5:
            pos += 4
        elif wire_type == 3:
            open_groups += 1
        elif wire_type == 4 and open_groups:
            open_groups -= 1
        else:
            raise DecodeError(f"illegal wire type {wire_type}")
        if pos > end:
            raise DecodeError("unexpected EOF")
        if not open_groups:
            return pos
        tag, pos = _varint(data, pos)
        wire_type = tag & 7


def _plain(field: Field, data: bytes, pos: int, stop: int, depth: int) -> dict[str, Any]:
    """The fields of a special message, as if it were none."""
    return read_message(message(field.type_name), data, pos, stop, depth)


def _quantity(field: Field, data: bytes, pos: int, stop: int, depth: int) -> str:
    text: str = _plain(field, data, pos, stop, depth).get("string", "")
    return text or "0"


def _int_or_string(field: Field, data: bytes, pos: int, stop: int, depth: int) -> int | str:
    parts = _plain(field, data, pos, stop, depth)
    value: int | str = parts.get("strVal", "") if parts.get("type", 0) else parts.get("intVal", 0)
    return value


def _time(field: Field, data: bytes, pos: int, stop: int, depth: int) -> str | None:
    if pos == stop:
        return None
    parts = _plain(field, data, pos, stop, depth)
    try:
        return format_time(parts.get("seconds", 0), parts.get("nanos", 0), field.special == "micro_time")
    except ValueError as error:
        raise DecodeError(str(error)) from error


def _duration(field: Field, data: bytes, pos: int, stop: int, depth: int) -> str:
    return format_duration(_plain(field, data, pos, stop, depth).get("duration", 0))


def _strings(field: Field, data: bytes, pos: int, stop: int, depth: int) -> list[Any]:
    items: list[Any] = _plain(field, data, pos, stop, depth).get("items", [])
    return items


def _raw(field: Field, data: bytes, pos: int, stop: int, depth: int) -> Any:
    """Messages that carry a document in their field 1: JSON, or for a RawExtension also an enveloped object."""
    if depth > MAX_DEPTH:
        raise DecodeError(f"exceeded max depth of {MAX_DEPTH}")
    document = b""
    while pos < stop:
        tag, pos = _varint(data, pos)
        if tag != 0x0A:
            pos = _skip(message(field.type_name), tag, data, pos, stop)
            continue
        size, pos = _varint(data, pos)
        if pos + size > stop:
            raise DecodeError("unexpected EOF")
        document = data[pos : pos + size]
        pos += size
    if not document:
        return None
    if document[:4] == MAGIC and field.special == "raw_extension":
        return read_envelope(document, depth)
    try:
        return json.decode(document)
    except json.DecodeError as error:
        raise DecodeError(f"embedded JSON: {error}") from error


def _schema_or_array(field: Field, data: bytes, pos: int, stop: int, depth: int) -> Any:
    parts = _plain(field, data, pos, stop, depth)
    return parts.get("jSONSchemas") or parts.get("schema")


def _schema_or_bool(field: Field, data: bytes, pos: int, stop: int, depth: int) -> Any:
    parts = _plain(field, data, pos, stop, depth)
    return parts.get("schema", parts.get("allows", False))


def _schema_or_strings(field: Field, data: bytes, pos: int, stop: int, depth: int) -> Any:
    parts = _plain(field, data, pos, stop, depth)
    return parts.get("property") or parts.get("schema")


_SPECIAL: dict[str, _Reader] = {
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


def read_envelope(data: bytes, depth: int, unnamed: str = "") -> dict[str, Any]:
    """The object in a `k8s\\0` envelope (runtime.Unknown: typeMeta, raw, contentEncoding, contentType), with its
    apiVersion and kind; the content may be JSON, too. An envelope that names no kind holds a message of full name
    `unnamed`. Raises as `read_message`."""
    if data[:4] != MAGIC:
        raise DecodeError("the body does not begin with the Kubernetes protobuf prefix")
    parts = {1: b"", 2: b"", 3: b"", 4: b""}
    pos, end = len(MAGIC), len(data)
    while pos < end:
        tag, pos = _varint(data, pos)
        if tag & 7 != 2 or tag >> 3 not in parts:
            pos = _skip(None, tag, data, pos, end)
            continue
        size, pos = _varint(data, pos)
        if pos + size > end:
            raise DecodeError("unexpected EOF")
        parts[tag >> 3] = data[pos : pos + size]
        pos += size
    if parts[3]:
        raise DecodeError(f"content encoding {parts[3].decode()!r} is not supported")
    meta = read_message(message(_TYPE_META), parts[1], 0, len(parts[1]), depth + 1)
    if parts[4].partition(b";")[0] == b"application/json":
        return _json_content(meta, parts[2])
    api_version, kind = meta.get("apiVersion", ""), meta.get("kind", "")
    named = bool(api_version or kind)
    name = message_name(api_version, kind) if named else unnamed
    if not name:
        raise DecodeError(f'no kind "{kind}" is registered for version "{api_version}" in protobuf')
    content = read_message(message(name), parts[2], 0, len(parts[2]), depth + 1)
    return {"apiVersion": api_version, "kind": kind, **content} if named else content


def _json_content(meta: dict[str, Any], content: bytes) -> dict[str, Any]:
    try:
        return {**meta, **json.decode_object(content)}
    except json.DecodeError as error:
        raise DecodeError(f"embedded JSON: {error}") from error
