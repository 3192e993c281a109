"""Which log files of containers to rotate, compress and drop, by their names and sizes. Pure.

A container writes `N.log`, N being how often it was restarted. A rotated file is `N.log.YYYYMMDD-HHMMSS`, with `.gz`
once it is compressed, as kubelet has them; log readers go by these names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

_CURRENT = re.compile(r"(\d+)\.log\Z")
_ROTATED = re.compile(r"(\d+\.log)\.(\d{8}-\d{6})(\.gz)?\Z")
TEMPORARY = ".tmp"


def attempt_of(name: str) -> int | None:
    """Which start of a container a log is of; None for what is no current log."""
    found = _CURRENT.match(name)
    return int(found[1]) if found else None


def rotated_name(name: str, now: datetime) -> str:
    return f"{name}.{now:%Y%m%d-%H%M%S}"


@dataclass(frozen=True, slots=True)
class Rotation:
    """What to do about one log: drop these files, compress those, then rename the log itself."""

    drop: tuple[str, ...] = ()
    compress: tuple[str, ...] = ()
    rename: str = ""


def rotation(name: str, siblings: Iterable[str], most: int, now: datetime) -> Rotation:
    """How to rotate the log `name` so that at most `most` files are left of it, the new one included. What was rotated
    before is compressed now; the newest stays readable, since whoever follows the log may still read it."""
    rotated = sorted(other for other in siblings if (found := _ROTATED.match(other)) and found[1] == name)
    stale = [other for other in siblings if other.startswith(f"{name}.") and other.endswith(TEMPORARY)]
    # One place for the log that is renamed now, one for the one that is begun.
    excess = max(0, len(rotated) - (most - 2))
    kept = rotated[excess:]
    compress = tuple(other for other in kept if not other.endswith(".gz"))
    return Rotation((*stale, *rotated[:excess]), compress, rotated_name(name, now))


def of_past_starts(names: Iterable[str], attempts: frozenset[int], newest: int) -> list[str]:
    """The logs, rotated ones too, of starts of a container before its newest, that the runtime knows no more."""
    found = []
    for name in names:
        rotated = _ROTATED.match(name)
        attempt = attempt_of(rotated[1] if rotated else name)
        if attempt is not None and attempt < newest and attempt not in attempts:
            found.append(name)
    return found


@dataclass(frozen=True, slots=True)
class LogFolder:
    """The logs of one container: `files` are names with sizes."""

    uid: str
    container: str
    path: str
    files: Sequence[tuple[str, int]] = field(default=())

    def too_large(self, limit: int) -> list[str]:
        return [name for name, size in self.files if size > limit and attempt_of(name) is not None]
