"""Limit ranges and resource quotas."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity
from arktos.model.validation.causes import IMMUTABLE, Errors, check_messages, duplicate, forbidden, invalid, required
from arktos.model.validation.formats import qualified_name
from arktos.model.validation.resources import (
    ONE,
    amount,
    check_amount,
    check_container_name,
    check_list,
    check_name,
    check_quota_name,
    may_overcommit,
)
from arktos.model.validation.rules import Rules

_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def _check_limit_range(errs: Errors, obj: Obj) -> None:
    seen: set[str] = set()
    for i, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path, kind = f"spec.limits[{i}]", item.get("type", "")
        check_messages(errs, f"{path}.type", kind, qualified_name(kind))
        if kind and "/" not in kind and kind not in _LIMIT_TYPES:
            errs.append(invalid(f"{path}.type", kind, "must be a standard limit type or fully qualified"))
        if kind in seen:
            errs.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        _check_item(errs, path, item, kind)


def _check_item(errs: Errors, path: str, item: Obj, kind: str) -> None:
    amounts: dict[str, dict[str, Quantity]] = {}
    for name in _LISTS:
        values = item.get(name) or {}
        if kind == "Pod" and name in ("default", "defaultRequest"):
            if values:
                errs.append(forbidden(f"{path}.{name}", "may not be specified when `type` is 'Pod'"))
            values = {}
        for resource in values:
            check = check_container_name if kind in ("Pod", "Container") else check_name
            check(errs, f"{path}.{name}[{resource}]", resource)
        parsed = {resource: amount(value) for resource, value in values.items()}
        amounts[name] = {resource: value for resource, value in parsed.items() if value is not None}
    if kind == "PersistentVolumeClaim" and not any("storage" in (item.get(n) or ()) for n in ("min", "max")):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        errs.append(required(f"{path}.limits", detail))
    for resource in sorted({each for values in amounts.values() for each in values}):
        _check_order(errs, path, resource, amounts)


_ORDER = (
    # smaller, larger, where it is reported, which of the two is shown, words
    ("min", "max", "min", "min", "min value {0} is greater than max value {1}"),
    (
        "min",
        "defaultRequest",
        "defaultRequest",
        "defaultRequest",
        "min value {0} is greater than default request value {1}",
    ),
    (
        "defaultRequest",
        "max",
        "defaultRequest",
        "defaultRequest",
        "default request value {0} is greater than max value {1}",
    ),
    (
        "defaultRequest",
        "default",
        "defaultRequest",
        "defaultRequest",
        "default request value {0} is greater than default limit value {1}",
    ),
    ("min", "default", "default", "min", "min value {0} is greater than default value {1}"),
    ("default", "max", "default", "max", "default value {0} is greater than max value {1}"),
)


def _check_order(errs: Errors, path: str, resource: str, amounts: dict[str, dict[str, Quantity]]) -> None:
    of = {name: values[resource] for name, values in amounts.items() if resource in values}
    for low, high, where, shown, words in _ORDER:
        if low in of and high in of and of[low] > of[high]:
            detail = words.format(of[low], of[high])
            errs.append(invalid(f"{path}.{where}[{resource}]", str(of[shown]), detail))
    ratio = of.get("maxLimitRequestRatio")
    if ratio is not None:
        field = f"{path}.maxLimitRequestRatio[{resource}]"
        if ratio < ONE:
            errs.append(invalid(field, str(ratio), f"ratio {ratio} is less than 1"))
        if "min" in of and "max" in of and of["min"].milli > 0:
            limit = of["max"].milli / of["min"].milli
            if ratio.milli / 1000 > limit:
                errs.append(invalid(field, str(ratio), f"ratio {ratio} is greater than max/min = {limit:f}"))
    default, request = of.get("default"), of.get("defaultRequest")
    if not may_overcommit(resource) and default is not None and request is not None and default != request:
        detail = f"default value {default} must equal to defaultRequest value {request} in {resource}"
        errs.append(invalid(f"{path}.defaultRequest[{resource}]", str(request), detail))


LIMIT_RANGE = Rules(always=_check_limit_range)

_SCOPE_PAIRS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_POD_RESOURCES = frozenset(
    {"pods", "cpu", "memory", "ephemeral-storage"}
    | {f"{side}.{name}" for side in ("requests", "limits") for name in ("cpu", "memory", "ephemeral-storage")}
)
_ALL_POD_SCOPES = frozenset(
    {"Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity"}
)
_EXISTS_ONLY = frozenset({"BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"})


def _fits(scope: str, resource: str) -> bool:
    """Whether a scope selects objects that use the resource."""
    if scope == "BestEffort":
        return resource == "pods"
    if scope == "VolumeAttributesClass":
        return resource in ("persistentvolumeclaims", "requests.storage")
    return (
        scope not in _ALL_POD_SCOPES
        or resource in _POD_RESOURCES
        or resource.startswith(("hugepages-", "requests.hugepages-"))
    )


def _check_quota(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    hard = spec.get("hard") or {}
    check_list(errs, "spec.hard", hard, check_quota_name)
    scopes = spec.get("scopes") or []
    standard = [name for name in sorted(hard) if "/" not in name]
    for scope in scopes:
        if not all(_fits(scope, name) for name in standard):
            errs.append(invalid("spec.scopes", scopes, "unsupported scope applied to resource"))
    _check_pairs(errs, scopes, scopes)
    selector = spec.get("scopeSelector")
    if selector:
        _check_scope_selector(errs, spec, selector, standard)


def _check_pairs(errs: Errors, scopes: list[str], shown: list[str]) -> None:
    for one, other in _SCOPE_PAIRS:
        if one in scopes and other in scopes:
            errs.append(invalid("spec.scopes", shown, "conflicting scopes"))


def _check_scope_selector(errs: Errors, spec: Obj, selector: Obj, standard: list[str]) -> None:
    path = "spec.scopeSelector.matchExpressions"
    found: list[str] = []
    for requirement in selector.get("matchExpressions") or ():
        scope, operator = requirement.get("scopeName", ""), requirement.get("operator", "")
        values = requirement.get("values") or []
        found.append(scope)
        if scope not in _EXISTS_ONLY and scope not in ("PriorityClass", "VolumeAttributesClass"):
            errs.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
        if not all(_fits(scope, name) for name in standard):
            errs.append(invalid(path, selector, "unsupported scope applied to resource"))
        if scope in _EXISTS_ONLY and operator != "Exists":
            detail = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                "ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            errs.append(invalid(f"{path}.operator", operator, detail))
        if operator in ("In", "NotIn") and not values:
            detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            errs.append(required(f"{path}.values", detail))
        elif operator in ("Exists", "DoesNotExist") and values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            errs.append(invalid(f"{path}.values", values, detail))
    _check_pairs(errs, found, spec.get("scopes") or [])


def _check_quota_update(errs: Errors, obj: Obj, old: Obj) -> None:
    now, before = (set((each.get("spec") or {}).get("scopes") or ()) for each in (obj, old))
    if now != before:
        errs.append(invalid("spec.scopes", sorted(now), IMMUTABLE))


def _check_quota_status(errs: Errors, obj: Obj, old: Obj) -> None:
    status = obj.get("status") or {}
    for name in ("hard", "used"):
        for resource, value in (status.get(name) or {}).items():
            field = f"status.{name}[{resource}]"
            check_quota_name(errs, field, resource)
            check_amount(errs, field, resource, value)


RESOURCE_QUOTA = Rules(always=_check_quota, update=_check_quota_update, subresources={"status": _check_quota_status})
