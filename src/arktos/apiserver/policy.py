"""Roles and bindings of one tenant, compiled: which rules a subject has been given, and by which binding. Pure.

`ClusterPolicy` is a tenant's ClusterRoles and ClusterRoleBindings, `NamespacePolicy` the Roles and RoleBindings of one
namespace. Both are built at once from the objects and never change; who keeps them drops them when an object changes.

A role with an aggregation rule has the rules of the roles that it selects, computed here: nobody has to write them into
the stored object, and what stands there is ignored. What cannot be read grants nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from arktos.apiserver.membership import service_account_name
from arktos.apiserver.rbac import Rule
from arktos.model.kinds import ALL_TENANTS, SYSTEM_TENANT, Obj

RBAC_GROUP = "rbac.authorization.k8s.io"
CLUSTER_ROLES = f"clusterroles.{RBAC_GROUP}"
CLUSTER_ROLE_BINDINGS = f"clusterrolebindings.{RBAC_GROUP}"
ROLES = f"roles.{RBAC_GROUP}"
ROLE_BINDINGS = f"rolebindings.{RBAC_GROUP}"
RESOURCES = (ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS)

TENANTS_ANNOTATION = "arktos.io/tenants"
"""On a ClusterRoleBinding of `system`: the tenants in which it counts, a comma list, or `*` for every tenant and `all`.
Without it a binding counts in `system` only."""
EVERY_TENANT = "*"


class _Strict(msgspec.Struct, rename="camel"):
    """A part of an RBAC object; fields that matter to nobody here are skipped."""


class _Meta(_Strict):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _PolicyRule(_Strict):
    verbs: list[str] | None = None
    api_groups: list[str] | None = None
    resources: list[str] | None = None
    resource_names: list[str] | None = None
    non_resource_urls: list[str] | None = msgspec.field(default=None, name="nonResourceURLs")


class _Requirement(_Strict):
    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class _LabelSelector(_Strict):
    match_labels: dict[str, str] | None = None
    match_expressions: list[_Requirement] | None = None


class _Aggregation(_Strict):
    cluster_role_selectors: list[_LabelSelector] | None = None


class _Role(_Strict):
    metadata: _Meta
    rules: list[_PolicyRule] | None = None
    aggregation_rule: _Aggregation | None = None


class _Ref(_Strict):
    kind: str = ""
    name: str = ""


class _Subject(_Strict):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class _Binding(_Strict):
    metadata: _Meta
    role_ref: _Ref
    subjects: list[_Subject] | None = None


_roles = msgspec.json.Decoder(_Role)
_bindings = msgspec.json.Decoder(_Binding)


class Unreadable(ValueError):
    """A stored role or binding is not of its schema."""


class Role(NamedTuple):
    """A role as stored. `selects` is None, or what its aggregation rule selects by (any of them)."""

    name: str
    labels: Mapping[str, str]
    rules: tuple[Rule, ...]
    selects: tuple[_LabelSelector, ...] | None


class Subject(NamedTuple):
    """`identity` is the name of the user or group that the subject means."""

    kind: str
    name: str
    identity: str


class Binding(NamedTuple):
    """`tenants` is where a ClusterRoleBinding counts (`TENANTS_ANNOTATION`)."""

    name: str
    namespace: str
    role_kind: str
    role_name: str
    subjects: tuple[Subject, ...]
    tenants: frozenset[str]

    def counts_in(self, tenant: str) -> bool:
        return tenant in self.tenants or EVERY_TENANT in self.tenants

    def describe(self, subject: Subject) -> str:
        """The binding as Kubernetes names it in the reason of a decision."""
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        name = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f'{kind} "{name}" of {self.role_kind} "{self.role_name}" to {subject.kind} "{subject.name}"'


class Grant(NamedTuple):
    """One rule that somebody holds, and through what."""

    rule: Rule
    binding: Binding
    subject: Subject


def read_role(body: bytes) -> Role:
    """A stored Role or ClusterRole. Raises `Unreadable`."""
    try:
        return _role(_roles.decode(body))
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from error


def role_of(obj: Obj) -> Role:
    """A decoded Role or ClusterRole. Raises `Unreadable`."""
    return _role(_converted(obj, _Role))


def read_binding(body: bytes) -> Binding:
    """A stored RoleBinding or ClusterRoleBinding. Raises `Unreadable`."""
    try:
        return _binding(_bindings.decode(body))
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from error


def binding_of(obj: Obj) -> Binding:
    """A decoded RoleBinding or ClusterRoleBinding. Raises `Unreadable`."""
    return _binding(_converted(obj, _Binding))


def _converted(obj: Obj, form: type[Any]) -> Any:
    try:
        return msgspec.convert(obj, form)
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from error


def _role(read: _Role) -> Role:
    rules = tuple(
        Rule(
            tuple(r.verbs or ()),
            tuple(r.api_groups or ()),
            tuple(r.resources or ()),
            tuple(r.resource_names or ()),
            tuple(r.non_resource_urls or ()),
        )
        for r in read.rules or ()
    )
    aggregation = read.aggregation_rule
    selects = None if aggregation is None else tuple(aggregation.cluster_role_selectors or ())
    return Role(read.metadata.name, read.metadata.labels or {}, rules, selects)


def _binding(read: _Binding) -> Binding:
    meta = read.metadata
    listed = (meta.annotations or {}).get(TENANTS_ANNOTATION)
    if listed is None:
        tenants = frozenset({SYSTEM_TENANT})
    else:
        tenants = frozenset(filter(None, map(str.strip, listed.split(",")))) - {ALL_TENANTS}
    subjects = tuple(_subjects(read.subjects or (), meta.namespace))
    return Binding(meta.name, meta.namespace, read.role_ref.kind, read.role_ref.name, subjects, tenants)


def _subjects(read: Iterable[_Subject], namespace: str) -> Iterator[Subject]:
    for subject in read:
        if not subject.name:
            continue
        if subject.kind in ("User", "Group"):
            yield Subject(subject.kind, subject.name, subject.name)
        elif subject.kind == "ServiceAccount" and (subject.namespace or namespace):
            owner = subject.namespace or namespace
            yield Subject(subject.kind, f"{subject.name}/{owner}", service_account_name(owner, subject.name))


def _selected(selectors: Iterable[_LabelSelector], labels: Mapping[str, str]) -> bool:
    """Whether any of the label selectors (LabelSelector of meta/v1) selects these labels."""
    return any(
        all(labels.get(key) == value for key, value in (selector.match_labels or {}).items())
        and all(_required(requirement, labels) for requirement in selector.match_expressions or ())
        for selector in selectors
    )


def _required(requirement: _Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    values = requirement.values or ()
    match requirement.operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return False


class ClusterRoles:
    """The ClusterRoles of a tenant, by name; rules of aggregated ones are computed on demand."""

    def __init__(self, roles: Mapping[str, Role]) -> None:
        self._roles = roles
        self._rules: dict[str, tuple[Rule, ...]] = {}

    def rules(self, name: str) -> tuple[Rule, ...] | None:
        """The rules of the role, None when there is none of this name."""
        if name not in self._roles:
            return None
        found = self._rules.get(name)
        if found is None:
            found = self._rules[name] = self._computed(self._roles[name])
        return found

    def with_role(self, role: Role) -> ClusterRoles:
        """The same roles with this one created or replaced."""
        return ClusterRoles({**self._roles, role.name: role})

    def _computed(self, role: Role) -> tuple[Rule, ...]:
        """The rules of the role and of all that it selects, directly or through others, each rule once."""
        found: dict[Rule, None] = {}
        seen = {role.name}
        waiting = [role]
        while waiting:
            current = waiting.pop()
            if current.selects is None:
                found.update(dict.fromkeys(current.rules))
                continue
            for other in self._roles.values():
                if other.name not in seen and _selected(current.selects, other.labels):
                    seen.add(other.name)
                    waiting.append(other)
        return tuple(found)


class Bindings:
    """Bindings by the users and groups that they name."""

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self.all = tuple(bindings)
        self._users: dict[str, list[tuple[Binding, Subject]]] = {}
        self._groups: dict[str, list[tuple[Binding, Subject]]] = {}
        for binding in self.all:
            for subject in binding.subjects:
                index = self._groups if subject.kind == "Group" else self._users
                index.setdefault(subject.identity, []).append((binding, subject))

    def of(self, name: str, groups: Iterable[str]) -> Iterator[tuple[Binding, Subject]]:
        """The bindings that name this user or one of these groups."""
        yield from self._users.get(name, ())
        for group in groups:
            yield from self._groups.get(group, ())


class ClusterPolicy:
    """A tenant's ClusterRoles and ClusterRoleBindings. `unreadable` tells that some grant nothing for being broken."""

    def __init__(self, roles: Mapping[str, Role], bindings: Iterable[Binding], *, unreadable: bool = False) -> None:
        self.roles = ClusterRoles(roles)
        self.bindings = Bindings(bindings)
        self.unreadable = unreadable

    def grants(self, name: str, groups: Iterable[str], tenant: str = "") -> Iterator[Grant]:
        """What user and groups have been given; with `tenant`, by bindings that count there only."""
        for binding, subject in self.bindings.of(name, groups):
            if tenant and not binding.counts_in(tenant):
                continue
            rules = self.roles.rules(binding.role_name) if binding.role_kind == "ClusterRole" else None
            for rule in rules or ():
                yield Grant(rule, binding, subject)


class NamespacePolicy:
    """The Roles and RoleBindings of one namespace. `unreadable` as for `ClusterPolicy`."""

    def __init__(self, roles: Mapping[str, Role], bindings: Iterable[Binding], *, unreadable: bool = False) -> None:
        self.roles = roles
        self.bindings = Bindings(bindings)
        self.unreadable = unreadable

    def rules(self, role_kind: str, role_name: str, cluster: ClusterRoles) -> tuple[Rule, ...] | None:
        """The rules of the role that a binding of this namespace refers to, None when there is no such role."""
        if role_kind == "ClusterRole":
            return cluster.rules(role_name)
        role = self.roles.get(role_name) if role_kind == "Role" else None
        return None if role is None else role.rules

    def grants(self, name: str, groups: Iterable[str], cluster: ClusterRoles) -> Iterator[Grant]:
        """What user and groups have been given in this namespace."""
        for binding, subject in self.bindings.of(name, groups):
            for rule in self.rules(binding.role_kind, binding.role_name, cluster) or ():
                yield Grant(rule, binding, subject)
