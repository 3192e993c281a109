"""What readers see, the same for every engine: index, history and hub, fed with events in revision order.

Older states are reconstructed by undoing history: an exact list at a past revision costs its result plus the events of
that resource since.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice

from arktos.store.history import History, Window
from arktos.store.hub import Deliver, Hub, LiveQuery
from arktos.store.index import Index, in_scope
from arktos.store.records import (
    Event,
    Key,
    Page,
    Query,
    Record,
    RevisionAhead,
    RevisionCompacted,
    WatchEvent,
)
from arktos.store.views import Change, newest


class Replica:
    """See the module. All methods run on one loop and do no I/O."""

    def __init__(
        self,
        resources: Mapping[str, Sequence[str]],
        schedule: Callable[[Callable[[], None]], object],
        window: Window,
    ) -> None:
        """`resources` names the indexed field labels by group-resource; `schedule` is the loop's `call_soon`."""
        self.revision = 0
        self.index = Index(resources)
        self.history = History(window)
        self.hub = Hub(self.index.labels, schedule)
        self.floors: dict[str, int] = {}
        """Resources whose events before a revision may be incomplete (`start`)."""
        self.get = self.index.get
        self._touched: dict[str, int] = {}

    @property
    def oldest(self) -> int:
        return self.history.oldest

    def start(self, revision: int, floors: Mapping[str, int]) -> None:
        """Begins at `revision`, once all that was stored has been loaded. What happened to a resource before its floor
        is not known for sure, so nobody can resume there from before."""
        self.revision = revision
        self.floors = dict(floors)
        self.hub.start(revision)

    def apply(self, revision: int, events: Sequence[Event]) -> None:
        """Makes one or more whole commits visible, `revision` being the newest of them."""
        self.remember(events)
        self.revision = revision
        self.hub.publish(events, revision)

    def remember(self, events: Iterable[Event]) -> None:
        """Applies events to index and history alone: for loading."""
        for event in events:
            key = newest(event).key
            self.index.replace(key, event.previous, event.record)
            self.history.append(key.resource, event)
            self._touched[key.resource] = event.revision

    # -- reading

    def touched(self, resource: str) -> int:
        """The newest revision at which an object of a resource changed, 0 if none did since the start."""
        return self._touched.get(resource, 0)

    def list(self, query: Query, *, limit: int = 0, after: Key | None = None, revision: int = 0) -> Page:
        undone = self._undone(query, revision) if revision and revision != self.revision else {}
        cut = revision or self.revision
        if not undone and query.selector is None:
            records, remaining = self.index.page(query, after, limit)
            return Page(records, cut, remaining != 0, remaining)
        found = self._matching(query, self.index.walk(query, after))
        if undone:
            found = self._at_past(query, found, undone, after)
        if not limit:
            return Page(list(found), cut, False, 0)
        records = list(islice(found, limit + 1))
        if len(records) <= limit:
            return Page(records, cut, False, 0)
        del records[limit:]
        return Page(records, cut, True, -1)

    def changes(self, query: Query, since: int, *, limit: int = 0) -> builtins.list[WatchEvent]:
        self._check(query.resource, since)
        found: builtins.list[WatchEvent] = []
        last = since
        for event in self.history.since(query.resource, since):
            # A commit is never cut in two: who resumes from its revision would miss the rest.
            if limit and len(found) >= limit and event.revision != last:
                break
            if in_scope(newest(event).key, query.tenant, query.namespace):
                change = Change(event)
                seen = change.whole() if query.selector is None else change.through(query.selector)
                if seen is not None:
                    found.append(seen)
                    last = event.revision
        return found

    def subscribe(self, query: Query, deliver: Deliver) -> LiveQuery:
        return self.hub.subscribe(query, deliver)

    # -- older states

    def _check(self, resource: str, revision: int) -> None:
        if revision > self.revision:
            raise RevisionAhead(self.revision)
        oldest = max(self.history.oldest, self.floors.get(resource, 0))
        if revision < oldest:
            raise RevisionCompacted(oldest)

    def _undone(self, query: Query, revision: int) -> dict[Key, Record | None]:
        """What stood at `revision` for each key that changed since."""
        self._check(query.resource, revision)
        undone: dict[Key, Record | None] = {}
        for event in self.history.since(query.resource, revision):
            undone.setdefault(newest(event).key, event.previous)
        return undone

    def _at_past(
        self, query: Query, found: Iterator[Record], undone: dict[Key, Record | None], after: Key | None
    ) -> Iterator[Record]:
        unchanged = (record for record in found if record.key not in undone)
        past = sorted(
            (
                record
                for record in undone.values()
                if record is not None
                and in_scope(record.key, query.tenant, query.namespace)
                and (after is None or record.key > after)
            ),
            key=_by_key,
        )
        return merge(unchanged, self._matching(query, past), key=_by_key)

    @staticmethod
    def _matching(query: Query, records: Iterable[Record]) -> Iterator[Record]:
        if query.selector is None:
            return iter(records)
        matches = query.selector.matches
        return (r for r in records if matches(r.key.tenant, r.key.namespace, r.key.name, r.header))


def _by_key(record: Record) -> Key:
    return record.key
