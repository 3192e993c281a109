"""The embedded engine: one process, one file, durable by group commit.

On the loop a commit is checked, given its revision and queued, in one step; at the end of the turn all that queued
goes to the writer thread as one batch, and while that is written the next batch gathers. When a batch is durable its
commits become visible, in order. Lazy puts become visible at once, unless something durable waits before them, and go
along with the next batch, at most about a second later.
"""

from __future__ import annotations

import asyncio
import builtins
import os
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

from arktos.store.expiry import Expiry
from arktos.store.faults import StoreCorrupt, StoreFault, StoreLocked
from arktos.store.head import Head
from arktos.store.history import Window
from arktos.store.loading import FileLock, Loaded, load, quiet_gc, verify
from arktos.store.logfile import LogFile
from arktos.store.records import (
    AtRevision,
    Committed,
    Delete,
    Event,
    Key,
    Page,
    Precondition,
    Put,
    Query,
    Record,
    StoreUnavailable,
    Subscription,
    WatchEvent,
    Write,
)
from arktos.store.replica import Replica
from arktos.store.revisions import Revisions
from arktos.store.rows import Row, encode
from arktos.store.sharing import Pool
from arktos.store.views import newest
from arktos.store.writer import SWITCH_INTERVAL, Batch, Writer, Written
from arktos.wire import logs

__all__ = ["EmbeddedStore", "Stats", "StoreCorrupt", "StoreFault", "StoreLocked", "Window", "open_store", "verify"]

T = TypeVar("T")

_log = logs.get_logger(__name__)

_TICK = 0.5
"""Seconds between housekeeping: lazy puts are written, expired records and old history go."""
_BATCH_ROWS = 1024
_BATCH_BYTES = 4 << 20
_LAZY_BYTES = 8 << 20
"""Lazy puts beyond this many unwritten bytes wait for the disk like others: memory is bounded also when it fails."""
_EXPIRE_AT_ONCE = 128
_DEFAULT_WINDOW = Window()


class Stats(NamedTuple):
    """The state of the store for metrics. Bytes and seconds; `write_seconds` are the latest batches' times, oldest
    first."""

    revision: int
    oldest: int
    objects: dict[str, int]
    pending_commits: int
    unwritten_bytes: int
    history_events: int
    history_bytes: int
    log_rows: int
    file_bytes: int
    wal_bytes: int
    subscriptions: int
    expiring: int
    batches: int
    commits: int
    failed_batches: int
    write_seconds: tuple[float, ...]


class _Transaction:
    """An accepted commit on its way to disk. Visible ones only wait to be written."""

    __slots__ = ("events", "future", "lazy", "revision", "rows", "size", "visible")

    def __init__(self, revision: int, events: list[Event], rows: list[Row], *, lazy: bool) -> None:
        self.revision = revision
        self.events = events
        self.rows = rows
        self.lazy = lazy
        self.size = sum([len(row[4] or b"") for row in rows])
        self.visible = False
        self.future: asyncio.Future[Committed] | None = None

    def committed(self) -> Committed:
        return Committed(self.revision, tuple([newest(event) for event in self.events]))


class EmbeddedStore:
    """A `records.Store` in one SQLite file. Use `open_store`. An async context manager that closes."""

    def __init__(
        self,
        file: LogFile,
        lock: FileLock,
        replica: Replica,
        pool: Pool,
        loaded: Loaded,
        clock: Callable[[], float],
        on_fsync: Callable[[float], None] | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = file.path
        self._lock = lock
        self._replica = replica
        self._clock = clock
        self._on_fsync = on_fsync
        self._head = Head(replica.get, pool)
        self._revisions = Revisions(replica.revision, 0)
        self._lazy_resources = loaded.lazy
        self._floor = loaded.floor
        self._expiry = Expiry(replica.get)
        for record in replica.index.records():
            if record.expires:
                self._expiry.watch(record)
        self._unwritten: deque[_Transaction] = deque()
        self._inflight: list[_Transaction] = []
        self._inflight_ceiling = 0
        self._waiting = 0
        self._unwritten_bytes = 0
        self._pumping = False
        self._closing = False
        self._ended: asyncio.Future[BaseException | None] = self._loop.create_future()
        self._idle: asyncio.Future[None] | None = None
        self._batches = self._commits = self._failures = 0
        self._problem: str | None = None
        self._seconds: deque[float] = deque(maxlen=512)
        self._writer = Writer(
            file,
            lambda written: self._call(self._written, written),
            lambda error: self._call(self._writer_ended, error),
        )
        self._timer = self._loop.call_later(_TICK, self._tick)

    # -- reading

    @property
    def revision(self) -> int:
        return self._replica.revision

    @property
    def oldest(self) -> int:
        return self._replica.oldest

    @property
    def delivered(self) -> int:
        """Up to here every subscription has been delivered everything: what a bookmark may say."""
        return self._replica.hub.delivered

    def get(self, key: Key) -> Record | None:
        return self._replica.get(key)

    def accepted(self, key: Key) -> Record | None:
        return self._head.get(key)

    def touched(self, resource: str) -> int:
        return self._replica.touched(resource)

    def list(self, query: Query, *, limit: int = 0, after: Key | None = None, revision: int = 0) -> Page:
        return self._replica.list(query, limit=limit, after=after, revision=revision)

    def changes(self, query: Query, since: int, *, limit: int = 0) -> builtins.list[WatchEvent]:
        return self._replica.changes(query, since, limit=limit)

    def subscribe(self, query: Query, deliver: Callable[[Sequence[WatchEvent], int], None]) -> Subscription:
        return self._replica.subscribe(query, deliver)

    def by_owner(self, uid: str) -> builtins.list[Record]:
        """The objects of all resources with an ownerReference to `uid`, in no order."""
        return self._replica.index.by_owner(uid)

    def count(self, resource: str, tenant: str | None, namespace: str | None) -> int:
        """About how many objects there are; costs next to nothing."""
        return self._replica.index.count(resource, tenant, namespace)

    @property
    def problem(self) -> str | None:
        """Why the last write failed, None if it did not. While there is one, a write is tried every half second."""
        return self._problem

    def stats(self) -> Stats:
        replica = self._replica
        return Stats(
            revision=replica.revision,
            oldest=replica.oldest,
            objects=replica.index.counts(),
            pending_commits=self._waiting,
            unwritten_bytes=self._unwritten_bytes,
            history_events=len(replica.history),
            history_bytes=replica.history.bytes,
            log_rows=self._writer.log_rows,
            file_bytes=_file_size(self._path),
            wal_bytes=_file_size(self._path.with_name(self._path.name + "-wal")),
            subscriptions=len(replica.hub),
            expiring=len(self._expiry),
            batches=self._batches,
            commits=self._commits,
            failed_batches=self._failures,
            write_seconds=tuple(self._seconds),
        )

    # -- writing

    async def commit(self, preconditions: Sequence[Precondition], writes: Sequence[Write]) -> Committed:
        """See `records.Store`. ValueError for what no store can hold: no writes, two of one key, a key with a slash,
        a body without an empty slot. A Delete of what does not exist is a failed `Live`. Once accepted, a commit goes
        through even if the caller is cancelled."""
        transaction = self._accept(preconditions, writes)
        if transaction.future is None:
            return transaction.committed()
        return await transaction.future

    def _accept(self, preconditions: Sequence[Precondition], writes: Sequence[Write]) -> _Transaction:
        if self._closing:
            raise StoreUnavailable("the store is closed")
        self._head.check(preconditions)
        now = self._clock()
        revision = self._revisions.next(now)
        events = self._head.prepare(writes, revision, now)
        rows = [encode(write, event) for write, event in zip(writes, events, strict=True)]
        lazy = isinstance(writes[0], Put) and writes[0].lazy and all(isinstance(w, Put) and w.lazy for w in writes)
        transaction = _Transaction(revision, events, rows, lazy=lazy)
        self._revisions.take(revision)
        self._unwritten.append(transaction)
        self._unwritten_bytes += transaction.size
        if lazy and not self._waiting and self._acknowledges(transaction):
            self._show([transaction])
        else:
            transaction.future = self._loop.create_future()
            self._waiting += 1
            self._head.push(events)
            self._wake()
        return transaction

    def _acknowledges(self, transaction: _Transaction) -> bool:
        """Whether a lazy commit may be seen before it is written. The first of a resource may not: that the resource
        has lazy puts must be on disk before anyone sees one that is not."""
        return (
            transaction.revision <= self._revisions.ceiling
            and self._unwritten_bytes <= _LAZY_BYTES
            and all(newest(event).key.resource in self._lazy_resources for event in transaction.events)
        )

    def _show(self, transactions: Sequence[_Transaction]) -> None:
        """Makes accepted commits visible, oldest first."""
        events = transactions[0].events
        if len(transactions) > 1:
            events = [event for transaction in transactions for event in transaction.events]
        for transaction in transactions:
            transaction.visible = True
        self._commits += len(transactions)
        self._replica.apply(transactions[-1].revision, events)
        for event in events:
            if event.record is not None and event.record.expires:
                self._expiry.watch(event.record)

    def _settle(self, transactions: Sequence[_Transaction]) -> None:
        """The same for commits that somebody waits for."""
        if not transactions:
            return
        self._show(transactions)
        self._waiting -= len(transactions)
        for transaction in transactions:
            self._head.settle(transaction.events)
            if transaction.future is not None and not transaction.future.done():
                transaction.future.set_result(transaction.committed())

    # -- batches

    def _wake(self) -> None:
        """Has what is queued written at the end of this turn, together with what else comes in it."""
        if not self._inflight and not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        if self._inflight or not (self._unwritten or self._problem):
            return
        rows: list[Row] = []
        size = 0
        while self._unwritten and (not rows or (len(rows) < _BATCH_ROWS and size < _BATCH_BYTES)):
            transaction = self._unwritten.popleft()
            self._inflight.append(transaction)
            rows += transaction.rows
            size += transaction.size
        # Without rows, this is only to see whether the disk takes anything.
        self._inflight_ceiling = self._revisions.new_ceiling() or (0 if rows else self._revisions.last)
        self._writer.submit(Batch(rows, self._inflight_ceiling))

    def _written(self, written: Written) -> None:
        batch, self._inflight = self._inflight, []
        self._batches += 1
        if written.error is None:
            self._problem = None
            self._seconds.append(written.seconds)
            self._unwritten_bytes -= sum(transaction.size for transaction in batch)
            self._revisions.ceiling = max(self._revisions.ceiling, self._inflight_ceiling)
            for transaction in batch:
                if transaction.lazy and not transaction.visible:
                    self._lazy_resources.update(newest(event).key.resource for event in transaction.events)
            self._settle([transaction for transaction in batch if not transaction.visible])
            self._show_lazy()
        else:
            self._fail(batch, written.error)
        if self._waiting or (self._closing and written.error is None):
            self._pump()
        if self._idle is not None and not self._inflight and not self._idle.done():
            self._idle.set_result(None)
        if written.error is None:
            self._forget()
            if self._on_fsync is not None:
                self._on_fsync(written.seconds)

    def _show_lazy(self) -> None:
        """Lazy commits that only waited for those before them."""
        for transaction in self._unwritten:
            if transaction.visible:
                continue
            if not (transaction.lazy and self._acknowledges(transaction)):
                return
            self._settle([transaction])

    def _fail(self, batch: Sequence[_Transaction], error: BaseException) -> None:
        """Back to what is visible: what was accepted beyond it failed, what was acknowledged waits for the next
        batch."""
        self._failures += 1
        if self._problem is None:
            _log.warning("store_write_failed", error=str(error))
        self._problem = f"the last write failed: {error}"
        accepted = [*batch, *self._unwritten]
        self._unwritten = deque(transaction for transaction in accepted if transaction.visible)
        self._unwritten_bytes = sum(transaction.size for transaction in self._unwritten)
        self._waiting = 0
        self._head.reset()
        for transaction in accepted:
            if transaction.future is not None and not transaction.visible and not transaction.future.done():
                unavailable = StoreUnavailable(f"the write failed: {error}")
                unavailable.__cause__ = error
                transaction.future.set_exception(unavailable)

    # -- housekeeping

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK, self._tick)
        if self._unwritten or self._problem:
            self._wake()
        self._expire()
        self._forget()

    def _forget(self) -> None:
        self._replica.history.forget(self._clock())
        self._writer.trim(self._replica.oldest)

    def _expire(self) -> None:
        """Removes a slice of what has expired; goes on when that is durable."""
        due = self._expiry.due(self._clock(), _EXPIRE_AT_ONCE)
        # Where the head differs, the record is being renewed or deleted at this moment: look again later.
        busy = [record for record in due if self._head.get(record.key) is not record]
        gone = [record for record in due if self._head.get(record.key) is record]
        for record in busy:
            self._expiry.watch(record)
        if not gone or self._closing:
            return
        try:
            transaction = self._accept(
                [AtRevision(record.key, record.revision) for record in gone], [Delete(record.key) for record in gone]
            )
        except StoreUnavailable:
            for record in gone:
                self._expiry.watch(record)
            return
        if transaction.future is not None:
            transaction.future.add_done_callback(lambda future: self._expired(future, gone))

    def _expired(self, future: asyncio.Future[Committed], gone: Sequence[Record]) -> None:
        if future.cancelled() or future.exception() is not None:
            for record in gone:
                self._expiry.watch(record)
        elif len(gone) == _EXPIRE_AT_ONCE:
            self._expire()

    # -- closing

    async def close(self) -> None:
        """Writes what is left, tidies the file and lets go of it; idempotent. StoreUnavailable if acknowledged lazy
        puts could not be written."""
        if not self._closing:
            self._closing = True
            self._timer.cancel()
            self._idle = self._loop.create_future()
            self._pump()
            if self._inflight:
                await self._idle
            # With lazy puts unwritten the file stays as after a crash, so that their revisions are passed over.
            self._writer.finish(0 if self._unwritten else self._revisions.last, self._floor)
        error = await asyncio.shield(self._ended)
        if error is not None or self._unwritten:
            raise StoreUnavailable(f"the store could not be left in order: {error}") from error

    async def __aenter__(self) -> EmbeddedStore:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _writer_ended(self, error: BaseException | None) -> None:
        """Also when it died, which must not leave anybody waiting."""
        self._timer.cancel()
        self._writer.join()
        self._lock.release()
        self._closing = True
        if error is not None:
            self._fail(self._inflight, error)
            self._inflight = []
        if not self._ended.done():
            self._ended.set_result(error)

    def _call(self, callback: Callable[[T], None], argument: T) -> None:
        """From the writer's thread to the loop. A loop that is closed already has nobody left to tell."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, argument)


def open_store(
    path: Path,
    resources: Mapping[str, Sequence[str]],
    *,
    clock: Callable[[], float] = time.time,
    window: Window = _DEFAULT_WINDOW,
    max_bytes: int = 0,
    on_fsync: Callable[[float], None] | None = None,
    switch_interval: float = SWITCH_INTERVAL,
) -> EmbeddedStore:
    """Opens the store in the file `path`, creating it if it does not exist, on the running loop, which it blocks
    while it loads. `resources` names the indexed field labels by group-resource; other resources may be stored as
    well.

    `clock` answers unix seconds, `window` is how much history is kept, `max_bytes` bounds the database file (0 = no
    bound), `on_fsync` is told the seconds of each written batch. `switch_interval`
    is set for the process (0 = leave as it is); see `writer.SWITCH_INTERVAL`.

    StoreCorrupt, StoreLocked; OSError where the place can't be used.
    """
    if switch_interval and switch_interval < sys.getswitchinterval():
        sys.setswitchinterval(switch_interval)
    lock = FileLock(path)
    try:
        pool = Pool()
        replica = Replica(resources, asyncio.get_running_loop().call_soon, window)
        with quiet_gc():
            loaded = load(path, replica, pool)
        replica.history.forget(clock())
        replica.start(loaded.revision, dict.fromkeys(loaded.lazy, loaded.floor))
        created = not path.exists()
        file = LogFile(path, max_bytes)
        if created:
            _sync_directory(path.parent)
    except sqlite3.Error as error:
        lock.release()
        raise OSError(f"{path} cannot be opened: {error}") from error
    except BaseException:
        lock.release()
        raise
    return EmbeddedStore(file, lock, replica, pool, loaded, clock, on_fsync)


def _sync_directory(directory: Path) -> None:
    """A new file is there after a power loss only if its directory is on disk."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
