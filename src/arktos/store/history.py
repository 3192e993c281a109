"""The window of recent events, from which watches resume and older states are reconstructed.

Bounded by age, number and bytes, whichever comes first, over all resources together; the oldest go first. The age of an
event is read off its revision, which is at least its time in microseconds: one that ran ahead of the clock stays a bit
longer. Finding where to resume costs O(log n), resuming O(events of that resource since).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from arktos.store.records import Event
from arktos.store.views import newest

_SLACK = 256
"""Forgotten events that a resource's list may hold before it is cut."""


class Window(NamedTuple):
    """How much history is kept."""

    seconds: float = 300.0
    events: int = 100_000
    bytes: int = 64 << 20


class _Track:
    """The events of one resource; the first `gone` of them are forgotten."""

    __slots__ = ("events", "gone")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.gone = 0

    def forget_first(self) -> None:
        self.gone += 1
        if self.gone > _SLACK and self.gone * 2 > len(self.events):
            del self.events[: self.gone]
            self.gone = 0


class History:
    """See the module. `oldest` is the revision from which everything that followed is still here."""

    def __init__(self, window: Window, oldest: int = 0) -> None:
        self.oldest = oldest
        self.bytes = 0
        self._window = window
        self._all: deque[Event] = deque()
        self._tracks: dict[str, _Track] = {}

    def __len__(self) -> int:
        return len(self._all)

    def append(self, resource: str, event: Event) -> None:
        track = self._tracks.get(resource)
        if track is None:
            track = self._tracks[resource] = _Track()
        track.events.append(event)
        self._all.append(event)
        self.bytes += _size(event)

    def since(self, resource: str, revision: int) -> Sequence[Event]:
        """Events of `resource` after `revision`, oldest first; complete if `revision` >= `oldest`."""
        track = self._tracks.get(resource)
        if track is None or not track.events or track.events[-1].revision <= revision:
            return ()
        return track.events[bisect_right(track.events, revision, lo=track.gone, key=_revision) :]

    def forget(self, now: float) -> None:
        """Lets go of what has left the window at unix time `now`; whole commits at a time."""
        events = self._all
        until = int((now - self._window.seconds) * 1e6)
        while events:
            event = events[0]
            beyond = len(events) > self._window.events or self.bytes > self._window.bytes
            if not beyond and event.revision > until and event.revision != self.oldest:
                return
            events.popleft()
            self._tracks[newest(event).key.resource].forget_first()
            self.bytes -= _size(event)
            self.oldest = event.revision


def _revision(event: Event) -> int:
    return event.revision


def _size(event: Event) -> int:
    return len(newest(event).body)
