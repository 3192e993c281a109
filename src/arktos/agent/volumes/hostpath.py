"""hostPath: what is on the node already, checked to be what it is said to be. Blocks: call it in a thread."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from arktos.agent.volumes.volume import VolumeError

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def check(path: str, kind: str) -> None:
    """Makes what `...OrCreate` asks for, and raises VolumeError unless `path` is of its `kind` ("" is any, or nothing:
    then the runtime makes a directory)."""
    if not path.startswith("/") or ".." in path.split("/"):
        raise VolumeError(f"hostPath type check failed: {path} is not an absolute path without '..'")
    if not kind:
        return
    if kind not in _CHECKS:
        raise VolumeError(f"{kind} is an invalid volume type")
    try:
        _create(path, kind)
        mode = os.stat(path).st_mode
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise VolumeError(f"hostPath type check failed: {path} is not {_CHECKS[kind][1]}") from error
        raise VolumeError(f"hostPath type check failed: {path}: {error.strerror}") from error
    fits, called = _CHECKS[kind]
    if not fits(mode):
        raise VolumeError(f"hostPath type check failed: {path} is not {called}")


def _create(path: str, kind: str) -> None:
    if os.path.exists(path):
        return
    if kind == "DirectoryOrCreate":
        os.makedirs(path, mode=0o755, exist_ok=True)
    elif kind == "FileOrCreate":
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
