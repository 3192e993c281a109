"""What a decision was made from: a store that notes what is read of it, so that it can be told later whether the same
would be read again."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import NamedTuple

from arktos.store.records import (
    Committed,
    Key,
    Page,
    Precondition,
    Query,
    Record,
    Store,
    Subscription,
    WatchEvent,
    Write,
)


class Read(NamedTuple):
    """Somebody read an object (`key`), or of a resource (`key` None), and this was the revision of what there was."""

    key: Key | None
    resource: str
    revision: int


def holds(reads: Sequence[Read], store: Store) -> bool:
    """Whether who read all this would read the same now."""
    for key, resource, revision in reads:
        if key is None:
            if store.touched(resource) != revision:
                return False
        else:
            record = store.get(key)
            if (0 if record is None else record.revision) != revision:
                return False
    return True


class NotedStore(Store):
    """A `records.Store` that is another one's, and keeps a list of what is read between two calls of `take`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reads: builtins.list[Read] = []

    def take(self) -> builtins.list[Read]:
        """What was read since the last call."""
        reads, self._reads = self._reads, []
        return reads

    @property
    def revision(self) -> int:
        return self._store.revision

    @property
    def oldest(self) -> int:
        return self._store.oldest

    def get(self, key: Key) -> Record | None:
        record = self._store.get(key)
        self._reads.append(Read(key, "", 0 if record is None else record.revision))
        return record

    def touched(self, resource: str) -> int:
        revision = self._store.touched(resource)
        self._reads.append(Read(None, resource, revision))
        return revision

    def list(self, query: Query, *, limit: int = 0, after: Key | None = None, revision: int = 0) -> Page:
        self.touched(query.resource)
        return self._store.list(query, limit=limit, after=after, revision=revision)

    # What is not noted: nobody decides by it, or who does checks it inside the commit.

    def accepted(self, key: Key) -> Record | None:
        return self._store.accepted(key)

    def changes(self, query: Query, since: int, *, limit: int = 0) -> builtins.list[WatchEvent]:
        return self._store.changes(query, since, limit=limit)

    def subscribe(self, query: Query, deliver: Callable[[Sequence[WatchEvent], int], None]) -> Subscription:
        return self._store.subscribe(query, deliver)

    async def commit(self, preconditions: Sequence[Precondition], writes: Sequence[Write]) -> Committed:
        return await self._store.commit(preconditions, writes)
