"""Where the gate's schemas and levels come from: the store, and what holds without it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence

import msgspec

from arktos.apiserver.encoding import dumps, encode, header_of, key_of, loads, stamp
from arktos.apiserver.fairness import dangling, defaults
from arktos.apiserver.fairness.gate import Gate
from arktos.apiserver.fairness.schemas import FlowSchema, PriorityLevel, read_level, read_schema
from arktos.model import defaults as model_defaults
from arktos.model import metadata, registry, strategy
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.store.records import Absent, AtRevision, Precondition, Put, Query, Record, Store, WatchEvent, Write
from arktos.wire import logs

log = logs.get_logger(__name__)


async def seed(store: Store) -> None:
    """Creates the mandatory and suggested objects that are missing, and brings those up to date that nobody has taken
    over (`defaults.AUTOUPDATE`), in one commit."""
    conditions: list[Precondition] = []
    writes: list[Write] = []
    for resource, objects in ((defaults.SCHEMAS, defaults.schemas()), (defaults.LEVELS, defaults.levels())):
        kind = registry.by_resource(resource)
        for obj in objects:
            model_defaults.apply(kind, obj)
            key = key_of(kind, SYSTEM_TENANT, "", obj["metadata"]["name"])
            record = store.get(key)
            if record is None:
                metadata.fill(kind, obj, uid=str(uuid.uuid4()), now=stamp(time.time()), tenant=SYSTEM_TENANT)
                strategy.prepare_create(kind, obj)
                obj["status"] = dangling.status(obj, True, obj["metadata"]["creationTimestamp"])
                conditions.append(Absent(key))
            else:
                stored = loads(record.body)
                if not _is_ours(stored) or stored.get("spec") == obj["spec"]:
                    continue
                stored["spec"], obj = obj["spec"], stored
                obj["metadata"]["generation"] = obj["metadata"].get("generation", 1) + 1
                conditions.append(AtRevision(key, record.revision))
            writes.append(Put(key, header_of(kind, obj), encode(kind, obj)))
    if writes:
        await store.commit(conditions, writes)


def _is_ours(stored: Obj) -> bool:
    mandatory = stored["metadata"]["name"] in defaults.MANDATORY
    return mandatory or (stored["metadata"].get("annotations") or {}).get(defaults.AUTOUPDATE) == "true"


class Configuration:
    """Keeps a gate as the objects of `system` say, until `aclose`. Schemas and levels that cannot be read are left out;
    the mandatory ones are there whatever is stored."""

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store = store
        self._gate = gate
        self._pending = False
        self._dangling = dangling.Dangling(store)
        self.load()
        for resource in (defaults.SCHEMAS, defaults.LEVELS):
            store.subscribe(Query(resource, SYSTEM_TENANT), self._changed)

    def load(self) -> None:
        schemas, levels = dict(_mandatory_schemas()), dict(_mandatory_levels())
        for record in self._store.list(Query(defaults.SCHEMAS, SYSTEM_TENANT)).records:
            _take(schemas, record, read_schema)
        for record in self._store.list(Query(defaults.LEVELS, SYSTEM_TENANT)).records:
            _take(levels, record, read_level)
        self._gate.configure(list(schemas.values()), list(levels.values()))
        self._dangling.look(levels)

    async def aclose(self) -> None:
        await self._dangling.aclose()

    def _changed(self, events: Sequence[WatchEvent], revision: int) -> None:
        if not self._pending:
            self._pending = True
            asyncio.get_running_loop().call_soon(self._reload)

    def _reload(self) -> None:
        self._pending = False
        self.load()


def _take(found: dict[str, FlowSchema] | dict[str, PriorityLevel], record: Record, read: object) -> None:
    """Takes a stored object; of a mandatory one only its uid."""
    try:
        obj = read(record.body)  # type: ignore[operator]
    except msgspec.MsgspecError as error:
        log.warning("flow_control_unreadable", name=record.key.name, reason=str(error))
        return
    if record.key.name in defaults.MANDATORY:
        found[record.key.name].metadata.uid = obj.metadata.uid
    else:
        found[record.key.name] = obj


def _mandatory_schemas() -> dict[str, FlowSchema]:
    return {
        obj["metadata"]["name"]: read_schema(dumps(obj))
        for obj in defaults.schemas()
        if obj["metadata"]["name"] in defaults.MANDATORY
    }


def _mandatory_levels() -> dict[str, PriorityLevel]:
    return {
        obj["metadata"]["name"]: read_level(dumps(obj))
        for obj in defaults.levels()
        if obj["metadata"]["name"] in defaults.MANDATORY
    }
