"""Who owns whom, answered from the mirrors of all kinds. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from arktos.client import Cached, Informer, Key, Owner
from arktos.model import registry
from arktos.model.kinds import Kind, Scope

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


class Item(NamedTuple):
    """One object of any kind."""

    resource: str
    key: Key

    def encoded(self) -> Key:
        """As a queue carries it."""
        tenant, namespace, name = self.key
        return tenant, namespace, f"{self.resource}/{name}"

    @classmethod
    def decoded(cls, key: Key) -> Item:
        tenant, namespace, name = key
        resource, _, name = name.partition("/")
        return cls(resource, (tenant, namespace, name))


def item_of(cached: Cached) -> Item:
    return Item(cached.kind.resource, cached.key)


class State(enum.Enum):
    """What an owner is to its dependent. UNKNOWN: no such kind is served, or it cannot own across this scope; that
    neither keeps nor condemns."""

    SOLID = "solid"
    WAITING = "waiting"
    ABSENT = "absent"
    UNKNOWN = "unknown"


def owner_item(dependent: Key, owner: Owner) -> Item | None:
    """Where an owner would be: in its dependent's own tenant and namespace. None if there can be no such object."""
    served = registry.by_gvk(owner.api_version, owner.kind)
    if served is None:
        return None
    kind = registry.stored_as(served)
    tenant, namespace, _ = dependent
    if kind.scope is Scope.CLUSTER:
        return Item(kind.resource, ("", "", owner.name))
    if kind.scope is Scope.TENANT:
        return Item(kind.resource, (tenant, "", owner.name)) if tenant else None
    return Item(kind.resource, (tenant, namespace, owner.name)) if namespace else None


def is_waiting(cached: Cached) -> bool:
    """Whether an object is being deleted in the foreground."""
    return cached.deleting and FOREGROUND in (cached.meta.finalizers or ())


class Graph:
    """`mirrors` by group-resource; each has an index `owner`."""

    def __init__(self, mirrors: Mapping[str, Informer]) -> None:
        self._mirrors = mirrors

    def find(self, item: Item) -> Cached | None:
        mirror = self._mirrors.get(item.resource)
        return None if mirror is None else mirror.get(*item.key)

    def kind(self, item: Item) -> Kind:
        return self._mirrors[item.resource].kind

    def owner_state(self, dependent: Key, owner: Owner) -> State:
        """As the mirrors have it: ABSENT may mean that they do not have it yet."""
        item = owner_item(dependent, owner)
        if item is None:
            return State.UNKNOWN
        cached = self.find(item)
        if cached is None:
            return State.ABSENT if item.resource in self._mirrors else State.UNKNOWN
        if cached.uid != owner.uid:
            return State.ABSENT
        return State.WAITING if is_waiting(cached) else State.SOLID

    def dependents(self, owner: Cached) -> Iterator[Cached]:
        """The objects that name this very owner, from where it counts."""
        mine = item_of(owner)
        for mirror in self._mirrors.values():
            for cached in mirror.by_index("owner", owner.uid):
                if any(ref.uid == owner.uid and owner_item(cached.key, ref) == mine for ref in cached.owners):
                    yield cached

    def deserves_a_look(self, cached: Cached) -> bool:
        """Whether the mirrors give reason to act: an owner that is absent or waiting, or a deletion to complete."""
        if cached.deleting:
            finalizers = cached.meta.finalizers or ()
            return FOREGROUND in finalizers or ORPHAN in finalizers
        return any(self.owner_state(cached.key, owner) in (State.ABSENT, State.WAITING) for owner in cached.owners)
