"""Horizontal pod autoscalers (autoscaling/v2, the stored form; v1's fields are checked where they stand)."""

from __future__ import annotations

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    POSITIVE,
    Errors,
    check_messages,
    forbidden,
    invalid,
    required,
)
from arktos.model.validation.formats import path_segment
from arktos.model.validation.labels import check_selector
from arktos.model.validation.resources import ZERO, amount
from arktos.model.validation.rules import Rules

_MAX_WINDOW = 3600
_MAX_PERIOD = 1800
_SOURCES = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "External": "external",
    "ContainerResource": "containerResource",
}


def _check(errs: Errors, obj: Obj) -> None:
    spec = obj.get("spec") or {}
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if least < 0 or (least == 0 and not _may_reach_zero(spec)):
        floor = 0 if least < 0 else 1
        errs.append(invalid("spec.minReplicas", least, f"must be greater than or equal to {floor}"))
    if most < 1:
        errs.append(invalid("spec.maxReplicas", most, POSITIVE))
    elif most < least:
        errs.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    _check_reference(errs, "spec.scaleTargetRef", spec.get("scaleTargetRef") or {})
    for i, metric in enumerate(spec.get("metrics") or ()):
        _check_metric(errs, f"spec.metrics[{i}]", metric)
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None and percent < 1:
        errs.append(invalid("spec.targetCPUUtilizationPercentage", percent, POSITIVE))
    for name in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(name)
        if rules is not None:
            _check_rules(errs, f"spec.behavior.{name}", rules)


def _may_reach_zero(spec: Obj) -> bool:
    return any(each.get("type") in ("Object", "External") for each in spec.get("metrics") or ())


def _check_reference(errs: Errors, path: str, reference: Obj) -> None:
    for field in ("kind", "name"):
        text = reference.get(field, "")
        if not text:
            errs.append(required(f"{path}.{field}"))
        else:
            check_messages(errs, f"{path}.{field}", text, path_segment(text))


def _check_metric(errs: Errors, path: str, metric: Obj) -> None:
    field = _SOURCES.get(metric.get("type", ""))
    if field is None:
        return
    for other in _SOURCES.values():
        if other != field and other in metric:
            errs.append(forbidden(f"{path}.{other}", "must populate the given metric source only"))
    source = metric.get(field)
    at = f"{path}.{field}"
    if source is None:
        errs.append(required(at, f"must populate information for the given metric source ({field})"))
        return
    if field in ("resource", "containerResource"):
        if not source.get("name"):
            errs.append(required(f"{at}.name", "must specify a resource name"))
        if field == "containerResource" and not source.get("container"):
            errs.append(required(f"{at}.container", "must specify a container"))
    else:
        identifier = source.get("metric") or {}
        name = identifier.get("name", "")
        if not name:
            errs.append(required(f"{at}.metric.name", "must specify a metric name"))
        else:
            check_messages(errs, f"{at}.metric.name", name, path_segment(name))
        if "selector" in identifier:
            check_selector(errs, f"{at}.metric.selector", identifier["selector"])
        if field == "object":
            _check_reference(errs, f"{at}.describedObject", source.get("describedObject") or {})
    _check_target(errs, f"{at}.target", source.get("target") or {}, field)


def _check_target(errs: Errors, path: str, target: Obj, source: str) -> None:
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        errs.append(invalid(f"{path}.averageUtilization", percent, POSITIVE))
    for name in ("value", "averageValue"):
        if name in target:
            parsed = amount(target[name])
            if parsed is None or parsed <= ZERO:
                errs.append(invalid(f"{path}.{name}", target[name], "must be positive"))
    if source in ("resource", "containerResource"):
        if percent is None and "averageValue" not in target:
            detail = "must set either a target raw value or a target utilization"
            errs.append(required(f"{path}.averageUtilization", detail))
        elif percent is not None and "averageValue" in target:
            detail = "may not set both a target raw value and a target utilization"
            errs.append(forbidden(f"{path}.averageValue", detail))
    elif source == "pods":
        if "averageValue" not in target:
            errs.append(required(f"{path}.averageValue", "must specify a positive target averageValue"))
    elif "value" not in target and "averageValue" not in target:
        errs.append(required(f"{path}.averageValue", "must set either a target value or averageValue"))


def _check_rules(errs: Errors, path: str, rules: Obj) -> None:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and not 0 <= window <= _MAX_WINDOW:
        what = "greater than or equal to zero" if window < 0 else f"less than or equal to {_MAX_WINDOW}"
        errs.append(invalid(f"{path}.stabilizationWindowSeconds", window, f"must be {what}"))
    policies = rules.get("policies") or []
    if not policies:
        errs.append(required(f"{path}.policies", "must specify at least one Policy"))
    for i, policy in enumerate(policies):
        value, period = policy.get("value", 0), policy.get("periodSeconds", 0)
        if value <= 0:
            errs.append(invalid(f"{path}.policies[{i}].value", value, "must be greater than zero"))
        if period <= 0:
            errs.append(invalid(f"{path}.policies[{i}].periodSeconds", period, "must be greater than zero"))
        elif period > _MAX_PERIOD:
            detail = f"must be less than or equal to {_MAX_PERIOD}"
            errs.append(invalid(f"{path}.policies[{i}].periodSeconds", period, detail))


AUTOSCALER = Rules(always=_check)
