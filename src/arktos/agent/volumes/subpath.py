"""Parts of volumes (subPath), shown so that no symlink of the volume can lead out of it. Blocks: call it in a thread.

The part is opened by confined resolution, and what was opened is mounted, not what its name means later.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from arktos.agent.volumes import confined, mounting


def show(volume: str, part: str, target: Path) -> None:
    """Mounts `part` of a volume at `target`, made as a directory if it is missing. What is shown there already stays if
    it is the same. EscapeError, OSError."""
    with confined.directory(volume) as folder:
        _make_if_missing(folder, part)
        opened = confined.open_beneath(folder, part)
    try:
        found = os.fstat(opened)
        if mounting.is_mount_point(target):
            shown = os.stat(target)
            if (shown.st_dev, shown.st_ino) == (found.st_dev, found.st_ino):
                return
            mounting.unmount(str(target))
        _make_target(target, stat.S_ISDIR(found.st_mode))
        mounting.bind(f"/proc/self/fd/{opened}", str(target))
    finally:
        os.close(opened)


def _make_if_missing(folder: int, part: str) -> None:
    try:
        os.close(confined.open_beneath(folder, part))
    except FileNotFoundError:
        confined.make_beneath(folder, part, stat.S_IMODE(os.fstat(folder).st_mode))


def _make_target(target: Path, is_folder: bool) -> None:
    """A directory or an empty file to mount over; what lies there of another kind goes first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_folder:
        if target.is_file():
            target.unlink()
        target.mkdir(exist_ok=True)
        return
    if target.is_dir():
        target.rmdir()
    target.touch()
