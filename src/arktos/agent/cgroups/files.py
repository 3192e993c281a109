"""Control files of cgroups: one value each. Blocks; OSError."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def write(path: Path, value: str | int) -> None:
    """Sets a control file, which must be there: without it the kernel lacks the controller."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(descriptor, str(value).encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        # A control file's name says more than the number of the error.
        raise OSError(error.errno, f"cannot set to {value}: {error.strerror}", str(path)) from error


def number(path: Path) -> int | None:
    """The number that a control file holds; None for `max`, and where there is no such file."""
    text = (_content(path) or "").strip()
    return int(text) if text.lstrip("-").isdigit() else None


def table(path: Path) -> dict[str, int]:
    """The numbers of a control file of lines `name number`; empty where there is no such file."""
    pairs = (line.split() for line in (_content(path) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _content(path: Path) -> str | None:
    try:
        return path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        # The cgroup went between opening the file and reading it.
        if error.errno == errno.ENODEV:
            return None
        raise


def refuse_below(used: int | None, limit: int, group: str) -> None:
    """EBUSY for a memory limit that would have the kernel kill at once."""
    if limit and used is not None and used > limit:
        raise OSError(errno.EBUSY, f"memory limit of {limit} bytes is below the current usage of {used} bytes", group)
