"""JSON's values as YAML, in the block style that Kubernetes answers with: keys sorted, lists at their key's indent.

What YAML 1.1 would read as something else than a string is quoted as JSON, of whose strings YAML takes every one;
text of several lines is a literal block. Pure; a document is made in parts, so that a long one can be made in turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from arktos.wire import json
from arktos.wire.yaml import WORDS

CONTENT_TYPE = "application/yaml"

_TEXT = r"[A-Za-z0-9_./()<>+=@,;$^~-]"
_PLAIN = re.compile(rf"[A-Za-z_/]{_TEXT}*(?: +{_TEXT}+)*(?::{_TEXT}+(?: +{_TEXT}+)*)*\Z")
_BLOCK = re.compile("[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]*\\Z")
_LONGEST_KEY = 1000
"""Characters of a key that may stand before its colon on one line; the specification says 1024."""


def encode(value: Any) -> bytes:
    """The document of a value."""
    return "".join(parts(value)).encode("utf-8", "replace")


def parts(value: Any) -> Iterator[str]:
    """The document of a value, in pieces of a few lines."""
    if isinstance(value, dict) and value:
        yield from _mapping(value, "")
    elif isinstance(value, list) and value:
        yield from _sequence(value, "")
    else:
        yield _scalar(value, "") + "\n"


def _mapping(value: dict[str, Any], indent: str) -> Iterator[str]:
    for key in sorted(value):
        word = _word(key)
        if len(word) > _LONGEST_KEY:
            yield f"{indent}? {word}\n"
            word = ""
        yield from _entry(f"{indent}{word}:", value[key], indent)


def _entry(head: str, item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, dict) and item:
        yield head + "\n"
        yield from _mapping(item, indent + "  ")
    elif isinstance(item, list) and item:
        yield head + "\n"
        yield from _sequence(item, indent)
    else:
        yield f"{head} {_scalar(item, indent)}\n"


def _sequence(value: list[Any], indent: str) -> Iterator[str]:
    for item in value:
        if isinstance(item, dict | list) and item:
            below = indent + "  "
            inner = _mapping(item, below) if isinstance(item, dict) else _sequence(item, below)
            yield indent + "- " + next(inner)[len(below) :]
            yield from inner
        else:
            yield f"{indent}- {_scalar(item, indent)}\n"


def _scalar(value: Any, indent: str) -> str:
    if not isinstance(value, str):
        return json.encode(value).decode()
    if "\n" in value and value[0] not in " \n\t" and _BLOCK.match(value):
        return _block(value, indent + "  ")
    return _word(value)


def _word(text: str) -> str:
    """A string on one line."""
    if text not in WORDS and _PLAIN.match(text):
        return text
    quoted = json.encode(text).decode("utf-8", "replace")
    if not quoted.isprintable():
        quoted = "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
    return quoted


def _block(text: str, indent: str) -> str:
    """A literal block; how it ends says how many line ends the text has."""
    body = text.rstrip("\n")
    ends = len(text) - len(body)
    mark = "|-" if ends == 0 else "|" if ends == 1 else "|+"
    lines = [indent + line if line else "" for line in body.split("\n")]
    return "\n".join([mark, *lines, *([""] * max(ends - 1, 0))])
