"""How many objects of a mirror there are of each sort, counted event by event: a scrape goes through none of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator

from arktos.client import Cached, Informer
from arktos.model.kinds import Obj

Labels = tuple[str, ...]


class Population:
    """Counts the objects of a mirror by labels, event by event."""

    def __init__(self, mirror: Informer, labels: Callable[[Obj], Iterable[tuple[str, Labels]]]) -> None:
        self._labels = labels
        self._of: dict[Hashable, tuple[tuple[str, Labels], ...]] = {}
        self._tally: Counter[tuple[str, Labels]] = Counter()
        mirror.add_handler(self._changed)

    def _changed(self, old: Cached | None, new: Cached | None) -> None:
        known = new if new is not None else old
        assert known is not None
        for each in self._of.pop(known.key, ()):
            self._tally[each] -= 1
            if not self._tally[each]:
                del self._tally[each]
        if new is not None:
            found = self._of[new.key] = tuple(self._labels(new.obj()))
            self._tally.update(found)

    def of(self, name: str) -> Iterator[tuple[Labels, float]]:
        """By labels, how many there are under one name."""
        for (called, labels), count in self._tally.items():
            if called == name:
                yield labels, float(count)
