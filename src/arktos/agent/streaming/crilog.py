"""The log format of CRI, and what of a log was asked for. Pure.

A line is `TIME STREAM TAGS TEXT`: TIME as RFC 3339 with nanoseconds, STREAM stdout or stderr, TAGS `F`, or `P` for a
part of a line that goes on in the next of its stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl

from arktos.model import dates
from arktos.model.status import BadRequest

_PARTIAL = b"P"
_STREAMS = {"": b"", "All": b"", "Stdout": b"stdout", "Stderr": b"stderr"}
_MAX_LINE = 1 << 20
"""Bytes without a line end, after which the file is no log of CRI: runtimes cut lines at 16 KiB."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What of a log is wanted. `tail` is a number of lines, None for all; `limit` of bytes, 0 for any number; `stream`
    is stdout, stderr or b"" for both."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: datetime | None = None
    tail: int | None = None
    limit: int = 0
    stream: bytes = b""


def log_options(query: str, now: Callable[[], datetime]) -> LogOptions:
    """From a query, in the words of PodLogOptions. Raises BadRequest."""
    asked = dict(parse_qsl(query))
    since: datetime | None = None
    try:
        if "sinceSeconds" in asked:
            since = datetime.fromtimestamp(now().timestamp() - _number(asked, "sinceSeconds"), now().tzinfo)
        elif "sinceTime" in asked:
            since = dates.parse(asked["sinceTime"])
        return LogOptions(
            follow=asked.get("follow") == "true",
            previous=asked.get("previous") == "true",
            timestamps=asked.get("timestamps") == "true",
            since=since,
            tail=_number(asked, "tailLines") if "tailLines" in asked else None,
            limit=_number(asked, "limitBytes") if "limitBytes" in asked else 0,
            stream=_STREAMS[asked.get("stream", "")],
        )
    except (ValueError, KeyError, OverflowError, OSError) as error:
        raise BadRequest(f"Unable to decode query: {error}") from error


def _number(asked: dict[str, str], name: str) -> int:
    text = asked[name]
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise ValueError(f"{name} is no number: {text[:64]!r}")
    return int(text)


def ends_line(line: bytes) -> bool:
    """Whether a line of the file, without its line end, is the last of what the container wrote as one line."""
    parts = line.split(b" ", 3)
    return len(parts) < 3 or not parts[2].startswith(_PARTIAL)


class LogReader:
    """Turns the bytes of a log, piece by piece, into the bytes that were asked for."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._since = options.since
        self._rest = b""
        self._left = options.limit if options.limit else -1
        self._within: set[bytes] = set()
        """Streams that are within a line."""

    @property
    def done(self) -> bool:
        """Whether as much as was asked for has been given."""
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        """What of these bytes is wanted; an unfinished line waits for its end."""
        *lines, rest = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
        self._rest = rest if len(rest) <= _MAX_LINE else b""
        if not self._options.timestamps and self._since is None and not self._options.stream:
            found = b"".join([_text(line) for line in lines])
        else:
            found = b"".join([self._wanted(line) for line in lines])
        if self._left >= 0:
            found = found[: self._left]
            self._left -= len(found)
        return found

    def _wanted(self, line: bytes) -> bytes:
        parts = line.split(b" ", 3)
        if len(parts) < 3:
            return b""
        time, stream, tags = parts[:3]
        if self._options.stream and stream != self._options.stream:
            return b""
        if self._since is not None:
            if not _is_since(time, self._since):
                return b""
            # Later lines are later.
            self._since = None
        begins = stream not in self._within
        text = parts[3] if len(parts) > 3 else b""
        if tags.startswith(_PARTIAL):
            self._within.add(stream)
        else:
            self._within.discard(stream)
            text += b"\n"
        return b"%b %b" % (time, text) if self._options.timestamps and begins else text


def _text(line: bytes) -> bytes:
    parts = line.split(b" ", 3)
    if len(parts) < 4:
        return b"\n" if len(parts) == 3 and not parts[2].startswith(_PARTIAL) else b""
    return parts[3] if parts[2].startswith(_PARTIAL) else parts[3] + b"\n"


def _is_since(time: bytes, since: datetime) -> bool:
    try:
        return dates.parse(time.decode("ascii")) >= since
    except (dates.DateError, UnicodeDecodeError):
        return True
