"""A change as seen through queries: what entered, what changed, what left."""

from __future__ import annotations

from arktos.model.selectors import Selector
from arktos.store.records import Event, Record, WatchEvent
from arktos.store.slots import refill


class Change:
    """One event with its faces. Each face is made at most once, so that all who watch share one object."""

    __slots__ = ("_entered", "_left", "_whole", "event", "record")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.record = newest(event)
        self._whole: WatchEvent | None = None
        self._entered: WatchEvent | None = None
        self._left: WatchEvent | None = None

    def whole(self) -> WatchEvent:
        """As seen without a selector."""
        found = self._whole
        if found is None:
            _, record, previous, _ = self.event
            if record is None:
                found = WatchEvent("DELETED", self.record)
            else:
                found = WatchEvent("ADDED" if previous is None else "MODIFIED", record)
            self._whole = found
        return found

    def through(self, selector: Selector) -> WatchEvent | None:
        """As seen through `selector`, None if it selects neither the old nor the new state."""
        revision, record, previous, _ = self.event
        tenant, namespace, name = self.record.key[1:]
        was = previous is not None and selector.matches(tenant, namespace, name, previous.header)
        if record is not None and selector.matches(tenant, namespace, name, record.header):
            if was or previous is None:
                return self.whole()
            if self._entered is None:
                self._entered = WatchEvent("ADDED", record)
            return self._entered
        if not was or previous is None:
            return None
        if record is None:
            return self.whole()
        if self._left is None:
            self._left = WatchEvent("DELETED", moved(previous, revision))
        return self._left


def moved(record: Record, revision: int) -> Record:
    """The same state at another revision: how an object that leaves is last seen."""
    return Record(record.key, revision, record.header, refill(record.body, revision))


def newest(event: Event) -> Record:
    """The state that the event left behind: the new one, or the last one of what was deleted."""
    found = event.record or event.last
    if found is None:
        raise ValueError("an event has a record or a last state")
    return found
