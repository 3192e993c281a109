"""From text to tokens (CEL's language definition, "Syntax"). Work is linear in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from arktos.model.cel.errors import CelError, Issue
from arktos.model.cel.pace import STEPS, give_way
from arktos.model.cel.values import INT_MAX, UINT_MAX, UInt


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is `name`, `quoted` (a name in backticks), `literal`, `end`, or the operator or keyword itself."""

    kind: str
    text: str
    at: int
    value: Any = None


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n\f]+|//[^\n]*)
      |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?|\d+[uU]?))
      |(?P<string>(?:[bB][rR]?|[rR][bB]?)?(?:\"\"\"|'''|"|'))
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
      |(?P<operator>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.ASCII,
)
KEYWORDS = frozenset({"true", "false", "null", "in"})
_CONSTANTS = {"true": True, "false": False, "null": None}
_SIMPLE_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"`?])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.?))", re.DOTALL
)


def tokens(text: str) -> list[Token]:
    """All tokens and the end. CelError."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        if not (len(found) + 1) % STEPS:
            give_way()
        match = _TOKEN.match(text, at)
        if match is None:
            raise CelError(text, [Issue(at, f"Syntax error: token recognition error at: '{text[at]}'")])
        kind, piece = match.lastgroup, match[0]
        if kind == "string":
            token, at = _string(text, at, piece)
            found.append(token)
            continue
        if kind == "number":
            found.append(Token("literal", piece, at, _number(text, at, piece)))
        elif kind == "name":
            found.append(_word(piece, at))
        elif kind == "quoted":
            found.append(Token("quoted", piece[1:-1], at))
        elif kind == "operator":
            found.append(Token(piece, piece, at))
        at = match.end()
    found.append(Token("end", "<EOF>", len(text)))
    return found


def _word(word: str, at: int) -> Token:
    if word in _CONSTANTS:
        return Token("literal", word, at, _CONSTANTS[word])
    return Token("in" if word == "in" else "name", word, at)


def _number(text: str, at: int, piece: str) -> Any:
    if piece[:2] in ("0x", "0X"):
        unsigned = piece[-1] in "uU"
        value = int(piece.rstrip("uU"), 16)
    elif piece[-1] in "uU":
        unsigned, value = True, int(piece[:-1])
    elif piece.isdigit():
        unsigned, value = False, int(piece) if len(piece) < 40 else INT_MAX + 2
    else:
        return float(piece)
    # One more than fits: "-9223372036854775808" is the minus of it.
    if value > (UINT_MAX if unsigned else INT_MAX + 1):
        raise CelError(text, [Issue(at, f"invalid {'uint' if unsigned else 'int'} literal")])
    return UInt(value) if unsigned else value


def _string(text: str, at: int, opening: str) -> tuple[Token, int]:
    prefix = opening.rstrip("\"'").lower()
    quote = opening[len(prefix) :]
    raw = "r" in prefix
    start = at + len(opening)
    end = start
    while True:
        end = text.find(quote[0], end)
        line = text.find("\n", start, end if end >= 0 else len(text)) if len(quote) == 1 else -1
        if end < 0 or line >= 0:
            raise CelError(text, [Issue(at, f"Syntax error: token recognition error at: '{text[at : at + 20]}'")])
        slashes = 0
        while not raw and end - slashes - 1 >= start and text[end - slashes - 1] == "\\":
            slashes += 1
        if slashes % 2 == 0 and text.startswith(quote, end):
            break
        end += 1
    body = text[start:end]
    if not raw:
        body = _ESCAPE.sub(lambda found: _unescaped(text, at, found, "b" in prefix), body) if "\\" in body else body
    value: Any = body
    if "b" in prefix:
        value = body.encode("latin-1") if not raw and body.isascii() else _bytes(body)
    return Token("literal", text[at : end + len(quote)], at, value), end + len(quote)


def _bytes(body: str) -> bytes:
    """Escapes stand for bytes (they were put in a private range), other characters for their UTF-8."""
    return b"".join(bytes([ord(c) - 0xF0000]) if 0xF0000 <= ord(c) < 0xF0100 else c.encode() for c in body)


def _unescaped(text: str, at: int, found: re.Match[str], of_bytes: bool) -> str:
    simple, *coded, octal, bad = found.groups()
    if simple:
        return _SIMPLE_ESCAPES[simple]
    if bad is not None:
        raise CelError(text, [Issue(at, "Syntax error: unable to unescape string")])
    code = int(octal, 8) if octal else int(next(c for c in coded if c), 16)
    if of_bytes and (octal or coded[0]):
        return chr(code + 0xF0000)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise CelError(text, [Issue(at, "Syntax error: invalid unicode code point")])
    return chr(code)
