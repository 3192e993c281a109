"""A directory of files that changes as a whole: readers see all of the old content or all of the new.

The files lie in a directory named by time; the symlink `..data` names the current one, and each top-level name is a
symlink through `..data`. Renaming a new symlink over `..data` is the moment of change; a crash before it leaves the old
content, one after it only litter, which the next write removes.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_DATA, _NEXT = "..data", "..data_tmp"
_LONGEST_PATH, _LONGEST_NAME = 4096, 255


@dataclass(frozen=True, slots=True)
class File:
    """One file: its bytes, its mode, and its owner if not ours."""

    content: bytes
    mode: int
    user: int | None = None


Payload = Mapping[str, File]
"""Files by relative path."""


def checked_path(path: str) -> str:
    """`path` in its shortest form, if it stays below the directory and takes none of the names kept for the writer.
    ValueError."""
    if not path:
        raise ValueError("invalid path: must not be empty")
    if path.startswith("/"):
        raise ValueError(f"invalid path: must be relative path: {path}")
    if len(path) > _LONGEST_PATH or any(len(part.encode()) > _LONGEST_NAME for part in path.split("/")):
        raise ValueError(f"invalid path: must be less than or equal to {_LONGEST_PATH} characters")
    parts = PurePosixPath(path).parts
    if ".." in parts:
        raise ValueError(f"invalid path: must not contain '..': {path}")
    if not parts or parts[0].startswith("..") or "\0" in path:
        raise ValueError(f"invalid path: must not start with '..': {path}")
    return "/".join(parts)


def write(root: Path, payload: Payload, own: Callable[[Path], None] | None = None, adds: int = 0) -> bool:
    """Makes `root` show exactly `payload`; `own` is called with the new files' directory before they are shown, and may
    add the bits of `adds` to their modes. Whether anything was changed. Blocks; ValueError for paths that may not be,
    OSError."""
    files = {checked_path(path): file for path, file in payload.items()}
    current = _current(root)
    changed = current is None or not _shows(root / current, files, adds)
    if changed:
        fresh = _staged(root, files, own)
        pending = root / _NEXT
        pending.unlink(missing_ok=True)
        pending.symlink_to(fresh.name)
        os.replace(pending, root / _DATA)
        current = fresh.name
    _link(root, {path.split("/", 1)[0] for path in files})
    _sweep(root, current or "")
    return changed


def _current(root: Path) -> str | None:
    """The directory that `..data` names, if there is such."""
    try:
        name = os.readlink(root / _DATA)
    except OSError:
        return None
    return name if "/" not in name and (root / name).is_dir() else None


def _shows(folder: Path, files: Payload, adds: int) -> bool:
    present: set[str] = set()
    for where, _, names in os.walk(folder):
        present.update(os.path.relpath(os.path.join(where, name), folder) for name in names)
    if present != set(files):
        return False
    return all(
        (folder / path).read_bytes() == file.content and _fits(folder / path, file, adds)
        for path, file in files.items()
    )


def _fits(path: Path, file: File, adds: int) -> bool:
    found = path.stat()
    return stat.S_IMODE(found.st_mode) | adds == file.mode | adds and (file.user is None or found.st_uid == file.user)


def _staged(root: Path, files: Payload, own: Callable[[Path], None] | None) -> Path:
    fresh = Path(tempfile.mkdtemp(prefix="..", suffix=".new", dir=root))
    try:
        fresh.chmod(0o755)
        for path, file in files.items():
            target = fresh / path
            _make_parents(fresh, target.parent)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as opened:
                opened.write(file.content)
                if file.user is not None:
                    os.fchown(descriptor, file.user, -1)
                os.fchmod(descriptor, file.mode)
        if own is not None:
            own(fresh)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return fresh


def _make_parents(top: Path, folder: Path) -> None:
    missing = [each for each in (folder, *folder.parents) if top in each.parents and not each.exists()]
    for each in reversed(missing):
        each.mkdir()
        each.chmod(0o755)


def _link(root: Path, names: set[str]) -> None:
    for name in names:
        link, target = root / name, f"{_DATA}/{name}"
        if link.is_symlink() and os.readlink(link) == target:
            continue
        pending = root / f"..link_{name}"[:_LONGEST_NAME]
        pending.unlink(missing_ok=True)
        pending.symlink_to(target)
        os.replace(pending, link)
    for entry in list(os.scandir(root)):
        if entry.name not in names and not entry.name.startswith("..") and entry.is_symlink():
            os.unlink(entry.path)


def _sweep(root: Path, current: str) -> None:
    """Removes what is shown no longer, and what earlier writes left behind."""
    for entry in list(os.scandir(root)):
        if entry.name in (_DATA, current) or not entry.name.startswith(".."):
            continue
        if stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)
