"""The order in which pods are tried: active, backing off, or unschedulable until something changes. Pure.

Times are any monotonic clock's, in seconds. Of the active, the highest priority goes first, then the longest waiting.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from enum import Enum

from arktos.scheduler.pods import PodKey

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 10.0
LONGEST_WAIT = 300.0
"""Seconds after which an unschedulable pod is tried again, whatever happened or did not."""

EVERYTHING = "*"
"""In the set of filters that a change may satisfy: all of them."""


class Place(Enum):
    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    TRIED = "tried"


class Entry:
    """A pod in the queue. `plugins` are the filters that refused it last."""

    __slots__ = ("attempts", "key", "place", "plugins", "priority", "since", "token", "until")

    def __init__(self, key: PodKey, priority: int, now: float) -> None:
        self.key = key
        self.priority = priority
        self.attempts = 0
        self.plugins: frozenset[str] = frozenset()
        self.place = Place.ACTIVE
        self.since = now
        self.until = 0.0
        self.token = 0


class Queue:
    """A pod is here from `add` to `remove`; `take` hands it out, `park` or `retry` puts it back."""

    def __init__(self) -> None:
        self._entries: dict[PodKey, Entry] = {}
        self._active: list[tuple[int, int, PodKey]] = []
        self._backoff: list[tuple[float, int, PodKey]] = []
        self._parked: dict[PodKey, Entry] = {}
        self._tokens = itertools.count(1)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: PodKey) -> bool:
        return key in self._entries

    def counts(self) -> dict[str, int]:
        """How many pods are in each place."""
        found = dict.fromkeys((place.value for place in Place), 0)
        for entry in self._entries.values():
            found[entry.place.value] += 1
        return found

    def place(self, key: PodKey) -> str:
        """Where a pod is, "" if nowhere."""
        entry = self._entries.get(key)
        return entry.place.value if entry else ""

    def add(self, key: PodKey, priority: int, now: float) -> None:
        """A new pod, or one whose priority may have changed; one that is known stays where it is."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry(key, priority, now)
            self._activate(entry)
        elif entry.priority != priority:
            entry.priority = priority
            if entry.place is Place.ACTIVE:
                self._activate(entry)

    def remove(self, key: PodKey) -> None:
        self._entries.pop(key, None)
        self._parked.pop(key, None)

    def changed(self, key: PodKey, now: float) -> None:
        """The pod itself changed in a way that may make it schedulable."""
        entry = self._parked.get(key)
        if entry is not None:
            self._release(entry, now)

    def take(self, now: float) -> PodKey | None:
        """The next pod to try, None if none is due."""
        self.tick(now)
        while self._active:
            _, token, key = heapq.heappop(self._active)
            entry = self._entries.get(key)
            if entry is not None and entry.token == token:
                entry.place = Place.TRIED
                entry.attempts += 1
                return key
        return None

    def park(self, key: PodKey, plugins: frozenset[str], now: float) -> None:
        """The pod that was taken fits nowhere, by the word of these filters."""
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.place, entry.plugins, entry.since = Place.UNSCHEDULABLE, plugins, now
        entry.token = next(self._tokens)
        self._parked[key] = entry

    def retry(self, key: PodKey, priority: int, now: float) -> None:
        """A pod that was taken failed for no fault of its own: again, after its back-off."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry(key, priority, now)
            entry.attempts = 1
        self._parked.pop(key, None)
        entry.since = now
        self._release(entry, now)

    def happened(self, plugins: frozenset[str], now: float, concerns: Callable[[PodKey], bool] | None = None) -> int:
        """Something changed that may satisfy these filters: pods that they refused are tried again, if it `concerns`
        them. How many."""
        if not self._parked or not plugins:
            return 0
        all_of_them = EVERYTHING in plugins
        woken = [
            entry
            for entry in self._parked.values()
            if (all_of_them or not entry.plugins or entry.plugins & plugins)
            and (concerns is None or concerns(entry.key))
        ]
        for entry in woken:
            self._release(entry, now)
        return len(woken)

    def tick(self, now: float) -> None:
        """Moves on who has waited long enough."""
        while self._backoff and self._backoff[0][0] <= now:
            _, token, key = heapq.heappop(self._backoff)
            entry = self._entries.get(key)
            if entry is not None and entry.token == token:
                self._activate(entry)
        while self._parked:
            entry = next(iter(self._parked.values()))
            if entry.since + LONGEST_WAIT > now:
                break
            self._release(entry, now)

    def next_due(self) -> float | None:
        """When there is something to `take` or `tick` next: 0 for at once, None for never."""
        while self._active:
            _, token, key = self._active[0]
            entry = self._entries.get(key)
            if entry is not None and entry.token == token:
                return 0.0
            heapq.heappop(self._active)
        times = []
        while self._backoff:
            until, token, key = self._backoff[0]
            entry = self._entries.get(key)
            if entry is not None and entry.token == token:
                times.append(until)
                break
            heapq.heappop(self._backoff)
        if self._parked:
            times.append(next(iter(self._parked.values())).since + LONGEST_WAIT)
        return min(times, default=None)

    def _activate(self, entry: Entry) -> None:
        entry.place = Place.ACTIVE
        entry.token = next(self._tokens)
        heapq.heappush(self._active, (-entry.priority, entry.token, entry.key))

    def _release(self, entry: Entry, now: float) -> None:
        """Out of the unschedulable: active, or the rest of its back-off first."""
        self._parked.pop(entry.key, None)
        until = entry.since + min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(entry.attempts - 1, 16))
        if until <= now:
            self._activate(entry)
            return
        entry.place, entry.until = Place.BACKOFF, until
        entry.token = next(self._tokens)
        heapq.heappush(self._backoff, (until, entry.token, entry.key))
