"""Which kinds a tenant defines: found by key in the store, compiled when they are first used."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from arktos.model import registry, selectors
from arktos.model.custom.definition import CustomType, Definition
from arktos.model.custom.names import SHARED
from arktos.model.kinds import ALL_TENANTS, SYSTEM_TENANT, Kind, Obj
from arktos.model.status import ServiceUnavailable
from arktos.store.records import AtRevision, Key, Query, Record, Store

RESOURCE = "customresourcedefinitions.apiextensions.k8s.io"

_HELD = 8192
"""Definitions that are held read, at one or two KB each."""
_WARM = 512
"""Those of them whose schemas are held compiled, at some ten KB each."""


class DefinitionChanged(ServiceUnavailable):
    """A write was checked against a definition that is no longer the newest; `current` is what stands now."""

    def __init__(self, current: Record | None) -> None:
        super().__init__("the definition of the resource has changed; try again", retry_after=1)
        self.current = current


Mark = tuple[int, int, int, int]


def definition_key(tenant: str, name: str) -> Key:
    return Key(RESOURCE, tenant, "", name)


def unchanged(kind: Kind) -> AtRevision:
    """That a kind's definition is the one that the kind was made from."""
    assert kind.custom is not None
    definition = kind.custom.definition
    return AtRevision(definition_key(definition.tenant, definition.name), definition.revision)


class Definitions:
    """The definitions of all tenants, as stored now. Every answer is of the newest visible state."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._compiled: OrderedDict[Key, Definition] = OrderedDict()
        self._warm: OrderedDict[Key, Definition] = OrderedDict()

    def lookup(self, tenant: str, group: str, version: str, plural: str) -> Kind | None:
        """The kind that a tenant serves here, None if it has no established definition of it. For `all`, the kind as
        the first tenant has it that serves it, its objects as their own tenants have them."""
        if "." not in group:
            return None
        name = f"{plural}.{group}"
        if registry.is_resource(name):
            return None  # another version of what is built in is nobody's
        if tenant == ALL_TENANTS:
            return self._across(name, version)
        definition = self.of(tenant, name)
        if definition is None or not definition.established:
            return None
        self._warmed(definition)
        return definition.kind(version)

    def _warmed(self, definition: Definition) -> None:
        key = definition_key(definition.tenant, definition.name)
        self._warm[key] = definition
        self._warm.move_to_end(key)
        if len(self._warm) > _WARM:
            self._warm.popitem(last=False)[1].cool()

    def of(self, tenant: str, name: str) -> Definition | None:
        """The definition that counts in a tenant: its own, else the one that `system` shares."""
        record = self._store.get(definition_key(tenant, name))
        if record is None and tenant != SYSTEM_TENANT:
            record = self._store.get(definition_key(SYSTEM_TENANT, name))
            if record is not None and record.header.labels.get(SHARED) != "true":
                record = None
        return None if record is None else self.compiled(record)

    def compiled(self, record: Record) -> Definition:
        """The definition that a record holds."""
        known = self._compiled.get(record.key)
        if known is not None and known.revision == record.revision:
            self._compiled.move_to_end(record.key)
            return known
        made = Definition(record.body, record.revision)
        if known is not None and known.uid == made.uid and bytes(known.spec) == bytes(made.spec):
            # Labels, status: what is stored stays in shape, and what was compiled stays true.
            made.since = known.since
        self._compiled[record.key] = made
        self._compiled.move_to_end(record.key)
        if len(self._compiled) > _HELD:
            self._compiled.popitem(last=False)
        return made

    def records(self, tenant: str) -> list[Record]:
        """The definitions that count in a tenant, by name."""
        found = {record.key.name: record for record in self._shared()} if tenant != SYSTEM_TENANT else {}
        found |= {record.key.name: record for record in self._store.list(Query(RESOURCE, tenant)).records}
        return [found[name] for name in sorted(found)]

    def mark(self, tenant: str) -> Mark:
        """Changes whenever the definitions that count in a tenant do: every change raises a revision or a count."""
        own = self._store.list(Query(RESOURCE, tenant)).records
        shared = self._shared() if tenant != SYSTEM_TENANT else []
        return len(own), _newest(own), len(shared), _newest(shared)

    def served(self, tenant: str) -> list[Definition]:
        """The established definitions of a tenant, by name."""
        found = (self.compiled(record) for record in self.records(tenant))
        return [definition for definition in found if definition.established]

    def objects(self, name: str, tenant: str) -> list[Record]:
        """What is stored by a tenant's definition; by one of `system`, in every tenant that has none of its own."""
        if tenant != SYSTEM_TENANT:
            return self._store.list(Query(name, tenant)).records
        named = self._store.list(Query(RESOURCE, None, None, selectors.EVERYTHING.only(name))).records
        own = {record.key.tenant for record in named if record.key.tenant != SYSTEM_TENANT}
        return [record for record in self._store.list(Query(name, None)).records if record.key.tenant not in own]

    def outlines(self, tenant: str) -> list[Obj]:
        """What names are judged by, of the definitions that a tenant has itself."""
        return [self.compiled(record).outline() for record in self._store.list(Query(RESOURCE, tenant)).records]

    def _shared(self) -> list[Record]:
        records = self._store.list(Query(RESOURCE, SYSTEM_TENANT)).records
        return [record for record in records if record.header.labels.get(SHARED) == "true"]

    def _across(self, name: str, version: str) -> Kind | None:
        for record in self._store.list(Query(RESOURCE, None, None, selectors.EVERYTHING.only(name))).records:
            definition = self.compiled(record)
            kind = definition.kind(version) if definition.established else None
            if kind is not None:
                return replace(kind, custom=_Across(definition, version, self._in(name, version)))
        return None

    def _in(self, name: str, version: str) -> Callable[[str], Kind | None]:
        """Gives a tenant's own kind of this name: of this version, else as its objects are stored."""

        def find(tenant: str) -> Kind | None:
            definition = self.of(tenant, name)
            return None if definition is None else definition.kind(version) or definition.stored

        return find


class _Across(CustomType):
    """A kind over all tenants."""

    def __init__(self, definition: Definition, version: str, of_tenant: Callable[[str], Kind | None]) -> None:
        super().__init__(definition, definition.versions[version])
        self.of_tenant = of_tenant


def own(kind: Kind, tenant: str) -> Kind:
    """A kind as a tenant has it: for one that was looked up over all tenants the tenant's own, or the kind itself where
    the tenant has none."""
    custom = kind.custom
    return (custom.of_tenant(tenant) or kind) if isinstance(custom, _Across) else kind


def is_across(kind: Kind) -> bool:
    """Whether a kind was looked up over all tenants."""
    return isinstance(kind.custom, _Across)


def _newest(records: list[Record]) -> int:
    return max((record.revision for record in records), default=0)
