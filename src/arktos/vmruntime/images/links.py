"""What the store knows of its images: a file per name, replaced atomically. Blocks; call in a thread."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A name, and the image in `data/` that it stands for. `source` names the version at its origin; `anonymous`:
    it was given to somebody without credentials. Sizes in bytes, time in Unix seconds."""

    reference: str
    sha256: str
    format: str
    virtual_size: int
    size: int
    source: str = ""
    anonymous: bool = False
    pulled_at: float = 0.0


class Links:
    """All links of one folder; what is in memory is what is on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.by_reference: dict[str, Link] = {}

    def load(self) -> None:
        """Reads all; what cannot be read is dropped, for it can be pulled again."""
        for path in self._folder.iterdir():
            try:
                link = msgspec.json.decode(path.read_bytes(), type=Link)
            except (OSError, msgspec.DecodeError):
                with suppress(OSError):
                    path.unlink()
                continue
            self.by_reference[link.reference] = link

    def save(self, link: Link) -> None:
        """Durable when it returns. Raises OSError; then the former link stands."""
        path = self._path(link.reference)
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(link))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        self.by_reference[link.reference] = link

    def remove(self, reference: str) -> None:
        self._path(reference).unlink(missing_ok=True)
        self.by_reference.pop(reference, None)

    def _path(self, reference: str) -> Path:
        return self._folder / f"{hashlib.sha256(reference.encode()).hexdigest()[:40]}.json"
