"""Who owns the files of volumes: fsGroup, and the user that all containers of a pod run as."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from arktos.agent.spec.security import effective
from arktos.model.kinds import Obj

READ_ONLY = 0o440
"""What a group is given on files that it only reads."""
_READ_WRITE, _SEARCH = 0o660, 0o110
_DEEPEST = 200
"""A descriptor is open for each level."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """What the files of a pod's volumes belong to. `user` is for tokens only."""

    group: int | None = None
    user: int | None = None
    on_mismatch_only: bool = False


def ownership(pod: Obj) -> Ownership:
    """What a pod's security contexts ask for."""
    stated = pod["spec"].get("securityContext") or {}
    return Ownership(stated.get("fsGroup"), common_user(pod), stated.get("fsGroupChangePolicy") == "OnRootMismatch")


def common_user(pod: Obj) -> int | None:
    """The user that every container of a pod is said to run as; None if they differ or one says nothing."""
    spec = pod["spec"]
    parts = ("initContainers", "containers", "ephemeralContainers")
    users = {effective(pod, each, "runAsUser") for part in parts for each in spec.get(part) or ()}
    found: int | None = users.pop() if len(users) == 1 else None
    return found


def give_to_group(root: Path, group: int, *, read_only: bool, on_mismatch_only: bool = False) -> None:
    """Gives everything below `root`, symlinks not followed, to a group that may read it, and write unless `read_only`;
    new files of directories inherit the group. With `on_mismatch_only` nothing is done if `root` itself is right
    already (fsGroupChangePolicy). Blocks; OSError, also for directories that are nested too deep."""
    mask = READ_ONLY if read_only else _READ_WRITE
    if on_mismatch_only and _fits(root, group, mask):
        return
    # The root last: it is what tells, after a crash, that the rest was not finished.
    for folder, folders, files, at in os.fwalk(root, follow_symlinks=False):
        if folder.count("/") - str(root).count("/") > _DEEPEST:
            raise OSError(errno.ELOOP, f"directories are nested more than {_DEEPEST} deep", str(root))
        for name in (*files, *folders):
            _give(name, at, group, mask)
    _give(str(root), None, group, mask)


def _fits(root: Path, group: int, mask: int) -> bool:
    found = root.stat()
    wanted = mask | _SEARCH | stat.S_ISGID
    return found.st_gid == group and found.st_mode & wanted == wanted


def _give(name: str, at: int | None, group: int, mask: int) -> None:
    try:
        found = os.stat(name, dir_fd=at, follow_symlinks=False)
        os.chown(name, -1, group, dir_fd=at, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            return
        mode = stat.S_IMODE(found.st_mode) | mask
        if stat.S_ISDIR(found.st_mode):
            mode |= _SEARCH | stat.S_ISGID
        _chmod(name, at, mode)
    except FileNotFoundError:
        pass


def _chmod(name: str, at: int | None, mode: int) -> None:
    """Without following a symlink that took the file's place meanwhile, which chmod(2) alone cannot promise."""
    opened = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    try:
        if not stat.S_ISLNK(os.fstat(opened).st_mode):
            os.chmod(f"/proc/self/fd/{opened}", mode)
    finally:
        os.close(opened)
