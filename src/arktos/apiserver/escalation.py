"""Nobody grants what they do not hold: the check on writes of roles and bindings. Pure but for the authorizer's reads.

As in Kubernetes ("Privilege escalation prevention and bootstrapping"): a role may hold the rights only that its writer
holds there, or its writer has the verb `escalate` on it; a binding may refer to a role only whose rights its writer
holds, or on which it has the verb `bind`; an aggregation rule takes all rights.

On top of that, what reaches from `system` into tenants is measured where it takes effect. A ClusterRoleBinding of
`system` that names tenants takes the role's rights, or `bind`, in these tenants; and a ClusterRole of `system` to which
such a binding leads, directly or by aggregation, takes what it adds in these tenants. In other tenants the annotation
means nothing, and it is refused there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from arktos.apiserver.authz import Attributes, Authorizer, is_master
from arktos.apiserver.identity import User
from arktos.apiserver.policy import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    EVERY_TENANT,
    RBAC_GROUP,
    ROLE_BINDINGS,
    ROLES,
    TENANTS_ANNOTATION,
    Binding,
    Role,
    Unreadable,
    binding_of,
    role_of,
)
from arktos.apiserver.rbac import EVERYTHING, Rule, quoted, uncovered
from arktos.model.kinds import ALL_TENANTS, SYSTEM_TENANT, Kind, Obj
from arktos.model.status import BadRequest, Forbidden, forbidden, not_found

_SERVER_FIELDS = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")


class _Write(NamedTuple):
    """Who writes what, where."""

    kind: Kind
    obj: Obj
    old: Obj | None
    user: User
    tenant: str
    authorizer: Authorizer

    @property
    def name(self) -> str:
        found: str = self.obj["metadata"].get("name") or self.obj["metadata"].get("generateName", "")
        return found

    @property
    def namespace(self) -> str:
        found: str = self.obj["metadata"].get("namespace", "")
        return found

    def may(self, verb: str, role_kind: str, role_name: str, tenant: str) -> bool:
        resource = "roles" if role_kind == "Role" else "clusterroles"
        attrs = Attributes(self.user, verb, tenant, RBAC_GROUP, resource, "", self.namespace, role_name)
        return self.authorizer.authorize(attrs).allowed

    def refuse(self, why: str) -> Forbidden:
        return forbidden(self.kind.resource, self.name, why)


def check(kind: Kind, obj: Obj, old: Obj | None, user: User, tenant: str, authorizer: Authorizer) -> None:
    """Raises `Forbidden` if writing `obj` (over `old`, None at creation) would give anybody rights that `user` does not
    hold. Kinds that grant nothing pass. `obj` has its namespace set; a missing role is `NotFound`, an object that is
    not of its schema `BadRequest`."""
    checker = _CHECKS.get(kind.resource)
    if checker is None or is_master(user):
        return
    if old is not None and _same_for_all_purposes(obj, old):
        return
    try:
        checker(_Write(kind, obj, old, user, tenant, authorizer))
    except Unreadable as error:
        raise BadRequest(f"the {kind.kind} cannot be read: {error}") from error


def _check_role(write: _Write) -> None:
    role = role_of(write.obj)
    if not write.may("escalate", "Role", role.name, write.tenant):
        _confirm(write, role.rules, write.tenant, write.namespace)


def _check_cluster_role(write: _Write) -> None:
    role = role_of(write.obj)
    if _counts_already(write, role):
        return
    if not write.may("escalate", "ClusterRole", role.name, write.tenant):
        _confirm(write, role.rules, write.tenant)
        if role.selects is not None and (missing := _lacks(write, EVERYTHING, write.tenant)):
            raise write.refuse(
                f"must have cluster-admin privileges to use an aggregationRule, {_lacking(write.user, missing)}"
            )
    if write.tenant == SYSTEM_TENANT:
        _check_reach(write, role)


def _counts_already(write: _Write, role: Role) -> bool:
    """Whether a role with an aggregation rule, which stays as it is, is told to have what it has by that rule: writing
    it down for readers gives nobody anything."""
    if write.old is None or role.selects is None or write.obj["aggregationRule"] != write.old.get("aggregationRule"):
        return False
    held = write.authorizer.role_rules(write.tenant, "", "ClusterRole", role.name)
    return held is not None and not uncovered(held, role.rules)


def _check_role_binding(write: _Write) -> None:
    binding = binding_of(write.obj)
    if not write.may("bind", binding.role_kind, binding.role_name, write.tenant):
        _confirm(write, _referred(write, binding), write.tenant, write.namespace)


def _check_cluster_role_binding(write: _Write) -> None:
    binding = binding_of(write.obj)
    if TENANTS_ANNOTATION not in (write.obj["metadata"].get("annotations") or {}):
        if not write.may("bind", binding.role_kind, binding.role_name, write.tenant):
            _confirm(write, _referred(write, binding), write.tenant)
        return
    if write.tenant != SYSTEM_TENANT:
        raise write.refuse(f"the annotation {TENANTS_ANNOTATION} is for tenant {SYSTEM_TENANT}")
    for tenant in _places(binding):
        if not write.may("bind", binding.role_kind, binding.role_name, tenant):
            _confirm(write, _referred(write, binding), tenant)


def _check_reach(write: _Write, role: Role) -> None:
    """A ClusterRole of `system` must not add, where bindings carry it into tenants, what its writer lacks there."""
    policy = write.authorizer.system_policy()
    after = policy.roles.with_role(role)
    for binding in policy.bindings.all:
        if binding.role_kind != "ClusterRole" or binding.tenants == {SYSTEM_TENANT}:
            continue
        gained = uncovered(policy.roles.rules(binding.role_name) or (), after.rules(binding.role_name) or ())
        if not gained:
            continue
        for tenant in _places(binding):
            if not write.may("escalate", "ClusterRole", role.name, tenant):
                _confirm(write, gained, tenant)


def _places(binding: Binding) -> list[str]:
    """The tenants in which rights must be held to let a binding count where it does."""
    return [ALL_TENANTS] if EVERY_TENANT in binding.tenants else sorted(binding.tenants)


def _referred(write: _Write, binding: Binding) -> Sequence[Rule]:
    rules = write.authorizer.role_rules(write.tenant, write.namespace, binding.role_kind, binding.role_name)
    if rules is None:
        raise not_found(f"{binding.role_kind.lower()}s.{RBAC_GROUP}", binding.role_name)
    return rules


def _lacks(write: _Write, rules: Iterable[Rule], tenant: str, namespace: str = "") -> list[Rule]:
    return uncovered(write.authorizer.rules(write.user, tenant, namespace), rules)


def _confirm(write: _Write, rules: Iterable[Rule], tenant: str, namespace: str = "") -> None:
    if missing := _lacks(write, rules, tenant, namespace):
        raise write.refuse(_lacking(write.user, missing))


def _lacking(user: User, missing: Iterable[Rule]) -> str:
    listed = "\n".join(sorted(map(str, missing)))
    return (
        f'user "{user.name}" (groups={quoted(user.groups)}) is attempting to grant RBAC permissions not currently '
        f"held:\n{listed}"
    )


def _same_for_all_purposes(obj: Obj, old: Obj) -> bool:
    """Whether an update changes nothing but what garbage collection and the server itself need to change."""

    def rest(of: Obj) -> Obj:
        meta = {field: value for field, value in of["metadata"].items() if field not in _SERVER_FIELDS}
        return {**of, "metadata": meta}

    return rest(obj) == rest(old)


_CHECKS: Mapping[str, Callable[[_Write], None]] = {
    ROLES: _check_role,
    CLUSTER_ROLES: _check_cluster_role,
    ROLE_BINDINGS: _check_role_binding,
    CLUSTER_ROLE_BINDINGS: _check_cluster_role_binding,
}
