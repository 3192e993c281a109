"""Brings a store's file back into memory, or says what is wrong with it. Reads only: a damaged file stays as it is."""

from __future__ import annotations

import fcntl
import gc
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from arktos.store.faults import StoreCorrupt, StoreLocked
from arktos.store.history import Window
from arktos.store.logfile import APPLICATION, VERSION, Place, read_place
from arktos.store.records import Event, Record
from arktos.store.replica import Replica
from arktos.store.rows import BadRow, Op, Row, check, last_state, parse_key, to_record
from arktos.store.sharing import Pool
from arktos.store.slots import refill
from arktos.store.walcheck import damage

_LOG = "SELECT seq, revision, op, key, header, body, expires, crc FROM log ORDER BY seq"
_STATE = "SELECT revision, op, key, header, body, expires, crc FROM state"
_NOT_THE_FILES_FAULT = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
)
"""What reading may meet that says nothing about the file: a full disk has no room for the index beside the log."""

_STATE_KEYS = "SELECT key FROM state INDEXED BY sqlite_autoindex_state_1"


class Loaded(NamedTuple):
    """Where a file stands. `revision` is at least what any reader has seen; before `floor` lazy puts of the resources
    that have any (`lazy`) may have been lost."""

    revision: int
    floor: int
    lazy: set[str]


class FileLock:
    """Holds a store's file for this process; it ends with the process. StoreLocked."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 32).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise StoreLocked(path, f"process {holder}" if holder else "") from None
        os.truncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        os.close(self._fd)


def load(path: Path, replica: Replica, pool: Pool) -> Loaded:
    """Fills `replica` with what the file holds. StoreCorrupt. The caller has locked the file."""
    if not _has_content(path):
        return Loaded(0, 0, set())
    with _reading(path) as connection:
        if connection is None:
            return Loaded(0, 0, set())
        place = read_place(connection)
        _load_state(path, connection, place, replica, pool)
        newest, lazy = _load_log(path, connection, place, replica, pool)
        lazy |= {row[0] for row in connection.execute("SELECT resource FROM lazy")}
    # Reading shares an index of the write-ahead log in this file; the writer, being alone, keeps it in memory.
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    # Before a crash readers may have seen revisions up to the ceiling; above it nobody saw anything.
    floor = place.floor if place.clean else place.ceiling + 1
    return Loaded(max(newest, place.ceiling, floor), floor, lazy)


@contextmanager
def quiet_gc() -> Iterator[None]:
    """No garbage collection inside: loading makes many objects and no garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def verify(path: Path) -> list[str]:
    """What is wrong with the file, one line each; empty if every record is as it was written and the database is sound.
    StoreLocked while a store has it open."""
    if not path.exists():
        return [f"{path}: no such file"]
    lock = FileLock(path)
    try:
        with _reading(path) as connection:
            if connection is None:
                return []
            found = [f"{path}: {row[0]}" for row in connection.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
            found += _bad_rows(path, connection)
            if not found:
                with quiet_gc():
                    load(path, Replica({}, lambda _: None, Window()), Pool())
            return found
    except StoreCorrupt as fault:
        return [f"{path}: {fault.detail}"]
    finally:
        lock.release()


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A read-only connection, which neither changes the file nor its write-ahead log; None if it holds no tables yet.
    SQLite's errors inside become StoreCorrupt, or OSError where the disk is at fault."""
    try:
        wrong = "it is a directory" if path.is_dir() else damage(path)
        if wrong:
            raise StoreCorrupt(path, wrong)
        # Without a write-ahead log there is none to be created either.
        mode = "mode=ro" if _has_content(path.with_name(path.name + "-wal")) else "mode=ro&immutable=1"
        with closing(sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None)) as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                yield None
                return
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if application != APPLICATION:
                raise StoreCorrupt(path, "this is not a store's file")
            if version != VERSION:
                raise StoreCorrupt(path, f"the file has format {version}, this program reads format {VERSION}")
            yield connection
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise StoreLocked(path, "") from error
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_THE_FILES_FAULT:
            raise OSError(f"{path} cannot be read: {error}") from error
        raise StoreCorrupt(path, str(error)) from error
    except OSError as error:
        raise StoreCorrupt(path, f"cannot be read: {error.strerror}") from error


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _bad_rows(path: Path, connection: sqlite3.Connection) -> list[str]:
    found = []
    for query in (_STATE, _LOG):
        try:
            for row in connection.execute(query):
                try:
                    check(row[-7:])
                except BadRow as bad:
                    found.append(f"{path}: {bad}")
        except sqlite3.Error as error:
            found.append(f"{path}: {error}")
    return found


def _load_state(path: Path, connection: sqlite3.Connection, place: Place, replica: Replica, pool: Pool) -> None:
    records: list[Record] = []
    total = keys = 0
    try:
        for row in connection.execute(_STATE):
            check(row)
            records.append(to_record(row, pool))
            total += row[6]
            keys += hash(row[2])
    except BadRow as bad:
        raise StoreCorrupt(path, str(bad)) from bad
    if len(records) != place.state_rows or total != place.state_sum:
        raise StoreCorrupt(path, f"the state has {len(records)} records, {place.state_rows} were written, or others")
    if sum(hash(row[0]) for row in connection.execute(_STATE_KEYS)) != keys:
        raise StoreCorrupt(path, "the state's index of keys does not match its records")
    replica.index.load(records)
    if sum(replica.index.counts().values()) != len(records):
        raise StoreCorrupt(path, "the state has two records of one key")


def _load_log(
    path: Path, connection: sqlite3.Connection, place: Place, replica: Replica, pool: Pool
) -> tuple[int, set[str]]:
    """The newest revision, and the resources with lazy puts."""
    newest, seq = place.trimmed_revision, place.trimmed
    lazy: set[str] = set()
    replica.history.oldest = newest
    try:
        for number, *rest in connection.execute(_LOG):
            row = tuple(rest)
            event = _event(row, replica, pool)
            seq += 1
            if number != seq or event.revision < newest:
                raise StoreCorrupt(path, f"row {seq} of the log is missing or out of order")
            newest = event.revision
            if row[1] == Op.LAZY_PUT and event.record is not None:
                lazy.add(event.record.key.resource)
            replica.remember((event,))
    except BadRow as bad:
        raise StoreCorrupt(path, str(bad)) from bad
    if seq < place.logged:
        raise StoreCorrupt(path, f"the log ends at row {seq}, {place.logged} were written")
    return newest, lazy


def _event(row: Row, replica: Replica, pool: Pool) -> Event:
    check(row)
    revision, op, text = row[:3]
    previous = replica.get(parse_key(text))
    if op != Op.DELETE:
        return Event(revision, to_record(row, pool, previous), previous, None)
    if previous is None:
        raise BadRow(f"{text!r} is deleted at revision {revision}, but does not exist")
    header, body = last_state(row, pool, previous)
    body = refill(previous.body, revision) if body is None else body
    return Event(revision, None, previous, Record(previous.key, revision, header, body))
