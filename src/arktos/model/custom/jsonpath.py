"""The JSONPaths of printer columns and scales: compiled once, read often.

Kubernetes' subset: fields, indexes and slices, `[*]`, `..`, unions of names, and filters with one comparison
(`[?(@.type=="Ready")]`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterable[Any]]
Find = Callable[[Any], Iterator[Any]]

_FIELD = re.compile(r"(?:\\.|[^.\[\]{}\\\s'\"()])+")
_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(\d+))?")
_FILTER = re.compile(r"\?\((@[^=!<>]*?)\s*(?:(==|!=|<=|>=|<|>)\s*(.+?))?\s*\)")
_LONGEST = 4096


class PathError(ValueError):
    """A path that cannot be read; the text says why."""


@lru_cache(maxsize=4096)
def compiled(path: str) -> Find:
    """What finds the values at a path, in order. Raises PathError."""
    if len(path) > _LONGEST:
        raise PathError("it is too long")
    steps = list(_steps(path.strip().removeprefix("{").removesuffix("}").removeprefix("$").removeprefix("@")))

    def find(value: Any) -> Iterator[Any]:
        found: Iterable[Any] = (value,)
        for step in steps:
            found = _apply(step, found)
        return iter(found)

    return find


def first(path: str, value: Any) -> Any:
    """The first value at a path, None where there is none. Raises PathError."""
    return next(compiled(path)(value), None)


def _apply(step: Step, values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        yield from step(value)


def _steps(text: str) -> Iterator[Step]:
    at = 0
    while at < len(text):
        if text.startswith("..", at):
            yield _descend
            at += 2
            if at < len(text) and text[at] != "[":
                at, step = _field(text, at)
                yield step
        elif text[at] == ".":
            at += 1
            if at < len(text) and text[at] != "[":
                at, step = _field(text, at)
                yield step
        elif text[at] == "[":
            end = _closing(text, at)
            yield _bracket(text[at + 1 : end].strip())
            at = end + 1
        elif at == 0:
            at, step = _field(text, at)
            yield step
        else:
            raise PathError(f"unrecognized character in action: U+{ord(text[at]):04X} '{text[at]}'")


def _field(text: str, at: int) -> tuple[int, Step]:
    if text[at] == "*":
        return at + 1, _everything
    found = _FIELD.match(text, at)
    if found is None:
        raise PathError(f"unrecognized character in action: U+{ord(text[at]):04X} '{text[at]}'")
    return found.end(), _named((re.sub(r"\\(.)", r"\1", found[0]),))


def _closing(text: str, at: int) -> int:
    quote = ""
    for place in range(at, len(text)):
        letter = text[place]
        if quote:
            quote = "" if letter == quote and text[place - 1] != "\\" else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "]":
            return place
    raise PathError("unterminated array")


def _bracket(inside: str) -> Step:
    if inside == "*":
        return _everything
    found = _FILTER.fullmatch(inside)
    if found is not None:
        return _filter(found[1], found[2] or "", found[3] or "")
    if re.fullmatch(r"-?\d+", inside):
        return _indexed(int(inside))
    found = _SLICE.fullmatch(inside)
    if found is not None:
        return _sliced(*(int(part) if part else None for part in found.groups()))
    names = tuple(part.strip() for part in inside.split(","))
    if all(len(name) > 1 and name[0] == name[-1] and name[0] in "'\"" for name in names):
        return _named(tuple(name[1:-1] for name in names))
    raise PathError(f"invalid array index {inside}")


def _named(names: tuple[str, ...]) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if type(value) is dict:
            for name in names:
                if name in value:
                    yield value[name]

    return step


def _indexed(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if type(value) is list and -len(value) <= index < len(value):
            yield value[index]

    return step


def _sliced(start: int | None, stop: int | None, stride: int | None) -> Step:
    return lambda value: value[slice(start, stop, stride or None)] if type(value) is list else ()


def _everything(value: Any) -> Iterable[Any]:
    return value.values() if type(value) is dict else value if type(value) is list else ()


def _descend(value: Any) -> Iterator[Any]:
    yield value
    for item in _everything(value):
        yield from _descend(item)


_COMPARES: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _filter(left: str, operator: str, right: str) -> Step:
    find = compiled(left)
    if not operator:
        return lambda value: [item for item in _everything(value) if any(True for _ in find(item))]
    wanted, compare = _literal(right), _COMPARES[operator]

    def holds(item: Any) -> bool:
        for found in find(item):
            try:
                return compare(found, wanted)
            except TypeError:
                return False
        return False

    return lambda value: [item for item in _everything(value) if holds(item)]


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise PathError(f"cannot read {text} in a filter") from None
