"""The volumes of a pod as disks of its machine. Blocks; call in a thread.

    a file or a block device        a disk of its own: qcow2 where the file is named so, else raw; never by what is in
                                    it, which the guest may have written
    a directory that the agent      a small read-only ISO 9660 disk with its files, made anew at each start
    fills (`..data` in it), or
    a read-only one
    any other directory             a sparse ext4 disk in it, `disk.img`, made where it is missing

The serial number of a disk is the volume's name (the last part of its path, 20 bytes at most), so that a guest finds it
as /dev/disk/by-id/virtio-<name>.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime import isofiles
from arktos.vmruntime.errors import Invalid
from arktos.vmruntime.records import DiskSpec

SCRATCH_FILE = "disk.img"
SCRATCH_SIZE = 1 << 30
"""Bytes; it occupies what has been written."""
LARGEST_CONTENT = 64 << 20
"""Bytes of files in an ISO disk."""
_SERIAL_LENGTH = 20


@dataclass(frozen=True, slots=True)
class VolumeDisk:
    """A disk, and what has to be made before it can be used: an ISO of `content`, or an empty file system."""

    disk: DiskSpec
    content: str = ""
    scratch: bool = False


def plan(mounts: Iterable[pb.Mount]) -> list[VolumeDisk]:
    """A disk per mount, in order. Raises Invalid for what is not there or cannot be a disk."""
    taken: set[str] = {"root", "cidata"}
    found = []
    for number, mount in enumerate(mounts):
        field = f"config.mounts[{number}]"
        try:
            mode = os.stat(mount.host_path).st_mode
        except OSError as error:
            raise Invalid(f"{field}.host_path", f"{mount.host_path}: {error.strerror}") from None
        serial = _serial(mount.host_path, taken)
        if stat.S_ISDIR(mode):
            found.append(_directory(number, mount, serial))
        elif stat.S_ISREG(mode) or stat.S_ISBLK(mode):
            kind = "qcow2" if stat.S_ISREG(mode) and mount.host_path.endswith(".qcow2") else "raw"
            found.append(
                VolumeDisk(DiskSpec(serial=serial, path=mount.host_path, format=kind, read_only=mount.readonly))
            )
        else:
            raise Invalid(f"{field}.host_path", f"{mount.host_path} is neither a file, a directory nor a block device")
    return found


def _serial(path: str, taken: set[str]) -> str:
    name = "".join(letter for letter in Path(path).name if letter.isprintable() and letter != ",") or "volume"
    serial, number = name[:_SERIAL_LENGTH], 1
    while serial in taken:
        number += 1
        serial = f"{name[: _SERIAL_LENGTH - len(str(number)) - 1]}-{number}"
    taken.add(serial)
    return serial


def _directory(number: int, mount: pb.Mount, serial: str) -> VolumeDisk:
    folder = mount.host_path
    if mount.readonly or os.path.lexists(os.path.join(folder, "..data")):
        disk = DiskSpec(serial=serial, path=f"volume-{number}.iso", read_only=True)
        return VolumeDisk(disk, content=folder)
    return VolumeDisk(DiskSpec(serial=serial, path=os.path.join(folder, SCRATCH_FILE)), scratch=True)


def write_content(volume: VolumeDisk, folder: Path) -> None:
    """The ISO disk of a directory, in the machine's QEMU folder. Raises Invalid where it is too much."""
    isofiles.write(folder / volume.disk.path, volume.disk.serial, dict(_content(Path(volume.content))))


def _content(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files that a container would see at the top of the directory."""
    left = LARGEST_CONTENT
    root = os.path.realpath(folder)
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("..") or not entry.is_file():
            continue
        content = _read_below(root, entry, left + 1)
        if content is None:
            continue
        left -= len(content)
        if left < 0:
            raise Invalid("config.mounts", f"{folder} holds more than {LARGEST_CONTENT >> 20} MiB of files")
        yield entry.name, content


def _read_below(root: str, path: Path, most: int) -> bytes | None:
    """A file's first bytes; None for what a link leads out of the volume to: whoever wrote it could not read that."""
    # It may change at any time, so what was opened is looked at, not what the name leads to.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        place = os.readlink(f"/proc/self/fd/{file.fileno()}")
        if not place.startswith(f"{root}/") or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        return file.read(most)
