"""When a pod must leave a node that does not tolerate it any longer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.controllers import conditions
from arktos.model import dates
from arktos.model.kinds import Obj
from arktos.model.placement import NO_EXECUTE, tolerates


def driving(node: Obj) -> list[Obj]:
    """The taints that drive pods out."""
    return [taint for taint in (node.get("spec") or {}).get("taints") or () if taint.get("effect") == NO_EXECUTE]


def leaves_at(tolerations: Sequence[Obj], taints: Sequence[Obj], since: float, arrived: float = 0.0) -> float | None:
    """When (seconds since the epoch) the pod must leave: `since` where a taint is not tolerated, None where all are for
    ever. The shortest toleration counts, from when its taint was added or, if that was later, the pod came to the node
    (`arrived`)."""
    times = []
    for taint in taints:
        fitting = [toleration for toleration in tolerations if tolerates(toleration, taint)]
        if not fitting:
            return since
        seconds = [t["tolerationSeconds"] for t in fitting if t.get("tolerationSeconds") is not None]
        if seconds:
            added = taint.get("timeAdded")
            times.append(max(dates.unix(added) if added else since, arrived) + max(0, min(seconds)))
    return min(times) if times else None


def arrived_at(pod: Obj) -> float:
    """When a pod was bound to its node, as far as it says so: in seconds since the epoch."""
    scheduled = conditions.find((pod.get("status") or {}).get("conditions"), "PodScheduled") or {}
    text = scheduled.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp")
    return dates.unix(text) if text else 0.0
