"""Revisions: max(last + 1, unix microseconds), below 2^53, never handed out twice.

Lazy puts are seen before they are on disk. So that their revisions are not reused after a crash, they must stay below a
ceiling that is durable; it is raised with the batches that are written anyway, early enough that nobody waits.
"""

from __future__ import annotations

from arktos.store.records import StoreUnavailable

LIMIT = 1 << 53
BLOCK = 20_000_000
"""How far ahead of the newest revision the ceiling is set: microseconds' worth, 20 s."""

_LATEST_CLOCK = LIMIT - (1 << 50)
"""A clock beyond this (the year 2249) is wrong; following it would leave no room to count on."""


class Revisions:
    """`last` is the newest that was handed out, `ceiling` the durable bound for what may be seen before it is
    durable."""

    def __init__(self, last: int, ceiling: int) -> None:
        self.last = last
        self.ceiling = ceiling

    def next(self, now: float) -> int:
        """What `take` will hand out at unix time `now`. StoreUnavailable when there are no more."""
        revision = max(self.last + 1, min(int(now * 1e6), _LATEST_CLOCK))
        if revision >= LIMIT:
            raise StoreUnavailable("revisions are exhausted")
        return revision

    def take(self, revision: int) -> None:
        self.last = revision

    def new_ceiling(self) -> int:
        """The ceiling to write with the next batch; 0 if the present one is high enough."""
        return self.last + BLOCK if self.ceiling - self.last < BLOCK // 2 else 0
