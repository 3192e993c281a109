"""The one thread that writes: group commits first, upkeep of the file in slices between them.

Upkeep cannot be starved: after each batch at least twice as many rows are moved out of the log as came in, as long as
there are any to move. It cannot hold up commits either: a slice takes a few milliseconds, and a waiting batch goes
first.

A saturated loop must not starve this thread. The interpreter's lock is dropped and taken back by the loop at every
poll, faster than a waiting thread wakes up; only a waiter whose patience (the switch interval) ends before the next
poll is sure to be let in. With the interpreter's default of 5 ms, commits beside a loop busy with short callbacks
were measured to take seconds; hence a short interval, and a timer precise enough to keep it.
"""

from __future__ import annotations

import ctypes
import sqlite3
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter
from typing import NamedTuple

from arktos.store.logfile import WAL_LIMIT, LogFile
from arktos.store.rows import Row

SWITCH_INTERVAL = 0.00001
"""Seconds after which a thread that waits for the interpreter's lock demands it."""

_SLICE_ROWS = 128
_PR_SET_TIMERSLACK = 29


class Batch(NamedTuple):
    """Rows of whole commits, to be written in one transaction, and a new ceiling if not 0."""

    rows: list[Row]
    ceiling: int


class Written(NamedTuple):
    """What became of a batch. `error` is None if it is durable; `seconds` is what writing took, fsync included."""

    error: BaseException | None
    seconds: float


class _Finish(NamedTuple):
    last: int
    floor: int


class Writer:
    """Runs from construction until `finish`."""

    def __init__(
        self, file: LogFile, done: Callable[[Written], None], ended: Callable[[BaseException | None], None]
    ) -> None:
        """`done` is called after each batch, `ended` when the thread ends, with the error if it could not leave the
        file in order. Both are called on the writer's thread."""
        self._file = file
        self._done = done
        self._ended = ended
        self._jobs: SimpleQueue[Batch | _Finish | None] = SimpleQueue()
        self._trim_until = 0
        self._trimmed_until = 0
        self._stuck = False
        self._thread = Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def log_rows(self) -> int:
        return self._file.seq - self._file.trimmed

    @property
    def wal_bytes(self) -> int:
        return self._file.wal_bytes

    def submit(self, batch: Batch) -> None:
        """One batch at a time: the next one after `done`."""
        self._jobs.put(batch)

    def trim(self, until: int) -> None:
        """Lets rows of revisions up to `until` go from the log to the state."""
        if until > self._trim_until or self._stuck:
            self._trim_until = until
            self._jobs.put(None)

    def finish(self, last: int, floor: int) -> None:
        """Closes the file, once all before is done; `last` is the newest revision that was handed out, 0 if not all of
        what was seen is in the file; `floor` as in `LogFile.finish`."""
        self._jobs.put(_Finish(last, floor))

    def join(self) -> None:
        self._thread.join()

    # -- on the thread

    def _run(self) -> None:
        _sharpen_timers()
        error: BaseException | None = RuntimeError("the writer has died")
        try:
            error = self._serve()
        finally:
            self._file.close()
            self._ended(error)

    def _serve(self) -> BaseException | None:
        while True:
            job = self._next()
            if isinstance(job, Batch):
                self._write(job)
            elif isinstance(job, _Finish):
                try:
                    if job.last:
                        self._file.finish(job.last, job.floor)
                except sqlite3.Error as error:
                    return error
                return None
            else:
                self._stuck = False

    def _next(self) -> Batch | _Finish | None:
        """The next job; does upkeep while there is none."""
        while not self._stuck and self._behind():
            try:
                return self._jobs.get_nowait()
            except Empty:
                self._upkeep()
        return self._jobs.get()

    def _write(self, batch: Batch) -> None:
        start = perf_counter()
        error: BaseException | None = None
        try:
            self._file.append(batch.rows, batch.ceiling)
            self._stuck = False
        except (sqlite3.Error, OverflowError) as failure:
            error = failure
        self._done(Written(error, perf_counter() - start))
        if error is None:
            owed = 2 * len(batch.rows)
            while owed > 0 and not self._stuck and self._behind():
                owed -= self._upkeep()

    def _behind(self) -> bool:
        return self._trimmed_until < self._trim_until or self._file.wal_bytes > WAL_LIMIT

    def _upkeep(self) -> int:
        """One slice; answers what it is worth in rows. A failing disk stops upkeep until there is a reason to try
        again."""
        try:
            if self._file.wal_bytes > WAL_LIMIT:
                self._file.fold()
                return _SLICE_ROWS
            until = self._trim_until
            moved = self._file.trim(until, _SLICE_ROWS)
            if not moved:
                self._trimmed_until = until
            return moved or _SLICE_ROWS
        except sqlite3.Error:
            self._stuck = True
            return 0


def _sharpen_timers() -> None:
    """Lets this thread's timed waits end to the microsecond, not 50 later (prctl(2)); elsewhere than on Linux,
    nothing."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
