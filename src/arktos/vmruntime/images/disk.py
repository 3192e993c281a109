"""What a downloaded file is: a qcow2 or raw disk that stands alone, or nothing for us.

First our own look at the header, which decides; then `qemu-img info`, as a user without rights and under limits, which
must agree; then `qemu-img check`, which finds what the header promises and the file does not hold.

A format is never guessed where a machine starts: what is found here is what QEMU is told.
"""

from __future__ import annotations

import json
import os
import pwd
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arktos.rpc.method import RpcError
from arktos.vmruntime.images.faults import Unfit
from arktos.vmruntime.images.policy import ImagePolicy

_QCOW2 = b"QFI\xfb"
_QCOW2_HEAD = struct.Struct(">4sIQIIQIIQQIIQ")
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_DATA_FILE_NAME = 0x44415441
_OTHERS: dict[bytes, str] = {
    b"KDMV": "a VMDK image",
    b"COWD": "a VMDK image",
    b"# Disk DescriptorFile": "a VMDK description",
    b"conectix": "a VHD image",
    b"vhdxfile": "a VHDX image",
    b"QED\0": "a QED image",
    b"LUKS\xba\xbe": "an encrypted disk (LUKS)",
    b"WithoutFreeSpace": "a Parallels image",
    b"WithouFreSpacExt": "a Parallels image",
    b"Bochs Virtual HD Image": "a Bochs image",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<HTML": "a web page",
    b"<?xml": "an XML document",
    b"\x28\xb5\x2f\xfd": "packed with zstd; use xz or gzip",
    b"BZh": "packed with bzip2; use xz or gzip",
    b"PK\x03\x04": "a zip archive; use xz or gzip",
}
_VDI_AT, _VDI = 0x40, b"\x7f\x10\xda\xbe"
_ISO_AT, _ISO = 0x8001, b"CD001"
_SECTOR = 512
_WITHIN = 30
_SOUND, _CORRUPTIONS, _LEAKS = 0, 2, 3
"""Exit codes of `qemu-img check`."""


@dataclass(frozen=True, slots=True)
class Disk:
    """`format` is `qcow2` or `raw`; `virtual_size` the bytes that a guest sees."""

    format: str
    virtual_size: int


def inspect(path: Path, policy: ImagePolicy) -> Disk:
    """The disk in a file. Raises Unfit, naming what is wrong. Blocks."""
    found = _read(path)
    if not 0 < found.virtual_size <= policy.most_virtual_bytes:
        raise Unfit(
            f"the image claims a disk of {found.virtual_size} bytes; at most {policy.most_virtual_bytes} are taken"
        )
    if found.format == "qcow2":
        _confirm(path, found, policy.qemu_user)
    return found


def _read(path: Path) -> Disk:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_ISO_AT + len(_ISO))
    if head.startswith(_QCOW2):
        return _qcow2(head, size)
    for magic, name in _OTHERS.items():
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(magic):
            raise Unfit(f"the image is {name}, neither qcow2 nor a raw disk")
    if head[_VDI_AT:].startswith(_VDI):
        raise Unfit("the image is a VDI image, neither qcow2 nor a raw disk")
    bootable = head[510:512] == b"\x55\xaa" or head[_ISO_AT:].startswith(_ISO)
    if not bootable:
        raise Unfit("the image is neither qcow2 nor a raw disk with a boot record")
    return Disk("raw", -(-size // _SECTOR) * _SECTOR)


def _qcow2(head: bytes, size: int) -> Disk:
    if len(head) < _QCOW2_HEAD.size + 32:
        raise Unfit("the image is a qcow2 header without content")
    fields = _QCOW2_HEAD.unpack_from(head)
    version, backing, virtual_size, encryption = fields[1], fields[2], fields[5], fields[6]
    first_table = fields[8]
    if version not in (2, 3):
        raise Unfit(f"the image is qcow2 of the unknown version {version}")
    if backing:
        raise Unfit("the image has a backing file: flatten it with qemu-img convert")
    if encryption:
        raise Unfit("the image is encrypted")
    if first_table >= size:
        raise Unfit("the image is cut short: its tables lie behind its end")
    if version == 3:
        _check_features(head)
    return Disk("qcow2", virtual_size)


def _check_features(head: bytes) -> None:
    (incompatible,) = struct.unpack_from(">Q", head, 72)
    (header_length,) = struct.unpack_from(">I", head, 100)
    if incompatible & _CORRUPT:
        raise Unfit("the image is marked as corrupt")
    if incompatible & _DATA_FILE:
        raise Unfit("the image keeps its data in another file")
    if incompatible & ~(_DIRTY | _COMPRESSION | _EXTENDED_L2):
        raise Unfit(f"the image needs qcow2 features that are unknown here ({incompatible:#x})")
    at = header_length
    while at + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, at)
        if kind == 0:
            return
        if kind == _DATA_FILE_NAME:
            raise Unfit("the image names a data file")
        at += 8 + -(-length // 8) * 8


def _confirm(path: Path, found: Disk, user: str) -> None:
    info = _qemu_img_info(path, user)
    if info.get("format") != found.format or info.get("virtual-size") != found.virtual_size:
        raise Unfit("the image is not what its header says")
    if info.get("backing-filename") or info.get("encrypted"):
        raise Unfit("the image does not stand alone")
    details = (info.get("format-specific") or {}).get("data") or {}
    if details.get("data-file") or details.get("corrupt") or details.get("encrypt"):
        raise Unfit("the image does not stand alone, or is corrupt")
    if not info.get("dirty-flag"):
        _check_clusters(path, user)


def _check_clusters(path: Path, user: str) -> None:
    """Every cluster that the image refers to must be in the file, but for the last one's end. One that was not closed
    in good order is not looked at: its reference counts, which only writers need, are wrong."""
    done = _qemu_img(path, user, "check")
    if done.returncode in (_CORRUPTIONS, _SOUND, _LEAKS):
        errors = int(json.loads(done.stdout).get("corruptions", 0))
        if errors:
            raise Unfit(f"the image is cut short or corrupt: qemu-img check finds {errors} errors in it")
    else:
        raise Unfit(f"qemu-img cannot check the image: exit code {done.returncode}")


def _qemu_img_info(path: Path, user: str) -> dict[str, Any]:
    done = _qemu_img(path, user, "info", "-U", stderr=subprocess.PIPE)
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())[-300:]
        raise Unfit(f"qemu-img refuses the image: {said or f'exit code {done.returncode}'}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _qemu_img(
    path: Path, user: str, *command: str, stderr: int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[bytes]:
    """Through a descriptor: whoever looks need not be able to reach the folder. What it complains of can be as long as
    an image's maker likes: only few commands' words are taken."""
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    limits = ("prlimit", "--as=2147483648", "--cpu=20", "--nofile=64", "--fsize=0", "--core=0")
    words = [*limits, "qemu-img", *command, "-f", "qcow2", "--output=json", "/dev/stdin"]
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}
    try:
        with path.open("rb") as image:
            return subprocess.run(
                words,
                stdin=image,
                stdout=subprocess.PIPE,
                stderr=stderr,
                timeout=_WITHIN,
                check=False,
                env=environment,
                **identity,
            )
    except FileNotFoundError as error:
        raise RpcError("FAILED_PRECONDITION", f"{error.filename} is not installed on this node") from None
    except subprocess.TimeoutExpired:
        raise Unfit(f"qemu-img cannot make sense of the image within {_WITHIN} s") from None
