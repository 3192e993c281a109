"""A log that is followed while it is written, rotated and ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from arktos.agent.streaming.crilog import LogOptions, LogReader
from arktos.agent.streaming.inotify import Folders
from arktos.agent.streaming.logs import LogSource, log_stream
from arktos.wire import exchange
from arktos.wire.http import Reply, Request
from arktos.wire.http_server import serve


@dataclass
class Container:
    """Something that writes a log as a runtime does."""

    path: Path
    runs: bool = True
    number: int = 0
    file: list[int] = field(default_factory=list)

    def write(self, count: int = 1, into: Path | None = None) -> None:
        with (into or self.path).open("ab") as file:
            for _ in range(count):
                self.number += 1
                file.write(b"2026-01-01T00:00:00Z stdout F line %d\n" % self.number)

    def expected(self) -> bytes:
        return b"".join(b"line %d\n" % (n + 1) for n in range(self.number))


@asynccontextmanager
async def reading(
    container: Container, options: LogOptions, folders: Folders | None = None
) -> AsyncIterator[exchange.Exchange]:
    def handler(request: Request) -> Reply:
        return log_stream(LogSource(container.path, lambda: container.runs), options, folders)

    server = await serve(handler)
    answer = await exchange.begin("127.0.0.1", server.port, "GET", "/", [("Host", "h")])
    try:
        yield answer
    finally:
        answer.abort()
        await server.close(0)


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path / "0.log")


async def until(answer: exchange.Exchange, found: bytearray, expected: bytes) -> None:
    async with asyncio.timeout(20):
        while bytes(found) != expected:
            piece = await answer.piece()
            assert piece, f"ended with {bytes(found)!r}"
            found += piece


async def test_a_log_ends_where_the_file_does(container: Container) -> None:
    container.write(10_000)
    async with reading(container, LogOptions()) as answer:
        assert await answer.read(1 << 30) == container.expected()
    async with reading(container, LogOptions(tail=2)) as answer:
        assert await answer.read(1 << 30) == b"line 9999\nline 10000\n"


async def test_a_log_that_is_not_there_is_empty(container: Container) -> None:
    container.runs = False
    async with reading(container, LogOptions(follow=True)) as answer:
        assert await answer.read(100) == b""


@pytest.mark.parametrize("watched", [True, False])
async def test_what_is_written_is_followed_through_rotations_to_the_end(container: Container, watched: bool) -> None:
    folders = Folders() if watched else None
    container.write(3)
    found = bytearray()
    async with reading(container, LogOptions(follow=True), folders) as answer:
        await until(answer, found, container.expected())
        container.write(2)
        await until(answer, found, container.expected())
        for stamp in ("20260101-000000", "20260102-000000"):
            old = Path(f"{container.path}.{stamp}")
            container.path.rename(old)
            container.write(2, into=old)  # before the runtime is told
            container.path.touch()
            container.write(1, into=old)  # before it has turned to the new file
            container.write(3)
            await until(answer, found, container.expected())
        container.write(1)
        container.runs = False
        async with asyncio.timeout(20):
            while piece := await answer.piece():
                found += piece
    assert bytes(found) == container.expected()
    # From its beginning, too.
    async with reading(container, LogOptions()) as answer:
        assert await answer.read(1 << 30) == container.expected()
    if folders is not None:
        folders.close()


async def test_a_slow_reader_holds_the_log_back(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    feed = LogReader.feed

    def counted(self: LogReader, data: bytes) -> bytes:
        nonlocal read
        read += len(data)
        return feed(self, data)

    monkeypatch.setattr(LogReader, "feed", counted)
    line = b"2026-01-01T00:00:00Z stdout F " + b"x" * 1000 + b"\n"
    container.path.write_bytes(line * 100_000)
    async with reading(container, LogOptions()) as answer:
        before = -1
        while read != before:  # until it has come to a stop
            before = read
            await asyncio.sleep(0.5)
        assert read < 32 << 20
        taken = 0
        while piece := await answer.piece():
            taken += len(piece)
        assert taken == 1001 * 100_000


async def test_who_goes_away_is_forgotten(container: Container) -> None:
    folders = Folders()
    container.write(1)
    async with reading(container, LogOptions(follow=True), folders) as answer:
        await until(answer, bytearray(), container.expected())
        assert folders._watchers
        answer.abort()
        async with asyncio.timeout(10):
            while folders._watchers:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    folders.close()
