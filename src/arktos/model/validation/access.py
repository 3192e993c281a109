"""Roles, bindings and their subjects."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_messages,
    forbidden,
    invalid,
    not_supported,
    required,
)
from arktos.model.validation.formats import dns_subdomain, path_segment
from arktos.model.validation.labels import check_selector
from arktos.model.validation.rules import Rules

_GROUP = "rbac.authorization.k8s.io"
_SUBJECTS = ("Group", "ServiceAccount", "User")


def _check_rules(errs: Errors, role: Obj, namespaced: bool) -> None:
    for i, rule in enumerate(role.get("rules") or ()):
        path = f"rules[{i}]"
        urls, groups, resources = (rule.get(n) or () for n in ("nonResourceURLs", "apiGroups", "resources"))
        if not rule.get("verbs"):
            errs.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        if urls:
            if namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                errs.append(invalid(f"{path}.nonResourceURLs", list(urls), detail))
            if groups or resources or rule.get("resourceNames"):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                errs.append(invalid(f"{path}.nonResourceURLs", list(urls), detail))
            continue
        if not groups:
            errs.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
        if not resources:
            errs.append(required(f"{path}.resources", "resource rules must supply at least one resource"))


def _check_role(errs: Errors, role: Obj) -> None:
    _check_rules(errs, role, namespaced=True)


def _check_cluster_role(errs: Errors, role: Obj) -> None:
    _check_rules(errs, role, namespaced=False)
    aggregation = role.get("aggregationRule")
    if aggregation is None:
        return
    selectors = aggregation.get("clusterRoleSelectors") or []
    if not selectors:
        detail = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errs.append(required("aggregationRule.clusterRoleSelectors", detail))
    for i, selector in enumerate(selectors):
        check_selector(errs, f"aggregationRule.clusterRoleSelectors[{i}]", selector)


ROLE = Rules(always=_check_role)
CLUSTER_ROLE = Rules(always=_check_cluster_role)


def _check_binding(errs: Errors, binding: Obj, kinds: tuple[str, ...], namespaced: bool) -> None:
    role = binding.get("roleRef") or {}
    if role.get("apiGroup", _GROUP) != _GROUP:
        errs.append(not_supported("roleRef.apiGroup", role["apiGroup"], (_GROUP,)))
    if role.get("kind") and role["kind"] not in kinds:
        errs.append(not_supported("roleRef.kind", role["kind"], kinds))
    name = role.get("name", "")
    if not name:
        errs.append(required("roleRef.name"))
    else:
        check_messages(errs, "roleRef.name", name, path_segment(name))
    for i, subject in enumerate(binding.get("subjects") or ()):
        _check_subject(errs, f"subjects[{i}]", subject, namespaced)


def _check_subject(errs: Errors, path: str, subject: Obj, namespaced: bool) -> None:
    kind, name = subject.get("kind"), subject.get("name", "")
    group, namespace = subject.get("apiGroup", ""), subject.get("namespace", "")
    if not name:
        errs.append(required(f"{path}.name"))
    if kind == "ServiceAccount":
        if name:
            check_messages(errs, f"{path}.name", name, dns_subdomain(name))
        if group:
            errs.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not namespace:
            errs.append(required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != _GROUP:
            errs.append(not_supported(f"{path}.apiGroup", group, (_GROUP,)))
        if namespace:
            errs.append(forbidden(f"{path}.namespace", f"not allowed for subjects of kind {kind}"))
    elif kind:
        errs.append(not_supported(f"{path}.kind", kind, _SUBJECTS))


def _check_role_binding(errs: Errors, binding: Obj) -> None:
    _check_binding(errs, binding, ("ClusterRole", "Role"), namespaced=True)


def _check_cluster_role_binding(errs: Errors, binding: Obj) -> None:
    _check_binding(errs, binding, ("ClusterRole",), namespaced=False)


def _check_update(errs: Errors, binding: Obj, old: Obj) -> None:
    if binding.get("roleRef") != old.get("roleRef"):
        errs.append(invalid("roleRef", binding.get("roleRef"), "cannot change roleRef"))


ROLE_BINDING = Rules(always=_check_role_binding, update=_check_update)
CLUSTER_ROLE_BINDING = Rules(always=_check_cluster_role_binding, update=_check_update)
