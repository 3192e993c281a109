"""The gate before a server's verbs: lets requests through, or has them wait for their flow's turn."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Iterator, Sequence
from time import perf_counter

from arktos.apiserver.fairness.queues import FairQueues, deal
from arktos.apiserver.fairness.schemas import Asked, FlowSchema, PriorityLevel
from arktos.apiserver.identity import User
from arktos.model.kinds import SYSTEM_TENANT
from arktos.model.status import TooManyRequests
from arktos.wire.http import Handler, Later, Reply, Request

BUDGET = 0.002
"""Seconds of one turn of the event loop that requests may take; what comes later in the turn waits for another."""
_LEISURE = 0.001
"""After so long without a request the loop has been idle: a new turn has begun."""
_SOME = BUDGET / 4
"""So much of a turn is nothing to look at the clock of turns for."""
_WRITE_COST = 0.0004
"""What a write costs after it was let through, in seconds; reads have cost what they cost by then."""
_OBJECTS_PER_SEAT, _MOST_SEATS, _SEAT_COST = 100, 10, 0.00037
"""How much a LIST is believed to cost: seats by the number of objects, and seconds by seats."""
_PATIENCE = 15.0
"""Seconds that a request may wait: a quarter of what Kubernetes gives one."""
_REFUSAL_PAUSE = 0.25
"""How long a refusal is held back, so that who asks again at once doesn't cost more than who waits."""
_SEATED = 1.0
"""Seconds that a request keeps its seat: what takes longer waits for somebody else."""
_SWEEP = 1.0
_MAX_FLOWS = 8192
_WAITS = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)

Gauge = tuple[str, str, dict[str, str], float]


class Level:
    """A priority level at work. `seats` are in use; `limit` is its nominal share of all seats."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.clock = 0.0
        self.seats = 0
        self.queues: FairQueues[_Waiting] = FairQueues(1, 50)
        self.shape = (0, 0)
        self.uid = ""

    def set_up(self, found: PriorityLevel, total: int, all_shares: int) -> Sequence[_Waiting]:
        """Takes a configuration over. Returns what waited in queues that are no more."""
        self.uid, self.exempt, self.shares = found.metadata.uid, found.exempt, max(found.shares, 1)
        self.limit = -(-total * found.shares // max(all_shares, 1))
        lendable, borrowing = found.limited.lendable_percent or 0, found.limited.borrowing_limit_percent
        self.kept = self.limit - round(self.limit * lendable / 100)
        self.most = total if borrowing is None else self.limit + round(self.limit * borrowing / 100)
        queuing = found.queuing
        self.refuses = queuing is None
        self.hand = queuing.hand_size if queuing else 1
        shape = (queuing.queues, queuing.queue_length_limit) if queuing else (1, 50)
        if shape == self.shape:
            return ()
        self.shape, waiting = shape, self.queues.drain()
        self.queues = FairQueues(*shape)
        return waiting


class Flow:
    """What is known of all requests that ask alike: their level, their queues, the headers of their answers."""

    __slots__ = ("counts", "hand", "head", "kind", "level")

    def __init__(self, schema: FlowSchema, level: Level, hand: tuple[int, ...], counts: _Counts, verb: str) -> None:
        self.kind = "readOnly" if verb in ("get", "list", "watch") else "mutating"
        self.level = level
        self.hand = hand
        self.head = (
            f"X-Kubernetes-PF-FlowSchema-UID: {schema.metadata.uid}\r\n"
            f"X-Kubernetes-PF-PriorityLevel-UID: {level.uid}\r\n"
        ).encode()
        self.counts = counts


class _Counts:
    """What has become of the requests of one schema."""

    __slots__ = ("dispatched", "queued", "refused", "waited", "waits")

    def __init__(self) -> None:
        self.dispatched = self.queued = 0
        self.refused: dict[str, int] = {}
        self.waits = [0] * (len(_WAITS) + 1)
        self.waited = 0.0


class _Waiting:
    __slots__ = ("flow", "later", "queued")

    def __init__(self, flow: Flow, later: Later) -> None:
        self.flow = flow
        self.later = later
        self.queued = perf_counter()


class _Seat:
    """One that is taken, until it is given back."""

    __slots__ = ("level",)

    def __init__(self, level: Level) -> None:
        self.level: Level | None = level
        level.seats += 1


class Gate:
    """See the package. `total` are the seats of all levels together."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._levels: dict[str, Level] = {}
        self._schemas: list[FlowSchema] = []
        self.flows: dict[tuple[object, ...], Flow] = {}
        """What has been classified. Bounded."""
        self._counts: dict[tuple[str, str], _Counts] = {}
        self.inflight = {"readOnly": 0, "mutating": 0}
        self._open = False
        self._began = self._last = 0.0
        self._clock = 0.0
        self._sweep: asyncio.TimerHandle | None = None

    def configure(self, schemas: Sequence[FlowSchema], levels: Sequence[PriorityLevel]) -> None:
        """Takes schemas and levels over; requests that wait keep their place where their queue is still there."""
        shares = sum(level.shares for level in levels)
        old, self._levels = self._levels, {}
        homeless: list[_Waiting] = []
        for found in levels:
            level = self._levels[found.name] = old.pop(found.name) if found.name in old else Level(found.name)
            homeless += level.set_up(found, self._total, shares)
        for level in old.values():
            homeless += level.queues.drain()
        self._schemas = sorted((s for s in schemas if s.level in self._levels), key=lambda schema: schema.order)
        self.flows.clear()
        for waiting in homeless:
            self._refuse(waiting, "cancelled")

    def enter(self, flow: Flow, seats: int) -> bool:
        """Whether a request may go ahead now; else it has to `wait`. `seats` is what it is believed to take."""
        level, now = flow.level, perf_counter()
        if not self._open:
            if now - self._last > _LEISURE:
                self._began = now
            elif now - self._began > _SOME:
                self._open = True
                asyncio.get_running_loop().call_soon(self._turn)
        cost = seats * _SEAT_COST if seats else 0.0
        self._last = now + cost
        if level.queues.waiting or (level.seats >= level.limit and not self._may_borrow(level)):
            return False
        if now + cost > self._began + BUDGET and now > self._began:
            return False
        flow.counts.dispatched += 1
        return True

    def wait(self, flow: Flow, call: Handler) -> Later:
        """The reply of `call`, which is made when it is its flow's turn: TooManyRequests where there is no room."""
        level, later = flow.level, Later(call)
        if level.refuses and level.seats >= level.limit and not self._may_borrow(level):
            self._turn_away(flow, later, "concurrency-limit")
            return later
        if not level.queues.waiting:
            level.clock = max(level.clock, self._clock)
        if level.queues.put(_Waiting(flow, later), flow.hand):
            flow.counts.queued += 1
            self._see_to_it()
        else:
            self._turn_away(flow, later, "queue-full")
        return later

    async def hold(self, flow: Flow, awaitable: Awaitable[Reply]) -> Reply:
        """Awaits, on a seat of the flow's level. Who waits for long, for a webhook of its tenant or the like, stands:
        seats are for all tenants, and nobody's work is done meanwhile."""
        seat = _Seat(flow.level)
        standing = asyncio.get_running_loop().call_later(_SEATED, self._give_back, seat)
        self.inflight[flow.kind] += 1
        try:
            return await awaitable
        finally:
            standing.cancel()
            self.inflight[flow.kind] -= 1
            self._give_back(seat)

    def _give_back(self, seat: _Seat) -> None:
        level = seat.level
        if level is None:
            return
        seat.level = None
        level.seats -= 1
        if level.queues.waiting:
            self._see_to_it()

    def book(self) -> None:
        """A write was let through: most of its work is still to come, in this turn or the next."""
        self._began -= _WRITE_COST

    def classify(self, key: tuple[object, ...], asked: Asked) -> Flow:
        """The flow of a request, which `flows` knows by `key` from here on: equal for requests that rules cannot tell
        apart."""
        schema = next(schema for schema in self._schemas if schema.matches(asked))
        level = self._levels[schema.level]
        if len(self.flows) >= _MAX_FLOWS:
            self.flows.clear()
        counts = self._counts.setdefault((schema.name, level.name), _Counts())
        hand = hand_of(asked.user, schema.distinguisher(asked), schema.name, level)
        flow = self.flows[key] = Flow(schema, level, hand, counts, asked.verb)
        return flow

    def _may_borrow(self, level: Level) -> bool:
        """Whether seats that other levels lend and do not use are left."""
        if level.seats >= level.most:
            return False
        others = (other for other in self._levels.values() if other is not level and not other.exempt)
        return sum(max(other.seats, other.kept) for other in others) + level.seats < self._total

    # Turns

    def _see_to_it(self) -> None:
        """Has the queues looked at in the loop's next turn."""
        loop = asyncio.get_running_loop()
        if not self._open:
            self._open = True
            loop.call_soon(self._turn)
        if self._sweep is None:
            self._sweep = loop.call_later(_SWEEP, self._look)

    def _turn(self) -> None:
        """A new turn of the loop: the queues first, by what they have been given so far."""
        self._began = now = perf_counter()
        while perf_counter() - self._began < BUDGET and (level := self._next_level()) is not None:
            self._clock = level.clock
            taken = level.queues.take()
            if taken is None:
                break
            waiting, queue = taken
            before = perf_counter()
            debt = self._began
            self._run(waiting)
            now = perf_counter()
            cost = now - before + debt - self._began
            level.queues.charge(queue, cost)
            level.clock += cost / level.shares
        self._last = now
        self._open = self._next_level() is not None
        if self._open:
            asyncio.get_running_loop().call_soon(self._turn)

    def _next_level(self) -> Level | None:
        ready = [
            level
            for level in self._levels.values()
            if level.queues.waiting and (level.seats < level.limit or self._may_borrow(level))
        ]
        return min(ready, key=lambda level: level.clock) if ready else None

    def _run(self, waiting: _Waiting) -> None:
        counts, waited = waiting.flow.counts, perf_counter() - waiting.queued
        counts.queued -= 1
        counts.dispatched += 1
        counts.waits[bisect_left(_WAITS, waited)] += 1
        counts.waited += waited
        waiting.later.run()

    def _look(self) -> None:
        """Refuses those that have waited for too long."""
        since = perf_counter() - _PATIENCE
        for level in self._levels.values():
            for waiting in level.queues.expired(since):
                self._refuse(waiting, "time-out")
        left = any(level.queues.waiting for level in self._levels.values())
        self._sweep = asyncio.get_running_loop().call_later(_SWEEP, self._look) if left else None

    def _refuse(self, waiting: _Waiting, reason: str) -> None:
        counts = waiting.flow.counts
        counts.queued -= 1
        if waiting.later.wanted:
            counts.refused[reason] = counts.refused.get(reason, 0) + 1
            waiting.later.call = _too_many
            waiting.later.run()

    @staticmethod
    def _turn_away(flow: Flow, later: Later, reason: str) -> None:
        refused = flow.counts.refused
        refused[reason] = refused.get(reason, 0) + 1
        later.call = _too_many
        asyncio.get_running_loop().call_later(_REFUSAL_PAUSE, later.run)

    # Metrics

    def gauges(self) -> Iterator[Gauge]:
        """The metrics `apiserver_flowcontrol_*`, and how many requests are under way."""
        for kind, count in self.inflight.items():
            name = "apiserver_current_inflight_requests"
            yield name, "Requests that wait for something.", {"request_kind": kind}, float(count)
        for level in self._levels.values():
            if level.exempt:
                continue
            told = {"priority_level": level.name}
            for name, what, value in (
                ("nominal_limit_seats", "Seats that are a level's own.", level.limit),
                ("lower_limit_seats", "Seats that a level does not lend.", level.kept),
                ("upper_limit_seats", "Seats that a level can have.", min(level.most, self._total)),
                ("current_limit_seats", "Seats that a level has.", level.limit),
                ("current_executing_seats", "Seats in use.", level.seats),
                ("current_inqueue_seats", "Requests that wait.", level.queues.waiting),
            ):
                yield f"apiserver_flowcontrol_{name}", what, told, float(value)
        for (schema, level_name), counts in self._counts.items():
            told = {"flow_schema": schema, "priority_level": level_name}
            name = "apiserver_flowcontrol_dispatched_requests_total"
            yield name, "Requests that were let through.", told, float(counts.dispatched)
            name = "apiserver_flowcontrol_current_inqueue_requests"
            yield name, "Requests that wait.", told, float(counts.queued)
            for reason, count in counts.refused.items():
                name = "apiserver_flowcontrol_rejected_requests_total"
                yield name, "Requests that were refused.", {**told, "reason": reason}, float(count)

    def waits(self) -> Iterator[tuple[dict[str, str], list[tuple[str, float]], float]]:
        """Labels, buckets and sum of `apiserver_flowcontrol_request_wait_duration_seconds`."""
        for (schema, level), counts in self._counts.items():
            waits = list(counts.waits)
            waits[0] += counts.dispatched - sum(waits)
            buckets, running = [], 0
            for bound, count in zip((*map(str, _WAITS), "+Inf"), waits, strict=True):
                running += count
                buckets.append((bound, float(running)))
            yield {"priority_level": level, "flow_schema": schema, "execute": "true"}, buckets, counts.waited


def hand_of(user: User, distinguisher: str, schema: str, level: Level) -> tuple[int, ...]:
    """The queues of a flow. Those of one tenant share one hand, of which each flow has a half; flows of `system` are
    those of its components, and each has a hand of its own."""
    queues = level.shape[0]
    if user.tenant == SYSTEM_TENANT:
        return deal(f"{schema}\0{distinguisher}", queues, level.hand)
    own = deal(f"{schema}\0{user.tenant}\0", queues, level.hand)
    return tuple(own[card] for card in deal(distinguisher, len(own), -(-len(own) // 2)))


def seats(objects: int) -> int:
    """How many seats a LIST of so many objects takes."""
    return min(-(-objects // _OBJECTS_PER_SEAT), _MOST_SEATS)


def _too_many(request: Request) -> Reply:
    raise TooManyRequests("Too many requests, please try again later.", retry_after=1)
