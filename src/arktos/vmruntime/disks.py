"""qemu-img: overlays, and snapshots of disks that no process has open. Asynchronous subprocesses, bounded in time."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arktos.vmruntime.errors import Failed, NoSpace, TooLate

_WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class DiskSnapshot:
    """A snapshot inside a qcow2 file. Unix nanoseconds; bytes of memory kept in it."""

    name: str
    created_at: int
    memory_bytes: int


async def create_overlay(path: Path, base: Path, base_format: str, size: int) -> None:
    """A disk that has the base's content and takes all writes. `size` in bytes, 0 for the base's; it is the caller's
    to see that it is not smaller."""
    arguments = ["create", "-q", "-f", "qcow2", "-F", base_format, "-b", str(base), str(path)]
    await _run(*arguments, *([str(size)] if size else []))


async def virtual_size(path: Path, image_format: str) -> int:
    """Bytes that a guest sees of a disk."""
    return int((await _info(path, image_format))["virtual-size"])


async def snapshots(path: Path) -> list[dict[str, Any]]:
    """Of a disk that nobody writes to now: else what is read may be half of what is being written."""
    found = await _info(path, "qcow2")
    return list(found.get("snapshots", ()))


def snapshot_of(info: dict[str, Any]) -> DiskSnapshot:
    """From QEMU's `SnapshotInfo`."""
    taken = info["date-sec"] * 1_000_000_000 + info["date-nsec"]
    return DiskSnapshot(info["name"], taken, info["vm-state-size"])


async def create_snapshot(path: Path, name: str) -> None:
    await _run("snapshot", "-q", "-c", name, str(path))


async def apply_snapshot(path: Path, name: str) -> None:
    await _run("snapshot", "-q", "-a", name, str(path))


async def delete_snapshot(path: Path, name: str) -> None:
    await _run("snapshot", "-q", "-d", name, str(path))


async def make_filesystem(path: Path, label: str, size: int) -> None:
    """A sparse file with an empty ext4. Raises Failed where mkfs is not installed, OSError.

    Others may write into the folder, so nothing is followed there: the program gets the file as a descriptor."""
    beside = path.with_name(path.name + ".new")
    descriptor = await asyncio.to_thread(_sparse, beside, size)
    try:
        file = f"/dev/fd/{descriptor}"
        options = ("-q", "-F", "-L", label[:16], "-E", "root_owner=0:0")
        await _run(*options, file, program="mkfs.ext4", descriptors=(descriptor,))
        await asyncio.to_thread(beside.replace, path)
    finally:
        os.close(descriptor)


def _sparse(path: Path, size: int) -> int:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    os.truncate(descriptor, size)
    return descriptor


async def _info(path: Path, image_format: str) -> dict[str, Any]:
    text = await _run("info", "-U", "-f", image_format, "--output=json", str(path))
    found: dict[str, Any] = json.loads(text)
    return found


async def _run(*arguments: str, program: str = "qemu-img", descriptors: tuple[int, ...] = ()) -> bytes:
    """What the program prints. Raises NoSpace, Failed with its words, TooLate."""
    try:
        running = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            pass_fds=descriptors,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
        )
    except FileNotFoundError:
        raise Failed(f"{program} is not installed") from None
    try:
        output, errors = await asyncio.wait_for(running.communicate(), _WITHIN)
    except TimeoutError:
        raise TooLate(f"{program} {arguments[0]} took more than {_WITHIN:.0f} s") from None
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    if running.returncode != 0:
        said = " ".join(errors.decode(errors="replace").split()) or f"exit code {running.returncode}"
        if "No space left on device" in said:
            raise NoSpace(f"the disk is full: {said}")
        raise Failed(f"{program} {arguments[0]}: {said}")
    return output
