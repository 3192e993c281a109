"""Environment files that containers write for each other (`fileKeyRef`, KEP-3721): lines `NAME='value'`.

A value stands in single quotes, literally, over several lines if it has them; only a comment may follow it. As in a
shell, a blank after `=` means an empty value. Empty lines and lines that start with `#` mean nothing.
"""

from __future__ import annotations

_BLANKS = " \t"


def value_of(text: str, key: str) -> str | None:
    """The first value that a file gives to `key`, None if none. Raises ValueError, with the line, for what is malformed
    before it."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number].strip(_BLANKS + "\r")
        if not line or line.startswith("#"):
            number += 1
            continue
        name, value, number = _assignment(lines, number)
        if name == key:
            return value
    return None


def _assignment(lines: list[str], number: int) -> tuple[str, str, int]:
    """Name and value of the assignment that begins in a line, and the number of the line after it."""
    name, equals, rest = lines[number].lstrip(_BLANKS).partition("=")
    if not equals:
        raise _malformed(number, "missing '='")
    if not name.strip(_BLANKS):
        raise _malformed(number, "empty variable name")
    if name != name.rstrip(_BLANKS):
        raise _malformed(number, "whitespace before '=' is not allowed")
    if rest.startswith((" ", "\t")):
        return name, "", number + 1
    if not rest.startswith("'"):
        raise _malformed(number, "value must be enclosed in single quotes")
    first, value, after = number, rest[1:], ""
    while "'" not in value:
        number += 1
        if number == len(lines):
            raise _malformed(first, "unclosed single quote")
        value += "\n" + lines[number]
    value, _, after = value.partition("'")
    after = after.strip(_BLANKS + "\r")
    if after and not after.startswith("#"):
        raise _malformed(number, "unexpected content after closing quote")
    return name, value, number + 1


def _malformed(number: int, what: str) -> ValueError:
    return ValueError(f"invalid environment variable format at line {number + 1}: {what}")
