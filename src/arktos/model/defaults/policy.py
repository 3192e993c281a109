"""Defaults of the small kinds that steer others: network policies and classes."""

from __future__ import annotations

from arktos.model.defaults import resources
from arktos.model.kinds import Obj


def network_policy(obj: Obj) -> None:
    """A NetworkPolicy: protocols, and the directions that it rules."""
    spec = obj.get("spec")
    if spec is None:
        return
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                if port.get("protocol") is None:
                    port["protocol"] = "TCP"
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def ingress_class(obj: Obj) -> None:
    """An IngressClass: its parameters are cluster-wide unless said otherwise."""
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def priority_class(obj: Obj) -> None:
    """A PriorityClass."""
    if obj.get("preemptionPolicy") is None:
        obj["preemptionPolicy"] = "PreemptLowerPriority"


def runtime_class(obj: Obj) -> None:
    """A RuntimeClass: overhead in whole thousandths."""
    fixed = (obj.get("overhead") or {}).get("podFixed")
    if fixed:
        resources.round_up(fixed)
