"""Dates: what is read, and the one form in which they are written."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.model import dates


@pytest.mark.parametrize(
    ("text", "seconds", "micros"),
    [
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00.000000Z"),
        ("2024-05-01T10:00:00.123456789Z", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00.123456Z"),
        ("2024-05-01T12:30:00+02:30", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00.000000Z"),
        ("2024-05-01T00:00:00-01:00", "2024-05-01T01:00:00Z", "2024-05-01T01:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_forms(text: str, seconds: str, micros: str) -> None:
    assert dates.canonical_time(text) == seconds
    assert dates.canonical_micro_time(text) == micros


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'parsing time "" as'),
        ("2024-05-01", 'parsing time "2024-05-01" as "2006-01-02T15:04:05Z07:00": cannot parse'),
        ("2024-13-01T00:00:00Z", 'parsing time "2024-13-01T00:00:00Z": month out of range'),
        ("2024-02-30T00:00:00Z", "day out of range"),
        ("2024-01-01T24:00:00Z", "hour out of range"),
        ("2024-01-01T00:00:00+99:00", "out of range"),
        ("0001-01-01T00:00:00+01:00", "out of range"),
        ("2024-05-01T10:00:00", "cannot parse"),
        ("2024-05-01T10:00:00Z\n", "cannot parse"),
    ],
)
def test_what_is_no_date(text: str, message: str) -> None:
    with pytest.raises(dates.DateError) as raised:
        dates.parse(text)
    assert message in str(raised.value)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)))
def test_a_moment_survives_its_text(moment: datetime) -> None:
    assert dates.parse(dates.rfc3339_micro(moment)) == moment
    assert dates.parse(dates.rfc3339(moment)) == moment.replace(microsecond=0)


def test_seconds_after_the_epoch() -> None:
    assert dates.unix("1970-01-01T00:01:00Z") == 60
    assert dates.rfc3339(dates.from_unix(60)) == "1970-01-01T00:01:00Z"
