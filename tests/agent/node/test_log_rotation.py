"""Names and numbers of log files."""

from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from arktos.agent.node.container_logs import prepare, read
from arktos.agent.node.log_rotation import LogFolder, Rotation, attempt_of, of_past_starts, rotation

NOW = datetime(2026, 1, 2, 3, 4, 5)


def test_the_first_rotation_only_renames() -> None:
    assert rotation("0.log", ["0.log"], 5, NOW) == Rotation(rename="0.log.20260102-030405")


def test_later_ones_compress_the_ones_before_and_drop_the_oldest() -> None:
    names = ["3.log", *(f"3.log.2026010{day}-000000{gz}" for day, gz in ((1, ".gz"), (2, ".gz"), (3, ".gz"), (4, "")))]
    found = rotation("3.log", names, 5, NOW)
    assert found.drop == ("3.log.20260101-000000.gz",)
    assert found.compress == ("3.log.20260104-000000",)


def test_leftovers_go_and_others_stay() -> None:
    names = ["0.log", "0.log.20260101-000000.tmp", "1.log.20260101-000000", "0.log.bak"]
    found = rotation("0.log", names, 5, NOW)
    assert found.drop == ("0.log.20260101-000000.tmp",) and found.compress == ()


def test_which_logs_are_too_large() -> None:
    folder = LogFolder("u", "c", "/x", (("0.log", 11), ("1.log", 5), ("0.log.20260101-000000", 99), ("note", 99)))
    assert folder.too_large(10) == ["0.log"]
    assert [attempt_of(name) for name in ("12.log", "x.log", "1.log.gz")] == [12, None, None]


def test_logs_of_starts_that_are_forgotten() -> None:
    names = ["0.log", "0.log.20260101-000000.gz", "1.log", "2.log", "3.log", "note"]
    assert of_past_starts(names, frozenset({1, 2}), 2) == ["0.log", "0.log.20260101-000000.gz"]


@given(st.integers(2, 8), st.integers(0, 20))
def test_never_more_files_than_allowed(most: int, before: int) -> None:
    names = {"0.log"} | {f"0.log.2025{n:04d}-000000{'.gz' if n % 2 else ''}" for n in range(before)}
    found = rotation("0.log", names, most, NOW)
    left = (names - set(found.drop)) | {found.rename}
    assert len(left) <= most or before == 0
    assert not set(found.compress) & set(found.drop)


def test_compression_keeps_every_byte_and_the_mode(tmp_path: Path) -> None:
    log, old, torn = tmp_path / "0.log.1", tmp_path / "0.log.0.gz", tmp_path / "0.log.1.tmp"
    log.write_bytes(b"line\n" * 100_000)
    log.chmod(0o640)
    old.touch()
    torn.touch()
    prepare(tmp_path, Rotation((torn.name, old.name), (log.name,), ""))
    assert [path.name for path in tmp_path.iterdir()] == ["0.log.1.gz"]
    packed = tmp_path / "0.log.1.gz"
    assert gzip.decompress(packed.read_bytes()) == b"line\n" * 100_000
    assert packed.stat().st_mode & 0o777 == 0o640


def test_what_is_read_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "acme_default_web_uid-1" / "c").mkdir(parents=True)
    (tmp_path / "acme_default_web_uid-1" / "c" / "0.log").write_bytes(b"12345")
    (tmp_path / "strange").mkdir()
    (found,) = read(tmp_path)
    assert (found.uid, found.container, found.files) == ("uid-1", "c", (("0.log", 5),))
    assert list(read(tmp_path / "missing")) == []
