"""Strings: CEL's strings extension (with `format`), and the searches that Kubernetes adds (`find`, `findAll`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from arktos.model.cel import patterns
from arktos.model.cel.declarations import Library, Overload, bounded
from arktos.model.cel.errors import EvaluationError
from arktos.model.cel.library_standard import number_text
from arktos.model.cel.types import BYTES, DYN, INT, STRING, Type, list_of
from arktos.model.cel.values import Duration, Timestamp, UInt, finite, type_name

_TEXTS = list_of(STRING)


def install(library: Library) -> None:
    table: list[tuple[str, list[Type], Type, Callable[..., Any]]] = [
        ("charAt", [STRING, INT], STRING, _char_at),
        ("indexOf", [STRING, STRING], INT, _index_of),
        ("indexOf", [STRING, STRING, INT], INT, _index_of),
        ("lastIndexOf", [STRING, STRING], INT, str.rfind),
        ("lastIndexOf", [STRING, STRING, INT], INT, _last_index_of),
        ("lowerAscii", [STRING], STRING, lambda s: s.translate(_LOWER)),
        ("upperAscii", [STRING], STRING, lambda s: s.translate(_UPPER)),
        ("replace", [STRING, STRING, STRING], STRING, _replaced),
        ("replace", [STRING, STRING, STRING, INT], STRING, _replaced),
        ("split", [STRING, STRING], _TEXTS, _split),
        ("split", [STRING, STRING, INT], _TEXTS, _split),
        ("substring", [STRING, INT], STRING, _substring),
        ("substring", [STRING, INT, INT], STRING, _substring),
        ("trim", [STRING], STRING, str.strip),
        ("reverse", [STRING], STRING, lambda s: s[::-1]),
        ("join", [_TEXTS], STRING, _joined),
        ("join", [_TEXTS, STRING], STRING, _joined),
        ("format", [STRING, list_of(DYN)], STRING, formatted),
    ]
    for name, parameters, result, call in table:
        library.method(name, parameters, result, call)
    searches: list[tuple[str, list[Type], Type, Callable[..., Any]]] = [
        ("find", [STRING, STRING], STRING, patterns.find),
        ("findAll", [STRING, STRING], _TEXTS, patterns.find_all),
        ("findAll", [STRING, STRING, INT], _TEXTS, patterns.find_all),
    ]
    for name, parameters, result, call in searches:
        library.add(name, Overload(tuple(parameters), result, call, member=True, price=patterns.price))
    library.function("jsonpatch.escapeKey", [STRING], STRING, lambda s: s.replace("~", "~0").replace("/", "~1"))
    library.function("strings.quote", [STRING], STRING, _quoted)
    library.function("base64.encode", [BYTES], STRING, lambda b: base64.b64encode(b).decode())
    library.function("base64.decode", [STRING], BYTES, _decoded)


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_UPPER = {lower: lower - 32 for lower in range(ord("a"), ord("z") + 1)}


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(text: str, piece: str, start: int = 0) -> int:
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    return text.find(piece, start)


def _last_index_of(text: str, piece: str, last: int) -> int:
    if not 0 <= last <= len(text):
        raise EvaluationError(f"index out of range: {last}")
    return text.rfind(piece, 0, last + len(piece))


def _replaced(text: str, old: str, new: str, limit: int = -1) -> str:
    times = text.count(old) if limit < 0 else min(text.count(old), limit)
    bounded(len(text) + times * (len(new) - len(old)))
    return text.replace(old, new, limit)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        pieces = list(text)
        return pieces if limit < 0 else [*pieces[: limit - 1], "".join(pieces[limit - 1 :])]
    return text.split(separator, -1 if limit < 0 else limit - 1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    last = len(text) if end is None else end
    for index in (start, last):
        if not 0 <= index <= len(text):
            raise EvaluationError(f"index out of range: {index}")
    if start > last:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {last}")
    return text[start:last]


def _joined(items: list[Any], separator: str = "") -> str:
    if not all(type(item) is str for item in items):
        raise EvaluationError("no such overload")
    bounded(sum(map(len, items)) + len(separator) * len(items))
    return separator.join(items)


_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def _quoted(text: str) -> str:
    inner = "".join(_ESCAPES.get(c) or ("\\" + c if c in '\\"' else c) for c in text)
    return f'"{inner}"'


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4) if "=" not in text else text, validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError("illegal base64 data") from None


def formatted(pattern: str, args: list[Any]) -> str:
    """`format` of the strings extension: %s %d %f %e %b %o %x %X %%, a precision for %f and %e. EvaluationError."""
    out: list[str] = []
    at, used, size = 0, 0, 0
    while (percent := pattern.find("%", at)) >= 0:
        out.append(pattern[at:percent])
        at = percent + 1
        precision = 6
        if pattern[at : at + 1] == ".":
            digits = at + 1
            at = digits
            while pattern[at : at + 1].isdigit():
                at += 1
            precision = int(pattern[digits:at] or 0) if at - digits < 5 else 10_000
            if precision > 1000:
                raise EvaluationError("precision specifier exceeds maximum of 1000")
        clause = pattern[at : at + 1]
        at += 1
        if clause == "%":
            out.append("%")
            continue
        if used >= len(args):
            raise EvaluationError(f"index {used} out of range")
        out.append(_clause(clause, precision, args[used]))
        used += 1
        size += len(out[-1])
        bounded(size)
    out.append(pattern[at:])
    return "".join(out)


def _clause(clause: str, precision: int, value: Any) -> str:
    kind = type(value)
    number = kind in (int, UInt)
    if clause == "s":
        return shown(value)
    if clause == "d" and (number or kind is float):
        return str(int(value)) if number else number_text(value)
    if clause in ("f", "e") and (number or kind is float):
        return _real(clause, precision, value)
    if clause == "b" and (number or kind is bool):
        return format(int(value), "b")
    if clause == "o" and number:
        return format(int(value), "o")
    if clause in ("x", "X"):
        digits = ""
        if number:
            digits = format(int(value), "x")
        elif kind in (str, bytes):
            digits = (value.encode() if kind is str else value).hex()
        if digits or kind in (str, bytes):
            return digits.upper() if clause == "X" else digits
    if clause not in ("s", "d", "f", "e", "b", "o", "x", "X"):
        raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{clause}"')
    raise EvaluationError(f"error during formatting: %{clause} cannot be used on {type_name(value)}")


def _real(clause: str, precision: int, value: float) -> str:
    if not finite(value):
        return number_text(value).replace("+Inf", "Infinity").replace("-Inf", "-Infinity")
    if clause == "e":
        return format(value, f".{precision}e")
    exact = Decimal(int(value)) if isinstance(value, int) else Decimal(value)
    return format(exact.quantize(Decimal(1).scaleb(-precision), ROUND_HALF_EVEN) if precision < 20 else exact, "f")


def shown(value: Any) -> str:
    """A value as `%s` writes it. EvaluationError for one that has no text."""
    kind = type(value)
    if kind is str:
        return str(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind in (int, UInt):
        return str(int(value))
    if kind is float:
        return number_text(value)
    if kind is bytes:
        return str(value.decode("utf-8", "replace"))
    if kind in (Timestamp, Duration, Type):
        return str(value)
    if kind is list:
        return "[" + ", ".join(shown(item) for item in value) + "]"
    if kind is dict:
        return "{" + ", ".join(sorted(f"{shown(key)}: {shown(item)}" for key, item in value.items())) + "}"
    raise EvaluationError(f"no matching overload for string conversion of {type_name(value)}")
