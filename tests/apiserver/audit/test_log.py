"""The audit log's file: whole lines in order, rotation, a disk that is full."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from arktos.apiserver.audit import log as audit_log
from arktos.apiserver.audit.log import AuditLog, AuditOptions
from conftest import eventually


def line(number: int, size: int = 0) -> Callable[[], bytes]:
    return lambda: b"%d %s\n" % (number, b"x" * size)


def numbers(data: bytes) -> list[int]:
    return [int(text.split()[0]) for text in data.splitlines() if text.strip()]


def test_lines_are_written_in_order_and_none_is_lost(tmp_path: Path) -> None:
    found = AuditLog(AuditOptions(path=str(tmp_path / "deep" / "audit.log")))
    for number in range(3000):
        found.put(line(number), 10)
    found.close()
    path = tmp_path / "deep" / "audit.log"
    assert numbers(path.read_bytes()) == list(range(3000))
    assert (found.written, found.waiting, found.dropped) == (3000, 0, 0)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_torn_line_of_a_killed_server_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"1 x\n2 to")
    found = AuditLog(AuditOptions(path=str(path)))
    found.put(line(3), 1)
    found.close()
    assert path.read_bytes() == b"1 x\n2 to\n3 \n"


@pytest.mark.parametrize("compress", [False, True])
def test_a_large_file_is_set_aside_and_old_ones_go(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "audit.log"
    (tmp_path / "audit-2001-01-01T00-00-00.000.log").write_bytes(b"old\n")
    found = AuditLog(AuditOptions(path=str(path), max_size=1, max_backups=2, compress=compress))
    for number in range(2000):
        found.put(line(number, 2000), 2000)
        if number % 300 == 0:
            eventually(lambda: found.waiting == 0)
    found.close()
    kept = sorted(tmp_path.glob("audit-*"))
    assert len(kept) == 2
    assert all(file.name.endswith(".log.gz" if compress else ".log") for file in kept)
    read = [gzip.decompress(file.read_bytes()) if compress else file.read_bytes() for file in kept]
    together = numbers(b"".join(read) + path.read_bytes())
    assert together == list(range(together[0], 2000))
    assert all(len(data) <= 1 << 20 for data in read)


def test_a_batch_log_drops_what_finds_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "MAX_WAITING", 5)
    monkeypatch.setattr(audit_log, "_GATHER_SECONDS", 0.3)
    found = AuditLog(AuditOptions(path=str(tmp_path / "a.log"), mode="batch"))
    for number in range(50):
        found.put(line(number), 1)
    found.close()
    written = numbers((tmp_path / "a.log").read_bytes())
    assert written == sorted(written)
    assert len(written) + found.dropped == 50
    assert found.dropped > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    where = tmp_path / "disk"
    where.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(where)], check=False)
    if done.returncode:
        pytest.skip("cannot mount a file system")
    yield where  # type: ignore[misc]
    subprocess.run(["umount", "-l", str(where)], check=True)


@pytest.mark.parametrize("mode", ["blocking", "batch"])
def test_a_full_disk_tears_no_line(small_disk: Path, mode: str) -> None:
    path, ballast = small_disk / "audit.log", small_disk / "ballast"
    ballast.write_bytes(b"x" * 40_000)
    found = AuditLog(AuditOptions(path=str(path), mode=mode))
    for number in range(100):
        found.put(line(number, 1000), 1000)
    eventually(lambda: found.failures > 0)
    assert len(numbers(path.read_bytes())) < 100
    ballast.unlink()
    if mode == "blocking":
        path_had = path.stat().st_size
        eventually(lambda: path.stat().st_size > path_had or found.failures > 1)
    found.put(line(100), 1)
    found.close()
    data = path.read_bytes()
    assert all(part.endswith(b"x" * 1000) or part == b"100 " for part in data.splitlines())
    if mode == "batch":
        assert numbers(data)[-1] == 100
        assert found.dropped == 101 - len(numbers(data))
