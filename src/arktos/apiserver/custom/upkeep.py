"""What follows from the commits of definitions: objects of one that is being deleted go, then it goes; names that
became free are taken; watches of what has changed begin anew.

One queue of definitions, one worker, fed by the store. Nothing is remembered that a restart would miss: it begins with
a look at all definitions.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from arktos.apiserver import versions
from arktos.apiserver.custom.definitions import RESOURCE, DefinitionChanged
from arktos.apiserver.custom.forms import Unconverted
from arktos.apiserver.durability import put_of
from arktos.apiserver.encoding import decode, stamp
from arktos.apiserver.verbs.delete import DeleteOptions, mark
from arktos.apiserver.watching import WatchServer
from arktos.apiserver.writes import Writer, finished
from arktos.model import registry
from arktos.model.custom import names
from arktos.model.custom.definition import Definition
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import ApiError
from arktos.store.records import AtRevision, Delete, Key, PreconditionFailed, Query, Record, Subscription, WatchEvent
from arktos.wire import logs

log = logs.get_logger(__name__)

KIND = registry.by_resource(RESOURCE)
BATCH = 64
"""Objects that are deleted at a time."""
_RETRY, _BUG_RETRY = 1.0, 60.0
"""Seconds after which a definition that could not be dealt with is looked at again."""


class Upkeep:
    """Runs from `start` to `aclose`."""

    def __init__(self, writer: Writer, watches: WatchServer, clock: Callable[[], float] = time.time) -> None:
        self._writer = writer
        self._store = writer.reader.store
        self._definitions = writer.reader.definitions
        self._watches = watches
        self._clock = clock
        self._queue: dict[Key, None] = {}
        self._wake = asyncio.Event()
        self._seen: dict[Key, int] = {}
        """For each definition that is known, the revision since which its objects are stored as they are."""
        self._waiting: dict[Key, Subscription] = {}
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._subscription = self._store.subscribe(Query(RESOURCE, None), self._changed)
        for record in self._store.list(Query(RESOURCE, None)).records:
            self._put(record.key)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def aclose(self) -> None:
        for subscription in (self._subscription, *self._waiting.values()):
            if subscription is not None:
                subscription.close()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _put(self, key: Key) -> None:
        self._queue[key] = None
        self._wake.set()

    def _changed(self, events: Sequence[WatchEvent], revision: int) -> None:
        for event in events:
            key = event.record.key
            if event.type == "DELETED":
                self._seen.pop(key, None)
                self._forget(key)
                self._watches.end(key.name, None if key.tenant == SYSTEM_TENANT else key.tenant)
                for record in self._store.list(Query(RESOURCE, key.tenant)).records:
                    self._put(record.key)
            else:
                self._put(key)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await asyncio.sleep(0)
                key = next(iter(self._queue))
                del self._queue[key]
                try:
                    await self._look(key)
                except (ApiError, PreconditionFailed) as error:
                    log.warning("definition_waits", tenant=key.tenant, definition=key.name, error=str(error))
                    asyncio.get_running_loop().call_later(_RETRY, self._put, key)
                except Exception:
                    # A bug met by one tenant's definition must not stop all others.
                    log.exception("definition_bug", tenant=key.tenant, definition=key.name)
                    asyncio.get_running_loop().call_later(_BUG_RETRY, self._put, key)

    async def _look(self, key: Key) -> None:
        record = self._store.get(key)
        if record is None:
            return
        definition = self._definitions.compiled(record)
        before, self._seen[key] = self._seen.get(key), definition.since
        if before not in (None, definition.since):
            # Whoever watches has a kind that is no more.
            self._watches.end(key.name, None if key.tenant == SYSTEM_TENANT else key.tenant)
        if record.header.deleting:
            await self._clean(record, definition)
        else:
            await self._name(record, new=before is None)

    # -- names

    async def _name(self, record: Record, *, new: bool) -> None:
        """Gives a definition the names that it can have now. Of two that came at once, the later one yields."""
        definition = self._definitions.compiled(record)
        if not new and names.holds(definition.status, names.NAMES_ACCEPTED):
            return
        found = [
            self._definitions.compiled(other) for other in self._store.list(Query(RESOURCE, record.key.tenant)).records
        ]
        obj = decode(record)
        if new:
            earlier = [other.outline() for other in found if other.revision < record.revision]
            judged = {**obj, "status": {**definition.status, "acceptedNames": {}}}
            if names.accept(judged, earlier, "")["acceptedNames"] != definition.status.get("acceptedNames"):
                obj = judged
        status = names.accept(obj, [other.outline() for other in found], stamp(self._clock()))
        if status != definition.status:
            await self._store_status(record, {**obj, "status": status})

    async def _store_status(self, record: Record, obj: Obj) -> None:
        put = put_of(KIND, record.key, obj)
        with suppress(PreconditionFailed):  # who wrote since then has been queued
            await self._writer.commit([AtRevision(record.key, record.revision)], [put], obj, obj)

    # -- ends

    async def _clean(self, record: Record, definition: Definition) -> None:
        """Deletes the objects of a definition; when none is left, lets the definition go."""
        key = record.key
        if names.FINALIZER not in (decode(record)["metadata"].get("finalizers") or ()):
            return
        if key not in self._waiting:
            # Before the first look: what goes while we look is not missed.
            tenant = None if key.tenant == SYSTEM_TENANT else key.tenant
            query = Query(key.name, tenant)
            self._waiting[key] = self._store.subscribe(query, lambda events, revision: self._put(key))
        left = self._objects(definition)
        for start in range(0, len(left), BATCH):
            await asyncio.gather(*(self._delete(each, definition) for each in left[start : start + BATCH]))
        if self._objects(definition):
            await self._tell(record)
        else:
            await self._finish(key)

    def _objects(self, definition: Definition) -> list[Record]:
        return self._definitions.objects(definition.resource, definition.tenant)

    async def _delete(self, record: Record, definition: Definition) -> None:
        kind = definition.stored
        try:
            obj = versions.decoded(record, kind)
        except Unconverted:
            obj = decode(record)
        marked = mark(kind, obj, DeleteOptions(), self._clock())
        if marked is None:
            return
        gone = finished(kind, marked)
        put = put_of(kind, record.key, marked)
        write = Delete(record.key, put.header, put.body) if gone else put
        with suppress(PreconditionFailed, DefinitionChanged):
            await self._writer.commit([AtRevision(record.key, record.revision)], [write], obj, None if gone else marked)

    async def _tell(self, record: Record) -> None:
        """Says that objects are left, which their finalizers hold."""
        obj = decode(record)
        status = dict(obj.get("status") or {})
        told = ("InstanceDeletionInProgress", "CustomResource deletion is in progress")
        conditions = status.get("conditions") or []
        status["conditions"] = names.put(conditions, names.TERMINATING, "True", *told, stamp(self._clock()))
        if status["conditions"] != conditions:
            await self._store_status(record, {**obj, "status": status})

    async def _finish(self, key: Key) -> None:
        record = self._store.get(key)
        if record is None:
            return
        obj = decode(record)
        finalizers = [each for each in obj["metadata"].get("finalizers") or () if each != names.FINALIZER]
        obj["metadata"]["finalizers"] = finalizers
        if not finalizers:
            del obj["metadata"]["finalizers"]
        self._forget(key)
        gone = finished(KIND, obj)
        put = put_of(KIND, key, obj)
        write = Delete(key, put.header, put.body) if gone else put
        with suppress(PreconditionFailed):
            await self._writer.commit([AtRevision(key, record.revision)], [write], obj, None if gone else obj)

    def _forget(self, key: Key) -> None:
        subscription = self._waiting.pop(key, None)
        if subscription is not None:
            subscription.close()
