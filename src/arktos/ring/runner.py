"""Gives one member's machine what it lacks: calls to the server, a watch, a clock, and the work that it is about."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any, Protocol

from arktos.client import Cached, Client, ConnectionFailed, Informer
from arktos.model import registry
from arktos.model.hashranges import Range, Tenure
from arktos.model.status import ApiError, Conflict, NotFound, ServiceUnavailable, Timeout, TooManyRequests
from arktos.ring import records
from arktos.ring.events import (
    Action,
    Bury,
    Drain,
    Drained,
    Event,
    Failed,
    Hold,
    Missing,
    Move,
    Own,
    Read,
    Refused,
    Register,
    Renew,
    Seen,
    Stopped,
    Ticked,
    Timing,
    Vanished,
    Withdraw,
    Written,
)
from arktos.ring.load import Load
from arktos.ring.machine import Machine, State
from arktos.wire import logs

INSTANCE = registry.by_resource("controllerinstances")
_SHORTEST = 0.05
"""Seconds between two looks at the clock, at least."""

_log = logs.get_logger(__name__)


class Work(Protocol):
    """What a member does with its range. `load` is kept up to date by it."""

    load: Load

    async def own(self, tenure: Tenure | None, revision: int) -> None:
        """Work on the tenure's range and on nothing else, on a state no older than `revision`. Cancelled where the
        next tenure comes first; that begins where this one got to."""
        ...

    def hold(self) -> None:
        """Begin nothing until the next `own`."""
        ...

    async def drain(self) -> None:
        """As `hold`, and returns when nothing is under way."""
        ...


class Member:
    """One membership in the ring of `type`. `holder` tells people whose it is."""

    def __init__(
        self, client: Client, type: str, work: Work, timing: Timing, *, holder: str = "", shared: bool = True
    ) -> None:
        self.type = type
        self.name = f"ci-{uuid.uuid4()}"
        self._client = client
        self._work = work
        self._timing = timing
        self._holder = holder
        self._machine = Machine(type, self.name, timing, work.load, shared=shared)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._call: asyncio.Task[None] | None = None
        self._owning: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None

    @property
    def range(self) -> Range | None:
        """What we own, as far as we know."""
        return self._machine.own.range

    @property
    def state(self) -> State:
        return self._machine.state

    def stop(self) -> None:
        """Hands everything over; `run` returns when that is done."""
        self._tell(Stopped(self._now()))

    async def run(self, instances: Informer) -> None:
        """Lives until `stop` has done its work. `instances` mirrors all controllerinstances, and is run by others.
        Cancelled, it leaves without a word, and others wait for its lease to end."""
        await instances.synced.wait()
        instances.add_handler(self._on_change)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._tell(Ticked(self._now()))
                while self._machine.state is not State.GONE:
                    event = await self._next()
                    for action in self._machine.handle(event):
                        self._do(action)
                    self._log_steps()
                if self._owning is not None:
                    await self._owning
        finally:
            self._group = None

    async def _next(self) -> Event:
        delay = max(_SHORTEST, self._machine.wake_at() - self._now())
        try:
            async with asyncio.timeout(min(delay, self._timing.lease)):
                return await self._events.get()
        except TimeoutError:
            return Ticked(self._now())

    def _tell(self, event: Event) -> None:
        self._events.put_nowait(event)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _on_change(self, old: Cached | None, new: Cached | None) -> None:
        if self._machine.state is State.GONE:
            return
        if new is None:
            assert old is not None
            self._tell(Vanished(self._now(), old.name, old.uid))
        else:
            self._tell(Seen(self._now(), records.read(new.obj(), self._timing.lease)))

    def _log_steps(self) -> None:
        passed = self._machine.passed
        if len(passed) > 1 and passed[-1] is not State.CLAIMING:
            _log.debug("ring_step", type=self.type, states=" -> ".join(state.name for state in passed))

    # --- actions

    def _do(self, action: Action) -> None:
        match action:
            case Own(place, epoch):
                self._own(place, epoch)
            case Hold():
                self._work.hold()
            case Drain():
                self._spawn(self._drain())
            case Bury():
                self._spawn(self._bury(action))
            case _:
                if self._call is not None:
                    self._call.cancel()
                self._call = self._spawn(self._ask(action))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._group is not None
        return self._group.create_task(work)

    def _own(self, place: Range | None, epoch: int) -> None:
        own = self._machine.own
        tenure = None if place is None else Tenure(self.type, self.name, own.uid, epoch, place, place.start)
        _log.info("ring_owns", type=self.type, range=str(place or "nothing"), epoch=epoch)
        before, self._owning = self._owning, None
        if before is not None:
            before.cancel()
        self._owning = self._spawn(self._after(before, tenure, own.rv))

    async def _after(self, before: asyncio.Task[None] | None, tenure: Tenure | None, revision: int) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self._work.own(tenure, revision)

    async def _drain(self) -> None:
        await self._work.drain()
        self._tell(Drained(self._now()))

    async def _bury(self, dead: Bury) -> None:
        try:
            async with asyncio.timeout(self._timing.renew):
                await self._client.delete(INSTANCE, dead.name, uid=dead.uid, resource_version=str(dead.rv))
        except NotFound:
            pass
        except (ApiError, ConnectionFailed, TimeoutError):
            return
        _log.info("ring_buried", type=self.type, instance=dead.name)
        self._tell(Vanished(self._now(), dead.name, dead.uid))

    async def _ask(self, action: Action) -> None:
        """One call, and its answer to the machine. A call that the next one replaces is cancelled: its answer would
        be taken for the other's."""
        answer: type[Event]
        try:
            async with asyncio.timeout(min(self._timing.renew, 5.0)):
                obj = await self._send(action)
        except NotFound:
            answer = Missing
        except (ConnectionFailed, TimeoutError, Timeout, ServiceUnavailable, TooManyRequests):
            answer = Failed
        except Conflict:
            answer = Refused
        except ApiError as error:
            known = error.code == 409 or (isinstance(action, Move) and error.code == 422)
            answer = Refused if known else Failed
            _log.warning("ring_call_failed", type=self.type, call=type(action).__name__, error=str(error))
        else:
            self._tell(Written(self._now(), records.read(obj, self._timing.lease)))
            return
        self._tell(answer(self._now()))

    async def _send(self, action: Action) -> dict[str, Any]:
        client, own = self._client, self._machine.own
        match action:
            case Register():
                return await client.create(
                    INSTANCE, records.fresh(self.type, self.name, self._timing.lease, self._holder)
                )
            case Read():
                return await client.get(INSTANCE, self.name)
            case Renew(load):
                return await client.patch(INSTANCE, self.name, records.renewal(own.uid, load))
            case Move(rv, place, heir, load):
                return await client.patch(INSTANCE, self.name, records.moved(own.uid, rv, place, heir, load))
            case Withdraw():
                await client.delete(INSTANCE, self.name, uid=own.uid)
                return {"metadata": {"name": self.name, "uid": own.uid}, "controllerType": self.type}
        raise AssertionError(action)
