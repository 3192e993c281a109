"""When cron schedules happen."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model import cron


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("schedule", "after", "then"),
    [
        ("*/5 * * * *", "2026-01-01 00:00:00", "2026-01-01 00:05:00"),
        ("0 * * * *", "2026-01-01 00:59:59", "2026-01-01 01:00:00"),
        ("30 2 * * 1-5", "2026-01-02 02:30:00", "2026-01-05 02:30:00"),
        ("0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00:00"),
        ("0 0 13 * fri", "2026-01-01 00:00:00", "2026-01-02 00:00:00"),  # either of the days
        ("0 0 */31 * fri", "2026-01-02 00:00:00", "2026-05-01 00:00:00"),  # both, where one is a star
        ("0 12 1 jan,jul ?", "2026-01-01 12:00:00", "2026-07-01 12:00:00"),
        ("15 10-12/2 * * *", "2026-01-01 10:15:00", "2026-01-01 12:15:00"),
        ("@monthly", "2026-01-31 10:00:00", "2026-02-01 00:00:00"),
        ("@every 90m", "2026-01-01 00:00:10", "2026-01-01 01:30:10"),
        ("TZ=UTC 0 0 * * *", "2026-01-01 00:00:00", "2026-01-02 00:00:00"),
    ],
)
def test_the_next_time(schedule: str, after: str, then: str) -> None:
    assert cron.parse(schedule).after(at(after)) == at(then)


def test_what_never_comes() -> None:
    assert cron.parse("0 0 31 2 *").after(at("2026-01-01 00:00:00")) is None


def test_an_hour_that_clocks_leave_out_has_no_times_and_one_that_they_repeat_has_them_twice() -> None:
    berlin = "Europe/Berlin"
    night = cron.parse("30 2 * * *")
    assert night.after(at("2026-03-28 12:00:00", berlin)) == at("2026-03-30 02:30:00", berlin)
    first = night.after(at("2026-10-24 12:00:00", berlin))
    assert first is not None and (first.isoformat(), first.fold) == ("2026-10-25T02:30:00+02:00", 0)
    second = night.after(first)
    assert second is not None and second.isoformat() == "2026-10-25T02:30:00+01:00"
    third = night.after(second)
    assert third is not None and third.isoformat() == "2026-10-26T02:30:00+01:00"


@pytest.mark.parametrize("schedule", ["", "* * * *", "60 * * * *", "@often", "@every x", "*/0 * * * *", "5-1 * * * *"])
def test_what_is_no_schedule(schedule: str) -> None:
    assert cron.problem(schedule)
    with pytest.raises(ValueError, match=re.escape(cron.problem(schedule))):
        cron.parse(schedule)


@given(
    st.sampled_from(["*/7 3,9 * * *", "0 0 1 */2 *", "59 23 * * sun", "13 13 13 * fri"]),
    st.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2030, 1, 1)),
)
def test_the_next_time_is_later_and_nothing_lies_between(schedule: str, moment: datetime) -> None:
    start = moment.replace(tzinfo=ZoneInfo("UTC"))
    found = cron.parse(schedule).after(start)
    assert found is not None and found > start
    again = cron.parse(schedule).after(start + (found - start) / 2)
    assert again == found
