"""From a machine's raw console output to the log format of CRI. Blocks; call in a thread.

A line is `<RFC 3339 time with nanoseconds> stdout F <text>`; `P` instead of `F` where the text's line goes on.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

POSITION = "console.position"
"""How much of the raw output has been logged, in the machine's folder. Written after the log, so that a killed runtime
repeats a little rather than loses any."""

LONGEST_LINE = 16 << 10
"""Bytes; more is split, as container runtimes do."""

_STEP = 1 << 20
_BLOCK = 4096
_PUNCH_HOLE, _KEEP_SIZE = 0x02, 0x01
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def split(data: bytes, *, flush: bool) -> Iterator[tuple[bytes, bool, int]]:
    """The lines in output: text, whether it is whole, and where in `data` it ends. An unfinished line at the end is
    kept back unless `flush`. A carriage return before the newline is the terminal's, not the text's."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start, start + LONGEST_LINE + 1)
        if end >= 0:
            yield data[start:end].rstrip(b"\r"), True, end + 1
            start = end + 1
        elif len(data) - start >= LONGEST_LINE:
            yield data[start : start + LONGEST_LINE], False, start + LONGEST_LINE
            start += LONGEST_LINE
        elif flush:
            yield data[start:], False, len(data)
            return
        else:
            return


def stamp(nanoseconds: int) -> bytes:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z".encode()


class LogFile:
    """The log of one machine. `path` None takes nothing but the raw output's space away. Safe for several threads."""

    def __init__(self, folder: Path, path: Path | None) -> None:
        self._position_file = folder / POSITION
        self._path = path
        self._lock = threading.Lock()
        self._open = -1

    def take(self, raw: Path, *, flush: bool = False) -> bool:
        """Logs what is new in the raw output; whether an unfinished line was kept back. Raises OSError; then it will
        be tried again from where it was."""
        with self._lock:
            try:
                # QEMU's user could put a link in its place.
                source = os.open(raw, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                return False
            try:
                return self._take(source, flush)
            finally:
                os.close(source)

    def reopen(self) -> None:
        """The log was moved away: the next line makes a new one. Raises OSError where it cannot be made."""
        with self._lock:
            self._close()
            if self._path is not None:
                self._output()

    def close(self) -> None:
        with self._lock:
            self._close()

    def _take(self, source: int, flush: bool) -> bool:
        position = self._position()
        size = os.fstat(source).st_size
        if size < position:
            position = 0
        while position < size:
            data = os.pread(source, _STEP, position)
            taken = self._write(data, flush and position + len(data) >= size)
            if not taken:
                return True
            position += taken
            self._save(position)
        if position >= _BLOCK:
            _libc.fallocate(source, _PUNCH_HOLE | _KEEP_SIZE, 0, position - position % _BLOCK)
        return False

    def _write(self, data: bytes, flush: bool) -> int:
        when = stamp(time.time_ns())
        lines, taken = [], 0
        for text, whole, end in split(data, flush=flush):
            lines.append(b"%b stdout %b %b\n" % (when, b"F" if whole else b"P", text))
            taken = end
        if lines and self._path is not None:
            whole_text = b"".join(lines)
            written = os.write(self._output(), whole_text)
            if written < len(whole_text):
                os.write(self._output(), whole_text[written:])
        return taken

    def _output(self) -> int:
        if self._open < 0:
            assert self._path is not None
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._open = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        return self._open

    def _close(self) -> None:
        if self._open >= 0:
            os.close(self._open)
            self._open = -1

    def _position(self) -> int:
        try:
            return int(self._position_file.read_bytes() or b"0")
        except (FileNotFoundError, ValueError):
            return 0

    def _save(self, position: int) -> None:
        # Of fixed length and below a page: overwritten in one go.
        descriptor = os.open(self._position_file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, b"%020d" % position, 0)
        finally:
            os.close(descriptor)
