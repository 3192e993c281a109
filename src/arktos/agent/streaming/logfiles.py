"""A container's log as a sequence of files: those that were rotated (`N.log.TIME`, `.gz` once compressed), then the one
that is written to (`N.log`). Blocking: for threads.
"""

from __future__ import annotations

import gzip
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from arktos.agent.streaming.crilog import ends_line

_BLOCK = 64 * 1024
_ATTEMPTS = 10
_ROTATED = re.compile(r"\.\d{8}-\d{6}(\.gz)?\Z")


def files_of(current: Path) -> list[Path]:
    """The files of a log, oldest first, `current` last whether or not it is there. Raises nothing."""
    rotated: dict[str, str] = {}
    try:
        for name in os.listdir(current.parent):
            if name.startswith(current.name + ".") and _ROTATED.match(name[len(current.name) :]):
                # While it is being compressed, a file is there twice; both are whole.
                rotated[name.removesuffix(".gz")] = name
    except OSError:
        pass
    return [*(current.parent / rotated[stamp] for stamp in sorted(rotated)), current]


def open_log(path: Path) -> IO[bytes]:
    """Raises OSError."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb", buffering=0)  # type: ignore[return-value]


def open_next(file: IO[bytes], current: Path) -> IO[bytes] | None:
    """The file that was begun after `file`, which is of the same log; None if there is none (yet). However fast files
    are rotated, none is left out, unless `file` itself has been compressed or removed: then it goes on with `current`.
    Raises OSError."""
    mine = os.fstat(file.fileno()).st_ino
    for _ in range(_ATTEMPTS):
        following = _after(mine, current)
        if following is None:
            return None
        try:
            found = open_log(following[0])
        except FileNotFoundError:
            continue
        # A rotation since the look would have given the name to a later file.
        if _after(mine, current) == (following[0], os.fstat(found.fileno()).st_ino):
            return found
        found.close()
    return None


def _after(inode: int, current: Path) -> tuple[Path, int] | None:
    """Name and inode of the file that follows another."""
    files: list[tuple[Path, int]] = []
    for path in files_of(current):
        try:
            files.append((path, path.stat().st_ino))
        except OSError:
            continue
    numbers = [number for _, number in files]
    if inode in numbers:
        at = numbers.index(inode) + 1
        return files[at] if at < len(files) else None
    return files[-1] if files and files[-1][0] == current else None


def tail_of(files: Sequence[Path], lines: int) -> tuple[int, int]:
    """Where the last `lines` lines begin: the index of a file, and the offset in it. What is written meanwhile counts
    as more. Files that cannot be read count as empty."""
    wanted = lines
    for index in range(len(files) - 1, -1, -1):
        try:
            found, offset = _tail_of_file(files[index], wanted)
        except (OSError, EOFError):
            continue
        if found >= wanted:
            return index, offset
        wanted -= found
    return 0, 0


def _tail_of_file(path: Path, lines: int) -> tuple[int, int]:
    """How many lines there are in a file, `lines` at most, and where these begin."""
    if path.suffix == ".gz":
        return _tail_of_compressed(path, lines)
    with path.open("rb") as file:
        if not lines:
            return 0, file.seek(0, os.SEEK_END)
        count, after = 0, -1
        for start, line in _backwards(file):
            if after >= 0 and ends_line(line):
                count += 1
                if count == lines:
                    return lines, after
            after = start
        return count + (after >= 0), 0


def _backwards(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines of a file from its end, each with where it begins; an unfinished last one, too."""
    at = file.seek(0, os.SEEK_END)
    rest, last = b"", True
    while at:
        size = min(_BLOCK, at)
        at -= size
        file.seek(at)
        first, *parts = (file.read(size) + rest).split(b"\n")
        ends = at + len(first)
        starts = []
        for part in parts:
            starts.append(ends + 1)
            ends += 1 + len(part)
        for start, part in zip(reversed(starts), reversed(parts), strict=True):
            # What follows the last line end is a line only if there is something.
            if part or not last:
                yield start, part
            last = False
        rest = first
    if rest or not last:
        yield 0, rest


def _tail_of_compressed(path: Path, lines: int) -> tuple[int, int]:
    begins: deque[int] = deque(maxlen=lines + 1)
    at, new = 0, True
    with gzip.open(path, "rb") as file:
        for line in file:
            if new:
                begins.append(at)
            at += len(line)
            new = ends_line(line.rstrip(b"\n"))
    if not lines:
        return 0, at
    kept = list(begins)[-lines:]
    return len(kept), kept[0] if kept else 0
