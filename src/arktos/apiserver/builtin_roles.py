"""The built-in roles and bindings as objects that are in every tenant and stored in none (DESIGN 3: an idle tenant
costs KiB).

A stored object of the same name takes its place, and it comes back when that is deleted. The objects are encoded once;
a tenant's copy is that encoding with tenant, uid and hash key put in. Uids are derived from tenant and name, so they
are the same after every start and on every server. `view`, `edit` and `admin` show the rules of the built-in roles that
they aggregate; rules of a tenant's own roles that they select count as well (`policy`).

An object here was never written: its resourceVersion is 1, and it is as old as its tenant.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import MappingProxyType

import msgspec

from arktos.apiserver import bootstrap_policy
from arktos.apiserver.bootstrap_policy import DefaultBinding, DefaultRole
from arktos.apiserver.encoding import birthday, tenant_key
from arktos.apiserver.policy import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    EVERY_TENANT,
    RBAC_GROUP,
    TENANTS_ANNOTATION,
    Binding,
    ClusterRoles,
    Role,
    binding_of,
    role_of,
)
from arktos.apiserver.rbac import Rule
from arktos.model.hashkey import hash_key
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.store.records import Header, Key, Query, Record, Store

REVISION = 1

_API_VERSION = f"{RBAC_GROUP}/v1"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_UIDS = uuid.UUID("6f1f0f0e-5a0f-5c53-9d6c-0a9c5e7c6b1d")
_HOLES = ("\x00tenant", "\x00uid", "\x00hash", "\x00created")


def virtual_objects(resource: str, tenant: str) -> Mapping[str, Obj]:
    """The built-in objects of a group-resource in a tenant by name, complete; empty for other resources."""
    return {record.key.name: msgspec.json.decode(record.body) for record in virtual_records(resource, tenant, "")}


def virtual_records(resource: str, tenant: str, created: str) -> Iterator[Record]:
    """The built-in objects of a group-resource in a tenant, in the order of their names."""
    for template in _templates(resource, tenant == SYSTEM_TENANT).values():
        yield template.record(tenant, created)


@cache
def builtin_cluster_roles(in_system: bool) -> Mapping[str, Role]:
    """The built-in ClusterRoles, compiled."""
    return MappingProxyType({name: role_of(obj) for name, obj in _objects(CLUSTER_ROLES, in_system).items()})


@cache
def builtin_bindings(in_system: bool) -> Mapping[str, Binding]:
    """The built-in ClusterRoleBindings, compiled."""
    found = _objects(CLUSTER_ROLE_BINDINGS, in_system)
    return MappingProxyType({name: binding_of(obj) for name, obj in found.items()})


class BuiltinRoles:
    """The built-in objects as a source of reads. A tenant that does not exist has none.

    A list over all tenants holds those of `system` only: what is the same in every tenant is no news to anyone, and
    thousands of idle tenants must not cost a watcher a hundred thousand objects.
    """

    renewed = False

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def resources(self) -> frozenset[str]:
        return frozenset({CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS})

    def get(self, key: Key) -> Record | None:
        template = _templates(key.resource, key.tenant == SYSTEM_TENANT).get(key.name)
        if template is None or key.namespace or not self._exists(key.tenant):
            return None
        return template.record(key.tenant, birthday(self._store, tenant_key(key.tenant)))

    def list(self, query: Query) -> Iterable[Record]:
        tenant = SYSTEM_TENANT if query.tenant is None else query.tenant
        if query.namespace or not self._exists(tenant):
            return ()
        return virtual_records(query.resource, tenant, birthday(self._store, tenant_key(tenant)))

    def borrowed(self, query: Query) -> Query | None:
        return None

    def _exists(self, tenant: str) -> bool:
        return tenant == SYSTEM_TENANT or self._store.get(tenant_key(tenant)) is not None


class _Template:
    """An encoded object with holes for what differs by tenant."""

    __slots__ = ("_labels", "_name", "_parts", "_resource")

    def __init__(self, resource: str, obj: Obj) -> None:
        self._resource = resource
        self._name: str = obj["metadata"]["name"]
        self._labels: dict[str, str] = obj["metadata"]["labels"]
        text = msgspec.json.encode(obj)
        parts = []
        for hole in _HOLES:
            before, text = text.split(msgspec.json.encode(hole))
            parts.append(before)
        self._parts = (*parts, text)

    def record(self, tenant: str, created: str) -> Record:
        uid = str(uuid.uuid5(_UIDS, f"{self._resource}/{tenant}/{self._name}"))
        hashed = hash_key(uid)
        values = (b'"%b"' % tenant.encode(), b'"%b"' % uid.encode(), b"%d" % hashed, b'"%b"' % created.encode())
        *parts, last = self._parts
        body = b"".join([piece for pair in zip(parts, values, strict=True) for piece in pair] + [last])
        header = Header(uid, hashed, self._labels, {"metadata.name": self._name})
        return Record(Key(self._resource, tenant, "", self._name), REVISION, header, body)


@cache
def _templates(resource: str, in_system: bool) -> Mapping[str, _Template]:
    found = _objects(resource, in_system)
    return MappingProxyType({name: _Template(resource, found[name]) for name in sorted(found)})


def _objects(resource: str, in_system: bool) -> dict[str, Obj]:
    """Every built-in object, with holes in its metadata."""
    data = bootstrap_policy
    if resource == CLUSTER_ROLES:
        return _with_aggregates((*data.IN_EVERY_TENANT, *(data.IN_SYSTEM if in_system else data.IN_TENANTS)))
    if resource == CLUSTER_ROLE_BINDINGS:
        more = data.BINDINGS_IN_SYSTEM if in_system else data.BINDINGS_IN_TENANTS
        return {binding.name: _binding_object(binding) for binding in (*data.BINDINGS_IN_EVERY_TENANT, *more)}
    return {}


def _with_aggregates(roles: Iterable[DefaultRole]) -> dict[str, Obj]:
    objects = {role.name: _role_object(role) for role in roles}
    compiled = ClusterRoles({name: role_of(obj) for name, obj in objects.items()})
    for name, obj in objects.items():
        obj["rules"] = [_rule_object(rule) for rule in compiled.rules(name) or ()]
    return objects


def _role_object(role: DefaultRole) -> Obj:
    labels = dict(_LABELS)
    if role.into:
        labels[f"{RBAC_GROUP}/aggregate-to-{role.into}"] = "true"
    obj = _object("ClusterRole", role.name, labels)
    if role.aggregates:
        wanted = {f"{RBAC_GROUP}/aggregate-to-{role.aggregates}": "true"}
        obj["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": wanted}]}
    obj["rules"] = [_rule_object(rule) for rule in role.rules]
    return obj


def _rule_object(rule: Rule) -> Obj:
    return rule.as_object()


def _binding_object(binding: DefaultBinding) -> Obj:
    obj = _object("ClusterRoleBinding", binding.name, dict(_LABELS))
    if binding.everywhere:
        obj["metadata"]["annotations"][TENANTS_ANNOTATION] = EVERY_TENANT
    obj["subjects"] = [
        {"kind": kind, "apiGroup": RBAC_GROUP, "name": name}
        for kind, names in (("Group", binding.groups), ("User", binding.users))
        for name in names
    ]
    obj["roleRef"] = {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": binding.role}
    return obj


def _object(kind: str, name: str, labels: dict[str, str]) -> Obj:
    tenant, uid, hashed, created = _HOLES
    return {
        "kind": kind,
        "apiVersion": _API_VERSION,
        "metadata": {
            "resourceVersion": str(REVISION),
            "name": name,
            "tenant": tenant,
            "uid": uid,
            "hashKey": hashed,
            "creationTimestamp": created,
            "labels": labels,
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
    }
