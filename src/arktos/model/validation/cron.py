"""Cron schedules: five fields, or a descriptor such as `@hourly` or `@every 90m`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_NO_NAMES: Mapping[str, int] = {}
_FIELDS = (
    ("minute", 0, 59, _NO_NAMES),
    ("hour", 0, 23, _NO_NAMES),
    ("day of month", 1, 31, _NO_NAMES),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 6, _DAYS),
)
_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_duration = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*"
).fullmatch

ZONE_PREFIXES = ("TZ=", "CRON_TZ=")


def problem(schedule: str) -> str:
    """What is wrong with a schedule, empty if nothing."""
    if not schedule:
        return "empty spec string"
    if schedule.startswith(ZONE_PREFIXES):
        zone, _, schedule = schedule.partition(" ")
        schedule = schedule.strip()
        if not schedule:
            return f"provided bad location {zone.partition('=')[2]}: no schedule follows"
    if schedule.startswith("@"):
        if schedule in _DESCRIPTORS:
            return ""
        if schedule.startswith("@every "):
            length = schedule[len("@every ") :]
            return (
                "" if _duration(length) else f'failed to parse duration {schedule}: time: invalid duration "{length}"'
            )
        return f"unrecognized descriptor: {schedule}"
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for text, (_, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            found = _part_problem(part, low, high, names)
            if found:
                return found
    return ""


def _part_problem(part: str, low: int, high: int, names: Mapping[str, int]) -> str:
    span, slash, step = part.partition("/")
    if "/" in step:
        return f"too many slashes: {part}"
    first, dash, last = span.partition("-")
    if "-" in last:
        return f"too many hyphens: {part}"
    if span in ("*", "?"):
        start, end = low, high
    else:
        numbers = [_number(each, names) for each in ((first, last) if dash else (first,))]
        for text, number in zip((first, last), numbers, strict=False):
            if number is None:
                return f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
        start = numbers[0] or 0
        end = (numbers[1] or 0) if dash else (high if slash else start)
    if slash:
        size = _number(step, _NO_NAMES)
        if size is None:
            return f'failed to parse int from {step}: strconv.Atoi: parsing "{step}": invalid syntax'
        if size == 0:
            return f"step of range should be a positive number: {part}"
    return _range_problem(part, start, end, low, high)


def _range_problem(part: str, start: int, end: int, low: int, high: int) -> str:
    if start < low:
        return f"beginning of range ({start}) below minimum ({low}): {part}"
    if end > high:
        return f"end of range ({end}) above maximum ({high}): {part}"
    if start > end:
        return f"beginning of range ({start}) beyond end of range ({end}): {part}"
    return ""


def _number(text: str, names: Mapping[str, int]) -> int | None:
    named = names.get(text.lower())
    if named is not None:
        return named
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
