"""The policies of all tenants, read from the store when they are first needed and forgotten when it changes.

A tenant that stores no roles or bindings shares one policy with all others of which that is true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeVar

from arktos.apiserver.builtin_roles import builtin_bindings, builtin_cluster_roles
from arktos.apiserver.encoding import tenant_key
from arktos.apiserver.policy import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    RESOURCES,
    ROLE_BINDINGS,
    ROLES,
    ClusterPolicy,
    NamespacePolicy,
    Unreadable,
    read_binding,
    read_role,
)
from arktos.model.kinds import SYSTEM_TENANT
from arktos.store.records import Key, Query, Record, Store, WatchEvent

TENANTS = "tenants"

_MAX_POLICIES = 16384

_Read = TypeVar("_Read")


class Policies:
    """The compiled policies. `changed(key)` is called after a role or binding has changed, and after a tenant has come
    or gone."""

    def __init__(self, store: Store, changed: Callable[[Key], None]) -> None:
        self._store = store
        self._report = changed
        self._clusters: dict[str, ClusterPolicy] = {}
        self._namespaces: dict[tuple[str, str], NamespacePolicy] = {}
        watched = (*RESOURCES, TENANTS)
        self._subscriptions = [store.subscribe(Query(resource, None), self._changed) for resource in watched]

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()

    def exists(self, tenant: str) -> bool:
        """Whether there is such a tenant."""
        return tenant == SYSTEM_TENANT or self._store.get(tenant_key(tenant)) is not None

    def cluster(self, tenant: str) -> ClusterPolicy:
        """The tenant's ClusterRoles and ClusterRoleBindings, built-in ones included."""
        found = self._clusters.get(tenant)
        if found is None:
            if len(self._clusters) >= _MAX_POLICIES:
                self._clusters.clear()
            found = self._clusters[tenant] = self._load_cluster(tenant)
        return found

    def namespace(self, tenant: str, namespace: str) -> NamespacePolicy:
        """The namespace's Roles and RoleBindings; nothing for namespace ""."""
        found = self._namespaces.get((tenant, namespace))
        if found is None:
            if len(self._namespaces) >= _MAX_POLICIES:
                self._namespaces.clear()
            found = self._namespaces[tenant, namespace] = self._load_namespace(tenant, namespace)
        return found

    def _load_cluster(self, tenant: str) -> ClusterPolicy:
        in_system = tenant == SYSTEM_TENANT
        stored_roles = self._store.list(Query(CLUSTER_ROLES, tenant)).records
        stored_bindings = self._store.list(Query(CLUSTER_ROLE_BINDINGS, tenant)).records
        if not stored_roles and not stored_bindings:
            return _builtin_policy(in_system)
        roles, broken = _read(stored_roles, read_role)
        bindings, broken_too = _read(stored_bindings, read_binding)
        kept_roles = _not_hidden(builtin_cluster_roles(in_system), stored_roles)
        kept_bindings = _not_hidden(builtin_bindings(in_system), stored_bindings)
        every_binding = (kept_bindings | bindings).values()
        return ClusterPolicy(kept_roles | roles, every_binding, unreadable=broken or broken_too)

    def _load_namespace(self, tenant: str, namespace: str) -> NamespacePolicy:
        if not namespace:
            return _EMPTY
        stored_roles = self._store.list(Query(ROLES, tenant, namespace)).records
        stored_bindings = self._store.list(Query(ROLE_BINDINGS, tenant, namespace)).records
        if not stored_roles and not stored_bindings:
            return _EMPTY
        roles, broken = _read(stored_roles, read_role)
        bindings, broken_too = _read(stored_bindings, read_binding)
        return NamespacePolicy(roles, bindings.values(), unreadable=broken or broken_too)

    def _changed(self, events: Sequence[WatchEvent], revision: int) -> None:
        for event in events:
            key = event.record.key
            if key.resource == TENANTS:
                if event.type == "MODIFIED":
                    continue
            elif key.namespace:
                self._namespaces.pop((key.tenant, key.namespace), None)
            else:
                self._clusters.pop(key.tenant, None)
            self._report(key)


_EMPTY = NamespacePolicy({}, ())


@cache
def _builtin_policy(in_system: bool) -> ClusterPolicy:
    """The policy of every tenant that stores nothing of its own: one object for all of them."""
    return ClusterPolicy(builtin_cluster_roles(in_system), builtin_bindings(in_system).values())


def _read(records: Sequence[Record], read: Callable[[bytes], _Read]) -> tuple[dict[str, _Read], bool]:
    """The readable objects by name, and whether there were others."""
    found = {}
    broken = False
    for record in records:
        try:
            found[record.key.name] = read(record.body)
        except Unreadable:
            broken = True
    return found, broken


def _not_hidden(builtin: Mapping[str, _Read], stored: Sequence[Record]) -> dict[str, _Read]:
    """The built-in objects of which no stored one takes the place."""
    hidden = {record.key.name for record in stored}
    return {name: obj for name, obj in builtin.items() if name not in hidden}
