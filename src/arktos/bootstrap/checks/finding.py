"""What a check found."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.IntEnum):
    OK = 0
    WARN = 1
    BAD = 2

    @property
    def label(self) -> str:
        return {Level.OK: " ok ", Level.WARN: "warn", Level.BAD: "bad "}[self]


@dataclass(frozen=True, slots=True)
class Finding:
    """`advice` is what to do about it, a command where there is one."""

    name: str
    level: Level
    text: str
    advice: str = ""
