"""Files that are disks, and files that only look it."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from arktos.vmruntime.images.disk import Disk, inspect
from arktos.vmruntime.images.faults import Unfit
from arktos.vmruntime.images.policy import ImagePolicy

POLICY = ImagePolicy()
RAW = bytes(510) + b"\x55\xaa" + bytes(1024)


def made(path: Path, *options: str, size: str = "8M", form: str = "qcow2") -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", form, *options, path, size], check=True)
    return path


def test_qcow2(tmp_path: Path) -> None:
    for compat in ("0.10", "1.1"):
        assert inspect(made(tmp_path / compat, "-o", f"compat={compat}"), POLICY) == Disk("qcow2", 8 << 20)


def test_raw(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(RAW)
    assert inspect(path, POLICY) == Disk("raw", 1536)


def test_a_raw_disk_is_never_taken_for_what_a_guest_wrote_into_it(tmp_path: Path) -> None:
    """A qcow2 header in a raw disk is the classic way out: whoever probes the format follows its backing file."""
    path = tmp_path / "raw"
    header = struct.pack(">4sIQI", b"QFI\xfb", 2, 0x200, 11) + b"/etc/shadow"
    path.write_bytes(header.ljust(510, b"\0") + b"\x55\xaa" + bytes(1024))
    with pytest.raises(Unfit, match="backing file"):
        inspect(path, POLICY)


def test_images_that_need_other_files(tmp_path: Path) -> None:
    made(tmp_path / "base")
    overlay = made(tmp_path / "overlay", "-b", str(tmp_path / "base"), "-F", "qcow2")
    with pytest.raises(Unfit, match="backing file"):
        inspect(overlay, POLICY)
    outside = made(tmp_path / "outside", "-o", f"data_file={tmp_path / 'data'}")
    with pytest.raises(Unfit, match="data in another file"):
        inspect(outside, POLICY)


@pytest.mark.parametrize("method", [1, 2])
def test_encrypted(tmp_path: Path, method: int) -> None:
    path = made(tmp_path / "secret")
    with path.open("r+b") as file:
        file.seek(32)
        file.write(struct.pack(">I", method))
    with pytest.raises(Unfit, match="encrypted"):
        inspect(path, POLICY)


def test_absurd_size(tmp_path: Path) -> None:
    with pytest.raises(Unfit, match="claims a disk of"):
        inspect(made(tmp_path / "huge", size="3T"), POLICY)


@pytest.mark.parametrize("form", ["vmdk", "vdi", "vhdx", "qed", "parallels"])
def test_other_formats(tmp_path: Path, form: str) -> None:
    with pytest.raises(Unfit, match="neither qcow2 nor a raw disk"):
        inspect(made(tmp_path / form, form=form), POLICY)


@pytest.mark.parametrize("content", [b"", b"hello", b"<!DOCTYPE html>" + RAW[15:], b"QFI\xfb", b"QFI\xfb" + bytes(600)])
def test_no_disks(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(Unfit):
        inspect(path, POLICY)


def test_cut_short(tmp_path: Path) -> None:
    path = made(tmp_path / "cut")
    with path.open("r+b") as file:
        file.truncate(2048)
    with pytest.raises(Unfit, match="cut short"):
        inspect(path, POLICY)


@pytest.mark.parametrize("packed", [False, True])
def test_cut_short_within_its_data(tmp_path: Path, packed: bool) -> None:
    """The header and the tables are whole; what they refer to is not."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(RAW + os.urandom(1 << 20))
    path = tmp_path / "disk.qcow2"
    options = ["-c"] if packed else []
    subprocess.run(["qemu-img", "convert", "-q", *options, "-f", "raw", "-O", "qcow2", disk, path], check=True)
    whole = path.stat().st_size
    assert inspect(path, POLICY).format == "qcow2"
    os.truncate(path, whole - (300 << 10))
    with pytest.raises(Unfit, match=r"cut short or corrupt: qemu-img check finds \d+ errors"):
        inspect(path, POLICY)
