"""What was begun of Actions: a file each, from before the deed until the API server has its result. Blocks."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """How the machine was when an Action was begun; by that one sees later whether it was done. `error` and `result`
    are how it ended, once `ended`."""

    reboots: int = 0
    ended: bool = False
    error: str = ""
    result: dict[str, object] = {}


class Journal:
    """The files of one folder, by the uid of the Action."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, uid: str) -> Begun | None:
        """What was begun; None for an Action that was not, or whose file cannot be read."""
        try:
            return msgspec.json.decode(self._path(uid).read_bytes(), type=Begun)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, uid: str, begun: Begun) -> None:
        """Durable when it returns. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(uid)
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(begun))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def remove(self, uid: str) -> None:
        self._path(uid).unlink(missing_ok=True)

    def keep_only(self, uids: set[str]) -> None:
        """Removes what is of Actions that no longer exist."""
        if not self._folder.exists():
            return
        for path in self._folder.iterdir():
            if path.stem not in uids:
                path.unlink(missing_ok=True)

    def _path(self, uid: str) -> Path:
        return self._folder / f"{Path(uid).name}.json"
