"""The log format of CRI: what is asked of it, and where the last lines begin."""

from __future__ import annotations

import gzip
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.agent.streaming.crilog import LogOptions, LogReader, log_options
from arktos.agent.streaming.logfiles import files_of, open_log, tail_of
from arktos.model.status import BadRequest

LOG = (
    b"2026-01-01T00:00:01.000000001Z stdout F one\n"
    b"2026-01-01T00:00:02.5Z stderr P tw\n"
    b"2026-01-01T00:00:02.5Z stdout F between\n"
    b"2026-01-01T00:00:02.6Z stderr F o\n"
    b"2026-01-01T02:00:03+02:00 stdout F \n"
    b"2026-01-01T00:00:04Z stdout F last word\n"
)


def read(options: LogOptions, data: bytes = LOG, piece: int = 0) -> bytes:
    reader = LogReader(options)
    step = piece or len(data)
    return b"".join(reader.feed(data[at : at + step]) for at in range(0, len(data), step))


@pytest.mark.parametrize("piece", [0, 1, 7, 50])
def test_lines_lose_their_tags_and_parts_are_joined(piece: int) -> None:
    assert read(LogOptions(), piece=piece) == b"one\ntwbetween\no\n\nlast word\n"
    assert read(LogOptions(stream=b"stderr"), piece=piece) == b"two\n"


def test_times_stand_at_the_beginning_of_lines_only() -> None:
    stamped = read(LogOptions(timestamps=True, stream=b"stderr"))
    assert stamped == b"2026-01-01T00:00:02.5Z two\n"


def test_since_counts_in_moments_not_in_letters() -> None:
    since = datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC)
    assert read(LogOptions(since=since)) == b"\nlast word\n"


def test_a_limit_cuts_within_a_line() -> None:
    reader = LogReader(LogOptions(limit=5))
    assert reader.feed(LOG) == b"one\nt"
    assert reader.done


def test_options_are_read_from_the_query() -> None:
    now = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    found = log_options("follow=true&tailLines=0&limitBytes=3&sinceSeconds=60&stream=Stderr", lambda: now)
    assert found == LogOptions(follow=True, tail=0, limit=3, since=datetime(2026, 1, 1, tzinfo=UTC), stream=b"stderr")
    for wrong in ("tailLines=-1", "tailLines=x", "sinceTime=yesterday", "stream=Stdin", "sinceSeconds=" + "9" * 17):
        with pytest.raises(BadRequest):
            log_options(wrong, lambda: now)


def lines_of(parts: list[tuple[bool, bytes]]) -> bytes:
    return b"".join(b"2026-01-01T00:00:00Z stdout %b %b\n" % (b"F" if whole else b"P", text) for whole, text in parts)


texts = st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"."))
parts = st.lists(st.tuples(st.booleans(), texts), max_size=30)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(parts, st.booleans()), max_size=3), parts, st.integers(0, 40))
def test_a_tail_is_the_end_of_the_whole(
    rotated: list[tuple[list[tuple[bool, bytes]], bool]], current: list[tuple[bool, bytes]], wanted: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "0.log"
        for number, (content, packed) in enumerate(rotated):
            # A file that is rotated ends with a whole line, for what runtimes write they write whole.
            data = lines_of([*content, (True, b"end")])
            place = Path(f"{path}.2026010{number + 1}-000000")
            if packed:
                with gzip.open(f"{place}.gz", "wb") as file:
                    file.write(data)
            else:
                place.write_bytes(data)
        path.write_bytes(lines_of(current))
        files = files_of(path)
        assert len(files) == len(rotated) + 1
        whole = b"".join(open_log(file).read() for file in files)
        index, offset = tail_of(files, wanted)
        found = b""
        for file in files[index:]:
            with open_log(file) as opened:
                opened.seek(offset if file == files[index] else 0)
                found += opened.read()
        assert whole.endswith(found)
        logical = 0
        begins = True
        for line in found.split(b"\n")[:-1]:
            logical += begins
            begins = line.split(b" ", 3)[2] == b"F"
        total, begins = 0, True
        for line in whole.split(b"\n")[:-1]:
            total += begins
            begins = line.split(b" ", 3)[2] == b"F"
        assert logical == min(wanted, total)
