"""Cron schedules: five fields, or a descriptor such as `@hourly` or `@every 90m`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

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
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_duration = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*"
).fullmatch
_amount = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)").findall
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

ZONE_PREFIXES = ("TZ=", "CRON_TZ=")


_LAST_YEARS = 5


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something happens: minutes, hours, days and months that fit, or every so many seconds. Days fit by their
    number in the month or in the week (0 is Sunday) where both are told, by both where one is `*`."""

    minutes: tuple[int, ...] = ()
    hours: tuple[int, ...] = ()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    either_day: bool = False
    every: float = 0.0

    def after(self, moment: datetime) -> datetime | None:
        """The first time after `moment`, in its zone; None if there is none within five years. An hour that clocks
        leave out has no times; one that they repeat has them twice."""
        if self.every:
            return (moment + timedelta(seconds=self.every)).replace(microsecond=0)
        zone, day = moment.tzinfo, moment.date()
        end = date(day.year + _LAST_YEARS, 12, 31)
        while day <= end:
            if day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self._fits(day):
                found = self._within(day, zone, moment)
                if found is not None:
                    return found
            day += timedelta(days=1)
        return None

    def _fits(self, day: date) -> bool:
        number, weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return number or weekday if self.either_day else number and weekday

    def _within(self, day: date, zone: tzinfo | None, moment: datetime) -> datetime | None:
        since = moment.astimezone(UTC)
        for hour in self.hours:
            if day == moment.date() and hour < moment.hour - 1:
                continue
            times = (
                datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone, fold=fold)
                for minute in self.minutes
                for fold in (0, 1)
            )
            coming = [at for at in times if _is_real(at) and at.astimezone(UTC) > since]
            if coming:
                return min(coming, key=lambda at: at.astimezone(UTC))
        return None


def _is_real(at: datetime) -> bool:
    """Whether clocks show this time; the second of two equal ones only where there are two."""
    shown = at.astimezone(UTC).astimezone(at.tzinfo)
    return (shown.hour, shown.minute, shown.fold) == (at.hour, at.minute, at.fold)


def parse(schedule: str) -> Schedule:
    """The schedule that a text tells. ValueError in Kubernetes' words for what is none."""
    wrong = problem(schedule)
    if wrong:
        raise ValueError(wrong)
    schedule = _zoneless(schedule)
    if schedule.startswith("@every "):
        return Schedule(every=max(1.0, _seconds(schedule[len("@every ") :])))
    fields = _DESCRIPTORS.get(schedule, schedule).split()
    minutes, hours, days, months, weekdays = (
        frozenset().union(*(_numbers(part, low, high, names) for part in text.split(",")))
        for text, (_, low, high, names) in zip(fields, _FIELDS, strict=True)
    )
    told = [text[0] not in "*?" for text in (fields[2], fields[4])]
    return Schedule(tuple(sorted(minutes)), tuple(sorted(hours)), days, months, weekdays, all(told))


def problem(schedule: str) -> str:
    """What is wrong with a schedule, empty if nothing."""
    if not schedule:
        return "empty spec string"
    if schedule.startswith(ZONE_PREFIXES):
        zone = schedule.partition(" ")[0]
        schedule = _zoneless(schedule)
        if not schedule:
            return f"provided bad location {zone.partition('=')[2]}: no schedule follows"
    if schedule.startswith("@"):
        return _descriptor_problem(schedule)
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for text, (_, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in text.split(","):
            found = _part_problem(part, low, high, names)
            if found:
                return found
    return ""


def _zoneless(schedule: str) -> str:
    return schedule.partition(" ")[2].strip() if schedule.startswith(ZONE_PREFIXES) else schedule


def _descriptor_problem(schedule: str) -> str:
    if schedule in _DESCRIPTORS:
        return ""
    if not schedule.startswith("@every "):
        return f"unrecognized descriptor: {schedule}"
    length = schedule[len("@every ") :]
    return "" if _duration(length) else f'failed to parse duration {schedule}: time: invalid duration "{length}"'


def _seconds(length: str) -> float:
    sign = -1 if length.startswith("-") else 1
    return sign * sum(float(number) * _UNITS[unit] for number, unit in _amount(length))


def _numbers(part: str, low: int, high: int, names: Mapping[str, int]) -> frozenset[int]:
    """The numbers of a part that is right."""
    span, slash, step = part.partition("/")
    first, dash, last = span.partition("-")
    if span in ("*", "?"):
        start, end = low, high
    else:
        start = _number(first, names) or 0
        end = (_number(last, names) or 0) if dash else (high if slash else start)
    return frozenset(range(start, end + 1, int(step) if slash else 1))


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
