"""Which records go by themselves, and when: one entry per key, however often the record is renewed."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from arktos.store.records import Key, Record


class Expiry:
    """A queue by time. Renewals are not tracked: an entry that comes due looks at the record again."""

    def __init__(self, current: Callable[[Key], Record | None]) -> None:
        self._current = current
        self._heap: list[tuple[float, Key]] = []
        self._times: dict[Key, float] = {}

    def __len__(self) -> int:
        return len(self._times)

    def watch(self, record: Record) -> None:
        """Takes in a record that expires."""
        time = self._times.get(record.key)
        if time is None or record.expires < time:
            self._times[record.key] = record.expires
            heappush(self._heap, (record.expires, record.key))

    def due(self, now: float, limit: int) -> list[Record]:
        """Takes out at most `limit` records that have expired."""
        found: list[Record] = []
        while self._heap and self._heap[0][0] <= now and len(found) < limit:
            time, key = heappop(self._heap)
            if self._times.get(key) != time:
                continue
            del self._times[key]
            record = self._current(key)
            if record is None or not record.expires:
                continue
            if record.expires <= now:
                found.append(record)
            else:
                self.watch(record)
        return found
