"""A Swagger document as protobuf: gnostic's `openapi.v2` messages, as far as the API's document needs them.

A table of field numbers drives the writer. Numbers are those of OpenAPIv2.proto of google/gnostic-models; fields are
named as in JSON. Wire format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from arktos.apiserver.encoding import dumps
from arktos.model.kinds import Obj

_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Document": {
        "swagger": (1, "string"),
        "info": (2, "Info"),
        "paths": (8, "Paths"),
        "definitions": (9, "Definitions"),
        "security": (12, "[SecurityRequirement"),
        "securityDefinitions": (13, "SecurityDefinitions"),
    },
    "Info": {"title": (1, "string"), "version": (2, "string"), "description": (3, "string")},
    "Paths": {"path": (2, "PathItem")},
    "Definitions": {"": (1, "Schema")},
    "PathItem": {
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "patch": (8, "Operation"),
        "parameters": (9, "[Parameter"),
    },
    "Operation": {
        "tags": (1, "[string"),
        "description": (3, "string"),
        "operationId": (5, "string"),
        "produces": (6, "[string"),
        "consumes": (7, "[string"),
        "parameters": (8, "[Parameter"),
        "responses": (9, "Responses"),
        "x-": (13, "any"),
    },
    "BodyParameter": {
        "description": (1, "string"),
        "name": (2, "string"),
        "in": (3, "string"),
        "required": (4, "bool"),
        "schema": (5, "Schema"),
    },
    "QueryParameter": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "description": (3, "string"),
        "name": (4, "string"),
        "type": (6, "string"),
        "uniqueItems": (20, "bool"),
    },
    "PathParameter": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "description": (3, "string"),
        "name": (4, "string"),
        "type": (5, "string"),
        "uniqueItems": (19, "bool"),
    },
    "Response": {"description": (1, "string"), "schema": (2, "SchemaItem")},
    "Schema": {
        "$ref": (1, "string"),
        "format": (2, "string"),
        "description": (4, "string"),
        "default": (5, "Any"),
        "required": (19, "[string"),
        "enum": (20, "[Any"),
        "additionalProperties": (21, "AdditionalPropertiesItem"),
        "type": (22, "TypeItem"),
        "items": (23, "ItemsItem"),
        "properties": (25, "{Schema"),
        "x-": (31, "any"),
    },
    "ApiKeySecurity": {
        "type": (1, "string"),
        "name": (2, "string"),
        "in": (3, "string"),
        "description": (4, "string"),
    },
}
"""By message and field: number and type. `[` repeats, `{` is a message of repeated (name, value) pairs in its field 1;
the field `x-` holds all vendor extensions."""


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _bytes(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _named(name: str, value: bytes) -> bytes:
    """One pair of a map that is written as repeated (name, value)."""
    return _bytes(1, name.encode()) + _bytes(2, value)


def _any(value: object) -> bytes:
    """gnostic's Any: YAML text, of which JSON is a part."""
    return _bytes(2, dumps(value))


def _parameter(value: Obj) -> bytes:
    """ParametersItem > Parameter > BodyParameter, or > NonBodyParameter > one for queries or paths."""
    match value["in"]:
        case "body":
            inner = _bytes(1, encode("BodyParameter", value))
        case "path":
            inner = _bytes(2, _bytes(4, encode("PathParameter", value)))
        case _:
            inner = _bytes(2, _bytes(3, encode("QueryParameter", value)))
    return _bytes(1, inner)


def _additional(value: Obj | bool) -> bytes:
    return _varint(2 << 3) + _varint(value) if isinstance(value, bool) else _bytes(1, encode("Schema", value))


def _responses(value: Obj) -> bytes:
    pairs = (_named(code, _bytes(1, encode("Response", found))) for code, found in value.items())
    return b"".join(_bytes(1, pair) for pair in pairs)


def _requirement(value: Mapping[str, list[str]]) -> bytes:
    pairs = (_named(name, b"".join(_bytes(1, s.encode()) for s in scopes)) for name, scopes in value.items())
    return b"".join(_bytes(1, pair) for pair in pairs)


def _security(value: Mapping[str, Obj]) -> bytes:
    pairs = (_named(name, _bytes(2, encode("ApiKeySecurity", found))) for name, found in value.items())
    return b"".join(_bytes(1, pair) for pair in pairs)


_WRITERS: dict[str, Callable[..., bytes]] = {
    "string": str.encode,
    "Any": _any,
    "Parameter": _parameter,
    "Responses": _responses,
    "SchemaItem": lambda value: _bytes(1, encode("Schema", value)),
    "AdditionalPropertiesItem": _additional,
    "TypeItem": lambda value: _bytes(1, value.encode()),
    "ItemsItem": lambda value: _bytes(1, encode("Schema", value)),
    "SecurityRequirement": _requirement,
    "SecurityDefinitions": _security,
}
"""The types that are not written as their JSON's fields one by one."""


def _value(kind: str, value: object) -> bytes:
    writer = _WRITERS.get(kind)
    if writer is not None:
        return writer(value)
    assert isinstance(value, dict)
    return encode(kind, value)


def encode(message: str, value: Obj, **encoded: bytes) -> bytes:
    """A message. Fields in `encoded` are written already. KeyError for a field that the table lacks."""
    fields = _MESSAGES[message]
    written = bytearray()
    for name, found in value.items():
        if name.startswith("x-"):
            written += _bytes(fields["x-"][0], _named(name, _any(found)))
            continue
        number, kind = fields[name]
        if kind == "bool":
            written += _varint(number << 3) + _varint(bool(found))
        elif kind.startswith("["):
            for element in found:
                written += _bytes(number, _value(kind[1:], element))
        elif kind.startswith("{"):
            written += _bytes(number, b"".join(_bytes(1, _named(n, _value(kind[1:], v))) for n, v in found.items()))
        else:
            written += _bytes(number, _value(kind, found))
    for name, body in encoded.items():
        written += _bytes(fields[name][0], body)
    return bytes(written)


def entry(message: str, field: str, name: str, value: Obj) -> bytes:
    """One (name, value) pair of a message that is a map, ready to be joined with others."""
    number, kind = _MESSAGES[message][field]
    return _bytes(number, _named(name, encode(kind, value)))
