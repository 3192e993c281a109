"""Disruption budgets, priority and runtime classes, leases."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    POSITIVE,
    Errors,
    check_immutable,
    check_messages,
    check_not_negative,
    forbidden,
    invalid,
)
from arktos.model.validation.formats import dns_label, qualified_name
from arktos.model.validation.labels import check_labels, check_selector
from arktos.model.validation.resources import check_requirements
from arktos.model.validation.rules import Rules
from arktos.model.validation.scheduling import check_tolerations
from arktos.model.validation.workloads import check_part

_HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM_PREFIX = "system-"
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
"""The priority classes that the system keeps for itself, with their values."""


def _check_budget(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        errs.append(invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
    for name in ("minAvailable", "maxUnavailable"):
        value = spec.get(name)
        percent = check_part(errs, f"spec.{name}", value)
        if percent is not None and percent > 100:
            errs.append(invalid(f"spec.{name}", value, "must not be greater than 100%"))
    if "selector" in spec:
        check_selector(errs, "spec.selector", spec["selector"])


_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def _check_budget_status(errs: Errors, obj: Obj, old: Obj) -> None:
    check_not_negative(errs, obj.get("status") or {}, "status", *_COUNTS)


DISRUPTION_BUDGET = Rules(always=_check_budget, subresources={"status": _check_budget_status})


def _check_priority(errs: Errors, obj: Obj) -> None:
    name, value = (obj.get("metadata") or {}).get("name", ""), obj.get("value", 0)
    if name.startswith(_SYSTEM_PREFIX):
        if SYSTEM_CLASSES.get(name) != value or obj.get("globalDefault"):
            known = ", ".join(SYSTEM_CLASSES)
            detail = f"priority class names with '{_SYSTEM_PREFIX}' prefix are reserved for system use only ({known})"
            errs.append(forbidden("metadata.name", detail))
    elif value > _HIGHEST_USER_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}"
        errs.append(forbidden("value", detail))


def _check_priority_update(errs: Errors, obj: Obj, old: Obj) -> None:
    if obj.get("value", 0) != old.get("value", 0):
        errs.append(forbidden("value", "may not be changed in an update."))
    check_immutable(errs, "preemptionPolicy", obj.get("preemptionPolicy"), old.get("preemptionPolicy"))


PRIORITY_CLASS = Rules(always=_check_priority, update=_check_priority_update)


def _check_runtime(errs: Errors, obj: Obj) -> None:
    handler = obj.get("handler", "")
    check_messages(errs, "handler", handler, dns_label(handler))
    fixed = (obj.get("overhead") or {}).get("podFixed")
    if fixed:
        check_requirements(errs, "overhead.podFixed", {"limits": fixed})
    scheduling = obj.get("scheduling") or {}
    if scheduling.get("nodeSelector"):
        check_labels(errs, "scheduling.nodeSelector", scheduling["nodeSelector"])
    tolerations = scheduling.get("tolerations") or []
    check_tolerations(errs, "scheduling.tolerations", tolerations)


def _check_runtime_update(errs: Errors, obj: Obj, old: Obj) -> None:
    check_immutable(errs, "handler", obj.get("handler"), old.get("handler"))


RUNTIME_CLASS = Rules(always=_check_runtime, update=_check_runtime_update)

_STRATEGIES = ("OldestEmulationVersion",)


def _check_lease(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if seconds is not None and seconds <= 0:
        errs.append(invalid("spec.leaseDurationSeconds", seconds, POSITIVE))
    if transitions is not None and transitions < 0:
        errs.append(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
    strategy = spec.get("strategy")
    if strategy is not None and strategy not in _STRATEGIES:
        check_messages(errs, "spec.strategy", strategy, qualified_name(strategy))
    if spec.get("preferredHolder") and not strategy:
        errs.append(forbidden("spec.preferredHolder", "may only be specified when `strategy` is defined"))


LEASE = Rules(always=_check_lease)
