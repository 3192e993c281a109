"""How much volumes hold. Blocks: call it in a thread."""

from __future__ import annotations

import os
from dataclasses import dataclass

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Usage:
    """What one volume holds. `limit` bytes is its own limit, 0 for none."""

    bytes: int
    inodes: int
    limit: int = 0


def measure(path: str, limit: int = 0) -> Usage:
    """What the files at `path` occupy, hard links counted once, other filesystems not; a filesystem of the volume's own
    answers for itself. Files that come or go meanwhile may be missed."""
    try:
        if os.path.ismount(path):
            found = os.statvfs(path)
            return Usage((found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree, limit)
        root = os.lstat(path)
    except FileNotFoundError:
        return Usage(0, 0, limit)
    total, seen, linked = root.st_blocks * _BLOCK, 1, set[int]()
    folders = [path]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if status.st_dev != root.st_dev or status.st_ino in linked:
                continue
            if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                linked.add(status.st_ino)
            total, seen = total + status.st_blocks * _BLOCK, seen + 1
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
    return Usage(total, seen, limit)
