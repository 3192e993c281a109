"""LimitRanges of a namespace, for pods and claims (Kubernetes' admission plugin LimitRanger).

A write in a namespace without limit ranges costs one look into a set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.encoding import decode
from arktos.model import limits
from arktos.model.kinds import Obj
from arktos.model.status import forbidden
from arktos.store.records import Query, Store, WatchEvent

RESOURCE = "limitranges"


class LimitRanges:
    """Steps for `limitranges`, `pods` and `persistentvolumeclaims`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._items: dict[tuple[str, int], Sequence[Obj]] = {}
        query = Query(RESOURCE, None)
        self._spaces = {record.key[1:3] for record in store.list(query).records}
        """Tenant and namespace of each that there may be."""
        store.subscribe(query, self._changed)

    def note(self, attempt: Attempt, effects: Effects) -> None:
        """A limit range that is being made counts from the moment in which it is there."""
        if attempt.operation == "create":
            self._spaces.add((attempt.call.tenant, attempt.call.info.namespace))

    def default_pod(self, attempt: Attempt, effects: Effects) -> None:
        """Defaults of a new pod, before anybody counts what it needs."""
        if attempt.operation == "create":
            for items in self._of(attempt):
                limits.set_defaults(attempt.obj, items)

    def check_pod(self, attempt: Attempt, effects: Effects) -> None:
        """Bounds of a new pod, and of one that is resized; Forbidden."""
        if attempt.operation == "create" or (attempt.subresource == "resize" and not _ending(attempt)):
            for items in self._of(attempt):
                self._refuse(attempt, items, limits.pod_faults)

    def check_claim(self, attempt: Attempt, effects: Effects) -> None:
        """Bounds of a claim; Forbidden."""
        if attempt.operation != "delete" and not attempt.subresource and not _ending(attempt):
            for items in self._of(attempt):
                self._refuse(attempt, items, limits.claim_faults)

    @staticmethod
    def _refuse(
        attempt: Attempt, items: Sequence[Obj], faults_of: Callable[[Obj, Sequence[Obj]], Sequence[str]]
    ) -> None:
        faults = faults_of(attempt.obj, items)
        if faults:
            meta = attempt.obj["metadata"]
            name = meta.get("name") or meta.get("generateName", "")
            raise forbidden(attempt.kind.resource, name, limits.sentence(faults))

    def _of(self, attempt: Attempt) -> Sequence[Sequence[Obj]]:
        """The items of each limit range of the attempt's namespace."""
        space = (attempt.call.tenant, attempt.call.info.namespace)
        if space not in self._spaces:
            self._store.touched(RESOURCE)
            return ()
        records = self._store.list(Query(RESOURCE, *space)).records
        if not records:
            self._spaces.discard(space)
        found = []
        for record in records:
            mark = (record.header.uid, record.revision)
            items = self._items.get(mark)
            if items is None:
                if len(self._items) > 4096:
                    self._items.clear()
                items = self._items[mark] = (decode(record).get("spec") or {}).get("limits") or ()
            found.append(items)
        return found

    def _changed(self, events: Sequence[WatchEvent], revision: int) -> None:
        self._spaces.update(event.record.key[1:3] for event in events if event.type != "DELETED")


def _ending(attempt: Attempt) -> bool:
    return attempt.old is not None and "deletionTimestamp" in attempt.old["metadata"]
