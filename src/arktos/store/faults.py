"""Why a store's file cannot be opened. In each case the file is left as it was."""

from __future__ import annotations

from pathlib import Path


class StoreFault(Exception):
    """Base of what opening or verifying a store may raise."""


class StoreCorrupt(StoreFault):
    """The file does not hold what was written to it; `detail` says where, `path` which file."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"{path}: {detail}. The file was not touched; "
            "restore it from a backup, or see what is readable with `arktos doctor`."
        )
        self.path = path
        self.detail = detail


class StoreLocked(StoreFault):
    """Another process (or another store in this one) has the file open."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is in use by {holder or 'another process'}; one process at a time can open it.")
        self.path = path
