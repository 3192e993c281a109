"""The machine's hands: the watch that feeds it, the clock that moves it, the writers that empty its outbox."""

from __future__ import annotations

import asyncio
import random
import time

import msgspec

from arktos.client import Client, ConnectionFailed
from arktos.client.ratelimit import Backoff
from arktos.client.watching import WatchEvent
from arktos.hollow import statuses, view
from arktos.hollow.machine import Machine, Write
from arktos.hollow.metrics import Metrics
from arktos.hollow.options import Fleet
from arktos.hollow.record import Record
from arktos.hollow.stages import Stage
from arktos.model import registry
from arktos.model.kinds import ALL_TENANTS
from arktos.model.status import ApiError, BadRequest, Conflict, Expired, NotFound
from arktos.wire import logs

PODS = registry.by_resource("pods")
_WATCH_SECONDS = (300.0, 600.0)
_SLICE = 100
"""Events handled between two looks at the rest of the event loop."""
_GRAIN = 0.005
"""Seconds that timers are late at most, so that many of them are served at once."""

_log = logs.get_logger(__name__)


class Pods:
    """Runs the pods of a fleet. At most `writers` writes are under way. `synced` is set once all pods are known."""

    def __init__(self, client: Client, fleet: Fleet, machine: Machine, metrics: Metrics, writers: int) -> None:
        self.synced = asyncio.Event()
        self._client = client
        self._fleet = fleet
        self._machine = machine
        self._metrics = metrics
        self._writers = writers
        self._stirred = asyncio.Event()
        self._idle: list[asyncio.Future[None]] = []
        self._revision = ""
        self._found: set[str] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._keep_time())
            for _ in range(self._writers):
                group.create_task(self._write_on())

    # the watch

    async def _follow(self) -> None:
        backoff = Backoff(0.1, 10.0)
        while True:
            try:
                await self._watch(backoff)
                continue
            except (Expired, BadRequest) as error:
                self._revision = ""
                _log.info("pods_relisted", error=str(error))
            except (ApiError, ConnectionFailed, msgspec.DecodeError) as error:
                self._metrics.failures += 1
                _log.warning("watch_interrupted", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(backoff.next())

    async def _watch(self, backoff: Backoff) -> None:
        self._found = None if self._revision else set()
        watch = self._client.watch(
            PODS,
            tenant=ALL_TENANTS,
            field_selector=self._fleet.selector,
            resource_version=self._revision,
            send_initial_events=not self._revision,
            timeout=random.uniform(*_WATCH_SECONDS),
        )
        async with watch:
            while batch := await watch.batch():
                backoff.reset()
                for count, event in enumerate(batch, 1):
                    self._take(event)
                    if count % _SLICE == 0:
                        self._stir()
                        await asyncio.sleep(0)
                self._stir()

    def _take(self, event: WatchEvent) -> None:
        machine, found = self._machine, self._found
        if event.type == "BOOKMARK":
            if found is None:
                self._revision = event.header.metadata.resource_version
            elif event.ends_initial_events:
                machine.keep(found)
                self._found, self._revision = None, event.header.metadata.resource_version
                self.synced.set()
            return
        uid = event.header.metadata.uid
        if event.type == "DELETED":
            machine.gone(uid)
        else:
            try:
                machine.seen(view.decode(event.raw), time.time())
            except msgspec.DecodeError as error:
                # Nobody's pod holds up the others, whatever is in it.
                _log.warning("pod_not_understood", uid=uid, error=str(error))
            if found is not None:
                found.add(uid)
        if found is None:
            self._revision = event.header.metadata.resource_version

    # the clock

    async def _keep_time(self) -> None:
        """Lets timers end. Woken by `_stir` when there are new ones, and when the first of them ends."""
        loop = asyncio.get_running_loop()
        machine = self._machine
        while True:
            now = time.time()
            machine.due(now)
            self._wake_writers()
            due = machine.next_due()
            self._stirred.clear()
            timer = None
            if due is not None:
                timer = loop.call_later(max(_GRAIN, due - now), self._stirred.set)
            await self._stirred.wait()
            if timer is not None:
                timer.cancel()
            await asyncio.sleep(_GRAIN)

    def _stir(self) -> None:
        self._stirred.set()
        self._wake_writers()

    # the writers

    def _wake_writers(self) -> None:
        waiting = len(self._machine.outbox)
        while self._idle and waiting > 0:
            idle = self._idle.pop()
            if not idle.done():
                idle.set_result(None)
                waiting -= 1

    async def _write_on(self) -> None:
        loop = asyncio.get_running_loop()
        outbox = self._machine.outbox
        while True:
            while not outbox:
                idle: asyncio.Future[None] = loop.create_future()
                self._idle.append(idle)
                await idle
            await self._write(outbox.popleft())

    async def _write(self, record: Record) -> None:
        machine, version = self._machine, record.version
        wanted = machine.wants(record)
        try:
            if wanted is Write.STATUS:
                await self._write_status(record)
            elif wanted is Write.DELETE:
                await self._delete(record)
        except NotFound:
            pass
        except (ApiError, ConnectionFailed) as error:
            # Another pod of that name: ours is gone, which the watch will tell.
            if not isinstance(error, Conflict):
                self._metrics.failures += 1
                pause = machine.failed(record, time.time())
                self._stirred.set()
                _log.info("pod_not_written", uid=record.uid, error=str(error), again=round(pause, 1))
                return
        if wanted is Write.STATUS and record.stage is Stage.RUNNING and record.seen_at:
            self._metrics.started(time.time() - record.seen_at)
            record.seen_at = 0.0
        machine.wrote(record, version, deleted=wanted is not Write.STATUS)

    async def _write_status(self, record: Record) -> None:
        body = statuses.patch(record, self._machine.host_ip(record), self._fleet.shape.pods)
        await self._client.patch(
            PODS,
            record.name,
            msgspec.Raw(body),
            type="strategic",
            namespace=record.namespace,
            tenant=record.tenant,
            subresource="status",
        )
        self._metrics.statuses += 1

    async def _delete(self, record: Record) -> None:
        await self._client.delete(
            PODS, record.name, namespace=record.namespace, tenant=record.tenant, uid=record.uid, grace_period=0
        )
        self._metrics.deletions += 1
