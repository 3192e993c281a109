"""Values that Kubernetes writes one way in protobuf and another in JSON: times, durations, quantities.

Times are RFC 3339 in UTC, seconds for Time and microseconds for MicroTime, as metav1 writes them; an empty message is
the zero time, which JSON writes as null. Pure conversions, raising ValueError.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1)
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")


def format_time(seconds: int, nanos: int, micro: bool) -> str:
    """Seconds since the epoch as metav1 Time (whole seconds) or MicroTime."""
    if not 0 <= nanos < 10**9:
        raise ValueError(f"nanoseconds out of range: {nanos}")
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000 if micro else 0)
    except OverflowError as error:
        raise ValueError(f"time out of range: {seconds}") from error
    return moment.isoformat(timespec="microseconds" if micro else "seconds") + "Z"


def parse_time(text: str) -> tuple[int, int]:
    """Seconds since the epoch and nanoseconds (a multiple of 1000) of an RFC 3339 time."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or "T" not in text.upper():
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    since = moment.astimezone(UTC).replace(tzinfo=None) - _EPOCH
    return since.days * 86400 + since.seconds, since.microseconds * 1000


def format_duration(nanos: int) -> str:
    """A duration as Go's time.Duration prints it: `1h0m5.5s`, `250ms`, `0s`."""
    if nanos == 0:
        return "0s"
    sign, rest = ("-", -nanos) if nanos < 0 else ("", nanos)
    if rest < 10**9:
        unit = "ns" if rest < 10**3 else "µs" if rest < 10**6 else "ms"
        return f"{sign}{_decimal(rest, _UNITS[unit])}{unit}"
    hours, rest = divmod(rest, 3600 * 10**9)
    minutes, rest = divmod(rest, 60 * 10**9)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{text}{_decimal(rest, 10**9)}s"


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration in Go's notation."""
    body = text.lstrip("+-")
    if body == "0":
        return 0
    total = position = 0
    while position < len(body):
        part = _PART.match(body, position)
        if part is None or not (part[1] or part[2]):
            raise ValueError(f"invalid duration {text!r}")
        unit = _UNITS[part[3]]
        fraction = part[2] or ""
        total += int(part[1] or 0) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        position = part.end()
    if not body or len(text) - len(body) > 1:
        raise ValueError(f"invalid duration {text!r}")
    return -total if text.startswith("-") else total


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    width = len(str(unit)) - 1
    return f"{whole}." + f"{rest:0{width}d}".rstrip("0")
