"""Mounts of this machine: made, found, taken away. Everything blocks: call it in a thread."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_BUSY_TRIES, _BUSY_PAUSE = 5, 0.05
_ROUNDS = 3

_libc = ctypes.CDLL(None, use_errno=True)
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One line of the kernel's table; a later one lies over an earlier one of the same path."""

    path: str
    filesystem: str
    mount_id: int


def mount(source: str, target: str, filesystem: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). OSError."""
    done = _libc.mount(source.encode(), target.encode(), filesystem.encode() or None, flags, options.encode() or None)
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def bind(source: str, target: str) -> None:
    """Shows `source`, a directory or a file, at `target`. OSError."""
    mount(source, target, flags=MS_BIND)


def tmpfs(target: str, options: str, flags: int = 0) -> None:
    """A filesystem in memory, kept out of swap where the kernel can. OSError."""
    try:
        mount("tmpfs", target, "tmpfs", flags, f"{options},noswap")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        mount("tmpfs", target, "tmpfs", flags, options)


def mount_points() -> list[MountPoint]:
    """All mounts that this process sees, in the order in which they were made."""
    found = []
    # Not read_text: paths need be no UTF-8, and must come back as the bytes they are.
    for line in Path("/proc/self/mountinfo").read_bytes().decode("utf-8", "surrogateescape").rstrip("\n").split("\n"):
        fields, _, rest = line.partition(" - ")
        parts = fields.split(" ")
        found.append(MountPoint(_unescaped(parts[4]), rest.split(" ", 1)[0], int(parts[0])))
    return found


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted at exactly this path; bind mounts count."""
    wanted = os.path.realpath(path)
    return any(point.path == wanted for point in mount_points())


def unmount(path: str) -> None:
    """Takes away the topmost mount of a path; lazily if it stays busy. Nothing mounted there is no error. OSError."""
    for _ in range(_BUSY_TRIES):
        code = _umount(path, 0)
        if code in (0, errno.EINVAL, errno.ENOENT):
            return
        if code != errno.EBUSY:
            break
        time.sleep(_BUSY_PAUSE)
    code = _umount(path, _MNT_DETACH)
    if code not in (0, errno.EINVAL, errno.ENOENT):
        raise OSError(code, os.strerror(code), path)


def unmount_below(folder: Path) -> None:
    """Takes away every mount at or below a directory, last made first. OSError if one will not go."""
    top = os.path.realpath(folder)
    for _ in range(_ROUNDS):
        for path in reversed(_points_below(top)):
            unmount(path)
        left = _points_below(top)
        if not left:
            return
    raise OSError(errno.EBUSY, "still mounted", left[0])


def _umount(path: str, flags: int) -> int:
    done = _libc.umount2(os.fsencode(path), flags | _UMOUNT_NOFOLLOW)
    return 0 if done == 0 else ctypes.get_errno()


def _points_below(top: str) -> list[str]:
    return [point.path for point in mount_points() if point.path == top or point.path.startswith(top + "/")]


def _unescaped(path: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), path)
