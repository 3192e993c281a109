"""Where an object stands on the hash ring. One index serves two dialects: hash keys of 63 bits, raw hashes of 64."""

from __future__ import annotations

from functools import lru_cache

LARGEST = 2**63 - 1
"""The last point of the ring of hash keys; the first is 0."""

_OFFSET = 0xCBF29CE484222325
_PRIME = 0x100000001B3
_MASK = 2**64 - 1


@lru_cache(maxsize=8192)
def fnv1a64(text: str) -> int:
    """The 64-bit FNV-1a hash of a text in UTF-8, unsigned (the Fowler/Noll/Vo draft)."""
    value = _OFFSET
    for byte in text.encode():
        value = (value ^ byte) * _PRIME & _MASK
    return value


def hash_key(uid: str) -> int:
    """The hash key of a UID, in [0, LARGEST]: its hash, less LARGEST where the hash is larger. 0 for no UID."""
    return fold(fnv1a64(uid)) if uid else 0


def fold(raw: int) -> int:
    """The hash key that a raw hash has: two raw hashes (at the top, three) share each key."""
    return raw if raw <= LARGEST else min(raw - LARGEST, LARGEST)


def fold_range(start: int, end: int) -> list[tuple[int, int]]:
    """Inclusive ranges that cover the hash keys of the raw hashes in `[start, end)`."""
    covering = []
    if start < min(end, LARGEST + 1):
        covering.append((start, min(end - 1, LARGEST)))
    low = max(start, LARGEST + 1)
    if low < end:
        covering.append((min(low - LARGEST, LARGEST), min(end - 1 - LARGEST, LARGEST)))
    return covering
