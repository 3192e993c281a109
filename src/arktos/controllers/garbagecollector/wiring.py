"""From events to objects to look at, and from verdicts to writes."""

from __future__ import annotations

import msgspec

from arktos.client import Cached, Informer, Key, Meta, Owner
from arktos.controllers.actions import perform, perform_all
from arktos.controllers.context import Context, Unit, content_kinds
from arktos.controllers.garbagecollector.graph import Graph, Item, State, item_of
from arktos.controllers.garbagecollector.reconcile import Judged, Verdict, judge
from arktos.model.kinds import Obj, Scope
from arktos.model.status import NotFound

NAME = "garbagecollector"
_REMEMBERED = 4096
"""Owners known to be absent that are remembered."""


class _GarbageCollector:
    def __init__(self, context: Context) -> None:
        self.context = context
        kinds = [kind for scope in Scope for kind in content_kinds(scope)]
        self.mirrors = {kind.resource: context.mirror(kind.resource) for kind in kinds}
        self.graph = Graph(self.mirrors, context.custom)
        self.absent: dict[tuple[Item, str], None] = {}
        self.controller = context.controller(NAME, self.reconcile, workers=32, backoff=(0.01, 30.0))

    def changed(self, old: Cached | None, new: Cached | None) -> None:
        """One event of any mirror."""
        if new is None:
            assert old is not None
            self._gone(old)
            return
        if old is None or old.owners != new.owners or new.deleting:
            if (new.owners or new.deleting) and self.graph.deserves_a_look(new):
                self.look_at(item_of(new))
            if old is not None and (old.owners or new.owners):
                self._tell_owners(old)

    def _gone(self, old: Cached) -> None:
        self._remember(item_of(old), old.uid)
        for dependent in self.graph.dependents(old):
            self.look_at(item_of(dependent))
        self._tell_owners(old)

    def _tell_owners(self, cached: Cached) -> None:
        """Owners that are being deleted may wait for this object."""
        for owner in cached.owners:
            item = self.graph.owner_item(cached.key, owner)
            found = None if item is None else self.graph.find(item)
            if item is not None and found is not None and found.deleting:
                self.look_at(item)

    def look_at(self, item: Item) -> None:
        self.controller.enqueue(item.encoded())

    def _remember(self, item: Item, uid: str) -> None:
        self.absent[item, uid] = None
        if len(self.absent) > _REMEMBERED:
            del self.absent[next(iter(self.absent))]

    async def reconcile(self, key: Key) -> float | None:
        item = Item.decoded(key)
        cached = self.graph.find(item)
        if cached is None or not self.graph.deserves_a_look(cached):
            return None
        try:
            live = await self._get(item)
        except NotFound:
            return None
        meta = msgspec.convert(live["metadata"], Meta)
        if meta.uid != cached.uid:
            return None
        verdict = judge(await self._case(item, cached, meta))
        await self._carry_out(verdict)
        return None

    async def _get(self, item: Item) -> Obj:
        tenant, namespace, name = item.key
        return await self.context.client.get(self.graph.kind(item), name, tenant=tenant, namespace=namespace)

    async def _case(self, item: Item, cached: Cached, meta: Meta) -> Judged:
        deleting = meta.deletion_timestamp is not None
        owners = [] if deleting else [(owner, await self._state(item, owner)) for owner in meta.owner_references or ()]
        return Judged(
            self.graph.kind(item),
            item.key,
            meta.uid,
            meta.resource_version,
            deleting,
            meta.finalizers or (),
            owners,
            list(self.graph.dependents(cached)),
        )

    async def _state(self, item: Item, owner: Owner) -> State:
        """What an owner is; where the mirrors do not know it, as the server says."""
        state = self.graph.owner_state(item.key, owner)
        where = self.graph.owner_item(item.key, owner)
        if state is not State.ABSENT or where is None or (where, owner.uid) in self.absent:
            return state
        try:
            found = await self._get(where)
        except (NotFound, KeyError):  # the object is no more, or not even its kind
            pass
        else:
            if found["metadata"].get("uid") == owner.uid:
                return State.SOLID
        self._remember(where, owner.uid)
        return State.ABSENT

    async def _carry_out(self, verdict: Verdict) -> None:
        failures = await perform_all(self.context.client, verdict.first)
        if failures:
            raise failures[0]
        for action in verdict.then:
            try:
                await perform(self.context.client, action)
            except NotFound:
                continue
        for item in verdict.look_at:
            self.look_at(item)


def build(context: Context) -> Unit:
    work = _GarbageCollector(context)
    for mirror in work.mirrors.values():
        mirror.add_handler(work.changed)
        work.controller.needs(mirror)

    def added(mirror: Informer) -> None:
        work.mirrors[mirror.kind.resource] = mirror
        mirror.add_handler(work.changed)

    def removed(mirror: Informer) -> None:
        # A kind goes after its objects, of whose end the mirror may not have heard.
        for cached in mirror.items():
            work.changed(cached, None)
        work.mirrors.pop(mirror.kind.resource, None)

    context.custom.listen(added, removed)

    def refresh() -> None:
        for mirror in work.mirrors.values():
            for cached in mirror.items():
                if (cached.owners or cached.deleting) and work.graph.deserves_a_look(cached):
                    work.look_at(item_of(cached))

    return Unit([work.controller], refresh=refresh)
