"""Conversion between served versions of one resource. Pure; what one version cannot say is kept in annotations, as
upstream.

Only events (core/v1 is stored) and horizontal pod autoscalers (autoscaling/v2 is stored) have more than one version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from arktos.model.kinds import Kind, Obj

_EVENT_FIELDS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""core/v1: events.k8s.io/v1. All other fields are alike."""

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_HPA_ANNOTATIONS = (_METRICS, _BEHAVIOR, _CURRENT, _CONDITIONS)


def convert(source: Kind, target: Kind, obj: Obj) -> Obj:
    """`obj`, of kind `source`, as `target` says it. KeyError if the two are not versions of one resource."""
    if source.api_version == target.api_version:
        return obj
    converted = _CONVERSIONS[source.api_version, target.api_version, target.kind](obj)
    return {**converted, "apiVersion": target.api_version, "kind": target.kind}


def _renamed(names: Mapping[str, str]) -> Callable[[Obj], Obj]:
    return lambda obj: {names.get(name, name): value for name, value in obj.items()}


def _hpa_to_v1(obj: Obj) -> Obj:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics = list(spec.pop("metrics", None) or ())
    annotations = dict(obj["metadata"].get("annotations") or {})
    utilization = next((m for m in metrics if _is_cpu_utilization(m)), None)
    if utilization is not None:
        spec["targetCPUUtilizationPercentage"] = utilization["resource"]["target"]["averageUtilization"]
        metrics.remove(utilization)
    current = list(status.pop("currentMetrics", None) or ())
    for metric in current:
        value = ((metric.get("resource") or {}).get("current") or {}).get("averageUtilization")
        if metric.get("type") == "Resource" and metric["resource"].get("name") == "cpu" and value is not None:
            status["currentCPUUtilizationPercentage"] = value
    for name, value in (
        (_METRICS, metrics),
        (_BEHAVIOR, spec.pop("behavior", None)),
        (_CURRENT, current),
        (_CONDITIONS, status.pop("conditions", None)),
    ):
        if value:
            annotations[name] = json.dumps(value, separators=(",", ":"))
    return _with(obj, annotations, spec, status)


def _hpa_to_v2(obj: Obj) -> Obj:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict(obj["metadata"].get("annotations") or {})
    kept = {name: _loaded(annotations.pop(name, "")) for name in _HPA_ANNOTATIONS}
    stored = kept[_METRICS]
    metrics: list[object] = list(stored) if isinstance(stored, list) else []
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    status.pop("currentCPUUtilizationPercentage", None)
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}, *metrics]
    if metrics:
        spec["metrics"] = metrics
    if isinstance(kept[_BEHAVIOR], dict):
        spec["behavior"] = kept[_BEHAVIOR]
    if isinstance(kept[_CURRENT], list):
        status["currentMetrics"] = kept[_CURRENT]
    if isinstance(kept[_CONDITIONS], list):
        status["conditions"] = kept[_CONDITIONS]
    return _with(obj, annotations, spec, status)


def _is_cpu_utilization(metric: Obj) -> bool:
    resource = metric.get("resource") or {}
    return (
        metric.get("type") == "Resource"
        and resource.get("name") == "cpu"
        and (resource.get("target") or {}).get("averageUtilization") is not None
    )


def _loaded(text: str) -> object:
    """An annotation's JSON; users may write anything there, so what does not parse is nothing."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _with(obj: Obj, annotations: Obj, spec: Obj, status: Obj) -> Obj:
    metadata = {name: value for name, value in obj["metadata"].items() if name != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    converted = {**obj, "metadata": metadata, "spec": spec}
    if status or "status" in obj:
        converted["status"] = status
    return converted


_CONVERSIONS: dict[tuple[str, str, str], Callable[[Obj], Obj]] = {
    ("v1", "events.k8s.io/v1", "Event"): _renamed(_EVENT_FIELDS),
    ("events.k8s.io/v1", "v1", "Event"): _renamed({new: old for old, new in _EVENT_FIELDS.items()}),
    ("autoscaling/v2", "autoscaling/v1", "HorizontalPodAutoscaler"): _hpa_to_v1,
    ("autoscaling/v1", "autoscaling/v2", "HorizontalPodAutoscaler"): _hpa_to_v2,
}
