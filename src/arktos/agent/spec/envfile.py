"""Environment files that containers write for each other (`fileKeyRef`, KEP-3721): lines `NAME='value'`.

A value stands in single quotes, literally, over several lines if it has them; empty lines and lines that start with
`#` mean nothing.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[^=\s'#][^=\n']*")


def value_of(text: str, key: str) -> str | None:
    """The last value that a file gives to `key`, None if none. Raises ValueError, with the line, for a malformed
    file."""
    found: str | None = None
    at = 0
    while at < len(text):
        line_end = _line_end(text, at)
        if not text[at:line_end].strip() or text[at:line_end].lstrip().startswith("#"):
            at = line_end + 1
            continue
        start = at + len(text[at:line_end]) - len(text[at:line_end].lstrip())
        name = _NAME.match(text, start)
        if name is None or name[0] != name[0].rstrip() or text[name.end() : name.end() + 2] != "='":
            raise _malformed(text, at, "want NAME='value'")
        close = text.find("'", name.end() + 2)
        if close < 0:
            raise _malformed(text, at, "the value's quote is not closed")
        line_end = _line_end(text, close)
        if text[close + 1 : line_end].strip():
            raise _malformed(text, at, "text after the value")
        if name[0] == key:
            found = text[name.end() + 2 : close]
        at = line_end + 1
    return found


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _malformed(text: str, at: int, what: str) -> ValueError:
    return ValueError(f"line {text.count(chr(10), 0, at) + 1}: {what}")
