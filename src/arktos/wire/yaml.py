"""YAML documents, read as the Kubernetes API reads them: into JSON's types, by libyaml's events.

Working on events keeps three bounds that a loader does not: nesting, the number of values after aliases are
expanded (the "billion laughs"), and that no two places of the result share a value. Plain scalars follow YAML 1.1 as
Go reads it: yes/no/on/off are booleans, timestamps and sexagesimals stay strings, keys become strings.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from typing import Any

import yaml as _pyyaml

from arktos.wire import json

MAX_EXPANDED = 100_000
"""Values that the aliases of a document may add to it."""

_PREFIX = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|(?:0|[1-9][0-9_]*))\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?\Z")
WORDS: dict[str, object] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
for _yes, _no in (("y", "n"), ("yes", "no"), ("true", "false"), ("on", "off")):
    for _form in (str.lower, str.title, str.upper):
        WORDS[_form(_yes)] = True
        WORDS[_form(_no)] = False
_MAYBE_NUMBER = frozenset("0123456789+-.")


def decode(data: bytes) -> Any:
    """The value of the one document in `data`, in JSON's types. Raises `json.DecodeError`.

    A document that is JSON, as clients often send under a YAML type, takes JSON's much faster way.
    """
    return _decode(data, None)


def duplicate_fields(data: bytes) -> list[str]:
    """Paths of the keys that occur more than once, as `json.duplicate_fields`."""
    if data.lstrip()[:1] == b"{" and (found := json.duplicate_fields(data)):
        return found
    repeated: list[str] = []
    try:
        _decode(data, repeated)
    except json.DecodeError:
        return []
    return list(dict.fromkeys(repeated))


def _decode(data: bytes, repeated: list[str] | None) -> Any:
    if repeated is None and data.lstrip()[:1] == b"{":
        try:
            return json.decode(data)
        except json.DecodeError:
            pass
    try:
        return _Builder(data, repeated).document()
    except _pyyaml.YAMLError as error:
        raise json.DecodeError(f"yaml: {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise json.DecodeError(f"yaml: {error}") from error


class _Builder:
    """Turns events into values. `repeated` gathers the paths of duplicate keys, when they are wanted."""

    def __init__(self, data: bytes, repeated: list[str] | None) -> None:
        self._next: Callable[[], Any] = _pyyaml.CSafeLoader(data).get_event
        self._repeated = repeated
        self._anchors: dict[str, Any] = {}
        self._expanded = 0

    def document(self) -> Any:
        self._next()
        event = self._next()
        if isinstance(event, _pyyaml.StreamEndEvent):
            return None
        value = self._value(self._next(), "", 0)
        self._next()
        if not isinstance(self._next(), _pyyaml.StreamEndEvent):
            raise json.DecodeError("yaml: expected a single document")
        return value

    def _value(self, event: Any, path: str, depth: int) -> Any:
        if depth > json.MAX_DEPTH:
            raise json.DecodeError(f"yaml: exceeded max depth of {json.MAX_DEPTH}")
        if isinstance(event, _pyyaml.AliasEvent):
            return self._expand(event.anchor, depth)
        value: Any
        if isinstance(event, _pyyaml.ScalarEvent):
            value = _scalar(event)
        elif isinstance(event, _pyyaml.SequenceStartEvent):
            value = self._sequence(event, path, depth)
        else:
            value = self._mapping(event, path, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _expand(self, anchor: str | None, depth: int) -> Any:
        if anchor is None or anchor not in self._anchors:
            raise json.DecodeError(f"yaml: unknown anchor '{anchor}' referenced")
        return self._copy(self._anchors[anchor], depth)

    def _copy(self, value: Any, depth: int) -> Any:
        self._expanded += 1
        if self._expanded > MAX_EXPANDED:
            raise json.DecodeError("yaml: document contains excessive aliasing")
        if depth > json.MAX_DEPTH:
            raise json.DecodeError(f"yaml: exceeded max depth of {json.MAX_DEPTH}")
        if type(value) is dict:
            return {key: self._copy(child, depth + 1) for key, child in value.items()}
        if type(value) is list:
            return [self._copy(child, depth + 1) for child in value]
        return value

    def _sequence(self, event: Any, path: str, depth: int) -> list[Any]:
        _collection(event, "seq")
        items: list[Any] = []
        event = self._next()
        while not isinstance(event, _pyyaml.SequenceEndEvent):
            where = f"{path}[{len(items)}]" if self._repeated is not None else ""
            items.append(self._value(event, where, depth + 1))
            event = self._next()
        return items

    def _mapping(self, event: Any, path: str, depth: int) -> dict[str, Any]:
        _collection(event, "map")
        result: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        event = self._next()
        while not isinstance(event, _pyyaml.MappingEndEvent):
            merge = isinstance(event, _pyyaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
            key = _key(self._value(event, "", depth + 1))
            where = ""
            if self._repeated is not None:
                where = f"{path}.{key}" if path else key
                if key in result:
                    self._repeated.append(where)
            value = self._value(self._next(), where, depth + 1)
            if merge:
                merged += _merge_sources(value)
            else:
                result[key] = value
            event = self._next()
        for source in merged:
            for key, value in source.items():
                if key not in result:
                    result[key] = self._copy(value, depth + 1)
        return result


def _merge_sources(value: Any) -> list[dict[str, Any]]:
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, dict) for source in sources):
        raise json.DecodeError("yaml: map merge requires map or sequence of maps as the value")
    return sources


def _collection(event: Any, kind: str) -> None:
    if event.tag not in (None, "!", _PREFIX + kind):
        raise json.DecodeError(f"yaml: unsupported tag {event.tag}")


def _key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    raise json.DecodeError("yaml: a key must be a scalar")


def _scalar(event: Any) -> Any:
    text: str = event.value
    tag = event.tag
    if tag is None or tag == "!":
        return _plain(text) if event.implicit[0] and tag is None else text
    kind = tag.removeprefix(_PREFIX)
    if kind == "str":
        return text
    if kind == "binary":
        try:
            return base64.b64decode(text, validate=False).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise json.DecodeError("yaml: !!binary value contains invalid base64 data") from error
    value = _plain(text)
    if kind == "float" and isinstance(value, int):
        value = float(value)
    fits = {"null": type(None), "bool": bool, "int": int, "float": float}.get(kind)
    if fits is None or type(value) is not fits:
        raise json.DecodeError(f"yaml: cannot decode `{text}` as {tag}")
    return value


def _plain(text: str) -> Any:
    """An untagged, unquoted scalar."""
    if text in WORDS:
        return WORDS[text]
    if text[0] not in _MAYBE_NUMBER or len(text) > 400:
        return text
    if _INTEGER.match(text):
        return _integer(text)
    if _FLOAT.match(text):
        number = float(text.replace("_", ""))
        if math.isinf(number):
            raise json.DecodeError(f"yaml: number {text} is out of range")
        return number
    if text.lstrip("+-").lower() in (".inf", ".nan"):
        raise json.DecodeError(f"yaml: {text} is not a JSON number")
    return text


def _integer(text: str) -> int | str:
    digits = text.replace("_", "").lower()
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    if digits.startswith("0") and digits[1:].isdecimal():
        digits = "0o" + digits[1:]
    try:
        return sign * int(digits, 0)
    except ValueError:
        return text
