"""What a budget allows: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arktos.controllers import conditions
from arktos.controllers.podcontrol import resolved
from arktos.controllers.pods import PodView
from arktos.model import dates
from arktos.model.kinds import Obj

GRACE = 120.0
"""Seconds within which an evicted pod has to be on its way out; then the eviction is taken for failed."""

_ALLOWED = "DisruptionAllowed"


@dataclass(frozen=True, slots=True)
class Counted:
    """`wanted` is how many pods their workloads want, `healthy` how many must stay healthy."""

    wanted: int
    healthy: int


def needs_scale(budget: Obj) -> bool:
    """Whether the budget is told in relation to what workloads want, not to a number of pods."""
    spec = budget["spec"]
    return "maxUnavailable" in spec or isinstance(spec.get("minAvailable"), str)


def count(budget: Obj, pods: int, scale: int) -> Counted:
    """From how many pods there are, and (where `needs_scale`) how many their workloads want."""
    spec = budget["spec"]
    if "maxUnavailable" in spec:
        return Counted(scale, max(0, scale - resolved(spec["maxUnavailable"], scale, up=True)))
    least = spec.get("minAvailable", 1)
    if isinstance(least, str):
        return Counted(scale, resolved(least, scale, up=True))
    return Counted(pods, int(least))


def disrupted(budget: Obj, pods: Sequence[PodView], now: float) -> tuple[dict[str, str], list[str], float | None]:
    """The evictions that are still under way, the pods that were to go and did not, and seconds until the next is to be
    looked at."""
    told: Mapping[str, str] = (budget.get("status") or {}).get("disruptedPods") or {}
    here = {pod.name: pod for pod in pods}
    going: dict[str, str] = {}
    stayed = []
    again = []
    for name, at in told.items():
        pod = here.get(name)
        if pod is None or pod.deleting:
            continue
        left = dates.unix(at) + GRACE - now
        if left > 0:
            going[name] = at
            again.append(left)
        else:
            stayed.append(name)
    return going, stayed, min(again) if again else None


def status_of(budget: Obj, pods: Sequence[PodView], counted: Counted, going: Mapping[str, str], text: str) -> Obj:
    """The status that these pods make. A pod whose eviction is under way is no longer healthy."""
    healthy = sum(1 for pod in pods if pod.ready_at is not None and not pod.deleting and pod.name not in going)
    allowed = max(0, healthy - counted.healthy) if counted.wanted else 0
    reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    found = (budget.get("status") or {}).get("conditions")
    generation = budget["metadata"].get("generation", 0)
    return {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": counted.healthy,
        "expectedPods": counted.wanted,
        "disruptedPods": dict(going),
        "conditions": _observed(conditions.put(found, _ALLOWED, *reason, "", text), generation),
    }


def _observed(found: Sequence[Obj], generation: int) -> list[Obj]:
    return [{**each, "observedGeneration": generation} if each["type"] == _ALLOWED else each for each in found]


def failed_status(budget: Obj, why: str, text: str) -> Obj:
    """Of a budget that nobody can reckon: it allows nothing."""
    found = (budget.get("status") or {}).get("conditions")
    return {
        "observedGeneration": budget["metadata"].get("generation", 0),
        "disruptionsAllowed": 0,
        "conditions": conditions.put(found, _ALLOWED, "False", "SyncFailed", why, text),
    }


def differs(old: Obj | None, new: Obj) -> bool:
    """Whether a status says something else. What is absent is empty or 0."""
    old = old or {}
    return any((old.get(name) or 0) != (value or 0) for name, value in new.items()) or ("disruptionsAllowed" not in old)
