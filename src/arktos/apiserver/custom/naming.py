"""Admission of definitions: the names they take, and their state, in the commit that stores them."""

from __future__ import annotations

import time
from collections.abc import Callable

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.custom.definitions import RESOURCE, Definitions, unchanged
from arktos.apiserver.encoding import stamp
from arktos.model import registry
from arktos.model.custom import names
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import forbidden
from arktos.store.records import Query, Store

MOST, MOST_BYTES = 1000, 32 << 20
"""How many definitions a tenant other than `system` may have, and how large together: what a tenant's discovery and
OpenAPI cost, and whether a name is free, is in proportion to them."""


class Naming:
    """Steps for the admission chain."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._definitions = Definitions(store)
        self._clock = clock

    def step(self, attempt: Attempt, effects: Effects) -> None:
        """A new definition is established at once when its names are free. What another commit takes meanwhile is
        sorted out afterwards (`upkeep`)."""
        if attempt.operation == "delete" or attempt.subresource:
            return
        obj = attempt.obj
        _refuse_built_in(attempt)
        self._refuse_too_many(attempt)
        self._refuse_unsharing(attempt)
        if _is_readable(obj):
            obj["status"] = names.accept(obj, self._definitions.outlines(attempt.call.tenant), stamp(self._clock()))

    def _refuse_too_many(self, attempt: Attempt) -> None:
        tenant = attempt.call.tenant
        if tenant == SYSTEM_TENANT:
            return
        name = attempt.obj["metadata"].get("name", "")
        others = [r for r in self._store.list(Query(RESOURCE, tenant)).records if r.key.name != name]
        if attempt.old is None and len(others) >= MOST:
            raise forbidden(RESOURCE, name, f"a tenant may have {MOST} definitions")
        if sum(len(record.body) for record in others) + len(attempt.call.request.body) > MOST_BYTES:
            raise forbidden(RESOURCE, name, f"the definitions of a tenant may have {MOST_BYTES >> 20} MiB together")

    def _refuse_unsharing(self, attempt: Attempt) -> None:
        """Forbidden while other tenants have objects of a shared definition: nobody could reach or delete them."""
        old = attempt.old
        if old is None or attempt.call.tenant != SYSTEM_TENANT or not _is_marked(old) or _is_marked(attempt.obj):
            return
        name = old["metadata"]["name"]
        if any(record.key.tenant != SYSTEM_TENANT for record in self._definitions.objects(name, SYSTEM_TENANT)):
            raise forbidden(RESOURCE, name, "other tenants have objects of it: it can be deleted, not taken back")


def _refuse_built_in(attempt: Attempt) -> None:
    """Forbidden for a name that the server has itself, in whatever version: the objects would lie among its own, and
    nothing that holds for those would hold for them."""
    name = attempt.obj["metadata"].get("name", "")
    if registry.is_resource(name):
        raise forbidden(RESOURCE, name, "the server itself has a resource of this name")


def _is_marked(obj: Obj) -> bool:
    return (obj["metadata"].get("labels") or {}).get(names.SHARED) == "true"


def _is_readable(obj: Obj) -> bool:
    """Whether there is enough of a definition to name it by; validation tells what is missing."""
    spec = obj.get("spec") or {}
    wanted = spec.get("names") or {}
    return bool(spec.get("group") and wanted.get("plural") and wanted.get("kind"))


def bound(attempt: Attempt, effects: Effects) -> None:
    """Binds a write of a custom resource to the definition that it is checked against."""
    if attempt.kind.custom is not None and attempt.operation != "delete":
        effects.preconditions.append(unchanged(attempt.kind))
