"""A queue of keys to work on: each key once, never in two hands at a time, retries with back-off.

`QueueCore` holds the rules and takes the time as a parameter; `WorkQueue` is its asyncio shell; `run` drives workers.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)


class QueueMetrics(Protocol):
    """Hooks that a process may tie to its metrics. Called on the loop; must not block. Seconds."""

    def depth(self, keys: int) -> None:
        """How many keys wait to be handed out (delayed ones not counted)."""
        ...

    def added(self) -> None:
        """A key became due that was not due before."""
        ...

    def waited(self, seconds: float) -> None:
        """A key was handed out after this long in the queue."""
        ...

    def worked(self, seconds: float) -> None:
        """A worker was done with a key after this long."""
        ...

    def retried(self) -> None: ...


class QueueCore(Generic[K]):
    """The rules, without a clock. A key is due, delayed, in work, or unknown.

    A due key added again stays one; a key added while in work becomes due when its worker is done. A key that is both
    delayed and added is handed out at once, and the delay is dropped. `now` is any monotonic clock, in seconds.
    """

    def __init__(self, base: float = 0.005, ceiling: float = 1000.0) -> None:
        self._base = base
        self._ceiling = ceiling
        self._due: deque[K] = deque()
        self._since: dict[K, float] = {}
        self._working: dict[K, float] = {}
        self._again: set[K] = set()
        self._delayed: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._since)

    @property
    def working(self) -> int:
        return len(self._working)

    @property
    def delayed(self) -> int:
        return len(self._delayed)

    def add(self, key: K, now: float) -> None:
        """Makes `key` due."""
        self._delayed.pop(key, None)
        if key in self._working:
            self._again.add(key)
        elif key not in self._since:
            self._since[key] = now
            self._due.append(key)

    def add_after(self, key: K, seconds: float, now: float) -> None:
        """Makes `key` due in `seconds`; an earlier due time that it already has stands."""
        if seconds <= 0:
            self.add(key, now)
            return
        if key in self._since or key in self._again:
            return
        at = now + seconds
        known = self._delayed.get(key)
        if known is None or at < known:
            self._delayed[key] = at
            heapq.heappush(self._heap, (at, next(self._order), key))

    def back_off(self, key: K) -> float:
        """Counts one more failure of `key` and returns its delay in seconds: base, doubled each time, up to the
        ceiling."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return min(self._ceiling, self._base * 2.0 ** min(failures, 62))

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """Clears the count of failures; the key stays where it is."""
        self._failures.pop(key, None)

    def tick(self, now: float) -> None:
        """Moves what has become due."""
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            if self._delayed.get(key) == at:
                self.add(key, now)

    def next_due(self) -> float | None:
        """When `tick` has something to do next, None if never."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._delayed.get(key) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def take(self, now: float) -> tuple[K, float] | None:
        """The longest-waiting due key and how long it waited; it is in work until `done`. None if nothing is due."""
        if not self._due:
            return None
        key = self._due.popleft()
        self._working[key] = now
        return key, now - self._since.pop(key)

    def unfinished(self, now: float) -> tuple[float, float]:
        """How long keys have been in work until now: all together, and the longest."""
        times = [now - started for started in self._working.values()]
        return sum(times), max(times, default=0.0)

    def done(self, key: K, now: float) -> float:
        """Ends the work on `key`, which becomes due again if it was added meanwhile. Returns how long the work
        took."""
        started = self._working.pop(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key, now)
        return now - started


class WorkQueue(Generic[K]):
    """The queue on an event loop. All methods but `get` are immediate; all must be called on the loop's thread.

    `base` and `ceiling` bound the back-off of `add_rate_limited`, in seconds.
    """

    def __init__(
        self,
        *,
        base: float = 0.005,
        ceiling: float = 1000.0,
        metrics: QueueMetrics | None = None,
    ) -> None:
        self._core: QueueCore[K] = QueueCore(base, ceiling)
        self._metrics = metrics
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def __len__(self) -> int:
        return len(self._core)

    def add(self, key: K) -> None:
        """Makes `key` due now."""
        before = len(self._core)
        self._core.add(key, self._now())
        self._grown(len(self._core) - before)

    def add_after(self, key: K, seconds: float) -> None:
        """Makes `key` due in `seconds`, or earlier if it already was to be."""
        before = len(self._core)
        self._core.add_after(key, seconds, self._now())
        self._grown(len(self._core) - before)
        self._arm()

    def add_rate_limited(self, key: K, *, at_least: float = 0.0) -> float:
        """Makes `key` due after its back-off, which doubles with each call until `forget`, or after `at_least`
        seconds if that is longer. Returns the delay."""
        if self._metrics:
            self._metrics.retried()
        delay = max(at_least, self._core.back_off(key))
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Resets the back-off of `key`: call it when the work succeeded."""
        self._core.forget(key)

    def failures(self, key: K) -> int:
        """How often `key` was rate-limited since it was last forgotten."""
        return self._core.failures(key)

    async def get(self) -> K:
        """Waits for a due key. The caller owns it until it calls `done`."""
        while True:
            taken = self._core.take(self._now())
            if taken is not None:
                key, waited = taken
                if self._metrics:
                    self._metrics.waited(waited)
                    self._metrics.depth(len(self._core))
                return key
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake(1)
                else:
                    self._waiters.remove(waiter)
                raise

    def done(self, key: K) -> None:
        """Gives `key` back."""
        before = len(self._core)
        took = self._core.done(key, self._now())
        if self._metrics:
            self._metrics.worked(took)
        self._grown(len(self._core) - before)

    def unfinished(self) -> tuple[float, float]:
        """Seconds of work under way: of all keys together, and of the one that takes longest."""
        return self._core.unfinished(self._now())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _grown(self, keys: int) -> None:
        if not keys:
            return
        if self._metrics:
            for _ in range(keys):
                self._metrics.added()
            self._metrics.depth(len(self._core))
        self._wake(keys)

    def _wake(self, keys: int) -> None:
        while keys and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                keys -= 1

    def _arm(self) -> None:
        due = self._core.next_due()
        if due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = asyncio.get_running_loop().call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        before = len(self._core)
        self._core.tick(max(self._now(), self._timer_at))
        self._grown(len(self._core) - before)
        self._arm()


async def run(queue: WorkQueue[K], workers: int, handler: Callable[[K], Awaitable[None]]) -> None:
    """Works on `queue` with `workers` tasks until cancelled. What `handler` raises ends them all: decide about
    failures inside it (`Controller` does)."""

    async def work() -> None:
        while True:
            key = await queue.get()
            try:
                await handler(key)
            finally:
                queue.done(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
