"""The condition `Dangling` of FlowSchemas: whether the priority level that they name is missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from arktos.apiserver.encoding import decode, encode, header_of, stamp
from arktos.apiserver.fairness import defaults
from arktos.model import registry
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.store.records import AtRevision, PreconditionFailed, Put, Query, Store, StoreUnavailable
from arktos.wire import logs

log = logs.get_logger(__name__)

TYPE = "Dangling"


def status(obj: Obj, exists: bool, now: str) -> Obj:
    """The status of a schema or a level; `exists` is whether a schema's level does. `now` is RFC 3339."""
    known: Obj = obj.get("status") or {}
    if obj["kind"] != "FlowSchema":
        return known
    level = obj["spec"]["priorityLevelConfiguration"]["name"]
    said = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    before: Obj = next((each for each in known.get("conditions") or () if each.get("type") == TYPE), {})
    value = "False" if exists else "True"
    condition = {
        "type": TYPE,
        "status": value,
        "lastTransitionTime": before.get("lastTransitionTime") or now if before.get("status") == value else now,
        "reason": "Found" if exists else "NotFound",
        "message": f"{said} and it exists" if exists else f"{said} but there is no such object",
    }
    others = [each for each in known.get("conditions") or () if each.get("type") != TYPE]
    return {**known, "conditions": [*others, condition]}


class Dangling:
    """Writes the condition where it is not true. One write at a time; what comes meanwhile is looked at after it."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._levels: Collection[str] = ()
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def look(self, levels: Collection[str]) -> None:
        """Looks at all schemas; `levels` are the names of those that there are."""
        self._levels = levels
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write(), name="dangling")
        else:
            self._again = True

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _write(self) -> None:
        while True:
            self._again = False
            try:
                await self._write_all()
            except PreconditionFailed:
                pass  # what came before us has us look again
            except StoreUnavailable as error:
                log.warning("flow_control_unwritten", reason=str(error))
            if not self._again:
                break
        self._task = None

    async def _write_all(self) -> None:
        kind = registry.by_resource(defaults.SCHEMAS)
        now = stamp(self._clock())
        conditions, writes = [], []
        for record in self._store.list(Query(defaults.SCHEMAS, SYSTEM_TENANT)).records:
            obj = decode(record)
            obj.setdefault("kind", kind.kind)
            level = ((obj.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name")
            if not level:
                continue
            wanted = status(obj, level in self._levels, now)
            if wanted != obj.get("status"):
                obj["status"] = wanted
                conditions.append(AtRevision(record.key, record.revision))
                writes.append(Put(record.key, header_of(kind, obj), encode(kind, obj)))
        if writes:
            await self._store.commit(conditions, writes)
