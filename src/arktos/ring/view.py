"""What one member knows of the others, and since when each is silent. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from arktos.ring.decisions import View
from arktos.ring.records import Instance

_REMEMBERED = 1024
"""Instances that are gone and must not come back by a late message."""


class Peers:
    """The other members of one type. A member is judged by when we last saw it change, on our own clock."""

    def __init__(self, type: str, me: str) -> None:
        self._type = type
        self._me = me
        self._seen: dict[str, tuple[Instance, float]] = {}
        self._gone: dict[str, None] = {}
        self._buried: dict[str, float] = {}
        self.moved_at = float("-inf")
        """When a boundary moved last, as far as we saw."""

    def seen(self, instance: Instance, now: float) -> None:
        if instance.type != self._type or instance.name == self._me or instance.uid in self._gone:
            return
        known = self._seen.get(instance.name)
        if known is not None and known[0].rv >= instance.rv:
            return
        if known is None or known[0].range != instance.range:
            self.moved_at = now
        self._seen[instance.name] = (instance, now)

    def vanished(self, name: str, uid: str, now: float) -> None:
        self._gone[uid] = None
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
        self._buried.pop(uid, None)
        known = self._seen.get(name)
        if known is not None and known[0].uid == uid:
            del self._seen[name]
            self.moved_at = now

    def forgive(self, now: float) -> None:
        """Everybody counts as alive just now: nobody could tell while we could not be told."""
        self._seen = {name: (instance, now) for name, (instance, _) in self._seen.items()}

    def dead(self, now: float, again: float) -> Iterator[Instance]:
        """Those silent for their whole lease, each at most every `again` seconds."""
        for instance, since in self._seen.values():
            if now >= since + instance.lease and now >= self._buried.get(instance.uid, float("-inf")) + again:
                self._buried[instance.uid] = now
                yield instance

    def next_death(self) -> float:
        return min((since + instance.lease for instance, since in self._seen.values()), default=float("inf"))

    def view(self, mine: Instance) -> View:
        """All members, ourselves as `mine`."""
        return {**{name: instance for name, (instance, _) in self._seen.items()}, mine.name: mine}

    def __len__(self) -> int:
        return len(self._seen)
