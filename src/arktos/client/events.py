"""Events about objects: what `kubectl describe` shows at its end. Sent in the background, never in a controller's
way.

Equal events are counted on one object, floods of similar ones are combined, and an object that causes too many is
cut off for a while (`event_correlation`).
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from arktos.client.cached import Cached
from arktos.client.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.client.event_correlation import Correlator, Reference, Said
from arktos.client.ratelimit import Backoff
from arktos.client.workqueue import WorkQueue, run
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError, InternalError, NotFound, ServiceUnavailable, Timeout, TooManyRequests
from arktos.wire import logs

EVENT = registry.by_resource("events")
_SENDERS = 4
_TRIES = 6
_LAST_WORDS = 2.0

_log = logs.get_logger(__name__)


def reference(about: Obj | Cached) -> Reference:
    """A reference to an object, a cached object, or what is an ObjectReference already (`tenant` may be added to
    it)."""
    if isinstance(about, Cached):
        return Reference(
            tenant=about.tenant,
            namespace=about.namespace,
            kind=about.kind.kind,
            api_version=about.kind.api_version,
            name=about.name,
            uid=about.uid,
            resource_version=about.resource_version,
        )
    named = about.get("metadata") or about
    return Reference(
        tenant=named.get("tenant") or "",
        namespace=named.get("namespace") or "",
        kind=about.get("kind") or "",
        api_version=about.get("apiVersion") or "",
        name=named.get("name") or "",
        uid=named.get("uid") or "",
        resource_version=named.get("resourceVersion") or "",
        field_path=about.get("fieldPath") or "",
    )


class Recorder:
    """Records events as `component` (`deployment-controller`) running as `instance` ("" = this host's name).

    Use as an async context manager (what waits is still sent on leaving, for two seconds at most), or `run` it in a
    task group. At most `limit` events wait; the oldest is dropped for a new one, and counted. Counters: `sent`,
    `dropped` (no room, or refused by the server), `suppressed` (too many about one object).
    """

    def __init__(
        self,
        client: Client,
        component: str,
        instance: str = "",
        *,
        limit: int = 1000,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.sent = 0
        self.dropped = 0
        self._client = client
        self._limit = limit
        self._wall = wall
        self._correlator = Correlator(component, instance or socket.gethostname())
        self._waiting: dict[str, tuple[Obj, bool]] = {}
        self._sending = 0
        self._idle = asyncio.Event()
        self._queue: WorkQueue[str] = WorkQueue()
        self._runner: asyncio.Task[None] | None = None

    @property
    def suppressed(self) -> int:
        return self._correlator.suppressed

    def event(
        self,
        about: Obj | Cached,
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        action: str = "",
        *,
        related: Obj | Cached | None = None,
    ) -> None:
        """Queues an event in the object's own tenant and namespace (`default` if it has none). `about` is an
        object, a cached one, or an ObjectReference (with `tenant`). Never blocks, never raises for what the server
        says."""
        said = Said(reference(about), type, reason, message, action, None if related is None else reference(related))
        spoken = self._correlator.say(said, self._wall())
        if spoken is None:
            return
        event, fresh = spoken
        name = event["metadata"]["name"]
        earlier = self._waiting.pop(name, None)
        # A count that changed before its event was sent: one write says both.
        self._waiting[name] = (event, fresh or (earlier is not None and earlier[1]))
        if len(self._waiting) > self._limit:
            self._waiting.pop(next(iter(self._waiting)))
            self.dropped += 1
        self._idle.clear()
        self._queue.add(name)

    async def run(self) -> None:
        """Sends until cancelled."""
        await run(self._queue, _SENDERS, self._send)

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109
        """Waits until everything queued was sent or dropped, `timeout` seconds at most. `run` must be running."""
        try:
            async with asyncio.timeout(timeout):
                while self._waiting or self._sending:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            _log.info("events_left_behind", events=len(self._waiting))

    async def __aenter__(self) -> Self:
        self._runner = asyncio.create_task(self.run(), name="events")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        assert runner is not None
        try:
            await self.drain(_LAST_WORDS)
        finally:
            runner.cancel()
            await asyncio.wait([runner])
        if not runner.cancelled():
            runner.result()

    async def _send(self, name: str) -> None:
        waiting = self._waiting.pop(name, None)
        if waiting is None:
            return
        self._sending += 1
        try:
            await self._write(*waiting)
        finally:
            self._sending -= 1
            if not self._waiting and not self._sending:
                self._idle.set()

    async def _write(self, event: Obj, fresh: bool) -> None:
        backoff = Backoff(0.5, 10.0)
        for attempt in range(_TRIES):
            try:
                if not fresh and await self._count(event):
                    self.sent += 1
                    return
                await self._client.create(EVENT, event)
                self.sent += 1
                return
            except (ConnectionFailed, TooManyRequests, ServiceUnavailable, InternalError, Timeout) as error:
                if attempt == _TRIES - 1:
                    self._drop(event, error)
                    return
                await asyncio.sleep(backoff.next())
            except ApiError as error:
                self._drop(event, error)
                return

    async def _count(self, event: Obj) -> bool:
        """Raises the count of an event that was written before; False if that has expired meanwhile."""
        meta = event["metadata"]
        changed = {name: event[name] for name in ("count", "lastTimestamp", "message")}
        try:
            await self._client.patch(
                EVENT,
                meta["name"],
                changed,
                type="strategic",
                namespace=meta["namespace"],
                tenant=meta.get("tenant", ""),
            )
        except NotFound:
            return False
        return True

    def _drop(self, event: Obj, error: ApiError | ConnectionFailed) -> None:
        self.dropped += 1
        about = event["involvedObject"]
        _log.info("event_dropped", about=about.get("name"), reason=event["reason"], error=str(error))
