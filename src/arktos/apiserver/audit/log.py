"""The audit log's file: a bounded queue, a thread that writes, rotation by size, age and number.

What happens when lines come faster than they can be written, or cannot be written at all, is the mode's:

    blocking   requests wait for room, and are refused where there is none for too long; no line is lost
    batch      what finds no room is dropped, and counted

A line is never torn: after a failed write the file is cut back to where it was.
"""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from arktos.wire import logs

log = logs.get_logger(__name__)

MODES = ("blocking", "batch")
MAX_WAITING, MAX_WAITING_BYTES = 10_000, 64 << 20
"""Lines that wait to be written, and bytes of the bodies that they hold."""
_BATCH = 500
_GATHER_SECONDS = 0.02
"""How long lines are gathered before they are written: one wake-up for many."""
_RETRY_SECONDS = 0.5
_DAY = 86400.0

Line = Callable[[], bytes]
"""Makes a line, on the writer's thread: the loop has better things to do than JSON."""


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Names and meanings of kube-apiserver's `--audit-*`. `path` `-` is standard output; `max_size` is in MiB,
    `max_age` in days, `max_backups` a number of old files, 0 for any."""

    policy_file: Path | None = None
    path: str = ""
    mode: str = "blocking"
    max_size: int = 100
    max_age: int = 0
    max_backups: int = 0
    compress: bool = False


class AuditLog:
    """Lines to a file. Raises OSError if that cannot be opened. `close` writes what waits, within `seconds`."""

    def __init__(self, options: AuditOptions) -> None:
        self.blocking = options.mode == "blocking"
        self._waiting: deque[tuple[Line, int]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._put = self._put_bytes = 0  # written by the loop alone
        self._done = self._done_bytes = 0  # written by the thread alone
        self.written = self.dropped = self.failures = 0
        self._file = _StandardOutput() if options.path == "-" else _File(options)
        self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)
        self._thread.start()

    @property
    def has_room(self) -> bool:
        return self._put - self._done < MAX_WAITING and self._put_bytes - self._done_bytes < MAX_WAITING_BYTES

    @property
    def waiting(self) -> int:
        return self._put - self._done

    def put(self, line: Line, size: int) -> None:
        """Has a line written; `size` are the bytes that it holds on to. Without room it is dropped in batch mode."""
        if not self.blocking and not self.has_room:
            self.dropped += 1
            return
        self._put += 1
        self._put_bytes += size
        self._waiting.append((line, size))
        if self._put - self._done == 1 or self._put % _BATCH == 0:
            with self._wake:
                self._wake.notify()

    def close(self, seconds: float = 5.0) -> None:
        self._closing = True
        with self._wake:
            self._wake.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._waiting and not self._closing:
                    self._wake.wait(1.0)
            if not self._waiting:
                if self._closing:
                    self._file.close()
                    return
                continue
            if not self._closing and len(self._waiting) < _BATCH:
                time.sleep(_GATHER_SECONDS)
            self._write_some()

    def _write_some(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
        lines = []
        for make, _ in taken:
            try:
                lines.append(make())
            except Exception:
                # One line that cannot be made must not end the log.
                self.failures += 1
                log.exception("audit_event_lost")
        if self._store(b"".join(lines)):
            self.written += len(lines)
        else:
            self.dropped += len(lines)
        self._done_bytes += sum(size for _, size in taken)
        self._done += len(taken)

    def _store(self, data: bytes) -> bool:
        failed = False
        while True:
            try:
                self._file.write(data)
            except OSError as error:
                self.failures += 1
                if not failed:
                    log.error("audit_log_unwritable", reason=str(error), blocking=self.blocking)
                failed = True
                if not self.blocking or self._closing:
                    return False
                time.sleep(_RETRY_SECONDS)
            else:
                return True


class _StandardOutput:
    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def close(self) -> None:
        pass


class _File:
    """A file that is set aside when it has grown too large."""

    def __init__(self, options: AuditOptions) -> None:
        self._path = Path(options.path)
        self._limit = options.max_size << 20
        self._age = options.max_age * _DAY
        self._backups = options.max_backups
        self._compress = options.compress
        self._open()

    def write(self, data: bytes) -> None:
        if self._limit and self._size and self._size + len(data) > self._limit:
            self._rotate()
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            # A server was killed in the middle of a line.
            self._size += os.write(self._descriptor, b"\n")

    def _rotate(self) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3]
        aside = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
        os.rename(self._path, aside)
        os.close(self._descriptor)
        self._open()
        try:
            if self._compress:
                _pack(aside)
            self._prune()
        except OSError as error:
            log.warning("audit_backups", reason=str(error))

    def _prune(self) -> None:
        found = sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}*"), reverse=True)
        oldest = time.time() - self._age if self._age else 0.0
        for number, backup in enumerate(found):
            if (self._backups and number >= self._backups) or backup.stat().st_mtime < oldest:
                backup.unlink()


def _pack(path: Path) -> None:
    packed = path.with_name(path.name + ".gz")
    with path.open("rb") as source, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(source, target)
    packed.chmod(0o600)
    path.unlink()
