"""JSON documents: bytes to plain Python values and back.

Decoding is bounded in depth, so that the recursive walks of defaults, validation and patches never meet a document
deeper than they can follow. Of a repeated key the last value wins, as in Go; `duplicate_fields` names such keys for
strict requests.
"""

from __future__ import annotations

import json as _stdlib
from typing import Any

import msgspec

MAX_DEPTH = 200
"""Levels of nesting that a document may have."""

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


class DecodeError(ValueError):
    """The bytes are not a document that the API takes; the message says why and can be shown to the client."""


def decode(data: bytes | memoryview) -> Any:
    """The value of a JSON document. Raises `DecodeError`."""
    try:
        value = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(str(error)) from error
    except RecursionError:
        raise DecodeError(f"exceeded max depth of {MAX_DEPTH}") from None
    check_depth(data, value)
    return value


def decode_object(data: bytes | memoryview) -> dict[str, Any]:
    """As `decode`, for documents that must be a JSON object."""
    value = decode(data)
    if not isinstance(value, dict):
        raise DecodeError(f"expected a JSON object, got {type_name(value)}")
    return value


def decode_yaml(data: bytes) -> Any:
    """As `decode`, for YAML (of which JSON is a part). The parser is loaded when it is first needed."""
    from arktos.wire import yaml

    return yaml.decode(data)


def encode(value: object) -> bytes:
    """Compact JSON. Raises TypeError or ValueError for what JSON cannot say; NaN and infinity become null."""
    return _encoder.encode(value)


def type_name(value: object) -> str:
    """What JSON calls the type of `value`."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def check_depth(data: bytes | memoryview, value: object) -> None:
    """Raises `DecodeError` when `value`, decoded from `data`, is nested too deeply."""
    raw = bytes(data)
    if raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for parent in level:
            if type(parent) is dict:
                below += [child for child in parent.values() if type(child) is dict or type(child) is list]
            elif type(parent) is list:
                below += [child for child in parent if type(child) is dict or type(child) is list]
        if not below:
            return
        level = below
    raise DecodeError(f"exceeded max depth of {MAX_DEPTH}")


class _Repeated(Exception):
    """An object has some of its keys more than once."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) != len(pairs):
        raise _Repeated
    return plain


_unrepeated = _stdlib.JSONDecoder(object_pairs_hook=_once)


class _Repeating(dict[str, Any]):
    """An object that had some of its keys more than once."""

    repeated: list[str]


def _is_canonical(data: bytes) -> bool:
    """Whether a document is what its value is encoded as, a final newline apart: then it has nothing twice."""
    try:
        return _encoder.encode(_decoder.decode(data)) == data.removesuffix(b"\n")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def duplicate_fields(data: bytes) -> list[str]:
    """Paths of the keys that occur more than once, such as `spec.containers[0].name`, each once, in document order.

    For documents that `decode` takes; others give an empty list. Costs a second decode, so call it under
    fieldValidation=Strict or Warn only, and a third where there are some; least of compact documents, as clients in Go
    write them. Keys inside a value that a later duplicate
    replaced are not looked at.
    """
    if _is_canonical(data):
        return []
    try:
        _unrepeated.decode(data.decode())
        return []
    except _Repeated:
        pass
    except (ValueError, RecursionError):
        return []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        plain = dict(pairs)
        if len(plain) == len(pairs):
            return plain
        marked = _Repeating(plain)
        seen: set[str] = set()
        again = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
        marked.repeated = list(dict.fromkeys(again))
        return marked

    return _repeated_paths(_stdlib.loads(data, object_pairs_hook=note), "")


def _repeated_paths(value: object, path: str) -> list[str]:
    if isinstance(value, dict):
        paths = [f"{path}.{key}" if path else key for key in getattr(value, "repeated", ())]
        for key, child in value.items():
            if isinstance(child, dict | list):
                paths += _repeated_paths(child, f"{path}.{key}" if path else key)
        return paths
    paths = []
    if isinstance(value, list):
        for index, child in enumerate(value):
            if isinstance(child, dict | list):
                paths += _repeated_paths(child, f"{path}[{index}]")
    return paths
