"""The console: its log, and those who are attached."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from arktos.vmruntime.console import Console
from arktos.vmruntime.consolelog import LONGEST_LINE, LogFile, split, stamp
from vmruntime.harness import until

LINE = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout ([FP]) (.*)")


def _texts(path: Path) -> list[tuple[bytes, bytes]]:
    found = [LINE.fullmatch(line) for line in path.read_bytes().split(b"\n")[:-1]]
    assert all(found)
    return [(match.group(1), match.group(2)) for match in found if match]


@given(st.binary(max_size=3000).map(lambda text: text.replace(b"\r", b"") * 20), st.booleans())
def test_nothing_is_lost_or_made_up(data: bytes, flush: bool) -> None:
    rebuilt, taken = b"", 0
    for text, whole, end in split(data, flush=flush):
        assert len(text) <= LONGEST_LINE and b"\n" not in text and end > taken
        rebuilt += text + (b"\n" if whole else b"")
        taken = end
    assert rebuilt == data[:taken]
    assert taken == len(data) if flush else len(data) - taken < LONGEST_LINE


def test_times_have_nanoseconds() -> None:
    assert stamp(1_700_000_000_000_000_001) == b"2023-11-14T22:13:20.000000001Z"


def test_the_log_goes_on_where_it_was(tmp_path: Path) -> None:
    raw, path = tmp_path / "raw", tmp_path / "logs" / "0.log"
    raw.write_bytes(b"one\r\ntwo\nhalf")
    assert LogFile(tmp_path, path).take(raw)
    assert _texts(path) == [(b"F", b"one"), (b"F", b"two")]
    with raw.open("ab") as more:
        more.write(b" line\nprompt: ")
    again = LogFile(tmp_path, path)
    assert again.take(raw)
    assert not again.take(raw, flush=True)
    assert _texts(path)[2:] == [(b"F", b"half line"), (b"P", b"prompt: ")]
    path.rename(tmp_path / "old")
    with raw.open("ab") as more:
        more.write(b"yes\n")
    again.reopen()
    again.take(raw)
    assert _texts(path) == [(b"F", b"yes")]


def test_what_is_logged_takes_no_space(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(b"x" * 99 + b"\n" + b"y" * (4 << 20) + b"\n")
    LogFile(tmp_path, None).take(raw)
    assert raw.stat().st_size > 4 << 20
    assert raw.stat().st_blocks * 512 < 64 << 10


def test_a_link_in_the_place_of_the_raw_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "raw").symlink_to("secret")
    try:
        LogFile(tmp_path, tmp_path / "log").take(tmp_path / "raw")
    except OSError:
        assert not (tmp_path / "log").exists()
    else:
        raise AssertionError("the link was followed")


class _Machine:
    """In QEMU's place: says things, hears what is typed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard = b""
        self.writer: asyncio.StreamWriter | None = None
        self.connected = asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.connected.set()
        while data := await reader.read(1000):
            self.heard += data
        writer.close()

    async def say(self, data: bytes) -> None:
        assert self.writer is not None
        with (self.folder / "qemu" / "console.raw").open("ab") as raw:
            raw.write(data)
        self.writer.write(data)
        await self.writer.drain()


@asynccontextmanager
async def _console(folder: Path) -> AsyncIterator[tuple[_Machine, Console]]:
    (folder / "qemu").mkdir()
    machine = _Machine(folder)
    here = os.getcwd()
    os.chdir(folder / "qemu")
    server = await asyncio.start_unix_server(machine.talk, "serial")
    os.chdir(here)
    console = Console(folder, LogFile(folder, folder / "log"))
    running = asyncio.create_task(console.run())
    await machine.connected.wait()
    try:
        yield machine, console
    finally:
        assert machine.writer is not None
        machine.writer.close()
        server.close()
        await running


async def test_all_see_the_same_and_any_may_type(tmp_path: Path) -> None:
    async with _console(tmp_path) as (machine, console):
        first = console.attach()
        await machine.say(b"login: ")
        assert await first.read() == b"login: "
        second = console.attach()
        assert await second.read() == b"login: "
        await second.write(b"root\n")

        async def heard() -> bool:
            return machine.heard == b"root\n"

        await until(heard)
        first.close()
        assert console.attached == 1
    assert await second.read() == b""
    assert not second.lost
    assert _texts(tmp_path / "log") == [(b"P", b"login: ")]


async def test_a_slow_reader_is_cut_off_and_the_guest_is_not_held_up(tmp_path: Path) -> None:
    async with _console(tmp_path) as (machine, console):
        slow, quick = console.attach(), console.attach()
        total = 0

        async def read() -> None:
            nonlocal total
            while data := await quick.read():
                total += len(data)

        reading = asyncio.create_task(read())
        for _ in range(100):
            await machine.say(b"x" * 9999 + b"\n")

        async def all_read() -> bool:
            return total == 1_000_000

        await until(all_read)
        assert slow.lost and not quick.lost
        quick.close()
        await reading
    lines = _texts(tmp_path / "log")
    assert len(lines) == 100 and all(len(text) == 9999 for _, text in lines)
