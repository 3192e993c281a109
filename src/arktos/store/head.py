"""The newest accepted state: what readers see, overlaid with commits that are accepted but not yet visible.

Preconditions hold or fail here, so pipelined commits see each other in the order in which they were accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from arktos.store.records import (
    Absent,
    AtRevision,
    Event,
    FieldIs,
    Key,
    Live,
    Precondition,
    PreconditionFailed,
    Put,
    Record,
    Write,
)
from arktos.store.sharing import Pool
from arktos.store.slots import fill, refill
from arktos.store.views import newest


class Head:
    """See the module. `visible` answers what readers see."""

    def __init__(self, visible: Callable[[Key], Record | None], pool: Pool) -> None:
        self._visible = visible
        self._pool = pool
        self._pending: dict[Key, Event] = {}

    def get(self, key: Key) -> Record | None:
        if self._pending:
            event = self._pending.get(key)
            if event is not None:
                return event.record
        return self._visible(key)

    def check(self, preconditions: Sequence[Precondition]) -> None:
        """PreconditionFailed by the first that does not hold."""
        for precondition in preconditions:
            current = self.get(precondition.key)
            if isinstance(precondition, AtRevision):
                holds = current is not None and current.revision == precondition.revision
            elif isinstance(precondition, Absent):
                holds = current is None
            elif isinstance(precondition, FieldIs):
                header = None if current is None else current.header
                holds = (
                    header is not None
                    and header.uid == precondition.uid
                    and header.fields.get(precondition.label) == precondition.value
                )
            else:
                holds = current is not None and not current.header.deleting
            if not holds:
                raise PreconditionFailed(precondition, current)

    def prepare(self, writes: Sequence[Write], revision: int, now: float) -> list[Event]:
        """The events that `writes` make at `revision`, applying nothing. ValueError for a write that can't be stored,
        also for two of one key; PreconditionFailed for a Delete of what does not exist."""
        if not writes:
            raise ValueError("a commit has writes")
        if len(writes) > 1 and len({write.key for write in writes}) < len(writes):
            raise ValueError("a commit writes a key once")
        return [self._event(write, revision, now) for write in writes]

    def push(self, events: Iterable[Event]) -> None:
        """Overlays accepted events."""
        for event in events:
            self._pending[newest(event).key] = event

    def settle(self, events: Iterable[Event]) -> None:
        """Those are visible now."""
        pending = self._pending
        for event in events:
            key = newest(event).key
            if pending.get(key) is event:
                del pending[key]

    def reset(self) -> None:
        """Falls back to what is visible: all that was accepted beyond has failed."""
        self._pending.clear()

    def _event(self, write: Write, revision: int, now: float) -> Event:
        previous = self.get(write.key)
        if isinstance(write, Put):
            key = self._pool.key(write.key, previous)
            header = self._pool.header(write.header, previous)
            expires = now + write.ttl if write.ttl else 0.0
            return Event(revision, Record(key, revision, header, fill(write.body, revision), expires), previous, None)
        if previous is None:
            raise PreconditionFailed(Live(write.key), None)
        body = refill(previous.body if write.body is None else write.body, revision)
        header = previous.header if write.header is None else self._pool.header(write.header, previous)
        return Event(revision, None, previous, Record(previous.key, revision, header, body))
