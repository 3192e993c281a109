"""What the store's tests write: small objects of two resources, and a clock that they move."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from arktos.model import registry
from arktos.model.selectors import Selector, parse
from arktos.store.embedded import EmbeddedStore, open_store
from arktos.store.records import Header, Key, Owner, Put, Record
from arktos.store.slots import fill

RESOURCES = {"pods": ["spec.nodeName", "status.phase"]}


class Objects:
    """Makes keys, headers, bodies and writes."""

    resources = RESOURCES

    @staticmethod
    def key(name: str, namespace: str = "default", tenant: str = "acme", resource: str = "pods") -> Key:
        return Key(resource, tenant, namespace, name)

    @staticmethod
    def body(text: str = "") -> bytes:
        return b'{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":""},"spec":"%s"}' % text.encode()

    @staticmethod
    def header(
        app: str = "", node: str = "", owner: str = "", hash_key: int = 0, deleting: bool = False, uid: str = "u"
    ) -> Header:
        owners = (Owner("ReplicaSet", owner, hash_key),) if owner else ()
        labels = {"app": app} if app else {}
        return Header(uid, hash_key, labels, {"spec.nodeName": node}, owners, deleting)

    @classmethod
    def put(cls, key: Key, text: str = "", *, lazy: bool = False, ttl: float = 0.0, **header: object) -> Put:
        return Put(key, cls.header(**header), cls.body(text), lazy, ttl)  # type: ignore[arg-type]

    @classmethod
    def record(cls, key: Key, revision: int, text: str = "", **header: object) -> Record:
        return Record(key, revision, cls.header(**header), fill(cls.body(text), revision))  # type: ignore[arg-type]

    @staticmethod
    def selector(labels: str = "", fields: str = "") -> Selector | None:
        return parse(labels, fields, registry.by_resource("pods"))


class Clock:
    """Unix time as a test sets it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def objects() -> type[Objects]:
    return Objects


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def new_clock() -> Callable[[], Clock]:
    return Clock


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    async with open_store(tmp_path / "store.db", RESOURCES) as opened:
        yield opened


@pytest.fixture
def crashed(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies an open store's files as they stand now: what a kill -9 at this moment leaves behind."""
    count = 0

    def copy(path: Path) -> Path:
        nonlocal count
        count += 1
        image = tmp_path / f"crashed-{count}" / path.name
        image.parent.mkdir()
        for suffix in ("", "-wal"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                shutil.copyfile(part, image.with_name(image.name + suffix))
        return image

    return copy
