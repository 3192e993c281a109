"""Regular expressions, on RE2: whoever writes them, time is linear in the text.

`matches` asks RE2 through the CEL library of its authors, the only binding of it that is installed with the project. A
program is made once per pattern and kept.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from arktos.model.cel.errors import CostExceeded, EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_PATTERN = 8_192


@lru_cache(maxsize=1)
def _environment() -> Any:
    from cel_expr_python import cel  # 15 MB and some milliseconds, which who writes no pattern need not pay

    extensions = "extensions:\n  - name: optional\n  - name: regex\n"
    config = cel.NewEnvConfigFromYaml(extensions + "variables:\n  - name: s\n    type_name: string\n")
    return cel.NewEnv(config=config)


@lru_cache(maxsize=1024)
def _program(form: str, pattern: str) -> Callable[[str], Any]:
    if len(pattern) > _LONGEST_PATTERN:
        raise EvaluationError("the pattern is too long")
    try:
        expression = _environment().compile(form % _quoted(pattern))
    except RuntimeError as error:
        raise EvaluationError(f"error parsing regexp: {_reason(str(error))}") from None

    def run(text: str) -> Any:
        try:
            value = expression.eval(data={"s": text}).plain_value()
        except (RuntimeError, TypeError, UnicodeError) as error:
            raise EvaluationError(f"error parsing regexp: {_reason(str(error))}") from None
        if type(value) is str:  # what went wrong; a result is a bool or a list
            raise EvaluationError(f"error parsing regexp: {_reason(value)}")
        return value

    return run


def _reason(message: str) -> str:
    return message.partition("regular expression: ")[2] or message


def _quoted(pattern: str) -> str:
    escaped = "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in pattern)
    return f'"{escaped}"'


_REPEATED = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_CALL = 30
_MOST = 18_000
"""Units of one search: RE2 holds the interpreter while it runs, at 0.3 us a unit when it is slow."""


@lru_cache(maxsize=1024)
def _states(pattern: str) -> int:
    """No less than the states that RE2 makes of it: repetitions are written out, up to a thousand fold."""
    times = 1
    for found in _REPEATED.finditer(pattern):
        times = min(times * max(int(found[1][:4]), int((found[2] or "1")[:4]), 1), 1000)
    return len(pattern) * times


_met: set[str] = set()


def price(text: str, pattern: str, *_: object) -> int:
    """What a search costs in units: the text by the pattern's size, and the making of a pattern that is new.
    CostExceeded for one that costs too much at once, whatever is left to spend."""
    states = _states(pattern)
    units = _CALL + (len(text) // 10 + 1) * (states // 40 + 1)
    if pattern not in _met:
        units += 500 + states
    if units > _MOST:
        raise CostExceeded()
    if pattern not in _met:
        if len(_met) >= 1024:
            _met.clear()
        _met.add(pattern)
    return units


def check(pattern: str) -> None:
    """EvaluationError where the pattern is none."""
    matches("", pattern)


def matches(text: str, pattern: str) -> bool:
    """Whether the pattern is found anywhere in the text. EvaluationError where it is no pattern."""
    return bool(_program("s.matches(%s)", pattern)(text))


def find(text: str, pattern: str) -> str:
    """The first match, "" if there is none. EvaluationError."""
    found = find_all(text, pattern)
    return found[0] if found else ""


def find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    """The matches, from left to right, none overlapping. EvaluationError."""
    matches("", pattern)
    found: list[str] = _program("regex.extractAll(s, %s)", f"({_ungrouped(pattern)})")(text)
    return found if limit < 0 else found[:limit]


def _ungrouped(pattern: str) -> str:
    """The same pattern without capturing groups: what is extracted is the group around the whole."""
    out: list[str] = []
    at, in_class = 0, False
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("\\Q", at) and not in_class:
            end = pattern.find("\\E", at)
            end = len(pattern) if end < 0 else end + 2
            out.append(pattern[at:end])
            at = end
            continue
        if char == "\\":
            out.append(pattern[at : at + 2])
            at += 2
            continue
        if char == "[" and not in_class:
            in_class = True
            closing = 2 if pattern.startswith("[^", at) else 1
            if pattern[at + closing : at + closing + 1] == "]":  # a bracket that comes first is a member
                out.append(pattern[at : at + closing + 1])
                at += closing + 1
                continue
        elif char == "]":
            in_class = False
        elif char == "(" and not in_class:
            named = next((p for p in ("(?P<", "(?<") if pattern.startswith(p, at)), "")
            if named:
                out.append("(?:")
                at = pattern.index(">", at) + 1
                continue
            if not pattern.startswith("(?", at):
                out.append("(?:")
                at += 1
                continue
        out.append(char)
        at += 1
    return "".join(out)
