"""Fair queues of one priority level: which waiting request is next. Pure.

A flow is dealt a hand of the queues by its name and puts each request into the shortest of them (shuffle sharding), so
two flows share all of their queues hardly ever. The next request is taken from the queue that has been given least so
far; a queue that has been empty starts where the others are (start-time fair queueing), so nobody saves up for later.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


def deal(flow: str, queues: int, hand: int) -> tuple[int, ...]:
    """The queues of a flow: `hand` different ones of `queues`, the same ones every time."""
    entropy = int.from_bytes(hashlib.blake2b(flow.encode("utf-8", "surrogatepass"), digest_size=16).digest(), "big")
    left = list(range(queues))
    dealt = []
    for _ in range(min(hand, queues)):
        entropy, card = divmod(entropy, len(left))
        dealt.append(left.pop(card))
    return tuple(dealt)


class Queue(Generic[_Item]):
    """One queue. `served` is what its requests have cost so far, on the clock of its level."""

    __slots__ = ("items", "listed", "served")

    def __init__(self) -> None:
        self.items: deque[_Item] = deque()
        self.served = 0.0
        self.listed = False


class FairQueues(Generic[_Item]):
    """All queues of a level; one that has no more than `length` places is full."""

    def __init__(self, queues: int, length: int) -> None:
        self._queues: list[Queue[_Item]] = [Queue() for _ in range(max(queues, 1))]
        self._length = length
        self._next: list[tuple[float, int, Queue[_Item]]] = []
        self._serial = itertools.count()
        self._clock = 0.0
        self.waiting = 0

    def put(self, item: _Item, hand: Sequence[int]) -> bool:
        """Queues an item; False where every queue of the hand is full."""
        queue = min((self._queues[card] for card in hand), key=lambda queue: len(queue.items))
        if len(queue.items) >= self._length:
            return False
        if not queue.items and not queue.listed:
            queue.served = max(queue.served, self._clock)
        queue.items.append(item)
        self.waiting += 1
        self._list(queue)
        return True

    def take(self) -> tuple[_Item, Queue[_Item]] | None:
        """The next item, and the queue to `charge` for it. Take no other before that is done."""
        if not self._next:
            return None
        served, _, queue = heapq.heappop(self._next)
        queue.listed = False
        self._clock = max(self._clock, served)
        self.waiting -= 1
        return queue.items.popleft(), queue

    def charge(self, queue: Queue[_Item], cost: float) -> None:
        """Books what an item has cost."""
        queue.served += cost
        self._list(queue)

    def expired(self, since: float) -> list[_Item]:
        """Removes the items that were queued before `since` (their attribute `queued`), and returns them."""
        found = []
        for queue in self._queues:
            while queue.items and queue.items[0].queued < since:  # type: ignore[attr-defined]
                found.append(queue.items.popleft())
        if found:
            self.waiting -= len(found)
            self._next = [entry for entry in self._next if entry[2].items]
            heapq.heapify(self._next)
            for queue in self._queues:
                queue.listed = queue.listed and bool(queue.items)
        return found

    def drain(self) -> list[_Item]:
        """Everything that waits, taken out."""
        found = [item for queue in self._queues for item in queue.items]
        for queue in self._queues:
            queue.items.clear()
            queue.listed = False
        self._next.clear()
        self.waiting = 0
        return found

    def _list(self, queue: Queue[_Item]) -> None:
        if queue.items and not queue.listed:
            queue.listed = True
            heapq.heappush(self._next, (queue.served, next(self._serial), queue))
