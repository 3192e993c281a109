"""The machine that the node is: what it has and what it runs, read from the kernel's own files.

The parsers are pure; `read` does the file work and is to be called in a thread.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ARCHITECTURES: Mapping[str, str] = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}
"""Kubernetes' names of architectures (Go's GOARCH) by what uname says."""

_EMPTY_UUID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts that hold until the next boot. `memory` and `swap` are bytes, `hugepages` pages by size in KiB."""

    hostname: str
    cpus: int
    memory: int
    swap: int
    hugepages: Mapping[int, int]
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    os_image: str
    architecture: str
    pid_max: int = 32768


@dataclass(frozen=True, slots=True)
class Filesystem:
    """One file system, in bytes and inodes. `device` is the same for two paths on the same one."""

    capacity: int
    available: int
    used: int
    inodes: int
    inodes_free: int
    device: int = 0
    path: str = ""

    @property
    def inodes_used(self) -> int:
        return self.inodes - self.inodes_free


@dataclass(frozen=True, slots=True)
class Memory:
    """`/proc/meminfo`, in bytes, by its own names."""

    fields: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return self.fields.get(name, 0)


def parse_meminfo(text: str) -> Memory:
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return Memory(found)


def parse_os_release(text: str) -> str:
    """PRETTY_NAME of an os-release file, as kubelet shows it; NAME and VERSION where that is missing."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            try:
                found[name.strip()] = " ".join(shlex.split(value))
            except ValueError:
                found[name.strip()] = value.strip()
    pretty = found.get("PRETTY_NAME") or " ".join(filter(None, (found.get("NAME"), found.get("VERSION"))))
    return pretty or "Unknown"


def parse_cpu_list(text: str) -> int:
    """How many CPUs a kernel list such as `0-3,8` names."""
    count = 0
    for part in filter(None, text.strip().split(",")):
        first, dash, last = part.partition("-")
        count += int(last) - int(first) + 1 if dash else 1
    return count


def read(root: Path = Path("/")) -> Machine:
    """Raises OSError where the kernel's own files cannot be read."""
    uname = os.uname()
    memory = parse_meminfo((root / "proc/meminfo").read_text())
    online = _text(root / "sys/devices/system/cpu/online")
    return Machine(
        hostname=uname.nodename,
        cpus=parse_cpu_list(online) if online else os.cpu_count() or 1,
        memory=memory["MemTotal"],
        swap=memory["SwapTotal"],
        hugepages=_hugepages(root / "sys/kernel/mm/hugepages"),
        machine_id=_text(root / "etc/machine-id", root / "var/lib/dbus/machine-id"),
        system_uuid=_system_uuid(root),
        boot_id=_text(root / "proc/sys/kernel/random/boot_id"),
        kernel=uname.release,
        os_image=parse_os_release(_text(root / "etc/os-release", root / "usr/lib/os-release")),
        architecture=ARCHITECTURES.get(uname.machine, uname.machine),
        pid_max=int(_text(root / "proc/sys/kernel/pid_max") or 32768),
    )


def filesystem(path: Path | str) -> Filesystem:
    """The file system that holds `path`. What is available is what an ordinary user could still write, as in df.
    Raises OSError."""
    facts = os.statvfs(path)
    return Filesystem(
        capacity=facts.f_blocks * facts.f_frsize,
        available=facts.f_bavail * facts.f_frsize,
        used=(facts.f_blocks - facts.f_bfree) * facts.f_frsize,
        inodes=facts.f_files,
        inodes_free=facts.f_ffree,
        device=os.stat(path).st_dev,
        path=str(path),
    )


def _hugepages(folder: Path) -> dict[int, int]:
    found: dict[int, int] = {}
    if folder.is_dir():
        for size in folder.iterdir():
            kib = size.name.removeprefix("hugepages-").removesuffix("kB")
            if kib.isdigit():
                found[int(kib)] = int(_text(size / "nr_hugepages") or 0)
    return found


def _system_uuid(root: Path) -> str:
    found = _text(
        root / "sys/class/dmi/id/product_uuid",
        root / "proc/device-tree/vm,uuid",
        root / "etc/machine-id",
    ).rstrip("\0")
    return found or _EMPTY_UUID


def _text(*paths: Path) -> str:
    """The first of the files that can be read, without white space around it; "" if none can."""
    for path in paths:
        try:
            found = path.read_text().strip()
        except OSError:
            continue
        if found:
            return found
    return ""
