"""Watches of versions that a webhook makes: the same events, each converted before it is written.

A stream has a task of its own, which pulls from the store's history as fast as its peer reads and the webhook answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from arktos.apiserver.custom.conversion import Conversion
from arktos.apiserver.watching import BOOKMARK_SECONDS, SLICE, Encoding, WatchServer
from arktos.model.kinds import Kind
from arktos.model.status import ApiError, Expired
from arktos.store.records import Query, Record, RevisionCompacted, WatchEvent
from arktos.wire.http import Channel, Stream


class ConvertedWatches:
    """Opens watches of one kind, as `watching.WatchServer` opens those of others."""

    def __init__(self, watches: WatchServer, kind: Kind, conversion: Conversion) -> None:
        self.reader = watches.reader
        self.kind = kind
        self.conversion = conversion
        self._watches = watches

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
        stream = ConvertedWatch(self, query, encoding, since, bookmarks or initial_bookmark)

        def begin(channel: Channel) -> None:
            self._watches.adopt(stream)
            stream.start(channel, list(initial or ()), initial_bookmark, timeout)

        def close() -> None:
            self._watches.forget(stream)
            stream.close()

        return Stream(begin, stream.wake, close, content_type=encoding.content_type)


class ConvertedWatch:
    """One watcher."""

    def __init__(self, server: ConvertedWatches, query: Query, encoding: Encoding, since: int, bookmarks: bool) -> None:
        self.query = query
        self._server = server
        self._encoding = encoding
        self._cursor = since
        self._bookmarks = bookmarks
        self._first = True
        self._over = False
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, channel: Channel, initial: list[Record], ends: bool, timeout: float) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(channel, initial, ends, timeout))

    def wake(self) -> None:
        self._news.set()

    def bookmark(self) -> None:
        """Bookmarks come when nothing else does."""

    def end(self) -> None:
        self._over = True
        self.wake()

    cut = end

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, channel: Channel, initial: list[Record], ends: bool, seconds: float) -> None:
        subscription = self._server.reader.subscribe(self.query, lambda events, revision: self.wake())
        try:
            async with asyncio.timeout(seconds):
                await self._write(channel, [WatchEvent("ADDED", record) for record in initial])
                if ends:
                    channel.write(self._encoding.frame("BOOKMARK", self._encoding.bookmark(self._cursor, True)))
                await self._follow(channel)
        except TimeoutError:
            pass
        except RevisionCompacted:
            gone = Expired(f"too old resource version: {self._cursor}")
            channel.write(self._encoding.frame("ERROR", self._encoding.status(gone.status())))
        except ApiError as error:
            channel.write(self._encoding.frame("ERROR", self._encoding.status(error.status())))
        finally:
            subscription.close()
        channel.finish()

    async def _follow(self, channel: Channel) -> None:
        reader = self._server.reader
        while not self._over:
            self._news.clear()
            newest = reader.revision
            events = reader.changes(self.query, self._cursor, limit=SLICE)
            await self._write(channel, events)
            self._cursor = events[-1].record.revision if len(events) >= SLICE else max(self._cursor, newest)
            if len(events) >= SLICE:
                continue
            try:
                await asyncio.wait_for(self._news.wait(), BOOKMARK_SECONDS)
            except TimeoutError:
                if self._bookmarks:
                    channel.write(self._encoding.frame("BOOKMARK", self._encoding.bookmark(self._cursor, False)))

    async def _write(self, channel: Channel, events: Sequence[WatchEvent]) -> None:
        for start in range(0, len(events), SLICE):
            part = events[start : start + SLICE]
            await self._server.conversion.ready(self._server.kind, [event.record for event in part])
            while channel.congested:
                await self._news.wait()
                self._news.clear()
            for event in part:
                channel.write(self._encoding.frame(event.type, self._encoding.encode(event.record, self._first)))
                self._first = False
