"""What is in a place (a namespace, or a tenant beside its namespaces), and the proof that nothing is.

A create carries, inside its commit, the condition that its namespace and tenant are not being deleted. So what is
absent at a revision not older than the deletion is absent for good. A mirror that has reached such a revision proves
it for free; for kinds of which nothing was heard for long, one list over all tenants proves it for every place that
waits at that time.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from arktos.client import Cached, Controller, Informer, Key
from arktos.client.cached import decode_header
from arktos.controllers.context import Context, content_kinds
from arktos.controllers.freshness import revision
from arktos.model.kinds import ALL_TENANTS, Kind, Scope
from arktos.model.status import NotFound

_MANY = 2000
"""Objects of a kind beyond which one place is listed instead of all."""
_VIRTUAL = 1
"""The revision of what every place has without its being stored."""


class Content:
    """The stored content of places of one scope: `tenant/namespace` for Scope.NAMESPACE, `tenant` for Scope.TENANT.
    `without` are resources that somebody else looks after."""

    def __init__(self, context: Context, scope: Scope, without: Iterable[str] = ()) -> None:
        self._client = context.client
        self._index = "namespace" if scope is Scope.NAMESPACE else "tenant"
        self._mirrors: list[tuple[Kind, Informer]] = [
            (kind, context.mirror(kind.resource)) for kind in content_kinds(scope) if kind.resource not in without
        ]
        self._custom = context.custom
        self._proofs: dict[str, tuple[int, frozenset[str]]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def report(self, controller: Controller, parent: Callable[[Cached], Cached | None]) -> None:
        """Queues a place's parent when something in it goes, or changes while it goes. `parent` gives the namespace or
        tenant of an object."""

        def keys(cached: Cached) -> Iterable[Key]:
            found = parent(cached)
            return (found.key,) if found is not None and found.deleting else ()

        def changed(old: Cached | None, new: Cached | None) -> None:
            for cached in (old, new):
                for key in keys(cached) if cached is not None else ():
                    controller.enqueue(key)

        for _, mirror in self._mirrors:
            controller.watches(mirror, keys)
        self._custom.listen(lambda mirror: mirror.add_handler(changed))

    def left(self, place: str) -> list[Cached]:
        """All that the mirrors know in a place."""
        found = [cached for _, mirror in self._mirrors for cached in mirror.by_index(self._index, place)]
        for mirror in self._custom.mirrors.values():
            found += map(self._custom.own, mirror.by_index(self._index, place))
        return found

    async def absent(self, place: str, since: int) -> bool:
        """Whether nothing is in the place as of `since` or later, the revision of its end. The mirrors know nothing
        there; this asks for what they may have missed. Raises as `Client.list` does."""
        # Which kinds there are must be as true as what is in them.
        await self._custom.definitions.reach(since)
        stale = [kind for kind, mirror in self._all() if revision(mirror.resource_version) < since]
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(self._occupied(kind, place, since)) for kind in stale]
        return not any(answer.result() for answer in answers) and not self.left(place)

    async def _occupied(self, kind: Kind, place: str, since: int) -> bool:
        if self._size(kind) > _MANY:
            return place in (await self._look(kind, place))[1]
        async with self._locks[kind.resource]:
            known = self._proofs.get(kind.resource)
            if known is None or known[0] < since:
                known = self._proofs[kind.resource] = await self._look(kind)
        return place in known[1]

    def _size(self, kind: Kind) -> int:
        return next((len(mirror) for known, mirror in self._all() if known is kind), 0)

    def _all(self) -> list[tuple[Kind, Informer]]:
        return [*self._mirrors, *((mirror.kind, mirror) for mirror in self._custom.mirrors.values())]

    async def _look(self, kind: Kind, place: str = ALL_TENANTS) -> tuple[int, frozenset[str]]:
        tenant, _, namespace = place.partition("/")
        try:
            listing = await self._client.list_raw(kind, tenant=tenant, namespace=namespace, metadata_only=True)
        except NotFound:
            # A kind that nobody defines any more went with all its objects.
            return 2**53, frozenset()
        return revision(listing.resource_version), places(listing.items, self._index)


def places(items: Sequence[bytes], index: str) -> frozenset[str]:
    """Where encoded objects are, those apart that every place has."""
    found = set()
    for raw in items:
        meta = decode_header(msgspec.Raw(raw)).metadata
        if revision(meta.resource_version) != _VIRTUAL:
            found.add(f"{meta.tenant}/{meta.namespace}" if index == "namespace" else meta.tenant)
    return frozenset(found)
