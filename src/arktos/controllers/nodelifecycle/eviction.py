"""When a pod must leave a node that does not tolerate it any longer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.model import dates
from arktos.model.kinds import Obj
from arktos.model.placement import NO_EXECUTE, tolerates


def driving(node: Obj) -> list[Obj]:
    """The taints that drive pods out."""
    return [taint for taint in (node.get("spec") or {}).get("taints") or () if taint.get("effect") == NO_EXECUTE]


def leaves_at(tolerations: Sequence[Obj], taints: Sequence[Obj], since: float) -> float | None:
    """When (seconds since the epoch) the pod must leave: `since` where a taint is not tolerated, None where all are for
    ever. The shortest toleration counts, from when its taint was added."""
    times = []
    for taint in taints:
        fitting = [toleration for toleration in tolerations if tolerates(toleration, taint)]
        if not fitting:
            return since
        seconds = [t["tolerationSeconds"] for t in fitting if t.get("tolerationSeconds") is not None]
        if seconds:
            added = taint.get("timeAdded")
            times.append((dates.unix(added) if added else since) + max(0, min(seconds)))
    return min(times) if times else None
