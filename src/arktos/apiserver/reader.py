"""Reads: what is stored, overlaid with what is the same everywhere and therefore not stored (virtual objects).

A stored object hides a virtual one of the same name. Virtual objects keep one revision for ever, so watches speak of
them after the initial state only where a stored object that hid one has gone.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from arktos.apiserver.custom.definitions import Definitions
from arktos.store.records import Key, Page, Query, Record, Store, Subscription, WatchEvent
from arktos.store.slots import refill

Deliver = Callable[[Sequence[WatchEvent], int], None]


class VirtualSource(Protocol):
    """Objects that exist without being stored. `resources` are the group-resources it may answer for. `renewed` objects
    may be deleted: as where a controller watches over them, they are there again at once."""

    @property
    def resources(self) -> frozenset[str]: ...

    @property
    def renewed(self) -> bool: ...

    def get(self, key: Key) -> Record | None: ...

    def list(self, query: Query) -> Iterable[Record]:
        """Every virtual object in the query's tenant and namespace; the reader applies the selector."""
        ...

    def borrowed(self, query: Query) -> Query | None:
        """The query whose stored objects appear in this one as well (a class shared by `system`), None if none."""
        ...


class Reader:
    """The store as requests see it. Same guarantees as `Store`'s reads."""

    def __init__(self, store: Store, sources: Sequence[VirtualSource] = ()) -> None:
        self.store = store
        self.definitions = Definitions(store)
        self._sources: dict[str, list[VirtualSource]] = {}
        for source in sources:
            for resource in source.resources:
                self._sources.setdefault(resource, []).append(source)

    @property
    def revision(self) -> int:
        return self.store.revision

    def count(self, resource: str, tenant: str | None, namespace: str | None) -> int:
        """About how many objects are stored there; 0 where the store does not count."""
        count = getattr(self.store, "count", None)
        return int(count(resource, tenant, namespace)) if count is not None else 0

    def get(self, key: Key) -> Record | None:
        record = self.store.get(key)
        if record is None and key.resource in self._sources:
            return self.virtual(key)
        return record

    def virtual(self, key: Key) -> Record | None:
        """The virtual object of this key, whether or not a stored one hides it."""
        for source in self._sources.get(key.resource, ()):
            found = source.get(key)
            if found is not None:
                return found
        return None

    def renews(self, key: Key) -> bool:
        """Whether a delete of this virtual object succeeds, and changes nothing."""
        return any(source.renewed and source.get(key) is not None for source in self._sources.get(key.resource, ()))

    def list(self, query: Query, *, limit: int = 0, after: Key | None = None, revision: int = 0) -> Page:
        sources = self._sources.get(query.resource)
        if not sources:
            return self.store.list(query, limit=limit, after=after, revision=revision)
        return self._overlaid(sources, query, limit, after, revision)

    def _overlaid(
        self, sources: Sequence[VirtualSource], query: Query, limit: int, after: Key | None, revision: int
    ) -> Page:
        page = self.store.list(query, revision=revision)
        found = {record.key: record for record in page.records}
        for source in sources:
            for record in source.list(query):
                # A stored object hides its virtual twin even where the selector leaves the stored one out.
                if query.tenant and self.store.get(record.key._replace(tenant=query.tenant)) is not None:
                    continue
                if _selected(query, record):
                    found[record.key] = record
        records = sorted(found.values(), key=lambda r: r.key)
        if after is not None:
            records = [r for r in records if r.key > after]
        more = bool(limit) and len(records) > limit
        remaining = (len(records) - limit if query.selector is None else -1) if more else 0
        return Page(records[:limit] if more else records, page.revision, more, remaining)

    def changes(self, query: Query, since: int, *, limit: int = 0) -> Sequence[WatchEvent]:
        """As `Store.changes`: whole revisions, at least `limit` events where there are as many."""
        if query.resource not in self._sources:
            return self.store.changes(query, since, limit=limit)
        seen: builtins.list[WatchEvent] = []
        while True:
            events, cut = self._merged(query, since, limit)
            seen += self._seen(query, events)
            if not cut or len(seen) >= limit:
                return seen
            since = events[-1].record.revision

    def _merged(self, query: Query, since: int, limit: int) -> tuple[Sequence[WatchEvent], bool]:
        """The changes of what is stored and of what is borrowed, and whether the limit cut them off."""
        queries = [query, *self._borrowed(query)]
        found = [self.store.changes(each, since, limit=limit) for each in queries]
        # What was cut at the limit says nothing of what comes after it.
        horizon = min((part[-1].record.revision for part in found if limit and len(part) >= limit), default=None)
        if len(found) == 1:
            return found[0], horizon is not None
        merged = sorted((event for part in found for event in part), key=lambda event: event.record.revision)
        if horizon is not None:
            merged = [event for event in merged if event.record.revision <= horizon]
        return merged, horizon is not None

    def subscribe(self, query: Query, deliver: Deliver) -> Subscription:
        if query.resource not in self._sources:
            return self.store.subscribe(query, deliver)

        def through(events: Sequence[WatchEvent], revision: int) -> None:
            seen = self._seen(query, events)
            if seen:
                deliver(seen, revision)

        subscriptions = [self.store.subscribe(query, through)]
        subscriptions += [self.store.subscribe(other, through) for other in self._borrowed(query)]
        return subscriptions[0] if len(subscriptions) == 1 else _Joined(subscriptions)

    def _seen(self, query: Query, events: Sequence[WatchEvent]) -> builtins.list[WatchEvent]:
        """What a watch tells: nothing of what a stored object hides; and what such an object hid is there when it
        goes, as of that moment."""
        seen: builtins.list[WatchEvent] = []
        for event in events:
            key = event.record.key
            if query.tenant is not None and key.tenant != query.tenant:
                if self.store.get(key._replace(tenant=query.tenant)) is None:
                    seen.append(event)
                continue
            seen.append(event)
            twin = self.virtual(key) if event.type == "DELETED" and self.store.get(key) is None else None
            if twin is not None and _selected(query, twin):
                revision = event.record.revision
                shown = msgspec.structs.replace(twin, revision=revision, body=refill(twin.body, revision))
                seen.append(WatchEvent("ADDED", shown))
        return seen

    def _borrowed(self, query: Query) -> Sequence[Query]:
        found = (source.borrowed(query) for source in self._sources.get(query.resource, ()))
        return [other for other in found if other is not None]


def _selected(query: Query, record: Record) -> bool:
    key = record.key
    return query.selector is None or query.selector.matches(key.tenant, key.namespace, key.name, record.header)


class _Joined:
    def __init__(self, parts: Sequence[Subscription]) -> None:
        self._parts = parts

    def close(self) -> None:
        for part in self._parts:
            part.close()
