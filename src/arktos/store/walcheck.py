"""Tells a damaged write-ahead log from one that a crash cut short.

SQLite reads its log up to the first frame that does not match and takes that for the end, which is right for a torn
tail and wrong for damage in the middle: acknowledged commits would vanish in silence. But each transaction is synced
before the next one is written. So a bad frame is damage, not a torn tail, if a transaction that ends at or after it
is followed by frames of a later one. (Format: sqlite.org/fileformat2.html, "The Write-Ahead Log".)
"""

from __future__ import annotations

import struct
from array import array
from operator import mul
from pathlib import Path
from typing import NamedTuple

_HEADER = 32
_FRAME_HEADER = 24
_MASK = 0xFFFFFFFF
_MAGIC = 0x377F0682
"""Its lowest bit tells the byte order of the checksums: 1 is big-endian."""


class _Frame(NamedTuple):
    commits: bool
    salted: bool
    start: int
    sums: tuple[int, int]


def damage(database: Path) -> str:
    """What is wrong with the write-ahead log of `database`, "" if nothing is. OSError if it can't be read."""
    path = database.with_name(database.name + "-wal")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ""
    if len(data) < _HEADER or not any(data[:_HEADER]):
        return ""
    magic, _, page, _, salt1, salt2, sum1, sum2 = struct.unpack(">8I", data[:_HEADER])
    if magic | 1 != _MAGIC | 1:
        return "the header of the write-ahead log is damaged"
    swap = bool(magic & 1) != (struct.pack("=H", 1) == b"\0\1")
    if _Sum(6, swap).of(data[:24], (0, 0)) != (sum1, sum2):
        return "the header of the write-ahead log is damaged"
    if page < 512 or page > 65536 or page & (page - 1):
        return "the header of the write-ahead log is damaged"
    frames = _frames(data, page, (salt1, salt2))
    good = _good(data, page, frames, (sum1, sum2), swap)
    ends = [number for number in range(good, len(frames)) if frames[number].salted and frames[number].commits]
    if ends and any(frame.salted for frame in frames[ends[0] + 1 :]):
        return f"frame {good + 1} of the write-ahead log is damaged, and committed ones follow it"
    return ""


def _frames(data: bytes, page: int, salts: tuple[int, int]) -> list[_Frame]:
    found = []
    for start in range(_HEADER, len(data) - _FRAME_HEADER - page + 1, _FRAME_HEADER + page):
        _, size, salt1, salt2, sum1, sum2 = struct.unpack_from(">6I", data, start)
        found.append(_Frame(size > 0, (salt1, salt2) == salts, start, (sum1, sum2)))
    return found


def _good(data: bytes, page: int, frames: list[_Frame], seed: tuple[int, int], swap: bool) -> int:
    """How many frames from the first on are as they were written."""
    summed = _Sum(2 + page // 4, swap)
    for number, frame in enumerate(frames):
        start = frame.start
        content = data[start : start + 8] + data[start + _FRAME_HEADER : start + _FRAME_HEADER + page]
        if not frame.salted or summed.of(content, seed) != frame.sums:
            return number
        seed = frame.sums
    return len(frames)


class _Sum:
    """The log's checksum of `words` 32-bit words. It is linear, so each word has its fixed weight in either half."""

    def __init__(self, words: int, swap: bool) -> None:
        self._swap = swap
        first, second = [0] * words, [0] * words
        # With a pair (x, y) the sums (a, b) become (a + b + x, a + 2b + x + y); from the last pair backwards, `rows`
        # is what the steps after it make of (a, b).
        rows = ((1, 0), (0, 1))
        for at in range(words - 2, -2, -2):
            (p, q), (r, s) = rows
            first[at], first[at + 1] = (p + q) & _MASK, q
            second[at], second[at + 1] = (r + s) & _MASK, s
            rows = (((p + q) & _MASK, (p + 2 * q) & _MASK), ((r + s) & _MASK, (r + 2 * s) & _MASK))
        self._seed = rows
        self._first, self._second = first, second

    def of(self, content: bytes, seed: tuple[int, int]) -> tuple[int, int]:
        words = array("I", content)
        if self._swap:
            words.byteswap()
        (p, q), (r, s) = self._seed
        return (
            (p * seed[0] + q * seed[1] + sum(map(mul, self._first, words))) & _MASK,
            (r * seed[0] + s * seed[1] + sum(map(mul, self._second, words))) & _MASK,
        )
