"""What the runtime keeps of sandboxes and machines: one JSON file each, replaced atomically. Blocks; call in a thread.

    DATA/sandboxes/<id>/record.json
    DATA/machines/<id>/record.json    beside it what only we write: kept memory, QEMU's words, the log's position
    DATA/machines/<id>/qemu/          what QEMU's user may write: disk, sockets, raw console

A folder without a readable record is what a killed runtime left of something that nobody was told of.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from arktos.vmruntime.power import Condition

RECORD = "record.json"
QEMU_FOLDER = "qemu"


class DiskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of a machine besides its root. `path` may be a file in the machine's folder, or anywhere."""

    serial: str
    path: str
    format: str = "raw"
    read_only: bool = False
    boot: bool = False
    """Tried before the root disk."""


class NicSpec(msgspec.Struct, frozen=True, kw_only=True):
    tap: str
    mac: str
    mtu: int


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """What QEMU is started with. Kept memory only fits the hardware that it was kept from."""

    cpus: int
    memory_mib: int
    accelerator: str
    base_path: str
    base_format: str
    max_cpus: int = 0
    """vCPUs that can be plugged in, those that are there among them; 0 for no others."""
    max_mib: int = 0
    """MiB that it can grow to; 0 for a machine without room."""
    extra_mib: int = 0
    """Of these above `memory_mib`, what it was given while it ran."""
    disks: tuple[DiskSpec, ...] = ()
    nics: tuple[NicSpec, ...] = ()


class SandboxRecord(msgspec.Struct, kw_only=True):
    """`config` is the PodSandboxConfig as JSON. `complete` once the client may have been told of it."""

    id: str
    config: dict[str, Any]
    runtime_handler: str = ""
    created_at: int = 0
    complete: bool = False
    ready: bool = False
    lost: bool = False
    """Not ready only because its namespace went without us, as all do when the host starts anew."""
    netns: str = ""
    address: str = ""
    """With its prefix, "" on the host's network or before there is one."""
    gateway: str = ""
    nic: NicSpec | None = None


class MachineRecord(msgspec.Struct, kw_only=True):
    """`config` is the ContainerConfig as JSON. `hardware` is what the present or last process had."""

    id: str
    sandbox_id: str
    config: dict[str, Any]
    image_id: str
    image_path: str
    image_format: str
    image_user_reference: str = ""
    uid: int = 0
    """Whom its QEMU runs as; 0 for the user of all that have none of their own."""
    cpus: int = 1
    memory_mib: int = 1024
    created_at: int = 0
    condition: Condition = Condition()
    hardware: Hardware | None = None
    snapshots: dict[str, Hardware] = {}
    """The hardware of each snapshot with memory."""


Record = TypeVar("Record", SandboxRecord, MachineRecord)


class Records(Generic[Record]):
    """The records of one kind below one folder, a folder each."""

    def __init__(self, folder: Path, kind: type[Record]) -> None:
        self.folder = folder
        self._kind: type[Record] = kind
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, id: str) -> Path:
        return self.folder / id

    def new_id(self) -> str:
        """An id of its own, with its folder."""
        id = secrets.token_hex(16)
        self.path(id).mkdir(mode=0o700)
        return id

    def load(self) -> tuple[list[Record], list[str]]:
        """All records, and the ids of folders without one."""
        found, broken = [], []
        for entry in sorted(self.folder.iterdir()):
            try:
                found.append(msgspec.json.decode((entry / RECORD).read_bytes(), type=self._kind))
            except (OSError, msgspec.DecodeError):
                broken.append(entry.name)
        return found, broken

    def save(self, record: Record) -> None:
        """Durable when it returns. Raises OSError; then the former version stands."""
        replace_file(self.path(record.id) / RECORD, msgspec.json.encode(record))

    def remove(self, id: str) -> None:
        """The record first, so that a folder half removed is nobody's. Idempotent."""
        with suppress(FileNotFoundError):
            os.unlink(self.path(id) / RECORD)
        shutil.rmtree(self.path(id), ignore_errors=True)


def replace_file(path: Path, content: bytes) -> None:
    """The file has the former content or the new one, whatever happens."""
    beside = path.with_name(path.name + ".new")
    try:
        with open(beside, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
