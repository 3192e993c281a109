"""When a pod must leave a node that does not tolerate it any longer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.model import dates
from arktos.model.kinds import Obj

NO_EXECUTE = "NoExecute"


def driving(node: Obj) -> list[Obj]:
    """The taints that drive pods out."""
    return [taint for taint in (node.get("spec") or {}).get("taints") or () if taint.get("effect") == NO_EXECUTE]


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Whether a toleration is for a taint: effect and key match or are empty, and the value is equal or any."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    value, against = toleration.get("value") or "", taint.get("value") or ""
    if operator == "Exists":
        return True
    if operator in ("Lt", "Gt"):
        if not (_whole(value) and _whole(against)):
            return False
        return int(against) < int(value) if operator == "Lt" else int(against) > int(value)
    return bool(toleration.get("key")) and value == against


def _whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


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
