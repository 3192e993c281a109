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
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from arktos.rpc.protos import cri_pb2 as pb
from arktos.vmruntime import isofiles
from arktos.vmruntime.cloudinit import field
from arktos.vmruntime.errors import Invalid
from arktos.vmruntime.records import DiskSpec

SCRATCH_FILE = "disk.img"
SCRATCH_SIZE = 1 << 30
"""Bytes; it occupies what has been written."""
LARGEST_CONTENT = 64 << 20
"""Bytes of files in an ISO disk."""
_SERIAL_LENGTH = 20
_SECTOR, _BOOT_RECORD = 512, b"\x55\xaa"


@dataclass(frozen=True, slots=True)
class VolumeDisk:
    """A disk, and what has to be made before it can be used: an ISO of `content`, or an empty file system."""

    disk: DiskSpec
    content: str = ""
    scratch: bool = False


def plan(mounts: Iterable[pb.Mount], boot: str = "") -> list[VolumeDisk]:
    """A disk per mount, in order. That at the container path `boot` is booted. Raises Invalid for what is not there or
    cannot be a disk."""
    made, booted = [], not boot
    for mount, volume in _planned(mounts):
        if boot and mount.container_path == boot:
            if volume.content:
                raise Invalid(field("bootVolume"), f"{mount.host_path} holds files, no disk to boot from")
            booted = True
            volume = replace(volume, disk=msgspec.structs.replace(volume.disk, boot=True))
        made.append(volume)
    if not booted:
        raise Invalid(field("bootVolume"), f"no mount has the path {boot!r}")
    return made


def _planned(mounts: Iterable[pb.Mount]) -> Iterator[tuple[pb.Mount, VolumeDisk]]:
    taken: set[str] = {"root", "cidata"}
    for number, mount in enumerate(mounts):
        where = f"config.mounts[{number}]"
        try:
            mode = os.stat(mount.host_path).st_mode
        except OSError as error:
            raise Invalid(f"{where}.host_path", f"{mount.host_path}: {error.strerror}") from None
        serial = _serial(mount.host_path, taken)
        if stat.S_ISDIR(mode):
            yield mount, _directory(number, mount, serial)
        elif stat.S_ISREG(mode) or stat.S_ISBLK(mode):
            kind = "qcow2" if stat.S_ISREG(mode) and mount.host_path.endswith(".qcow2") else "raw"
            disk = DiskSpec(serial=serial, path=mount.host_path, format=kind, read_only=mount.readonly)
            yield mount, VolumeDisk(disk)
        else:
            raise Invalid(f"{where}.host_path", f"{mount.host_path} is neither a file, a directory nor a block device")


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


def bootable(disk: DiskSpec) -> DiskSpec:
    """The disk; not to be booted where it is raw and has no boot record: a BIOS tries one disk alone. OSError."""
    if not disk.boot or disk.format != "raw":
        return disk
    with open(os.open(disk.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return disk if file.read(_SECTOR)[-2:] == _BOOT_RECORD else msgspec.structs.replace(disk, boot=False)


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
