"""The SQLite file: an append-only log, the state behind it, and one row that says where one ends and the other begins.

A row of the log moves to the state table when its event has left the history window. The database runs in WAL mode with
synchronous=FULL and is locked to one process; SQLite's own checkpoint is called for at moments of our choosing, so that
it never stands inside a commit. Not thread-safe: used by one thread at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from arktos.store.rows import Op, Row

APPLICATION = 0x61726B74
"""Marks the file as ours (SQLite's application_id)."""
VERSION = 1
PAGE_SIZE = 8192

WAL_LIMIT = 8 << 20
"""Bytes of write-ahead log after which it is folded into the database."""

_CHUNKS = (256, 64, 16)
_SINGLE = 16
"""Up to here a batch is one statement, which is a transaction of its own: the fewest switches between threads."""

_SLICE_BYTES = 256 << 10

_SCHEMA = f"""
CREATE TABLE log (seq INTEGER PRIMARY KEY, revision INTEGER, op INTEGER, key TEXT, header BLOB, body BLOB, expires REAL,
    crc INTEGER);
CREATE TABLE state (id INTEGER PRIMARY KEY, revision INTEGER, op INTEGER, key TEXT NOT NULL UNIQUE, header BLOB,
    body BLOB, expires REAL, crc INTEGER);
CREATE TABLE lazy (resource TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE place (id INTEGER PRIMARY KEY CHECK (id = 1), ceiling INTEGER, clean INTEGER, logged INTEGER,
    trimmed INTEGER, trimmed_revision INTEGER, floor INTEGER, state_rows INTEGER, state_sum INTEGER);
INSERT INTO place VALUES (1, 0, 1, 0, 0, 0, 0, 0, 0);
CREATE TRIGGER state_insert AFTER INSERT ON state BEGIN
    UPDATE place SET state_rows = state_rows + 1, state_sum = state_sum + NEW.crc; END;
CREATE TRIGGER state_update AFTER UPDATE ON state BEGIN
    UPDATE place SET state_sum = state_sum + NEW.crc - OLD.crc; END;
CREATE TRIGGER state_delete AFTER DELETE ON state BEGIN
    UPDATE place SET state_rows = state_rows - 1, state_sum = state_sum - OLD.crc; END;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""

_FIND_SLICE = """
SELECT max(seq), max(revision), count(*) FROM (
    SELECT seq, revision, sum(size) OVER (ORDER BY seq) - size AS before FROM (
        SELECT seq, revision, coalesce(length(body), 0) AS size FROM log WHERE seq > ? ORDER BY seq LIMIT ?))
WHERE revision <= ? AND before <= ?
"""
_PUTS_TO_STATE = f"""
INSERT INTO state (revision, op, key, header, body, expires, crc)
    SELECT revision, op, key, header, body, expires, crc FROM log
    WHERE seq > ? AND seq <= ? AND op IN ({Op.PUT}, {Op.LAZY_PUT}) ORDER BY seq
ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, op = excluded.op, header = excluded.header,
    body = excluded.body, expires = excluded.expires, crc = excluded.crc WHERE excluded.revision > state.revision
"""
_DELETES_TO_STATE = f"""
DELETE FROM state WHERE id IN (
    SELECT state.id FROM log CROSS JOIN state ON state.key = log.key
    WHERE log.seq > ? AND log.seq <= ? AND log.op = {Op.DELETE} AND log.revision > state.revision)
"""
_REMEMBER_LAZY = f"""
INSERT OR IGNORE INTO lazy SELECT DISTINCT substr(key, 1, instr(key, '/') - 1) FROM log
WHERE seq > ? AND seq <= ? AND op = {Op.LAZY_PUT}
"""


class Place(NamedTuple):
    """The row that says where log and state meet. `ceiling` bounds the revisions that anybody may have seen,
    `clean` tells that the store was closed in peace, `logged` is a row number that the log has reached for sure,
    `trimmed` the last one that has moved to the state, `trimmed_revision` its revision; before `floor` lazy puts
    may have been lost, the last two are what the state adds up to."""

    ceiling: int
    clean: int
    logged: int
    trimmed: int
    trimmed_revision: int
    floor: int
    state_rows: int
    state_sum: int


def read_place(connection: sqlite3.Connection) -> Place:
    row = connection.execute(
        "SELECT ceiling, clean, logged, trimmed, trimmed_revision, floor, state_rows, state_sum FROM place"
    ).fetchone()
    if row is None or any(type(value) is not int for value in row):
        raise sqlite3.DatabaseError("the row of positions is missing or damaged")
    return Place(*row)


class LogFile:
    """The open database, for writing. All methods but `close` raise sqlite3.Error when the disk does; nothing has
    happened then, and the next call may work again."""

    def __init__(self, path: Path, max_bytes: int = 0) -> None:
        """Opens or creates the file. `max_bytes` bounds the database's size (0 = by the disk alone)."""
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
        try:
            self._prepare(max_bytes)
            place = read_place(self._connection)
            last = self._connection.execute("SELECT max(seq) FROM log").fetchone()[0]
        except BaseException:
            self._connection.close()
            raise
        self.seq: int = place.trimmed if last is None else last
        """Number of the newest row."""
        self.trimmed = place.trimmed
        """Number of the newest row that has moved to the state."""
        self.wal_bytes = 0
        """Bytes in the write-ahead log since it was last folded in, an estimate from above."""
        self._clean = bool(place.clean)
        self._broken = False

    def append(self, rows: Sequence[Row], ceiling: int = 0) -> None:
        """Makes `rows`, and a new ceiling if not 0, durable in one transaction."""
        try:
            self._mend()
            if len(rows) <= _SINGLE and not ceiling and not self._clean:
                self._insert(self.seq, rows)
            else:
                self._connection.execute("BEGIN IMMEDIATE")
                if ceiling or self._clean:
                    self._connection.execute("UPDATE place SET ceiling = max(ceiling, ?), clean = 0", (ceiling,))
                start = 0
                while start < len(rows):
                    size = next((size for size in _CHUNKS if len(rows) - start >= size), len(rows) - start)
                    self._insert(self.seq + start, rows[start : start + size])
                    start += size
                self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._undo()
            raise
        self.seq += len(rows)
        self._clean = False
        self.wal_bytes += 3 * PAGE_SIZE + sum(len(row[4] or b"") + len(row[3] or b"") + 128 for row in rows) * 5 // 4

    def trim(self, until: int, rows: int) -> int:
        """Moves at most `rows` rows of revisions up to `until` from the log to the state; answers how many."""
        first = self.trimmed
        execute = self._connection.execute
        try:
            self._mend()
            last, revision, count = execute(_FIND_SLICE, (first, rows, until, _SLICE_BYTES)).fetchone()
            if not count:
                return 0
            execute("BEGIN IMMEDIATE")
            execute(_PUTS_TO_STATE, (first, last))
            execute(_DELETES_TO_STATE, (first, last))
            execute(_REMEMBER_LAZY, (first, last))
            execute("UPDATE place SET trimmed = ?, trimmed_revision = ?", (last, revision))
            size = execute("SELECT sum(length(body)) FROM log WHERE seq > ? AND seq <= ?", (first, last)).fetchone()[0]
            execute("DELETE FROM log WHERE seq > ? AND seq <= ?", (first, last))
            execute("COMMIT")
        except sqlite3.Error:
            self._undo()
            raise
        self.trimmed = last
        self.wal_bytes += (size or 0) * 2 + count * PAGE_SIZE + 4 * PAGE_SIZE
        return int(count)

    def fold(self) -> None:
        """Folds the write-ahead log into the database, so that it starts again from its beginning."""
        try:
            self._connection.execute("UPDATE place SET logged = ?", (self.seq,))
        except sqlite3.Error:
            self._undo()
            raise
        self._checkpoint("PASSIVE")

    def finish(self, last: int, floor: int) -> None:
        """Says that all is well: `last` is the newest revision that was handed out, `floor` the one before which lazy
        puts may have been lost in an earlier crash. Then only `close` may follow."""
        try:
            self._mend()
            self._connection.execute(
                "UPDATE place SET ceiling = ?, clean = 1, logged = ?, floor = ?", (last, self.seq, floor)
            )
        except sqlite3.Error:
            self._undo()
            raise
        self._checkpoint("TRUNCATE")

    def close(self) -> None:
        self._connection.close()

    def _prepare(self, max_bytes: int) -> None:
        execute = self._connection.execute
        execute(f"PRAGMA page_size = {PAGE_SIZE}")
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA wal_autocheckpoint = 0")
        execute(f"PRAGMA journal_size_limit = {4 * WAL_LIMIT}")
        execute("PRAGMA secure_delete = OFF")
        execute("PRAGMA recursive_triggers = OFF")
        if not execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        if max_bytes:
            execute(f"PRAGMA max_page_count = {max(1, max_bytes // PAGE_SIZE)}")

    def _insert(self, seq: int, rows: Sequence[Row]) -> None:
        if rows:
            values = ",".join(["(?,?,?,?,?,?,?,?)"] * len(rows))
            numbered = ((seq + number, *row) for number, row in enumerate(rows, 1))
            self._connection.execute(f"INSERT INTO log VALUES {values}", tuple(chain.from_iterable(numbered)))

    def _undo(self) -> None:
        """After a failure: what stands behind the last commit in the write-ahead log must not come back."""
        self._broken = True
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _mend(self) -> None:
        """After a failure, before the next write: starts the write-ahead log anew, with its space kept."""
        if self._broken:
            self._checkpoint("RESTART")
            self._broken = False

    def _checkpoint(self, mode: str) -> None:
        busy, frames, done = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        if busy or frames != done:
            raise sqlite3.OperationalError("the write-ahead log could not be folded in")
        self.wal_bytes = 0
