"""Which time of a schedule a CronJob is to act for, and when to look again: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from arktos.model import cron, dates
from arktos.model.cron import Schedule
from arktos.model.kinds import Obj

_LONGEST = 50 * 366 * 86400
TOO_MANY = 100
"""Missed times from which something is wrong: a clock, or who should have acted."""


class Due(NamedTuple):
    """`at` is the latest time that has come and that nobody acted for, None if there is none. `late` if its
    `startingDeadlineSeconds` are over; `missed` counts times since the last that was acted for. `next_in` is seconds
    until the next time, None if none ever comes."""

    at: datetime | None
    late: bool
    missed: int
    next_in: float | None


def due(cronjob: Obj, now: float) -> Due:
    """ValueError for a schedule or a time zone that there is not."""
    spec = cronjob["spec"]
    schedule, zone = cron.parse(spec["schedule"]), _zone(spec.get("timeZone"))
    moment = datetime.fromtimestamp(now, zone)
    earliest = _since(cronjob, zone)
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None:
        # What is longer than anything that can have been missed is none.
        deadline = min(int(deadline), _LONGEST)
        earliest = max(earliest, moment - timedelta(seconds=deadline))
    at, missed = _latest(schedule, earliest, moment)
    coming = schedule.after(at if schedule.every and at is not None else earliest if schedule.every else moment)
    while coming is not None and coming <= moment:
        coming = schedule.after(coming)
    late = at is not None and deadline is not None and at + timedelta(seconds=deadline) < moment
    return Due(at, late, missed, None if coming is None else (_utc(coming) - _utc(moment)).total_seconds() + 0.1)


def _zone(name: str | None) -> ZoneInfo:
    if not name:
        return ZoneInfo("UTC")
    try:
        return ZoneInfo(name)
    except (KeyError, OSError) as error:
        raise ValueError(f"unknown time zone {name}") from error


def _since(cronjob: Obj, zone: ZoneInfo) -> datetime:
    last = (cronjob.get("status") or {}).get("lastScheduleTime") or cronjob["metadata"]["creationTimestamp"]
    return datetime.fromtimestamp(dates.unix(last), zone)


def _latest(schedule: Schedule, earliest: datetime, moment: datetime) -> tuple[datetime | None, int]:
    """The last time after `earliest` up to `moment`, and how many there are. Of very many, all but the last few are
    reckoned from the distance of the first two."""
    first = schedule.after(earliest)
    if first is None or first > moment:
        return None, 0
    second = schedule.after(first)
    if second is None or second > moment:
        return first, 1
    step = (_utc(second) - _utc(first)).total_seconds()
    missed = int((_utc(moment) - _utc(first)).total_seconds() // step) + 1
    at = first
    if missed > TOO_MANY:
        missed -= 1
        at = (_utc(first) + timedelta(seconds=(missed - 1) * step)).astimezone(moment.tzinfo)
    else:
        missed = 1
    coming = schedule.after(at)
    while coming is not None and coming <= moment:
        at, missed = coming, missed + 1
        coming = schedule.after(at)
    return at, missed


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def job_name(cronjob: Obj, at: datetime) -> str:
    """The same for the same time: a Job is made once for it."""
    return f"{cronjob['metadata']['name']}-{int(at.timestamp()) // 60}"
