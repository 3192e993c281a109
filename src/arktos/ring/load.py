"""How much there is to do at which point of the ring, and where to cut to have a share on one side. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from arktos.model.hashranges import Range


class Load:
    """A point weighs 1 for being there, and 1 for each time that it was worked on of late: work fades by half in
    `half_life` seconds."""

    def __init__(self, half_life: float = 60.0) -> None:
        self._half_life = half_life
        self._there: set[int] = set()
        self._work: dict[int, float] = {}
        self._faded_at = 0.0

    def there(self, points: Iterable[int]) -> None:
        """All points that there are now."""
        self._there = set(points)

    def worked(self, point: int) -> None:
        self._work[point] = self._work.get(point, 0.0) + 1.0

    def fade(self, now: float) -> None:
        """Call it from time to time; what has faded away is forgotten."""
        passed, self._faded_at = now - self._faded_at, now
        factor = 0.5 ** max(0.0, passed / self._half_life)
        self._work = {point: left for point, weight in self._work.items() if (left := weight * factor) > 0.05}

    def total(self) -> float:
        return len(self._there) + sum(self._work.values())

    def cut(self, whole: Range, share: float) -> int:
        """The point p in `whole`, its last one excluded, such that [start, p] weighs nearest to `share` (0 to 1) of all
        that `whole` weighs. Where nothing weighs, the width counts. `whole` has two points at least."""
        points = sorted(point for point in {*self._there, *self._work} if whole.holds(point))
        weights = [(point in self._there) + self._work.get(point, 0.0) for point in points]
        wanted = share * sum(weights)
        if not wanted:
            return min(whole.end - 1, whole.start + int((whole.end - whole.start) * share))
        best, at, below = whole.start, wanted, 0.0
        for point, weight in zip(points, weights, strict=True):
            below += weight
            if abs(below - wanted) < at:
                best, at = point, abs(below - wanted)
        return max(whole.start, min(best, whole.end - 1))
