"""What was given to whom, on disk: one file per interface, replaced whole. Blocks; call it in a thread.

A record is written before anything is made for it and removed after all of it is gone. So after a kill at any instant
what was made is known. `complete` says that it was made to the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from arktos.network.provider import PodIdentity, PortMapping
from arktos.wire import logs

_log = logs.get_logger(__name__)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of one pod's sandbox."""

    container_id: str
    ifname: str
    netns: str
    pod: PodIdentity
    address: str
    mac: str
    host_ifname: str
    ports: tuple[PortMapping, ...] = ()
    annotations: dict[str, str] = {}
    complete: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.container_id, self.ifname


def short(*parts: str, length: int) -> str:
    """Hexadecimal digits that stand for `parts` where names must be short."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:length]


class Records:
    """The folder of records, and the state of the pool beside them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "interfaces"
        self._pool = folder / "pool.json"
        self._folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> Iterator[Record]:
        """All records. What cannot be read is moved aside, and said."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                yield msgspec.json.decode(path.read_bytes(), type=Record)
            except (OSError, msgspec.DecodeError) as error:
                _log.error("record_unreadable", file=str(path), error=str(error))
                path.rename(path.with_suffix(".unreadable"))

    def write(self, record: Record, pool: dict[str, Any] | None = None) -> None:
        """With the pool's new state, which is written second: an address with a record counts as taken anyway."""
        _replace(self._path(record.key), msgspec.json.encode(record))
        if pool is not None:
            self._write_pool(pool)

    def remove(self, key: tuple[str, str], pool: dict[str, Any]) -> None:
        """The pool's new state is written first: without it, it would not be known how late the address came back."""
        self._write_pool(pool)
        self._path(key).unlink(missing_ok=True)

    def read_pool(self) -> Any:
        try:
            return msgspec.json.decode(self._pool.read_bytes())
        except (OSError, msgspec.DecodeError):
            return None

    def _write_pool(self, state: dict[str, Any]) -> None:
        _replace(self._pool, msgspec.json.encode(state))

    def _path(self, key: tuple[str, str]) -> Path:
        # Ids come from outside, and file names have limits.
        return self._folder / f"{short(*key, length=32)}.json"


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.rename(path)
