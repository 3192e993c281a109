"""Each controller is active on what its membership in a ring gives it, and its writes carry the tenure.

Three ways to share, which a controller's `Unit` chooses (`context.Sharing`): by ranges of its objects' hash keys, with
mirrors of that range only; by keys, with whole mirrors; or not at all: one owner of the whole ring, others stand by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from arktos.client import Cached, Client, Key
from arktos.client.controller import Reconcile
from arktos.client.fencing import under
from arktos.client.informer import Informer
from arktos.client.ranged import RangedInformer
from arktos.controllers.context import Context, Sharing, Unit
from arktos.model.hashkey import LARGEST, hash_key
from arktos.model.hashranges import Range, Tenure, without
from arktos.ring.events import Timing
from arktos.ring.load import Load
from arktos.ring.runner import INSTANCE, Member

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

LEAVING_SECONDS = 3.0
"""How long the end of a process may take to hand over; then others wait for the leases."""


def type_of(name: str, unit: Unit) -> str:
    """The controllerType of a controller."""
    return unit.type or name


class Post:
    """One controller at work on what it owns: `ring.runner.Work`. `spawn` runs it; `leading` is told whether it owns
    anything."""

    def __init__(self, unit: Unit, spawn: Spawn, leading: Callable[[bool], None]) -> None:
        self.load = Load()
        self._unit = unit
        self._spawn = spawn
        self._leading = leading
        self._tenure: Tenure | None = None
        self._range: Range | None = None
        self._open = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._under_way = 0
        self._running: asyncio.Task[None] | None = None
        if unit.sharing is not Sharing.WHOLE:
            for controller in unit.controllers:
                controller.within(self._guarded)
            assert unit.primary is not None
            unit.primary.add_handler(self._count)

    # --- Work

    async def own(self, tenure: Tenure | None, revision: int) -> None:
        self._leading(tenure is not None)
        if self._unit.sharing is Sharing.WHOLE:
            await self._own_all(tenure)
        elif tenure is None:
            self._tenure = self._range = None
            self._open.set()
            for part in self._unit.parts:
                if isinstance(part, RangedInformer):
                    await part.cover(None)
        else:
            await self._own_range(tenure, revision)

    def hold(self) -> None:
        self._open.clear()
        if self._unit.sharing is Sharing.WHOLE and self._running is not None:
            self._running.cancel()
            self._running = None

    async def drain(self) -> None:
        running = self._running
        self.hold()
        if self._unit.sharing is not Sharing.WHOLE:
            await self._idle.wait()
        elif running is not None:
            await asyncio.wait([running])

    # --- all or nothing

    async def _own_all(self, tenure: Tenure | None) -> None:
        same = tenure is not None and self._tenure is not None and tenure[:4] == self._tenure[:4]
        if same and self._running is not None:
            return
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
        self._tenure = tenure
        if tenure is not None:
            self._running = self._spawn(self._run_all(tenure))

    async def _run_all(self, tenure: Tenure) -> None:
        with under(str(tenure)):
            await self._unit.run()

    # --- a range

    async def _own_range(self, tenure: Tenure, revision: int) -> None:
        """What was ours and stays so is worked on meanwhile; the rest when we know it."""
        before = self._range
        self._tenure = tenure
        self.load.within = tenure.range
        if before is not None:
            low, high = max(before.start, tenure.range.start), min(before.end, tenure.range.end)
            self._range = Range(low, high) if low <= high else None
            if self._range is not None:
                self._open.set()
        gained = without(tenure.range, self._range)
        async with asyncio.TaskGroup() as group:
            for part in self._unit.parts:
                if isinstance(part, RangedInformer):
                    group.create_task(part.cover(tenure.range))
                elif gained:
                    group.create_task(part.reach(revision))
        self._range = tenure.range
        self._open.set()
        if self._running is None:
            self._running = self._spawn(self._unit.run())
        else:
            self._look_at(gained)

    def _look_at(self, gained: list[Range]) -> None:
        primary, place = self._unit.primary, self._unit.place
        assert primary is not None
        for cached in primary.items():
            point = place(cached.key)
            if point is not None and any(part.holds(point) for part in gained):
                for controller in self._unit.controllers:
                    controller.enqueue(cached.key)

    def _guarded(self, reconcile: Reconcile) -> Reconcile:
        async def guarded(key: Key) -> float | None:
            while not self._open.is_set():
                await self._open.wait()
            tenure, place = self._tenure, self._range
            if tenure is None or place is None:
                return None
            point = self._unit.place(key)
            if point is not None and not place.holds(point):
                return None
            self._begin()
            try:
                with under(str(tenure._replace(key=place.start if point is None else point))):
                    return await reconcile(key)
            finally:
                self._end()
                if point is not None:
                    self.load.worked(point)

        return guarded

    def _begin(self) -> None:
        self._under_way += 1
        self._idle.clear()

    def _end(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    def _count(self, old: Cached | None, new: Cached | None) -> None:
        if (old is None) == (new is None):
            return
        cached = new if old is None else old
        assert cached is not None
        point = point_of(self._unit, cached)
        if new is None:
            self.load.went(point)
        else:
            self.load.came(point)


def point_of(unit: Unit, cached: Cached) -> int:
    """Where an object of a unit's primary kind stands."""
    return hash_key(cached.uid) if unit.sharing is Sharing.RANGES else key_point(cached.key)


def key_point(key: Key) -> int:
    """Where a key stands whose object may be gone."""
    return hash_key("/".join(key))


class Posts:
    """All controllers of a process, each at its post. `holder` names the process to people. `client` is the rings' own:
    renewals must not stand in line behind the controllers' requests."""

    def __init__(
        self, client: Client, context: Context, units: Mapping[str, Unit], timing: Timing, holder: str
    ) -> None:
        self._client = client
        self._context = context
        self._units = units
        self._timing = timing
        self._holder = holder
        self._members: list[Member] = []
        self._left = asyncio.Event()

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Lives until `leave`."""
        instances = Informer(self._client, INSTANCE)
        mirror = group.create_task(instances.run())
        try:
            async with asyncio.TaskGroup() as living:
                for name, unit in self._units.items():
                    living.create_task(self._member(name, unit, group.create_task).run(instances))
        finally:
            mirror.cancel()
            self._left.set()

    def _member(self, name: str, unit: Unit, spawn: Spawn) -> Member:
        leading = self._context.metrics.leading
        leading[name] = 0

        def led(owns: bool) -> None:
            leading[name] = int(owns)

        shared = unit.sharing is not Sharing.WHOLE
        post = Post(unit, spawn, led)
        member = Member(self._client, type_of(name, unit), post, self._timing, holder=self._holder, shared=shared)
        self._members.append(member)

        def ring() -> tuple[float, float]:
            place = member.range
            return (0.0, 0.0) if place is None else ((place.end - place.start + 1) / (LARGEST + 1), post.load.total())

        self._context.metrics.rings[name] = ring
        return member

    async def leave(self) -> None:
        """Hands everything over, at once where the server answers."""
        for member in self._members:
            member.stop()
        if self._members:
            try:
                async with asyncio.timeout(LEAVING_SECONDS):
                    await self._left.wait()
            except TimeoutError:
                pass
