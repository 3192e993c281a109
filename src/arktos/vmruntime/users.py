"""Whom QEMU processes run as: each machine a user of its own, so that one whose QEMU is taken over reaches neither
files nor processes of another's. These users have no name and no rights; they are numbers that nobody else uses.
"""

from __future__ import annotations

import itertools
import pwd
from dataclasses import dataclass
from pathlib import Path

_MAP = Path("/proc/self/uid_map")


@dataclass(frozen=True, slots=True)
class User:
    uid: int
    gid: int

    @classmethod
    def named(cls, name: str) -> User:
        """Raises KeyError where there is no such user."""
        found = pwd.getpwnam(name)
        return cls(found.pw_uid, found.pw_gid)


class Users:
    """Numbers from `first` on; with 0 all machines share the user `common`, which is their number 0."""

    def __init__(self, common: User, first: int = 0) -> None:
        self._common = common
        self._first = first
        self._held: set[int] = set()

    def claim(self) -> int:
        """A uid that no machine has; 0 for the common user's."""
        if not self._first:
            return 0
        uid = next(uid for uid in itertools.count(self._first) if uid not in self._held)
        self._held.add(uid)
        return uid

    def hold(self, uid: int) -> None:
        """Claims the one that a machine has already."""
        self._held.add(uid)

    def release(self, uid: int) -> None:
        """It may be another's from now on. Idempotent."""
        self._held.discard(uid)

    def user(self, uid: int) -> User:
        return User(uid, uid) if uid else self._common


def uid_exists(uid: int) -> bool:
    """Whether processes of ours can be this user's: not where a user namespace has no such number."""
    for line in _MAP.read_text().splitlines():
        start, _, count = map(int, line.split())
        if start <= uid < start + count:
            return True
    return False
