"""Watches: many streams, one encoding.

Streams with the same query and representation form a group; a group has one subscription at the store and encodes each
event once. A stream is a small state machine:

    INITIAL --all sent--> CATCHING --nothing newer--> LIVE --peer too slow--> CATCHING

INITIAL and CATCHING pull at the peer's pace (from a listing, from the store's history); LIVE is pushed. No stream has a
queue of its own: a slow one holds a cursor only, and is ended with 410 once its cursor has left the history window.
"""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from arktos.apiserver.encoding import dumps
from arktos.apiserver.reader import Reader
from arktos.model.status import Expired
from arktos.store.records import Query, Record, RevisionCompacted, Subscription, WatchEvent
from arktos.wire.http import Channel, Stream, chunk

SLICE = 200
"""Frames written in one turn of the loop at most, so that a large initial state delays nobody."""

BOOKMARK_SECONDS = 60.0


def frame(kind: str, body: bytes) -> bytes:
    return chunk(b'{"type":"%b","object":%b}\n' % (kind.encode(), body))


class Encoding(NamedTuple):
    """How a group writes events. `identity` is equal for equal encodings; `encode` makes the `object` of an event (the
    flag: first of its stream); `bookmark` makes the object of a BOOKMARK at a revision (the flag: ends the initial
    events). `frame` makes a chunk of an event's type and object, `status` the object of an ERROR.
    """

    identity: tuple[object, ...]
    encode: Callable[[Record, bool], bytes]
    bookmark: Callable[[int, bool], bytes]
    first_differs: bool
    frame: Callable[[str, bytes], bytes] = frame
    status: Callable[[dict[str, object]], bytes] = dumps
    content_type: str = "application/json"


class State(enum.Enum):
    INITIAL = 1
    CATCHING = 2
    LIVE = 3
    CLOSED = 4


class Running(Protocol):
    """A stream under way."""

    @property
    def query(self) -> Query: ...

    def bookmark(self) -> None: ...

    def end(self) -> None:
        """Ends it in good order."""
        ...

    def cut(self) -> None:
        """Ends it at once: its tenant is no more."""
        ...


class Watches(Protocol):
    """What opens watches."""

    reader: Reader

    def open(
        self,
        identity: tuple[object, ...],
        query: Query,
        encoding: Encoding,
        *,
        since: int,
        initial: Sequence[Record] | None,
        initial_bookmark: bool,
        bookmarks: bool,
        timeout: float,
    ) -> Stream: ...


class WatchServer:
    """All watches of a process. `open` answers a request; `close` ends all streams so that clients resume elsewhere."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._groups: dict[tuple[object, ...], Group] = {}
        self.sent: dict[str, int] = {}
        """Events that live streams were sent, by resource."""
        self._streams: set[Running] = set()
        self._of_tenant: dict[str, set[Group]] = {}
        self._tenants: Subscription | None = None
        self._bookmarks: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        return len(self._streams)

    def under_way(self) -> dict[str, int]:
        """How many streams there are, by resource."""
        found: dict[str, int] = {}
        for group in self._groups.values():
            found[group.query.resource] = found.get(group.query.resource, 0) + len(group.members)
        return found

    def open(
        self,
        identity: tuple[object, ...],
        query: Query,
        encoding: Encoding,
        *,
        since: int,
        initial: Sequence[Record] | None,
        initial_bookmark: bool,
        bookmarks: bool,
        timeout: float,
    ) -> Stream:
        """A stream of the changes after `since`; `initial` records are sent first as ADDED. `identity` tells equal
        queries."""
        key = (*identity, *encoding.identity)

        def begin(channel: Channel) -> None:
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = Group(self, key, query, encoding)
                self._of_tenant.setdefault(query.tenant or "", set()).add(group)
            stream.start(group, channel, since, initial, initial_bookmark, bookmarks, timeout)
            self._streams.add(stream)
            if self._bookmarks is None:
                self._schedule_bookmarks()
                self._tenants = self.reader.store.subscribe(Query("tenants", None), self._on_tenants)

        stream = WatchStream()
        return Stream(open=begin, on_drain=stream.resume, on_close=stream.close, content_type=encoding.content_type)

    def adopt(self, stream: Running) -> None:
        """Takes care of a stream that was not opened here, until `forget`."""
        self._streams.add(stream)

    def forget(self, stream: Running) -> None:
        self._streams.discard(stream)

    def drop(self, group: Group) -> None:
        if self._groups.get(group.key) is group:
            del self._groups[group.key]
            tenant = group.query.tenant or ""
            self._of_tenant[tenant].discard(group)
            if not self._of_tenant[tenant]:
                del self._of_tenant[tenant]

    def _on_tenants(self, events: Sequence[WatchEvent], revision: int) -> None:
        """A watch ends with its tenant: one that is made under the same name is another."""
        for event in events:
            if event.type == "DELETED":
                for group in list(self._of_tenant.get(event.record.key.name, ())):
                    for stream in list(group.members):
                        stream.cut()

    def end(self, resource: str, tenant: str | None) -> None:
        """Ends the streams of a resource, in one tenant or all (None): its clients begin anew."""
        for stream in list(self._streams):
            query = stream.query
            if query.resource == resource and tenant in (None, query.tenant):
                stream.end()

    def close(self) -> None:
        if self._bookmarks is not None:
            self._bookmarks.cancel()
        if self._tenants is not None:
            self._tenants.close()
        for stream in list(self._streams):
            stream.end()

    def _schedule_bookmarks(self) -> None:
        self._bookmarks = asyncio.get_running_loop().call_later(BOOKMARK_SECONDS, self._on_time)

    def bookmark_all(self) -> None:
        """Bookmarks every stream that wants bookmarks."""
        for stream in list(self._streams):
            stream.bookmark()

    def _on_time(self) -> None:
        self.bookmark_all()
        self._schedule_bookmarks()


class Group:
    """Streams that see the same bytes."""

    def __init__(self, server: WatchServer, key: tuple[object, ...], query: Query, encoding: Encoding) -> None:
        self.server = server
        self.key = key
        self.query = query
        self.encoding = encoding
        self.members: set[WatchStream] = set()
        self._subscription: Subscription | None = None

    def join(self, stream: WatchStream) -> None:
        self.members.add(stream)
        if self._subscription is None:
            self._subscription = self.server.reader.subscribe(self.query, self._deliver)

    def leave(self, stream: WatchStream) -> None:
        self.members.discard(stream)
        if not self.members:
            if self._subscription is not None:
                self._subscription.close()
                self._subscription = None
            self.server.drop(self)

    def frames(self, events: Sequence[WatchEvent], first: bool = False) -> bytes:
        encode, frame = self.encoding.encode, self.encoding.frame
        parts = []
        for event in events:
            parts.append(frame(event.type, encode(event.record, first)))
            first = False
        return b"".join(parts)

    def bookmark(self, revision: int, ends: bool) -> bytes:
        """A BOOKMARK at a revision; `ends` tells that the initial events are over."""
        return self.encoding.frame("BOOKMARK", self.encoding.bookmark(revision, ends))

    def _deliver(self, events: Sequence[WatchEvent], revision: int) -> None:
        joined = self.frames(events)
        oldest, newest = events[0].record.revision, events[-1].record.revision
        sent, resource = self.server.sent, self.query.resource
        sent[resource] = sent.get(resource, 0) + len(events) * len(self.members)
        for stream in list(self.members):
            stream.push(events, joined, oldest, newest)


class WatchStream:
    """One watcher. `_cursor` is the revision up to which everything has been written to the channel."""

    def __init__(self) -> None:
        self._state = State.CLOSED
        self._cursor = 0
        self._first = True

    def start(
        self,
        group: Group,
        channel: Channel,
        since: int,
        initial: Sequence[Record] | None,
        initial_bookmark: bool,
        bookmarks: bool,
        timeout: float,
    ) -> None:
        self._group = group
        self._channel = channel
        self._cursor = since
        self._initial: Iterator[Record] = iter(initial or ())
        self._initial_bookmark = initial_bookmark
        self._bookmarks = bookmarks
        self._state = State.INITIAL
        loop = asyncio.get_running_loop()
        self._timeout = loop.call_later(timeout, self.end)
        group.join(self)
        self.resume()

    @property
    def query(self) -> Query:
        return self._group.query

    def resume(self) -> None:
        """Pulls until the peer is congested or there is nothing left; also the channel's `on_drain`."""
        if self._state is State.INITIAL:
            self._send_initial()
        if self._state is State.CATCHING:
            self._catch_up()

    def push(self, events: Sequence[WatchEvent], joined: bytes, oldest: int, newest: int) -> None:
        """Events of the live group; those that this stream has already pulled are skipped."""
        if self._state is not State.LIVE or newest <= self._cursor:
            return
        if oldest <= self._cursor or (self._first and self._group.encoding.first_differs):
            fresh = [e for e in events if e.record.revision > self._cursor]
            joined = self._group.frames(fresh, self._first)
        self._first = False
        self._cursor = newest
        self._channel.write(joined)
        if self._channel.congested:
            self._state = State.CATCHING

    def bookmark(self) -> None:
        """Tells how far the stream is, after writing whatever it has not seen yet."""
        if self._state is State.LIVE:
            self._state = State.CATCHING
            self._catch_up()
        if self._state is State.LIVE and self._bookmarks:
            self._cursor = max(self._cursor, self._group.server.reader.revision)
            self._channel.write(self._group.bookmark(self._cursor, False))

    def end(self) -> None:
        """Ends the stream in good order, after a bookmark where the peer takes them."""
        if self._state is State.LIVE and not self._channel.congested:
            self.bookmark()
        self.cut()

    def cut(self) -> None:
        """Ends the stream as it stands."""
        if self._state is not State.CLOSED:
            self._channel.finish()
            self.close()

    def close(self) -> None:
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        self._initial = iter(())
        self._timeout.cancel()
        self._group.leave(self)
        self._group.server.forget(self)

    def _send_initial(self) -> None:
        group = self._group
        while not self._channel.congested:
            parts = []
            for record in self._initial:
                parts.append(group.encoding.frame("ADDED", group.encoding.encode(record, self._first)))
                self._first = False
                if len(parts) >= SLICE:
                    break
            if parts:
                self._channel.write(b"".join(parts))
            if len(parts) < SLICE:
                if self._initial_bookmark:
                    self._channel.write(group.bookmark(self._cursor, True))
                self._state = State.CATCHING
                return
            # Yield to the loop between slices; `resume` continues where this one stopped.
            asyncio.get_running_loop().call_soon(self.resume)
            return

    def _catch_up(self) -> None:
        reader = self._group.server.reader
        while not self._channel.congested:
            newest = reader.revision
            try:
                events = reader.changes(self._group.query, self._cursor, limit=SLICE)
            except RevisionCompacted:
                gone = Expired(f"too old resource version: {self._cursor}")
                encoding = self._group.encoding
                self._channel.write(encoding.frame("ERROR", encoding.status(gone.status())))
                self._channel.finish()
                self.close()
                return
            if events:
                self._channel.write(self._group.frames(events, self._first))
                self._first = False
                self._cursor = events[-1].record.revision
            if len(events) < SLICE:
                self._cursor = max(self._cursor, newest)
                self._state = State.LIVE
                return


def default_timeout() -> float:
    """Seconds a watch lives when the client names none: spread, so that watchers don't come back all at once."""
    return 1800.0 * (1.0 + random.random())
