"""Informers: a local mirror of one kind, kept true by list and watch. Handlers hear of every change, in order.

An informer starts with WatchList (one watch that sends the initial state), or list + watch where the server refuses
that; it resumes from the last revision it saw, and starts over, with a diff, when that revision has expired.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping

import msgspec

from arktos.client.cache import Cache, Change, IndexFn
from arktos.client.cached import Cached, trimmed
from arktos.client.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.client.ratelimit import Backoff
from arktos.client.reflector import Ask, Reflector
from arktos.client.watching import Watch, WatchEvent
from arktos.model.kinds import ALL_TENANTS, Kind, Scope
from arktos.model.status import ApiError, Expired, InternalError
from arktos.wire import logs

__all__ = ["Handler", "IndexFn", "Informer", "Informers"]

Handler = Callable[[Cached | None, Cached | None], None]

_log = logs.get_logger(__name__)
_WATCH_SECONDS = (300.0, 600.0)
_HEALTHY = 5.0
"""Seconds after which a watch counts as good, even if nothing came: its end needs no back-off."""
_SLICE = 500
"""Objects handled between two looks at the rest of the event loop."""
_GLANCE = 0.01
"""Seconds between two looks at how far a mirror is."""


class Informer:
    """A mirror of `kind`, narrowed by the filters. With `metadata_only` the server sends no spec and no status, and an
    object's `raw` is what `cached.trimmed` keeps. All methods are for the loop's thread; none blocks.

    `synced` is set once the first complete state is in the cache and the handlers were told, and stays set.
    Handlers must not raise: what they raise ends `run`.
    """

    def __init__(
        self,
        client: Client,
        kind: Kind,
        *,
        tenant: str = ALL_TENANTS,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexes: Mapping[str, IndexFn] | None = None,
        metadata_only: bool = False,
    ) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self._client = client
        self._tenant = tenant
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._cache = Cache(indexes)
        self._metadata_only = metadata_only
        self._reflector = Reflector(kind, self._cache, trim=metadata_only)
        self._handlers: list[Handler] = []
        self._backoff = Backoff(0.1, 30.0)
        self._complaint = ""
        self._open: Watch | None = None
        self._interrupted = False

    def __len__(self) -> int:
        return len(self._cache.objects)

    def get(self, tenant: str, namespace: str, name: str) -> Cached | None:
        """One object. Tenant and namespace are ignored for kinds that have none."""
        scope = self.kind.scope
        key = (
            "" if scope is Scope.CLUSTER else tenant,
            namespace if scope is Scope.NAMESPACE else "",
            name,
        )
        return self._cache.objects.get(key)

    def by_index(self, name: str, value: str) -> list[Cached]:
        """The objects for which the index function `name` gave `value`. KeyError for an index that does not exist."""
        return self._cache.by_index(name, value)

    def items(self) -> list[Cached]:
        """All objects, as of now."""
        return list(self._cache.objects.values())

    def add_index(self, name: str, fn: IndexFn) -> None:
        """Adds an index, over what is there too. ValueError if the name is taken by another function."""
        self._cache.add_index(name, fn)

    def add_handler(self, on_change: Handler) -> None:
        """`on_change(old, new)` for every change from now on: old is None for what came, new for what went; old is
        the very object that was new before. What is there already is told first, as having come. The cache already
        holds the change when it is told."""
        for cached in self.items():
            on_change(None, cached)
        self._handlers.append(on_change)

    @property
    def resource_version(self) -> str:
        """The revision that the cache equals, "" before the first sync."""
        return self._reflector.resource_version

    async def run(self) -> None:
        """Keeps the mirror true until cancelled. Network failures and refusals are retried with back-off, and
        logged when they begin, change and end."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await self._prepare()
                if self._reflector.ask is Ask.LIST:
                    await self._list()
                    continue
                await self._watch()
                self._reflector.ended()
                if self._was_interrupted() or loop.time() - started >= _HEALTHY:
                    self._recovered()
                    continue
            except (ApiError, ConnectionFailed) as error:
                if self._was_interrupted() and isinstance(error, ConnectionFailed):
                    self._reflector.ended()
                    continue
                relist = self._reflector.ask is Ask.WATCH and isinstance(error, Expired)
                self._reflector.failed(error)
                self._complain(error)
                if relist and loop.time() - started >= _HEALTHY:
                    continue
            await asyncio.sleep(self._backoff.next())

    async def reach(self, revision: int, patience: float = 0.1) -> None:
        """Returns when the mirror shows all that was so at `revision`. Where no event says so for `patience` seconds,
        the server is asked for everything once more."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time() + patience
        while not (self.resource_version.isdecimal() and int(self.resource_version) >= revision):
            if loop.time() >= asked_at and self._reflector.ask is Ask.WATCH:
                self._reflector.ask = Ask.LIST
                asked_at = loop.time() + 30.0
                await self._interrupt()
            await asyncio.sleep(_GLANCE)

    async def _prepare(self) -> None:
        """Before the server is asked anything."""

    async def _interrupt(self) -> None:
        """Ends the watch under way, so that the server is asked anew."""
        if self._open is not None:
            self._interrupted = True
            await self._open.aclose()

    def _was_interrupted(self) -> bool:
        interrupted, self._interrupted = self._interrupted, False
        return interrupted

    def _changes(self, event: WatchEvent) -> list[Change]:
        return self._reflector.event(event)

    async def _list(self) -> None:
        listing = await self._client.list_raw(
            self.kind,
            tenant=self._tenant,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            limit=_SLICE,
            metadata_only=self._metadata_only,
        )
        items: list[Cached] = []
        for raw in listing.items:
            items.append(self._readable(raw))
            if len(items) % _SLICE == 0:
                await asyncio.sleep(0)
        await self._take(self._reflector.listed(items, listing.resource_version))
        self._recovered()

    async def _watch(self) -> None:
        reflector = self._reflector
        streaming = reflector.ask is Ask.STREAM
        watch = self._client.watch(
            self.kind,
            tenant=self._tenant,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version="" if streaming else reflector.resource_version,
            send_initial_events=streaming,
            timeout=random.uniform(*_WATCH_SECONDS),
            metadata_only=self._metadata_only,
        )
        self._open = watch
        try:
            async with watch:
                while batch := await watch.batch():
                    for event in batch:
                        changes = self._changes(event)
                        if changes:
                            await self._take(changes)
                    if reflector.ask is Ask.WATCH:
                        self._recovered()
        finally:
            self._open = None

    async def _take(self, changes: list[Change]) -> None:
        for count, change in enumerate(changes, 1):
            self._cache.apply(change)
            for handler in self._handlers:
                handler(*change)
            if count % _SLICE == 0:
                await asyncio.sleep(0)

    def _readable(self, raw: bytes) -> Cached:
        try:
            return Cached.from_raw(self.kind, trimmed(raw) if self._metadata_only else raw)
        except msgspec.DecodeError as error:
            raise InternalError(f"the server listed an object that cannot be read: {error}") from error

    def _recovered(self) -> None:
        self._backoff.reset()
        if self._reflector.synced:
            self.synced.set()
        if self._complaint:
            self._complaint = ""
            _log.info("informer_recovered", resource=self.kind.resource, rv=self.resource_version)

    def _complain(self, error: ApiError | ConnectionFailed) -> None:
        complaint = f"{type(error).__name__}: {error}"
        if complaint == self._complaint:
            return
        self._complaint = complaint
        # A revision that has left the window is what happens to those who slept; nothing is wrong.
        log = _log.info if isinstance(error, Expired) else _log.warning
        log("informer_interrupted", resource=self.kind.resource, rv=self.resource_version, error=complaint)


_Filters = tuple[str, str, str, str, str, str, bool]


class Informers:
    """One informer per (kind, filters), shared by all who ask.

    `run` holds them in one task group; informers asked for while it runs are started at once.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[_Filters, Informer] = {}
        self._tasks: dict[_Filters, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def get(
        self,
        kind: Kind,
        *,
        tenant: str = ALL_TENANTS,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexes: Mapping[str, IndexFn] | None = None,
        metadata_only: bool = False,
    ) -> Informer:
        """The shared informer; `indexes` are added to it (ValueError if a name is taken by another function)."""
        filters = (kind.resource, kind.version, tenant, namespace, label_selector, field_selector, metadata_only)
        informer = self._informers.get(filters)
        if informer is None:
            informer = self._informers[filters] = Informer(
                self._client,
                kind,
                tenant=tenant,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                metadata_only=metadata_only,
            )
            if self._group is not None:
                self._tasks[filters] = self._group.create_task(informer.run())
        for name, fn in (indexes or {}).items():
            informer.add_index(name, fn)
        return informer

    def forget(self, informer: Informer) -> None:
        """As `stop`, without waiting for its end."""
        for filters, known in list(self._informers.items()):
            if known is informer:
                del self._informers[filters]
                task = self._tasks.pop(filters, None)
                if task is not None:
                    task.cancel()

    async def stop(self, informer: Informer) -> None:
        """Stops one informer and forgets it (a custom resource's kind that has gone)."""
        for filters, known in list(self._informers.items()):
            if known is informer:
                del self._informers[filters]
                task = self._tasks.pop(filters, None)
                if task is not None:
                    task.cancel()
                    await asyncio.wait([task])

    async def run(self) -> None:
        """Runs all informers until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for filters, informer in self._informers.items():
                    self._tasks[filters] = group.create_task(informer.run())
                await asyncio.Event().wait()
        finally:
            self._group = None
            self._tasks.clear()

    async def wait_synced(self) -> None:
        """Waits until every informer asked for so far has its first complete state."""
        for informer in list(self._informers.values()):
            await informer.synced.wait()
