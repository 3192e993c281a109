"""What a store must hold before the first request: the operators' tenant and its first namespaces."""

from __future__ import annotations

import time
import uuid

from arktos.apiserver.encoding import encode, header_of, key_of, stamp
from arktos.apiserver.lifecycle import IMMORTAL_NAMESPACES
from arktos.model import defaults, metadata, registry, strategy
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.store.records import Absent, Precondition, Put, Store, Write

NAMESPACES = (*sorted(IMMORTAL_NAMESPACES), "kube-node-lease")


async def lay(store: Store) -> None:
    """Creates what is missing, in one commit; does nothing on a store that has it."""
    wanted: list[tuple[str, Obj]] = [("tenants", _named("Tenant", SYSTEM_TENANT))]
    wanted += [("namespaces", _named("Namespace", name)) for name in NAMESPACES]
    conditions: list[Precondition] = []
    writes: list[Write] = []
    for resource, obj in wanted:
        kind = registry.by_resource(resource)
        key = key_of(kind, SYSTEM_TENANT, "", obj["metadata"]["name"])
        if store.get(key) is not None:
            continue
        now = stamp(time.time())
        metadata.fill(kind, obj, uid=str(uuid.uuid4()), now=now, tenant=SYSTEM_TENANT)
        strategy.prepare_create(kind, obj)
        defaults.apply(kind, obj)
        conditions.append(Absent(key))
        writes.append(Put(key, header_of(kind, obj), encode(kind, obj)))
    if writes:
        await store.commit(conditions, writes)


def _named(kind: str, name: str) -> Obj:
    return {"kind": kind, "apiVersion": "v1", "metadata": {"name": name}, "spec": {}}
