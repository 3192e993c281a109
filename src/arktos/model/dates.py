"""Dates on the wire: RFC 3339, in UTC, with whole seconds (Time) or with microseconds (MicroTime). No clock in here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?(?:(Z)|([+-])(\d\d):(\d\d))\Z", re.ASCII
)
_LAYOUT = "2006-01-02T15:04:05Z07:00"


class DateError(ValueError):
    """The text is no RFC 3339 date; the message is worded as the Kubernetes API words it."""


def parse(text: str) -> datetime:
    """The moment that an RFC 3339 text names, in UTC; what is finer than a microsecond is cut off. DateError."""
    found = _RFC3339.match(text)
    if found is None:
        raise DateError(f'parsing time "{text}" as "{_LAYOUT}": cannot parse "{text}" as "2006"')
    year, month, day, hour, minute, second, fraction, zulu, sign, ahead, ahead_minutes = found.groups()
    zone: timezone = UTC
    try:
        if not zulu:
            offset = timedelta(hours=int(ahead), minutes=int(ahead_minutes))
            zone = timezone(-offset if sign == "-" else offset)
        micros = int((fraction or "0").ljust(6, "0")[:6])
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), micros, zone)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        raise DateError(f'parsing time "{text}": {_part_out_of_range(str(wrong))} out of range') from wrong


def _part_out_of_range(complaint: str) -> str:
    first = complaint.split(maxsplit=1)[0]
    return first if first in {"month", "day", "hour", "minute", "second"} else "date"


def rfc3339(moment: datetime) -> str:
    """As a Time: whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def rfc3339_micro(moment: datetime) -> str:
    """As a MicroTime: six decimals."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def from_unix(seconds: float) -> datetime:
    """The moment so many seconds after the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


@lru_cache(maxsize=4096)
def unix(text: str) -> float:
    """The seconds after the epoch that an RFC 3339 text names. DateError."""
    return parse(text).timestamp()


@lru_cache(maxsize=1024)
def canonical_time(text: str) -> str:
    """The text as a server writes it in a Time field. DateError."""
    return rfc3339(parse(text))


@lru_cache(maxsize=1024)
def canonical_micro_time(text: str) -> str:
    """The text as a server writes it in a MicroTime field. DateError."""
    return rfc3339_micro(parse(text))
