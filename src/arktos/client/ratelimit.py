"""How fast and how long to try: a token bucket, and back-off with jitter. Pure: time and chance are parameters."""

from __future__ import annotations

import random


class TokenBucket:
    """`burst` at once, `rate` per second in the long run. `now` is any monotonic clock, in seconds."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def allow(self, now: float) -> bool:
        """Takes a token if there is one."""
        self._fill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def reserve(self, now: float) -> float:
        """Takes a token, if need be a future one, and returns how long to wait for it."""
        self._fill(now)
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._rate)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now


class Backoff:
    """Delays that double from `base` to `ceiling` seconds, each between half and all of it; `reset` after success."""

    __slots__ = ("_base", "_ceiling", "_failures", "_random")

    def __init__(self, base: float, ceiling: float, chance: random.Random | None = None) -> None:
        self._base = base
        self._ceiling = ceiling
        self._failures = 0
        self._random = chance or random.Random()

    def next(self) -> float:
        delay = min(self._ceiling, self._base * 2.0 ** min(self._failures, 62))
        self._failures += 1
        return delay * (0.5 + 0.5 * self._random.random())

    def reset(self) -> None:
        self._failures = 0
