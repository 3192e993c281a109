"""Kill -9 under load, again and again: what was acknowledged is there, whole; no revision comes twice.

A child process writes and reports each acknowledgement on its standard output. After each kill the file is opened and
compared with all that was ever reported.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from arktos.store.embedded import EmbeddedStore, StoreUnavailable, Window, open_store, verify
from arktos.store.records import Absent, Header, Key, Put, Query, RevisionCompacted

PODS, LEASES = Query("pods", None), Query("leases", None)
WINDOW = Window(1e9, 400, 1 << 30)

LOAD = r"""
import asyncio, os, sys
from pathlib import Path
from arktos.store.embedded import Window, open_store
from arktos.store.records import Delete, Header, Key, Put

path, round_ = Path(sys.argv[1]), sys.argv[2]
out = sys.stdout.fileno()

def put(resource, name, text, lazy=False):
    body = b'{"kind":"X","metadata":{"resourceVersion":""},"text":"%s"}' % text.encode()
    return Put(Key(resource, "acme", "default", name), Header("u"), body, lazy)

async def pairs(store, worker):
    # Two objects that only ever change together, and one that lives for one step.
    for step in range(10**9):
        text = f"{round_}-{step}-" + "x" * (step % 7 * 500)
        done = await store.commit([], [put("pods", f"{worker}-left", text), put("pods", f"{worker}-right", text)])
        os.write(out, f"pair {worker} {done.revision} {round_}-{step}\n".encode())
        key = Key("pods", "acme", "default", f"{worker}-{round_}-{step}")
        await store.commit([], [put("pods", key.name, text)])
        done = await store.commit([], [Delete(key)])
        os.write(out, f"gone {key.name} {done.revision}\n".encode())

async def leases(store):
    for step in range(10**9):
        done = await store.commit([], [put("leases", "lease", f"{round_}-{step}", lazy=True)])
        os.write(out, f"lease lease {done.revision} {round_}-{step}\n".encode())
        await asyncio.sleep(0)

async def main():
    async with open_store(path, {}, window=Window(1e9, 400, 1 << 30)) as store:
        os.write(out, f"open store {store.revision}\n".encode())
        await asyncio.gather(leases(store), *[pairs(store, worker) for worker in range(8)])

asyncio.run(main())
"""


class Reported:
    """All that was ever acknowledged."""

    def __init__(self) -> None:
        self.revisions: set[int] = set()
        self.highest = 0
        self.pairs: dict[str, tuple[int, str]] = {}
        self.gone: set[str] = set()
        self.leases: dict[int, str] = {}

    def read(self, output: bytes) -> int:
        """How many acknowledgements a killed child's output holds; its last line may be torn."""
        lines = output.split(b"\n")[:-1]
        seen: set[int] = set()
        for line in lines:
            kind, name, revision_text, *text = line.decode().split()
            revision = int(revision_text)
            if kind == "open":
                assert revision >= self.highest
                continue
            seen.add(revision)
            if kind == "pair":
                self.pairs[name] = (revision, text[0])
            elif kind == "gone":
                self.gone.add(name)
            else:
                self.leases[revision] = text[0]
        assert not seen & self.revisions, "a revision was handed out twice"
        self.revisions |= seen
        self.highest = max(self.highest, *seen)
        return len(seen)


def check(store: EmbeddedStore, reported: Reported) -> None:
    assert store.revision >= reported.highest
    for worker, (revision, text) in reported.pairs.items():
        left, right = (store.get(Key("pods", "acme", "default", f"{worker}-{side}")) for side in ("left", "right"))
        assert left is not None
        assert right is not None
        assert left.revision == right.revision >= revision
        assert left.body == right.body
        if left.revision == revision:
            assert b'"%s-' % text.encode() in left.body
    for name in reported.gone:
        assert store.get(Key("pods", "acme", "default", name)) is None
    lease = store.get(Key("leases", "acme", "default", "lease"))
    if lease is not None and lease.revision in reported.leases:
        assert b'"%s"' % reported.leases[lease.revision].encode() in lease.body
    if reported.leases:
        with pytest.raises(RevisionCompacted):
            store.changes(LEASES, max(reported.leases))


@pytest.mark.parametrize("rounds", [6])
async def test_kill_under_load(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "store.db"
    reported = Reported()
    for round_ in range(rounds):
        child = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", LOAD, str(path), str(round_)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        output = bytearray()
        wanted = 300 + 400 * round_
        while output.count(b"\n") < wanted:
            chunk = os.read(child.stdout.fileno(), 1 << 16)
            assert chunk, "the child died by itself"
            output += chunk
        child.send_signal(signal.SIGKILL)
        output += child.communicate()[0]
        assert reported.read(bytes(output)) >= wanted - 1
        assert verify(path) == []
        async with open_store(path, {}, window=WINDOW) as store:
            check(store, reported)


async def test_a_watcher_resumes_across_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    child = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", LOAD, str(path), "0"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    output = b""
    while output.count(b"gone") < 40:
        output += os.read(child.stdout.fileno(), 1 << 16)
    child.kill()
    output += child.communicate()[0]
    acknowledged = [line.split() for line in output.split(b"\n")[:-1] if line.startswith(b"gone")]
    async with open_store(path, {}, window=WINDOW) as store:
        since = int(acknowledged[-20][2])
        changes = store.changes(PODS, since)
        deleted = {event.record.key.name: event.record.revision for event in changes if event.type == "DELETED"}
        for _, name, revision in acknowledged[-19:]:
            if int(revision) > since:
                assert deleted[name.decode()] == int(revision)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a small file system")
async def test_a_disk_that_is_full_and_then_is_not(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(  # noqa: ASYNC221
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("file systems can't be mounted here")
    try:
        acknowledged = await _fill(disk / "store.db", disk / "ballast")
        assert verify(disk / "store.db") == []
        async with open_store(disk / "store.db", {}) as store:
            assert {record.key.name for record in store.list(PODS).records} == acknowledged
    finally:
        subprocess.run(["umount", str(disk)], check=True)  # noqa: ASYNC221


async def _fill(path: Path, ballast: Path) -> set[str]:
    acknowledged: set[str] = set()

    async def write(store: EmbeddedStore, name: str) -> None:
        key = Key("pods", "acme", "default", name)
        body = b'{"kind":"X","metadata":{"resourceVersion":""},"text":"%s"}' % (b"x" * 3000)
        await store.commit([Absent(key)], [Put(key, Header("u"), body)])
        acknowledged.add(name)

    ballast.write_bytes(b"0" * 1_000_000)  # noqa: ASYNC240
    async with open_store(path, {}) as store:
        failures = 0
        for number in range(3000):
            try:
                await write(store, f"p{number}")
            except StoreUnavailable:
                failures += 1
                if failures == 5:
                    break
        assert failures == 5
        assert {record.key.name for record in store.list(PODS).records} == acknowledged
        ballast.unlink()  # noqa: ASYNC240
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                await write(store, "after")
                break
            except StoreUnavailable:
                await asyncio.sleep(0.01)
        assert "after" in acknowledged
    return acknowledged
