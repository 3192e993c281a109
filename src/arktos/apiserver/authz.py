"""Whether a user may do a thing: Kubernetes' RBAC inside a tenant, and the wall around it (DESIGN 3).

* Only roles and bindings of the *target* tenant count, and only for users of that tenant.
* `system:masters` of `system` may do everything everywhere. Other users of `system` act in another tenant by those
  ClusterRoleBindings of `system` that say so (`policy.TENANTS_ANNOTATION`); tenant `all` takes one for every tenant.
* What belongs to no tenant (cluster-scoped kinds, paths that tell of the whole server) is decided by the bindings of
  `system`, for a tenant's user by the groups `arktos:tenants` and `arktos:tenant:NAME` alone. On top of that a tenant's
  user may get its own Tenant object, and list and watch tenants with `only_own` (the answer must be cut to its own).
* A tenant that does not exist has no rights to give, not even to those whose credentials name it, and is refused in the
  same words as every other tenant.

* The agent of a node may touch only what belongs to the pods that are bound to it (`node_rights`), whatever its role.

Nothing is allowed that is not granted. The wall stands in every mode.

Decisions are remembered until a role, a binding or the tenant changes, which the store tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from arktos.apiserver.identity import User
from arktos.apiserver.membership import MASTERS, tenant_groups
from arktos.apiserver.node_rights import PREFIX as NODE_PREFIX
from arktos.apiserver.node_rights import NodeRights, node_of
from arktos.apiserver.policies import TENANTS, Policies
from arktos.apiserver.policy import Bindings, ClusterPolicy, Grant
from arktos.apiserver.rbac import EVERYTHING, Rule
from arktos.model import registry
from arktos.model.kinds import SYSTEM_TENANT, Obj, Scope
from arktos.model.status import Forbidden
from arktos.store.records import Key, Store

MODES = ("RBAC", "Node", "AlwaysAllow", "AlwaysDeny")

_MAX_DECISIONS = 32768
_OWN_PATHS = re.compile(
    r"/(api|apis|openapi)(/.*)?|/(healthz|livez|readyz)/?|/version/?|/\.well-known/openid-configuration|/openid/v1/jwks"
)
"""Paths whose answer tells nothing beyond the caller's tenant, so that roles of the tenant may permit them."""


class Attributes(NamedTuple):
    """One question. `tenant` "" means the user's own, `all` every tenant; `resource` "" means `path`, which is no
    resource."""

    user: User
    verb: str
    tenant: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is for people. `only_own`: allowed, provided that the answer holds no Tenant but the user's own."""

    allowed: bool
    reason: str = ""
    only_own: bool = False


class RuleSet(NamedTuple):
    """What a user may do, as a SelfSubjectRulesReview says it; `incomplete` if a role or a binding is unreadable."""

    resource_rules: list[Obj]
    non_resource_rules: list[Obj]
    incomplete: bool


class _Answer(NamedTuple):
    """A decision for objects of any name; with `by_name` it holds for the name that was asked for only."""

    decision: Decision
    by_name: bool = False


_DENIED = Decision(False)
_ALLOWED = Decision(True)
_OWN_TENANTS = Decision(True, "a tenant's user may see its own tenant", only_own=True)
_OWN_TENANT = Decision(True, "a tenant's user may see its own tenant")


def is_cluster_scoped(group: str, resource: str) -> bool:
    """Whether objects of this group and plural belong to no tenant."""
    try:
        return registry.by_resource(f"{resource}.{group}" if group else resource).scope is Scope.CLUSTER
    except KeyError:
        return False


def is_master(user: User) -> bool:
    """Whether the user may do everything everywhere."""
    return user.is_system and MASTERS in user.groups


def refusal(attrs: Attributes, reason: str = "") -> Forbidden:
    """The 403 for a question that was answered with no, worded as Kubernetes does; `reason` is the decision's."""
    user, verb = attrs.user, attrs.verb
    if not attrs.resource:
        return Forbidden(f'forbidden: User "{user.name}" cannot {verb} path "{attrs.path}"')
    resource = f"{attrs.resource}/{attrs.subresource}" if attrs.subresource else attrs.resource
    qualified = f"{attrs.resource}.{attrs.group}" if attrs.group else attrs.resource
    where = f'in the namespace "{attrs.namespace}"' if attrs.namespace else "at the cluster scope"
    if attrs.tenant and attrs.tenant != user.tenant:
        where += f' of the tenant "{attrs.tenant}"'
    named = f' "{attrs.name}"' if attrs.name else ""
    return Forbidden(
        f'{qualified}{named} is forbidden: User "{user.name}" cannot {verb} resource "{resource}" '
        f'in API group "{attrs.group}" {where}' + (f": {reason}" if reason else ""),
        group=attrs.group,
        kind=attrs.resource,
        name=attrs.name,
    )


class Authorizer:
    """Decides; one per store. `mode` is a comma list of `MODES`, any of which may allow; `Node` grants nothing by
    itself. Raises ValueError for another mode."""

    def __init__(
        self, store: Store, mode: str = "RBAC", cluster_scoped: Callable[[str, str], bool] = is_cluster_scoped
    ) -> None:
        self._modes = frozenset(filter(None, map(str.strip, mode.split(","))))
        if not self._modes or not self._modes <= set(MODES):
            raise ValueError(f"authorization modes are {', '.join(MODES)}, not {mode!r}")
        self._cluster_scoped = cluster_scoped
        self._decided: dict[str, dict[tuple[object, ...], _Answer]] = {}
        self._count = 0
        self._policies = Policies(store, self._changed)
        self._nodes = NodeRights(store)

    def close(self) -> None:
        """Ends the subscriptions; decisions must not be asked for any more."""
        self._policies.close()

    def authorize(self, attrs: Attributes) -> Decision:
        """The decision; about a microsecond when the same was asked before, for an object of any name."""
        if attrs[0].name.startswith(NODE_PREFIX):
            reason = self._nodes.decide(node_of(attrs[0]), attrs)
            if reason:
                return Decision(False, reason)
        bucket = attrs[0].tenant
        decided = self._decided.get(bucket)
        if decided is None:
            decided = self._decided[bucket] = {}
        key: tuple[object, ...] = attrs[:7] if attrs[4] else (*attrs[:3], attrs[8])
        answer = decided.get(key)
        if answer is None:
            answer = self._remember(bucket, key, self._answer(attrs._replace(name="")))
        if not answer.by_name:
            return answer.decision
        answer = decided.get(attrs)
        if answer is None:
            answer = self._remember(bucket, attrs, self._answer(attrs))
        return answer.decision

    def rules(self, user: User, tenant: str, namespace: str = "") -> tuple[Rule, ...]:
        """Everything that the user has been granted in a tenant (`all`: in every tenant) and namespace."""
        if is_master(user) or self._all_allowed(user, tenant):
            return EVERYTHING
        return tuple(dict.fromkeys(grant.rule for grant in self._grants(user, tenant, namespace)))

    def rules_for(self, user: User, tenant: str, namespace: str) -> RuleSet:
        """What the user may do in a tenant and namespace, its rights outside of tenants included."""
        rules = dict.fromkeys(self.rules(user, tenant, namespace))
        if tenant == user.tenant and not user.is_system and self._policies.exists(tenant):
            rules.update(dict.fromkeys(grant.rule for grant in self._outer_grants(user)))
            rules[Rule(("get", "list", "watch"), ("",), (TENANTS,), (tenant,))] = None
        incomplete = self._policies.cluster(SYSTEM_TENANT if user.is_system else user.tenant).unreadable
        if namespace and tenant == user.tenant:
            incomplete = incomplete or self._policies.namespace(tenant, namespace).unreadable
        return RuleSet(
            [rule.as_object() for rule in rules if rule.resources],
            [rule.as_object() for rule in rules if rule.urls],
            incomplete,
        )

    def role_rules(self, tenant: str, namespace: str, role_kind: str, role_name: str) -> tuple[Rule, ...] | None:
        """The rules of the role that a binding refers to, None when there is no such role."""
        return self._policies.namespace(tenant, namespace).rules(
            role_kind, role_name, self._policies.cluster(tenant).roles
        )

    def system_policy(self) -> ClusterPolicy:
        """The roles and bindings of `system`, among which are those that reach into tenants."""
        return self._policies.cluster(SYSTEM_TENANT)

    def _remember(self, bucket: str, key: tuple[object, ...], answer: _Answer) -> _Answer:
        """Keeps an answer with the tenant of who asked: it depends on that tenant, and on `system`."""
        if self._count >= _MAX_DECISIONS:
            self._decided.clear()
            self._count = 0
        self._count += 1
        self._decided.setdefault(bucket, {})[key] = answer
        return answer

    def _answer(self, attrs: Attributes) -> _Answer:
        user, tenant = attrs.user, attrs.tenant or attrs.user.tenant or SYSTEM_TENANT
        if is_master(user):
            return _Answer(_ALLOWED)
        outside = not user.is_system and user.tenant != ""
        if attrs.resource == TENANTS and not attrs.group and outside:
            return self._about_tenants(attrs, tenant)
        if self._all_allowed(user, tenant) and not (outside and not self._is_inner(attrs)):
            return _Answer(_ALLOWED)
        if "RBAC" not in self._modes:
            return _Answer(_DENIED)
        return self._by_rules(attrs, self._relevant(attrs, tenant), tenant)

    def _relevant(self, attrs: Attributes, tenant: str) -> Iterator[Grant]:
        """The grants that may answer a question, the wall applied."""
        user = attrs.user
        if user.is_system:
            if not attrs.resource and any(self._grants(user, tenant, "")):
                # Whoever may do anything in a tenant may also discover what there is.
                tenant = SYSTEM_TENANT
            yield from self._grants(user, tenant, attrs.namespace)
        elif not user.tenant:
            if tenant == SYSTEM_TENANT:
                yield from self._grants(user, tenant, attrs.namespace)
        elif self._policies.exists(user.tenant):
            inner = self._is_inner(attrs)
            if inner and tenant == user.tenant:
                yield from self._grants(user, tenant, attrs.namespace)
            if not attrs.resource or not inner:
                yield from self._outer_grants(user) if tenant in (user.tenant, SYSTEM_TENANT) else ()

    def _is_inner(self, attrs: Attributes) -> bool:
        """Whether a tenant's own roles have a say in what is asked for."""
        if attrs.resource:
            return not self._cluster_scoped(attrs.group, attrs.resource)
        return _OWN_PATHS.fullmatch(attrs.path) is not None

    def _about_tenants(self, attrs: Attributes, tenant: str) -> _Answer:
        """What a tenant's user may do with Tenant objects: see its own, and what `system` lets it do with its own."""
        own = attrs.user.tenant
        if tenant not in (own, SYSTEM_TENANT) or not self._policies.exists(own):
            return _Answer(_DENIED)
        if attrs.name == own:
            if attrs.verb == "get" and not attrs.subresource:
                return _Answer(_OWN_TENANT, by_name=True)
            if attrs.verb not in ("list", "watch"):
                return self._by_rules(attrs, self._outer_grants(attrs.user), tenant)._replace(by_name=True)
        if attrs.verb in ("list", "watch") and not attrs.subresource and attrs.name in ("", own):
            return _Answer(_OWN_TENANTS, by_name=True)
        return _Answer(_DENIED, by_name=True)

    def _by_rules(self, attrs: Attributes, grants: Iterator[Grant], tenant: str) -> _Answer:
        verb, group, resource, subresource = attrs.verb, attrs.group, attrs.resource, attrs.subresource
        by_name = False
        for rule, binding, subject in grants:
            if resource:
                if not rule.matches(verb, group, resource, subresource):
                    continue
                if not rule.names_match(attrs.name):
                    by_name = True
                    continue
            elif not rule.permits_path(verb, attrs.path):
                continue
            return _Answer(Decision(True, f"RBAC: allowed by {binding.describe(subject)}"), bool(rule.names))
        return _Answer(self._denied(attrs, tenant), by_name)

    def _denied(self, attrs: Attributes, tenant: str) -> Decision:
        """No, with the roles that the user is bound to and that do not exist, which is how bindings go wrong."""
        user = attrs.user
        if tenant != user.tenant or not self._policies.exists(tenant):
            return _DENIED
        missing = dict.fromkeys(
            f'{binding.role_kind.lower()}.rbac.authorization.k8s.io "{binding.role_name}" not found'
            for namespace in ("", attrs.namespace)[: 2 if attrs.namespace else 1]
            for binding, _ in self._bindings(tenant, namespace).of(user.name, user.groups)
            if self.role_rules(tenant, namespace, binding.role_kind, binding.role_name) is None
        )
        if not missing:
            return _DENIED
        text = ", ".join(missing)
        return Decision(False, f"RBAC: [{text}]" if len(missing) > 1 else f"RBAC: {text}")

    def _all_allowed(self, user: User, tenant: str) -> bool:
        if "AlwaysAllow" not in self._modes:
            return False
        return user.is_system or (tenant == (user.tenant or SYSTEM_TENANT) and self._policies.exists(tenant))

    def _grants(self, user: User, tenant: str, namespace: str) -> Iterator[Grant]:
        """What the roles and bindings of tenants give a user in `tenant`."""
        if user.is_system or not user.tenant:
            cluster = self._policies.cluster(SYSTEM_TENANT)
            yield from cluster.grants(user.name, user.groups, tenant)
            if not namespace or tenant != SYSTEM_TENANT:
                return
        elif tenant == user.tenant and self._policies.exists(tenant):
            cluster = self._policies.cluster(tenant)
            yield from cluster.grants(user.name, user.groups)
        else:
            return
        if namespace:
            yield from self._policies.namespace(tenant, namespace).grants(user.name, user.groups, cluster.roles)

    def _outer_grants(self, user: User) -> Iterator[Grant]:
        """What `system` gives a tenant's user outside of tenants: by being of that tenant, whatever its name."""
        return self._policies.cluster(SYSTEM_TENANT).grants("", tenant_groups(user.tenant), SYSTEM_TENANT)

    def _bindings(self, tenant: str, namespace: str) -> Bindings:
        return (
            self._policies.namespace(tenant, namespace).bindings
            if namespace
            else self._policies.cluster(tenant).bindings
        )

    def _changed(self, key: Key) -> None:
        """Forgets the decisions that a change of this role, binding or tenant may have made untrue."""
        if key.resource == TENANTS:
            self._forget(key.name)
        elif key.tenant == SYSTEM_TENANT:
            self._decided.clear()
            self._count = 0
        else:
            self._forget(key.tenant)

    def _forget(self, tenant: str) -> None:
        self._count -= len(self._decided.pop(tenant, ()))
