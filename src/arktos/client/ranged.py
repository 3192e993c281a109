"""An informer of a part of the hash ring, which can be moved without a relist of what it holds already.

Moving lists the gained part only, at revision L, and goes on watching from W, where the watch stood. What the watch
then tells again of the gained part, up to L, is passed over: the list knew it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from arktos.client.cache import Change, IndexFn
from arktos.client.cached import Cached
from arktos.client.client import Client
from arktos.client.informer import Informer
from arktos.client.reflector import Ask, Reflector
from arktos.client.watching import WatchEvent
from arktos.model.hashkey import hash_key
from arktos.model.hashranges import Range, without
from arktos.model.kinds import Kind
from arktos.model.selectors_fields import HASH_KEY, OWNER_HASH_KEY

_MANAGERS = (
    "CronJob",
    "DaemonSet",
    "Deployment",
    "Job",
    "Node",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
)
"""Owners whose objects are nobody's to adopt."""


class Membership:
    """Which objects belong to a range: those whose own key is in it, or (`owner`) those whose owner of that kind has
    its key in it, and those that nobody manages, wherever they stand: any member may have to adopt them."""

    def __init__(self, owner: str = "") -> None:
        self._owner = owner

    def selector(self, place: Range, *, orphans: bool) -> str:
        """The field selector of those in a range."""
        label = OWNER_HASH_KEY + self._owner if self._owner else HASH_KEY
        within = f"{label}=gte:{place.start},{label}=lte:{place.end}"
        if not self._owner or not orphans:
            return within
        others = (self._owner, *(kind for kind in _MANAGERS if kind != self._owner))
        return f"{within};{','.join(f'{OWNER_HASH_KEY}{kind}=' for kind in others)}"

    def within(self, cached: Cached, place: Range) -> bool:
        """Whether an object is in a range by its key; orphans are in none."""
        if not self._owner:
            return place.holds(hash_key(cached.uid))
        return any(owner.kind == self._owner and place.holds(hash_key(owner.uid)) for owner in cached.owners)

    def orphan(self, cached: Cached) -> bool:
        return bool(self._owner) and not any(owner.kind in _MANAGERS for owner in cached.owners)


class RangedInformer(Informer):
    """A mirror of the part of `kind` over all tenants that `cover` names; of nothing before."""

    def __init__(
        self, client: Client, kind: Kind, membership: Membership, *, indexes: Mapping[str, IndexFn] | None = None
    ) -> None:
        super().__init__(client, kind, indexes=indexes)
        self._membership = membership
        self._wanted: Range | None = None
        self._place: Range | None = None
        self._listed: list[tuple[Range, int]] = []
        self._asked = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self.transferred = 0
        """Objects that were listed because the range had moved."""

    @property
    def place(self) -> Range | None:
        """The range that is mirrored now."""
        return self._place

    async def cover(self, place: Range | None) -> None:
        """Returns when the mirror is that of `place`, as of a revision after the call."""
        self._wanted = place
        self._asked.set()
        await self._interrupt()
        while self._wanted == place and not self._done():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def _done(self) -> bool:
        return self._place == self._wanted and (self._place is None or self._reflector.ask is Ask.WATCH)

    async def _prepare(self) -> None:
        while self._wanted is None:
            if self._place is not None:
                await self._drop()
            self._asked.clear()
            await self._asked.wait()
        if self._place is None or self._reflector.ask is not Ask.WATCH:
            self._place = self._wanted
        while self._place != self._wanted and self._wanted is not None:
            await self._move(self._place or self._wanted, self._wanted)
        assert self._place is not None
        self._field_selector = self._membership.selector(self._place, orphans=True)
        self._tell()

    async def _drop(self) -> None:
        await self._take([(cached, None) for cached in self.items()])
        self._place = None
        self._listed = []
        self._reflector = Reflector(self.kind, self._cache)
        self._tell()

    async def _move(self, before: Range, after: Range) -> None:
        member = self._membership
        lost = [c for c in self.items() if not member.within(c, after) and not member.orphan(c)]
        await self._take([(cached, None) for cached in lost])
        for part in without(after, before):
            listing = await self._client.list_raw(self.kind, tenant=self._tenant, field_selector=self._part(part))
            for raw in listing.items:
                await self._take(self._cache.diff_put(self._readable(raw)))
            self.transferred += len(listing.items)
            self._listed.append((part, int(listing.resource_version)))
        self._place = after

    def _part(self, part: Range) -> str:
        return self._membership.selector(part, orphans=False)

    def _tell(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _recovered(self) -> None:
        super()._recovered()
        if self._waiters and self._done():
            self._tell()

    def _changes(self, event: WatchEvent) -> list[Change]:
        if self._listed and event.type != "BOOKMARK" and self._reflector.ask is Ask.WATCH and self._known(event):
            self._reflector.resource_version = event.header.metadata.resource_version
            return []
        return super()._changes(event)

    def _known(self, event: WatchEvent) -> bool:
        """Whether a list that came later than the event has told it already."""
        cached = Cached.from_raw(self.kind, event.raw, event.header)
        revision = int(cached.resource_version)
        self._listed = [(part, at) for part, at in self._listed if at >= revision]
        held = self._cache.objects.get(cached.key)
        for part, _ in self._listed:
            if self._membership.within(cached, part):
                return True
        return bool(self._listed) and held is not None and int(held.resource_version) >= revision
