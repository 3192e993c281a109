"""Who owns whom, answered from the mirrors of all kinds. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from arktos.client import Cached, Informer, Key, Owner
from arktos.controllers.customkinds import CustomKinds
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


Lookup = Callable[[str, str, str], Kind | None]
"""The kind that tenants define under an apiVersion and a name, from a tenant, an apiVersion and a kind."""


def owner_item(dependent: Key, owner: Owner, custom: Lookup = lambda tenant, api_version, kind: None) -> Item | None:
    """Where an owner would be: in its dependent's own tenant and namespace. None if there can be no such object."""
    tenant, namespace, _ = dependent
    served = registry.by_gvk(owner.api_version, owner.kind)
    kind = custom(tenant, owner.api_version, owner.kind) if served is None else registry.stored_as(served)
    if kind is None:
        return None
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

    def __init__(self, mirrors: Mapping[str, Informer], custom: CustomKinds | None = None) -> None:
        self._mirrors = mirrors
        self._custom = custom

    def owner_item(self, dependent: Key, owner: Owner) -> Item | None:
        """As the function of this name, of the kinds that tenants define, too."""
        if self._custom is None:
            return owner_item(dependent, owner)
        return owner_item(dependent, owner, self._custom.by_owner)

    def find(self, item: Item) -> Cached | None:
        mirror = self._mirrors.get(item.resource)
        return None if mirror is None else mirror.get(*item.key)

    def kind(self, item: Item) -> Kind:
        """The kind of an item, as its tenant defines it."""
        custom = None if self._custom is None else self._custom.of(item.resource, item.key[0])
        return custom or self._mirrors[item.resource].kind

    def owner_state(self, dependent: Key, owner: Owner) -> State:
        """As the mirrors have it: ABSENT may mean that they do not have it yet."""
        item = self.owner_item(dependent, owner)
        if item is None:
            return State.UNKNOWN
        cached = self.find(item)
        if cached is None:
            # A tenant's kind that is known by name only went with all its objects.
            known = item.resource in self._mirrors or registry.by_gvk(owner.api_version, owner.kind) is None
            return State.ABSENT if known else State.UNKNOWN
        if cached.uid != owner.uid:
            return State.ABSENT
        return State.WAITING if is_waiting(cached) else State.SOLID

    def dependents(self, owner: Cached) -> Iterator[Cached]:
        """The objects that name this very owner, from where it counts."""
        mine = item_of(owner)
        for mirror in self._mirrors.values():
            for cached in mirror.by_index("owner", owner.uid):
                if any(ref.uid == owner.uid and self.owner_item(cached.key, ref) == mine for ref in cached.owners):
                    yield cached

    def deserves_a_look(self, cached: Cached) -> bool:
        """Whether the mirrors give reason to act: an owner that is absent or waiting, or a deletion to complete."""
        if cached.deleting:
            finalizers = cached.meta.finalizers or ()
            return FOREGROUND in finalizers or ORPHAN in finalizers
        return any(self.owner_state(cached.key, owner) in (State.ABSENT, State.WAITING) for owner in cached.owners)
