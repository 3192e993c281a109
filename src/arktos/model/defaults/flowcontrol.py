"""Defaults of flow schemas and priority levels."""

from __future__ import annotations

from arktos.model.kinds import Obj

_PRECEDENCE = 1000
_SHARES = 30
_QUEUING = {"handSize": 8, "queues": 64, "queueLengthLimit": 50}


def flow_schema(obj: Obj) -> None:
    """A FlowSchema. A precedence of zero counts as none."""
    spec = obj.get("spec")
    if spec is not None and not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = _PRECEDENCE


def priority_level(obj: Obj) -> None:
    """A PriorityLevelConfiguration: shares, which may be zero when said, and queues, which may not."""
    spec = obj.get("spec") or {}
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if exempt is not None:
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)
    if limited is None:
        return
    limited.setdefault("nominalConcurrencyShares", _SHARES)
    limited.setdefault("lendablePercent", 0)
    queuing = (limited.get("limitResponse") or {}).get("queuing")
    if queuing is None:
        return
    for name, value in _QUEUING.items():
        if not queuing.get(name):
            queuing[name] = value
