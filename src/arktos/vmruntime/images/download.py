"""A file from a web server onto disk: hashed as it comes, taken up again where it broke off, bounded. Blocks."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arktos.vmruntime.images.faults import Corrupt, Unreachable, from_os, too_large
from arktos.vmruntime.images.web import Answer, Web, authority, refuse

Progress = Callable[[int, int], None]
"""Bytes that have come, and bytes in all; 0 where the server doesn't say."""

ATTEMPTS = 5
"""How often a transfer may break off before it has failed."""

_CHUNK = 256 << 10
_SLOW_WINDOW, _SLOW_BYTES = 60.0, 64 << 10
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d*/(\d+|\*)\Z")


@dataclass(frozen=True, slots=True)
class Wanted:
    """`secret` are headers for the server that the URL names alone. `sha256` and `size` are what must come, where
    known; `etag` is the version that we have already."""

    url: str
    what: str
    headers: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, str] = field(default_factory=dict)
    trusted: bool = False
    sha256: str = ""
    size: int = 0
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Got:
    """`unchanged`: the server still has the version of `Wanted.etag`, and nothing was written."""

    sha256: str
    etag: str = ""
    unchanged: bool = False


class Download:
    """One file, in as many attempts as it takes."""

    def __init__(self, web: Web, wanted: Wanted, path: Path, most: int, progress: Progress) -> None:
        self._web, self._wanted, self._path, self._most, self._progress = web, wanted, path, most, progress
        self._hash = hashlib.sha256()
        self._done = 0
        self._total = 0
        self._etag = ""

    def run(self) -> Got:
        """Raises Absent, Denied, Unfit, Unreachable, Corrupt, NoSpace, Cancelled; then `path` holds part of it."""
        for attempt in range(ATTEMPTS):
            before = self._done
            try:
                if self._attempt():
                    return self._finished()
                return Got("", self._wanted.etag, unchanged=True)
            except Unreachable:
                # What makes headway may go on for ever: a large image over a bad line.
                if attempt == ATTEMPTS - 1 and self._done - before < _SLOW_BYTES:
                    raise
            self._web.lifeline.wait(min(0.2 * 2**attempt, 5.0))
        raise Unreachable(f"{authority(self._wanted.url)} broke off {ATTEMPTS} times")

    def _attempt(self) -> bool:
        """Gets the rest; False if nothing has changed since the version that we have."""
        wanted = self._wanted
        headers = {**wanted.headers, "Accept-Encoding": "identity"}
        if self._done and self._etag and not self._etag.startswith("W/"):
            headers |= {"Range": f"bytes={self._done}-", "If-Range": self._etag}
        elif wanted.etag:
            headers["If-None-Match"] = wanted.etag
        with self._web.get(wanted.url, headers, wanted.secret, trusted=wanted.trusted) as answer:
            if answer.status == 304 and wanted.etag:
                return False
            if answer.status == 416:
                self._done = 0
                raise Unreachable(f"{authority(answer.url)} has less of {wanted.what} than it said")
            refuse(answer, wanted.what)
            self._begin(answer)
            self._copy(answer)
        return True

    def _begin(self, answer: Answer) -> None:
        """Goes on where it broke off if the server does so, too; else starts over."""
        if answer.status == 206:
            found = _CONTENT_RANGE.match(answer.header("Content-Range"))
            if found is None or int(found[1]) != self._done:
                raise Unreachable(f"{authority(answer.url)} answered another range than was asked for")
            return
        self._done, self._hash = 0, hashlib.sha256()
        self._etag = answer.header("ETag")
        stated = answer.header("Content-Length")
        self._total = int(stated) if stated.isdigit() else 0
        if self._total > self._most:
            raise too_large(self._wanted.what, self._most)
        self._reserve()

    def _reserve(self) -> None:
        free = os.statvfs(self._path.parent)
        if self._total > free.f_bavail * free.f_frsize:
            raise from_os(OSError(28, ""), f"{self._wanted.what} needs {self._total} bytes")

    def _copy(self, answer: Answer) -> None:
        try:
            with self._path.open("r+b" if self._done else "wb") as file:
                file.seek(self._done)
                file.truncate()
                for chunk in _chunks(self._web, answer):
                    file.write(chunk)
                    self._hash.update(chunk)
                    self._done += len(chunk)
                    if self._done > self._most:
                        raise too_large(self._wanted.what, self._most)
                    self._progress(self._done, self._total)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise from_os(error, f"cannot write {self._wanted.what}") from None
        if self._total and self._done < self._total:
            raise Unreachable(
                f"{authority(answer.url)} broke off after {self._done} of {self._total} bytes of {self._wanted.what}"
            )

    def _finished(self) -> Got:
        sha256 = self._hash.hexdigest()
        if self._wanted.size and self._done != self._wanted.size:
            raise Corrupt(f"{self._wanted.what} has {self._done} bytes, not {self._wanted.size}")
        if self._wanted.sha256 and sha256 != self._wanted.sha256:
            raise Corrupt(f"{self._wanted.what} has the SHA-256 checksum {sha256}, not {self._wanted.sha256}")
        return Got(sha256, self._etag)


def _chunks(web: Web, answer: Answer) -> Iterator[bytes]:
    """The body as it comes. Raises Unreachable when it breaks off or trickles, Cancelled."""
    began, count = time.monotonic(), 0
    while True:
        try:
            chunk = answer.response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            web.lifeline.check()
            raise Unreachable(f"{authority(answer.url)} broke off: {error!r}") from None
        web.lifeline.check()
        if not chunk:
            return
        yield chunk
        count += len(chunk)
        now = time.monotonic()
        if now - began > _SLOW_WINDOW:
            if count < _SLOW_BYTES:
                raise Unreachable(f"{authority(answer.url)} sends less than {_SLOW_BYTES} bytes a minute")
            began, count = now, 0
