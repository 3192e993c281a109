"""A node's health: conditions from silence, taints from conditions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arktos.controllers import conditions
from arktos.model.kinds import Obj

GRACE = 50.0
"""Seconds of silence after which a node's conditions are unknown."""
STARTUP_GRACE = 60.0
"""The same for a node that has never posted a status."""

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_JUDGED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
}
_LABELS = {"kubernetes.io/os": "beta.kubernetes.io/os", "kubernetes.io/arch": "beta.kubernetes.io/arch"}
_OURS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURES.values()})


def heartbeat(node: Obj) -> str:
    """What changes in a node's status with every sign of life; "" where it never posted any."""
    ready = conditions.find((node.get("status") or {}).get("conditions"), "Ready")
    return "" if ready is None else ready.get("lastHeartbeatTime") or ""


def ready_status(found: Sequence[Obj] | None) -> str:
    """True, False or Unknown."""
    ready = conditions.find(found, "Ready")
    return "Unknown" if ready is None else str(ready.get("status", "Unknown"))


def deadline(node: Obj, seen_at: float) -> float:
    """When silence since `seen_at` becomes too long."""
    known = conditions.find((node.get("status") or {}).get("conditions"), "Ready") is not None
    return seen_at + (GRACE if known else STARTUP_GRACE)


def silenced(node: Obj, now: str) -> list[Obj]:
    """The conditions of a node that was silent for too long: what it said is no longer known."""
    found: Sequence[Obj] = (node.get("status") or {}).get("conditions") or []
    for name in _JUDGED:
        old = conditions.find(found, name)
        if old is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
            born = node["metadata"].get("creationTimestamp", now)
            found = conditions.put(found, name, "Unknown", reason, message, now, lastHeartbeatTime=born)
        elif old.get("status") != "Unknown":
            reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
            beat = old.get("lastHeartbeatTime") or now
            found = conditions.put(found, name, "Unknown", reason, message, now, lastHeartbeatTime=beat)
    return list(found)


def taints(node: Obj, found: Sequence[Obj], evict: bool | None, now: str) -> list[Obj]:
    """The taints that these conditions call for, others kept. NoExecute on an unhealthy node comes only with `evict`;
    it stays where it is already, but for `evict` None: then nobody is driven out."""
    spec = node.get("spec") or {}
    old: list[Obj] = spec.get("taints") or []
    status = ready_status(found)
    unwell = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(status)
    wanted: list[tuple[str, str]] = []
    if unwell is not None:
        wanted.append((unwell, "NoSchedule"))
        if evict or (evict is not None and is_driven_out(old)):
            wanted.append((unwell, "NoExecute"))
    wanted += [(key, "NoSchedule") for name, key in _PRESSURES.items() if conditions.is_true(found, name)]
    if spec.get("unschedulable"):
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    kept = [t for t in old if not _is_ours(t) or (t.get("key", ""), t.get("effect", "")) in wanted]
    there = {(t.get("key"), t.get("effect")) for t in kept}
    return [*kept, *({"key": k, "effect": e, "timeAdded": now} for k, e in wanted if (k, e) not in there)]


def is_driven_out(found: Sequence[Obj]) -> bool:
    """Whether taints say that a node was given up."""
    return any(t.get("effect") == "NoExecute" and t.get("key") in (NOT_READY, UNREACHABLE) for t in found)


def lacking_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels by which older clients know a node's system and architecture, where they do not say the same."""
    pairs = ((new, labels.get(new), old) for new, old in _LABELS.items())
    return {old: value for _, value, old in pairs if value is not None and labels.get(old) != value}


def _is_ours(taint: Obj) -> bool:
    key, effect = taint.get("key"), taint.get("effect")
    return (key in _OURS and effect == "NoSchedule") or (key in (NOT_READY, UNREACHABLE) and effect == "NoExecute")
