"""The kinds that tenants define, as controllers need them: which there are, and a mirror of each resource.

One mirror per group-resource serves all tenants, metadata only, for as long as some tenant defines it. Tenants may mean
different things by a resource: what a tenant's own kind is, `of` and `by_owner` tell. A kind that has gone is still
known by name, so that what its objects owned is recognised as left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from arktos.client import Cached, Informer, Informers
from arktos.client.cache import by_namespace, by_owner
from arktos.model.kinds import SYSTEM_TENANT, Kind, Obj, Scope

RESOURCE = "customresourcedefinitions.apiextensions.k8s.io"
_SHARED = "arktos.io/shared"
_REMEMBERED = 4096
"""Kinds that are known by name, gone ones included."""

Added = Callable[[Informer], None]
Removed = Callable[[Informer], None]


class _Version(msgspec.Struct):
    name: str
    served: bool = False
    storage: bool = False


class _Names(msgspec.Struct):
    plural: str
    kind: str


class _Spec(msgspec.Struct):
    group: str
    names: _Names
    versions: list[_Version]
    scope: str = ""


class _Definition(msgspec.Struct):
    spec: _Spec
    status: Obj = {}


_definition = msgspec.json.Decoder(_Definition)


class _Known(NamedTuple):
    """A tenant's kind under one of its versions."""

    tenant: str
    api_version: str
    kind: str


def outside_namespaces(cached: Cached) -> Iterable[str]:
    """Index values: the tenant, of what is in no namespace."""
    return () if cached.namespace else (cached.tenant,)


def is_custom(kind: Kind) -> bool:
    """Whether a kind is a tenant's: its row has no schema here."""
    return not kind.schema


class CustomKinds:
    """Fed by the mirror of all definitions. Who asks for the mirrors hears of those that come and go."""

    def __init__(self, definitions: Informer, informers: Informers) -> None:
        self.definitions = definitions
        self.mirrors: dict[str, Informer] = {}
        self._informers = informers
        self._rows: dict[str, dict[str, Kind]] = {}
        self._owners: dict[_Known, Kind] = {}
        self._listeners: list[tuple[Added, Removed]] = []
        definitions.add_handler(self._changed)

    def listen(self, added: Added, removed: Removed = lambda informer: None) -> None:
        """`added` hears of every mirror, `removed` of those that will tell no more."""
        for informer in self.mirrors.values():
            added(informer)
        self._listeners.append((added, removed))

    def of(self, resource: str, tenant: str) -> Kind | None:
        """A resource as a tenant defines it."""
        rows = self._rows.get(resource, {})
        return rows.get(tenant) or rows.get("")

    def by_owner(self, tenant: str, api_version: str, kind: str) -> Kind | None:
        """The kind that an ownerReference of a tenant's object names, also one that is no more."""
        return self._owners.get(_Known(tenant, api_version, kind)) or self._owners.get(_Known("", api_version, kind))

    def own(self, cached: Cached) -> Cached:
        """An object as its tenant's kind has it, for who acts on it."""
        kind = self.of(cached.kind.resource, cached.tenant)
        return cached if kind is None else msgspec.structs.replace(cached, kind=kind)

    def _changed(self, old: Cached | None, new: Cached | None) -> None:
        cached = new or old
        assert cached is not None
        shared = cached.tenant == SYSTEM_TENANT and cached.labels.get(_SHARED) == "true"
        places = {cached.tenant, ""} if cached.tenant == SYSTEM_TENANT else {cached.tenant}
        row = None if new is None else self._read(new, cached.tenant, shared)
        for place in places:
            self._set(cached.name, place, row if place or shared else None)

    def _read(self, cached: Cached, tenant: str, shared: bool) -> Kind | None:
        """The row of an established definition."""
        try:
            found = _definition.decode(cached.raw)
        except msgspec.DecodeError:
            return None
        conditions = found.status.get("conditions") or ()
        if not any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions):
            return None
        served = sorted((v for v in found.spec.versions if v.served), key=lambda version: not version.storage)
        if not served:
            return None
        scope = Scope.NAMESPACE if found.spec.scope == "Namespaced" else Scope.TENANT
        names, group = found.spec.names, found.spec.group
        rows = [Kind(group, version.name, names.kind, names.plural, scope, schema="") for version in served]
        for row in rows:
            self._remember(_Known(tenant, row.api_version, row.kind), rows[0])
            if shared:
                self._remember(_Known("", row.api_version, row.kind), rows[0])
        return rows[0]

    def _remember(self, known: _Known, row: Kind) -> None:
        self._owners.pop(known, None)
        self._owners[known] = row
        if len(self._owners) > _REMEMBERED:
            del self._owners[next(iter(self._owners))]

    def _set(self, resource: str, place: str, row: Kind | None) -> None:
        rows = self._rows.setdefault(resource, {})
        if row is not None:
            rows[place] = row
        else:
            rows.pop(place, None)
        mirror = self.mirrors.get(resource)
        if rows and mirror is None:
            self._mirror(resource, next(iter(rows.values())))
        elif not rows:
            del self._rows[resource]
            if mirror is not None:
                del self.mirrors[resource]
                self._informers.forget(mirror)
                for _, removed in self._listeners:
                    removed(mirror)

    def _mirror(self, resource: str, row: Kind) -> None:
        """Of a row whose keys have room for a namespace, whatever tenants mean by the resource."""
        spacious = Kind(row.group, row.version, row.kind, row.plural, Scope.NAMESPACE, schema="")
        indexes = {"owner": by_owner, "namespace": by_namespace, "tenant": outside_namespaces}
        made = self.mirrors[resource] = self._informers.get(spacious, indexes=indexes, metadata_only=True)
        for added, _ in self._listeners:
            added(made)
