"""The scheduler at work: informers feed the engine, its decisions are carried out. One loop decides, others write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from arktos.client import Cached, Client, Informer, Informers, Recorder
from arktos.model import registry
from arktos.model.kinds import Kind
from arktos.scheduler import machines
from arktos.scheduler.binding import Binder
from arktos.scheduler.engine import Bind, Engine
from arktos.scheduler.metrics import Metrics
from arktos.scheduler.pods import Reader
from arktos.scheduler.verdicts import Verdicts
from arktos.wire import logs

_SLICE = 0.002
"""Seconds of deciding between two looks at the rest of the loop."""
_UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"
_log = logs.get_logger(__name__)


def _kind(resource: str) -> Kind:
    return registry.by_resource(resource)


class Service:
    """Schedules while `run` runs. `synced` is set once it knows all nodes and pods."""

    def __init__(self, client: Client, recorder: Recorder, metrics: Metrics, seed: int = 0) -> None:
        self.synced = asyncio.Event()
        self.engine = Engine(seed)
        self.metrics = metrics
        self._informers = Informers(client)
        self._reader = Reader()
        self._work = asyncio.Event()
        self._binder = Binder(client, self.engine, recorder, self.metrics, self._work.set)
        self._verdicts = Verdicts(client, self.engine, recorder, self.metrics, _stamp)

    async def run(self) -> None:
        """Schedules until cancelled."""
        self._listen()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            await self._informers.wait_synced()
            self.synced.set()
            group.create_task(self._binder.run())
            group.create_task(self._verdicts.run())
            group.create_task(self._decide())

    def _listen(self) -> None:
        pods = self._informers.get(_kind("pods"), field_selector=_UNFINISHED)
        self._on(self._informers.get(_kind("nodes")), self._node)
        self._on(self._informers.get(_kind("namespaces")), self._namespace)
        self._on(self._informers.get(_kind("persistentvolumeclaims")), self._claim)
        self._on(self._informers.get(_kind("persistentvolumes")), self._volume)
        self._on(self._informers.get(_kind("storageclasses.storage.k8s.io")), self._storage_class)
        self._on(self._informers.get(_kind("poddisruptionbudgets.policy")), self._budget)
        self._on(pods, self._pod)

    def _on(self, informer: Informer, told: Callable[[Cached, bool, float], None]) -> None:
        """`told(object, is there, now)` for every change."""
        loop = asyncio.get_running_loop()

        def on_change(old: Cached | None, new: Cached | None) -> None:
            try:
                if new is not None:
                    told(new, True, loop.time())
                elif old is not None:
                    told(old, False, loop.time())
            except msgspec.ValidationError as error:
                about = new or old
                _log.error("object_unreadable", key=about.key if about else None, error=str(error))
            self._work.set()

        informer.add_handler(on_change)

    def _pod(self, cached: Cached, there: bool, now: float) -> None:
        self.engine.pod_changed(cached.key, self._reader.read(cached) if there else None, now)

    def _node(self, cached: Cached, there: bool, now: float) -> None:
        self.engine.node_changed(cached.name, machines.read(cached) if there else None, now)

    def _namespace(self, cached: Cached, there: bool, now: float) -> None:
        self.engine.namespace_changed(cached.tenant, cached.name, cached.labels if there else None, now)

    def _claim(self, cached: Cached, there: bool, now: float) -> None:
        self.engine.volumes.claim_changed(cached.key, cached.obj() if there else None)
        self.engine.volumes_changed(now)
        self._binder.claims_changed()

    def _volume(self, cached: Cached, there: bool, now: float) -> None:
        self.engine.volumes.volume_changed(cached.tenant, cached.name, cached.obj() if there else None)
        self.engine.volumes_changed(now)
        self._binder.claims_changed()

    def _storage_class(self, cached: Cached, there: bool, now: float) -> None:
        self.engine.volumes.class_changed(cached.tenant, cached.name, cached.obj() if there else None)
        self.engine.volumes_changed(now)

    def _budget(self, cached: Cached, there: bool, now: float) -> None:
        self.engine.budgets.changed(*cached.key, cached.obj() if there else None)

    async def _decide(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._work.clear()
            until = loop.time() + _SLICE
            started = loop.time()
            while started < until and (decision := self.engine.schedule(started)) is not None:
                ended = loop.time()
                self.metrics.planned(ended - started)
                if isinstance(decision, Bind):
                    await self._binder.put(decision)
                else:
                    self._verdicts.put(decision)
                started = loop.time()
            due = self.engine.queue.next_due()
            if due is not None and due <= loop.time():
                await asyncio.sleep(0)
                continue
            try:
                async with asyncio.timeout_at(due):
                    await self._work.wait()
            except TimeoutError:
                continue


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
