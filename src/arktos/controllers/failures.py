"""How long to wait with something that failed before: per key, doubling, forgotten after a quiet time. Pure."""

from __future__ import annotations

from collections.abc import Hashable


class Failures:
    """Counts failures by key. Seconds: the first wait, and the longest; a key that had no failure for twice the longest
    is forgotten. `now` rises."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._known: dict[Hashable, tuple[float, float]] = {}

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until it may be tried again, 0 if now."""
        delay, at = self._known.get(key, (0.0, now))
        return max(0.0, at + delay - now)

    def count(self, key: Hashable, now: float) -> None:
        """Notes a failure: the next wait is twice as long."""
        delay, at = self._known.pop(key, (0.0, now))
        fresh = not delay or now - at > 2 * self._longest
        self._known[key] = (self._first if fresh else min(2 * delay, self._longest), now)
        while self._known:
            oldest = next(iter(self._known))
            if now - self._known[oldest][1] <= 2 * self._longest:
                break
            del self._known[oldest]

    def forget(self, key: Hashable) -> None:
        self._known.pop(key, None)
