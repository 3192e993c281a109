"""The ControllerRevisions of a workload on the server: the one of its template now is there, and old ones go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from arktos.client import Cached
from arktos.controllers import history
from arktos.controllers.actions import Create, Delete, Patch, perform, perform_all
from arktos.controllers.context import Context
from arktos.controllers.history import REVISION, Revision
from arktos.model.kinds import Kind, Obj
from arktos.model.status import AlreadyExists

_MOST_COLLISIONS = 16


@dataclass(frozen=True, slots=True)
class Standing:
    """All revisions of a workload, the one of its template now, and how often a name was taken by another template."""

    revisions: tuple[Revision, ...]
    current: Revision
    collisions: int


class RevisionControl:
    """Revisions of one kind of workload. Those it just made are known to it before its mirror shows them."""

    def __init__(self, context: Context, kind: Kind) -> None:
        self._client = context.client
        self._kind = kind
        self.mirror = context.part(kind.kind, REVISION.resource, kind.kind)

    async def ensure(self, owner: Cached, obj: Obj) -> Standing:
        """Makes the revision of the template now where there is none, and the newest of it what was returned to.
        Raises as `Client` does."""
        found = [history.view(each) for each in self.mirror.by_index("controller", owner.uid)]
        collisions = int((obj.get("status") or {}).get("collisionCount") or 0)
        current = history.current(obj, found)
        if current is None:
            current, collisions = await self._make(obj, found, collisions)
            found.append(current)
        elif current.number < max(each.number for each in found):
            current = await self._renumber(current, history.next_number(found))
            found = [current if each.name == current.name else each for each in found]
        return Standing(tuple(found), current, collisions)

    async def _make(self, obj: Obj, found: Sequence[Revision], collisions: int) -> tuple[Revision, int]:
        for attempt in range(collisions, collisions + _MOST_COLLISIONS):
            wanted = history.new(self._kind, obj, found, attempt)
            try:
                return _revision(await perform(self._client, Create(REVISION, wanted))), attempt
            except AlreadyExists:
                meta = wanted["metadata"]
                there = await self._client.get(
                    REVISION, meta["name"], tenant=meta["tenant"], namespace=meta["namespace"]
                )
                if there["data"] == wanted["data"] and _owned(there, obj):
                    return _revision(there), attempt
        raise AlreadyExists(f"every name for a revision of {obj['metadata']['name']} is taken")

    async def _renumber(self, revision: Revision, number: int) -> Revision:
        meta = revision.obj["metadata"]
        body = {"metadata": {"uid": meta["uid"]}, "revision": number}
        key = (meta["tenant"], meta["namespace"], revision.name)
        return _revision(await perform(self._client, Patch(REVISION, key, body)))

    async def trim(self, obj: Obj, standing: Standing, in_use: Iterable[str]) -> None:
        """Deletes what is beyond the limit of the owner's history. What fails is tried again another time."""
        gone = history.expendable(obj, standing.revisions, (*in_use, standing.current.hash))
        meta = obj["metadata"]
        await perform_all(
            self._client,
            [
                Delete(REVISION, (meta["tenant"], meta["namespace"], each.name), uid=each.obj["metadata"]["uid"])
                for each in gone
            ],
        )


def _revision(obj: Obj) -> Revision:
    meta = obj["metadata"]
    return Revision(obj, meta["name"], int(obj.get("revision") or 0), meta["labels"][history.HASH_LABEL])


def _owned(there: Obj, owner: Obj) -> bool:
    uid = owner["metadata"]["uid"]
    return any(each.get("uid") == uid for each in there["metadata"].get("ownerReferences") or ())
