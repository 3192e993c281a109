"""Secondary indexes: keys by a value, and keys by ranges of integers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator, Sequence
from typing import Generic, TypeVar

from arktos.store.records import Key

Value = TypeVar("Value", int, str)


class Postings(Generic[Value]):
    """The keys that have a value. A value with one key, the common case of owners and hash keys, costs no set."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: dict[Value, Key | set[Key]] = {}

    def add(self, value: Value, key: Key) -> bool:
        """Whether the value is new."""
        found = self._keys.get(value)
        if found is None:
            self._keys[value] = key
            return True
        if isinstance(found, set):
            found.add(key)
        elif found != key:
            self._keys[value] = {found, key}
        return False

    def discard(self, value: Value, key: Key) -> bool:
        """Whether the value is gone with it."""
        found = self._keys.get(value)
        if isinstance(found, set):
            found.discard(key)
            if found:
                return False
        elif found is None or found != key:
            return False
        del self._keys[value]
        return True

    def find(self, value: Value) -> Collection[Key]:
        """Not to be held across changes."""
        found = self._keys.get(value)
        if found is None:
            return ()
        return found if isinstance(found, set) else (found,)


class HashRanges:
    """Keys by an integer, found by inclusive ranges in O(log n + result)."""

    __slots__ = ("_postings", "_values")

    def __init__(self) -> None:
        self._postings: Postings[int] = Postings()
        self._values: list[int] = []

    def load(self, entries: Collection[tuple[int, Key]]) -> None:
        """Takes the first content, in any order."""
        for value, key in entries:
            self._postings.add(value, key)
        self._values = sorted({value for value, _ in entries})

    def add(self, value: int, key: Key) -> None:
        if self._postings.add(value, key):
            insort(self._values, value)

    def discard(self, value: int, key: Key) -> None:
        if self._postings.discard(value, key):
            del self._values[bisect_left(self._values, value)]

    def width(self, ranges: Sequence[tuple[int, int]]) -> int:
        """How many values the ranges cover: what `find` will cost, nearly."""
        return sum(
            bisect_right(self._values, high) - bisect_left(self._values, low) for low, high in ranges if low <= high
        )

    def find(self, ranges: Sequence[tuple[int, int]]) -> Iterator[Key]:
        """Keys whose value is in one of the ranges; a key comes twice where ranges overlap."""
        for low, high in ranges:
            for value in self._values[bisect_left(self._values, low) : bisect_right(self._values, high)]:
                yield from self._postings.find(value)
