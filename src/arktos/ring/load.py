"""How much there is to do at which point of the ring, and where to cut to have a share on one side. Pure."""

from __future__ import annotations

from sortedcontainers import SortedList

from arktos.model.hashranges import FULL, Range

TO_COME = 8.0
"""How many objects' weight is spread evenly over the whole ring."""


class Load:
    """A point weighs 1 for each object there, and 1 for each time that it was worked on of late: work fades by half in
    `half_life` seconds. Only `within` counts."""

    def __init__(self, half_life: float = 60.0) -> None:
        self.within: Range = FULL
        self._half_life = half_life
        self._there: SortedList[int] = SortedList()
        self._work: dict[int, float] = {}
        self._faded_at = 0.0

    def came(self, point: int) -> None:
        self._there.add(point)

    def went(self, point: int) -> None:
        self._there.discard(point)

    def worked(self, point: int) -> None:
        self._work[point] = self._work.get(point, 0.0) + 1.0

    def fade(self, now: float) -> None:
        """Call it from time to time; what has faded away is forgotten."""
        passed = now - self._faded_at
        if passed < self._half_life / 60:
            return
        self._faded_at = now
        factor = 0.5 ** (passed / self._half_life)
        self._work = {point: left for point, weight in self._work.items() if (left := weight * factor) > 0.05}

    def total(self) -> float:
        return self.weight(self.within)

    def weight(self, part: Range) -> float:
        """Of a part of the range."""
        start, end = part
        there: int = self._there.bisect_right(end) - self._there.bisect_left(start)
        return there + sum(weight for point, weight in self._work.items() if start <= point <= end)

    def cut(self, whole: Range, share: float) -> int:
        """The point p in `whole`, its last one excluded, such that [start, p] weighs nearest to `share` (0 to 1) of all
        that `whole` weighs. What is still to come may stand anywhere: that weighs as much as a few objects, spread
        evenly. `whole` has two points at least."""
        weights: dict[int, float] = {point: weight for point, weight in self._work.items() if whole.holds(point)}
        for point in self._there.irange(whole.start, whole.end):
            weights[point] = weights.get(point, 0.0) + 1.0
        density = TO_COME / (FULL.end - FULL.start + 1)
        left = share * (sum(weights.values()) + density * (whole.end - whole.start + 1))
        at = whole.start
        for point in sorted(weights):
            gap = density * (point - at)
            if gap >= left:
                break
            left -= gap
            at, weight = point, weights[point]
            if weight >= left:
                nearest = point if left > weight / 2 else point - 1
                return max(whole.start, min(nearest, whole.end - 1))
            left -= weight
        return max(whole.start, min(at + int(left / density), whole.end - 1))
