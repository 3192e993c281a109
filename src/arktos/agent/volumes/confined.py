"""Paths that cannot lead out of a directory, and deletion that cannot. Everything blocks: call it in a thread."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08
_TRIES = 16
_DEEPEST = 64
_ROUNDS = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)


class EscapeError(OSError):
    """A path leads out of the directory that it must stay in."""


@contextmanager
def directory(path: str | Path) -> Iterator[int]:
    """The descriptor of a directory, which may be a symlink to one: only for paths that are ours. OSError."""
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_beneath(folder: int, path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of what `path` names below an open directory, symlinks followed as long as they stay below it.

    The kernel resolves the whole path at once, so nothing can be swapped under us meanwhile. Raises EscapeError, or
    OSError as open(2).
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_TRIES):
        found: int = _libc.syscall(_OPENAT2, folder, os.fsencode(path or "."), how, len(how))
        if found >= 0:
            return found
        code = ctypes.get_errno()
        # Told when something was renamed during the walk: the kernel could not be sure, and asks to be asked again.
        if code != errno.EAGAIN:
            break
    if code in (errno.EXDEV, errno.ELOOP):
        raise EscapeError(code, "path leads out of its volume", path)
    raise OSError(code, os.strerror(code), path)


def make_beneath(folder: int, path: str, mode: int) -> None:
    """Makes the directories of `path` that are missing below an open directory. EscapeError, or OSError."""
    made = ""
    for part in (part for part in path.split("/") if part not in ("", ".")):
        parent = open_beneath(folder, made, os.O_PATH | os.O_DIRECTORY)
        try:
            os.mkdir(part, 0o700, dir_fd=parent)
            # By a descriptor of the very directory, for mkdir's mode is cut by the umask.
            fresh = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                os.fchmod(fresh, mode)
            finally:
                os.close(fresh)
        except FileExistsError:
            pass
        finally:
            os.close(parent)
        made = f"{made}/{part}" if made else part


def read_beneath(folder: str | Path, path: str, most: int) -> bytes:
    """The content of a regular file below a directory. EscapeError, OSError; ValueError for more than `most` bytes, or
    for what is no regular file."""
    with directory(folder) as opened:
        # Not blocking: a fifo in the file's place must not hold us.
        descriptor = open_beneath(opened, path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path} is no regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} has more than {most} bytes")
    return content


def remove_tree(path: Path) -> None:
    """Deletes a directory and all below it, never what is mounted there nor what a symlink leads to. What is not there
    is no error. Raises OSError (EBUSY) at a mount point, with all that comes before it deleted."""
    try:
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _remove(parent, path.name, _mount_id(parent), None, 0)
    finally:
        os.close(parent)


def _remove(parent: int, name: str, mount_id: int, top: int | None, depth: int) -> None:
    """`top` is where directories go that are too deep, to be deleted from there: a tenant's nesting must cost neither
    our stack nor our descriptors."""
    try:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=parent)
        return
    try:
        if _mount_id(folder) != mount_id:
            raise OSError(errno.EBUSY, "a mount point is not deleted", name)
        if top is not None:
            _empty(folder, mount_id, top, depth)
        else:
            for _ in range(_ROUNDS):
                if not _empty(folder, mount_id, folder, depth):
                    break
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)


def _empty(folder: int, mount_id: int, top: int, depth: int) -> bool:
    """Whether there was anything."""
    with os.scandir(folder) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for child, is_folder in names:
        if not is_folder:
            _unlink(folder, child)
        elif depth < _DEEPEST:
            _remove(folder, child, mount_id, top, depth + 1)
        else:
            os.rename(child, f".{secrets.token_hex(12)}", src_dir_fd=folder, dst_dir_fd=top)
    return bool(names)


def _unlink(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _mount_id(descriptor: int) -> int:
    """Which mount an open file lies on. Device numbers don't tell: a bind mount of the same filesystem has the same."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
        if line.startswith("mnt_id:"):
            return int(line.split()[1])
    raise OSError(errno.ENOSYS, "the kernel does not tell the mounts of open files")
