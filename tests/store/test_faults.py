"""Full disks, damaged files, second processes: what is told, and what stays as it was."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arktos.store.embedded import EmbeddedStore, StoreCorrupt, StoreLocked, Window, open_store, verify
from arktos.store.records import Absent, Delete, Query, StoreUnavailable

PODS = Query("pods", None)
WHOLE = Window()


def fingerprint(path: Path) -> dict[str, str]:
    return {
        part.name: hashlib.sha256(part.read_bytes()).hexdigest()
        for part in path.parent.iterdir()
        if part.name in (path.name, path.name + "-wal")
    }


async def refused(path: Path) -> StoreCorrupt:
    """The refusal to open, having changed nothing."""
    before = fingerprint(path)
    with pytest.raises(StoreCorrupt) as corrupt:
        open_store(path, {})
    assert fingerprint(path) == before
    assert str(path) in str(corrupt.value)
    assert "backup" in str(corrupt.value)
    return corrupt.value


# -- the disk fails


async def fill_up(store: EmbeddedStore, objects: Any) -> list[str]:
    """Writes until it can't; answers what was acknowledged."""
    names: list[str] = []
    for number in range(1000):
        name = f"p{number:04}"
        try:
            await store.commit([], [objects.put(objects.key(name), "x" * 5000)])
        except StoreUnavailable:
            return names
        names.append(name)
    raise AssertionError("the disk was not full")


def make_room(store: EmbeddedStore) -> None:
    store._writer._file._connection.execute("PRAGMA max_page_count = 100000")


async def test_a_full_disk_fails_writes_and_nothing_else(tmp_path: Path, objects: Any, crashed: Any) -> None:
    path = tmp_path / "store.db"
    async with open_store(path, {}, max_bytes=1 << 20) as store:
        names = await fill_up(store, objects)
        before = store.list(PODS)
        key = objects.key("new")
        results = await asyncio.gather(
            store.commit([Absent(key)], [objects.put(key, "x" * 50_000), objects.put(objects.key("other"))]),
            store.commit([], [objects.put(objects.key("third"), "x" * 50_000)]),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [StoreUnavailable] * 2
        assert store.list(PODS) == before
        assert [record.key.name for record in before.records] == names
        assert store.stats().failed_batches >= 2
        assert store.stats().pending_commits == 0
        with_full_disk = crashed(path)

        make_room(store)
        done = await store.commit([Absent(key)], [objects.put(key)])
        assert done.revision > before.revision
        after = store.list(PODS).records
    for image, expected in ((with_full_disk, before.records), (path, after)):
        async with open_store(image, {}) as again:
            assert again.list(PODS).records == expected


async def test_a_problem_is_told_and_goes_away_by_itself(tmp_path: Path, objects: Any) -> None:
    async with open_store(tmp_path / "store.db", {}, max_bytes=1 << 20) as store:
        assert store.problem is None
        await fill_up(store, objects)
        with pytest.raises(StoreUnavailable):
            await store.commit([], [objects.put(objects.key("new"), "x" * 50_000)])
        assert store.problem == "the last write failed: database or disk is full"
        revision = store.revision
        make_room(store)
        async with asyncio.timeout(10):
            while store.problem is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert store.revision == revision


async def test_commits_behind_a_failed_one_fail_with_it(tmp_path: Path, objects: Any) -> None:
    async with open_store(tmp_path / "store.db", {}, max_bytes=1 << 20) as store:
        await fill_up(store, objects)
        key = objects.key("new")
        first = asyncio.ensure_future(store.commit([], [objects.put(key, "x" * 50_000)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.ensure_future(store.commit([], [Delete(key)]))
        for commit in (first, second):
            with pytest.raises(StoreUnavailable):
                await commit
        make_room(store)
        await store.commit([Absent(key)], [objects.put(key)])


async def test_acknowledged_lazy_puts_outlive_a_full_disk(tmp_path: Path, objects: Any) -> None:
    path = tmp_path / "store.db"
    lease = objects.key("a", resource="leases")
    async with open_store(path, {}, max_bytes=1 << 20) as store:
        await store.commit([], [objects.put(lease, lazy=True)])
        await fill_up(store, objects)
        kept = await store.commit([], [objects.put(lease, "y" * 50_000, lazy=True)])
        with pytest.raises(StoreUnavailable):
            await store.commit([], [objects.put(objects.key("b"), "x" * 50_000)])
        assert store.get(lease) is kept.records[0]
        make_room(store)
    async with open_store(path, {}) as again:
        assert again.get(lease) == kept.records[0]


async def test_closing_on_a_full_disk_says_what_was_lost(tmp_path: Path, objects: Any) -> None:
    path = tmp_path / "store.db"
    lease = objects.key("a", resource="leases")
    store = open_store(path, {}, max_bytes=1 << 20)
    await store.commit([], [objects.put(lease, lazy=True)])
    names = await fill_up(store, objects)
    lost = await store.commit([], [objects.put(lease, "y" * 50_000, lazy=True)])
    with pytest.raises(StoreUnavailable):
        await store.close()
    async with open_store(path, {}) as again:
        assert again.revision > lost.revision
        assert [record.key.name for record in again.list(PODS).records] == names


# -- the file is damaged


async def stored(path: Path, objects: Any, count: int = 40, window: Window = WHOLE) -> None:
    async with open_store(path, {}, window=window) as store:
        for number in range(count):
            await store.commit([], [objects.put(objects.key(f"p{number:04}"), f"body-{number:04}-" + "z" * 3000)])
        if window.events < count:
            async with asyncio.timeout(20):
                while store.stats().log_rows > window.events:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)


def flip(path: Path, needle: bytes, offset: int = 0) -> None:
    """Flips a bit wherever `needle` stands; old copies may lie in free pages."""
    data = bytearray(path.read_bytes())
    at = data.index(needle)
    while at >= 0:
        data[at + offset] ^= 0x01
        at = data.find(needle, at + 1) if needle else -1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("window", [Window(), Window(1e9, 5, 1 << 30)], ids=["in the log", "in the state"])
@pytest.mark.parametrize("needle", [b"body-0007-", b"pods/acme/default/p0007", b"spec.nodeName"])
async def test_a_flipped_bit_is_found(tmp_path: Path, objects: Any, window: Window, needle: bytes) -> None:
    path = tmp_path / "store.db"
    await stored(path, objects, window=window)
    assert verify(path) == []
    flip(path, needle)
    fault = await refused(path)
    if needle == b"body-0007-":
        assert "p0007" in fault.detail
    assert verify(path)


async def test_a_damaged_index_is_found(tmp_path: Path, objects: Any) -> None:
    path = tmp_path / "store.db"
    await stored(path, objects, window=Window(1e9, 5, 1 << 30))
    data = bytearray(path.read_bytes())
    # In the index, keys stand one after the other; in the table a header follows.
    key = b"pods/acme/default/p0007"
    places = [at for at in range(len(data)) if data.startswith(key, at)]
    spoiled = 0
    for at in places:
        near = data[at : at + 300]
        if b"spec.nodeName" not in near:
            data[at] ^= 0x01
            spoiled += 1
    assert spoiled
    path.write_bytes(bytes(data))
    assert "index" in (await refused(path)).detail


async def test_a_lost_row_is_found(tmp_path: Path, objects: Any) -> None:
    for table, row in (("log", "seq = 38"), ("log", "seq = 40"), ("state", "id = 3")):
        path = tmp_path / f"{table}-{row[-1]}" / "store.db"
        path.parent.mkdir()
        await stored(path, objects, window=Window(1e9, 5, 1 << 30))
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TRIGGER state_delete")
            connection.execute(f"DELETE FROM {table} WHERE {row}")
        connection.close()
        await refused(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"not a database, not a database, not a database, " * 100),
        lambda path: path.write_bytes(path.read_bytes()[:20_000]),
        lambda path: flip(path, b"SQLite format 3"),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["garbage", "cut short", "header", "directory"],
)
async def test_an_unreadable_file_is_refused(tmp_path: Path, objects: Any, spoil: Callable[[Path], object]) -> None:
    path = tmp_path / "store.db"
    await stored(path, objects)
    spoil(path)
    if path.is_dir():
        with pytest.raises(StoreCorrupt):
            open_store(path, {})
    else:
        await refused(path)
        assert verify(path)


async def test_another_format_and_another_program_are_refused(tmp_path: Path, objects: Any) -> None:
    for pragma, words in (("user_version = 99", "format 99"), ("application_id = 7", "not a store")):
        path = tmp_path / pragma.split()[0] / "store.db"
        path.parent.mkdir()
        await stored(path, objects, 1)
        with sqlite3.connect(path) as connection:
            connection.execute(f"PRAGMA {pragma}")
        connection.close()
        assert words in (await refused(path)).detail


async def test_damage_in_the_write_ahead_log_is_found(tmp_path: Path, objects: Any, crashed: Any) -> None:
    path = tmp_path / "store.db"
    async with open_store(path, {}) as store:
        for number in range(20):
            await store.commit([], [objects.put(objects.key(f"p{number:04}"), f"body-{number:04}-" + "z" * 3000)])
        images = [crashed(path) for _ in range(4)]
    whole, torn, damaged, headless = images

    async with open_store(whole, {}) as again:
        assert len(again.list(PODS).records) == 20

    # A torn tail is what a crash leaves behind: nothing that was acknowledged is in it.
    wal = torn.with_name("store.db-wal")
    wal.write_bytes(wal.read_bytes()[:-5000])
    async with open_store(torn, {}) as again:
        assert [record.key.name for record in again.list(PODS).records] == [f"p{number:04}" for number in range(19)]

    flip(damaged.with_name("store.db-wal"), b"body-0007-")
    assert "write-ahead log" in (await refused(damaged)).detail
    assert "write-ahead log" in verify(damaged)[0]

    flip(headless.with_name("store.db-wal"), b"", 20)
    assert "write-ahead log" in (await refused(headless)).detail


async def test_an_older_generation_in_the_write_ahead_log_is_no_damage(
    tmp_path: Path, objects: Any, crashed: Any
) -> None:
    path = tmp_path / "store.db"
    async with open_store(path, {}) as store:
        for number in range(30):
            await store.commit([], [objects.put(objects.key(f"p{number:04}"), "z" * 3000)])
        store._writer._file.wal_bytes = 1 << 30
        for number in range(3):
            await store.commit([], [objects.put(objects.key(f"q{number}"))])
        images = [crashed(path) for _ in range(2)]
    assert verify(images[0]) == []
    async with open_store(images[1], {}) as again:
        assert len(again.list(PODS).records) == 33


# -- one process at a time


async def test_a_second_store_on_the_file_is_refused(tmp_path: Path, store: EmbeddedStore) -> None:
    with pytest.raises(StoreLocked, match="process"):
        open_store(tmp_path / "store.db", {})
    with pytest.raises(StoreLocked):
        verify(tmp_path / "store.db")


async def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path, objects: Any) -> None:
    path = tmp_path / "store.db"
    code = (
        "import asyncio, sys, pathlib\n"
        "from arktos.store.embedded import open_store\n"
        "async def main():\n"
        "    async with open_store(pathlib.Path(sys.argv[1]), {}):\n"
        "        print('open', flush=True)\n"
        "        await asyncio.to_thread(sys.stdin.read)\n"
        "asyncio.run(main())\n"
    )
    holder = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreLocked, match=str(holder.pid)):
            open_store(path, {})
    finally:
        holder.kill()
        holder.communicate()
    await stored(path, objects, 1)


async def test_verify_names_what_is_missing(tmp_path: Path) -> None:
    assert "no such file" in verify(tmp_path / "nothing.db")[0]


async def test_an_empty_file_becomes_a_store(tmp_path: Path, objects: Any) -> None:
    path = tmp_path / "store.db"
    path.touch()
    await stored(path, objects, 1)
    copy = tmp_path / "copy.db"
    shutil.copyfile(path, copy)
    assert verify(copy) == []
