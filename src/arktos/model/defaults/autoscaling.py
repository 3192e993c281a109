"""Defaults of horizontal pod autoscalers."""

from __future__ import annotations

from arktos.model.kinds import Obj

_CPU_PERCENT = 80
_METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics"


def autoscaler_v1(obj: Obj) -> None:
    """autoscaling/v1: one replica at least, CPU at 80 % unless annotations carry other metrics."""
    spec = obj.get("spec")
    if spec is None:
        return
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    if spec.get("targetCPUUtilizationPercentage") is None and _METRICS_ANNOTATION not in annotations:
        spec["targetCPUUtilizationPercentage"] = _CPU_PERCENT


def autoscaler_v2(obj: Obj) -> None:
    """autoscaling/v2: the same, and both directions of a given behaviour."""
    spec = obj.get("spec")
    if spec is None:
        return
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _CPU_PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        by_percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
        by_pods = {"type": "Pods", "value": 4, "periodSeconds": 15}
        _rules(behavior, "scaleUp", [by_pods, dict(by_percent)], 0)
        _rules(behavior, "scaleDown", [by_percent], None)


def _rules(behavior: Obj, direction: str, policies: list[Obj], window: int | None) -> None:
    rules = behavior.get(direction)
    if rules is None:
        rules = behavior[direction] = {}
    if rules.get("stabilizationWindowSeconds") is None and window is not None:
        rules["stabilizationWindowSeconds"] = window
    if rules.get("selectPolicy") is None:
        rules["selectPolicy"] = "Max"
    if rules.get("policies") is None:
        rules["policies"] = policies
