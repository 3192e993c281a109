"""From what pods use to how many there should be: pure.

Pods that are not ready, or of which nothing is known, must not make the answer worse: for more replicas they count as
idle, for fewer as fully used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from arktos.controllers import conditions
from arktos.model import dates, quantity
from arktos.model.kinds import Obj

TOLERANCE = 0.1
"""How far load may be from its target before anything changes, unless a rule says otherwise (KEP-4951)."""

INITIALIZATION, READINESS_DELAY = 300.0, 30.0
"""Seconds after its start in which a pod's CPU use says little, and in which it may not have been ready yet."""


class Unmeasured(Exception):
    """A metric cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """For growing and for shrinking."""

    up: float = TOLERANCE
    down: float = TOLERANCE

    def hold(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Groups:
    """Pods by what their measure is worth. `ready` is how many count."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def group(pods: Sequence[Obj], measured: Mapping[str, float], is_cpu: bool, now: float) -> Groups:
    """By name. Pods that failed or go are ignored; pending ones are not ready."""
    ready = 0
    unready, missing, ignored = set(), set(), set()
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        if "deletionTimestamp" in pod["metadata"] or status.get("phase") == "Failed":
            ignored.add(name)
        elif status.get("phase") == "Pending":
            unready.add(name)
        elif name not in measured:
            missing.add(name)
        elif is_cpu and _says_little(status, now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _says_little(status: Obj, now: float) -> bool:
    condition = conditions.find(status.get("conditions"), "Ready")
    if condition is None or not status.get("startTime"):
        return True
    started = dates.unix(status["startTime"])
    is_ready = condition.get("status") == "True"
    changed = dates.unix(condition["lastTransitionTime"]) if condition.get("lastTransitionTime") else started
    if started + INITIALIZATION > now:
        return not is_ready
    return not is_ready and changed < started + READINESS_DELAY


Ratio = Callable[[Mapping[str, float]], float]
"""How far use is from its target: 1.0 is there."""


def proposed(
    current: int,
    groups: Groups,
    measured: Mapping[str, float],
    ratio: Ratio,
    full: Callable[[str], float],
    tolerances: Tolerances,
) -> int:
    """Replicas by the use of pods. `full` is what a pod of which nothing is known counts as when fewer are asked for.
    Unmeasured if nothing is known of any pod that counts."""
    known = {name: value for name, value in measured.items() if name not in groups.ignored | groups.unready}
    if not known:
        raise Unmeasured("did not receive metrics for targeted pods (pods might be unready)")
    first = ratio(known)
    grows_beside_unready = bool(groups.unready) and first > 1.0
    if not grows_beside_unready and not groups.missing:
        return current if tolerances.hold(first) else math.ceil(first * groups.ready)
    if first < 1.0:
        known |= {name: full(name) for name in groups.missing}
    elif first > 1.0:
        known |= dict.fromkeys(groups.missing, 0.0)
    if grows_beside_unready:
        known |= dict.fromkeys(groups.unready, 0.0)
    second = ratio(known)
    if tolerances.hold(second) or (first < 1.0 < second) or (second < 1.0 < first):
        return current
    wanted = math.ceil(second * len(known))
    turns = (second < 1.0 and wanted > current) or (second > 1.0 and wanted < current)
    return current if turns else wanted


def by_value(current: int, ready: int, value: float, target: float, tolerances: Tolerances) -> int:
    """Replicas by one value for all pods together, of which `ready` make it."""
    ratio = value / target
    return current if tolerances.hold(ratio) else math.ceil(ratio * ready)


def by_average(current: int, value: float, target: float, tolerances: Tolerances) -> int:
    """Replicas by one value that all pods share."""
    ratio = value / (target * current) if current else math.inf
    return current if tolerances.hold(ratio) else math.ceil(value / target)


def requests(pods: Sequence[Obj], resource: str, container: str = "") -> dict[str, float]:
    """What each pod asks for, all containers (those that run beside the others included) or one of them. Unmeasured for
    a container that asks for nothing: then use has no percentage."""
    found: dict[str, float] = {}
    for pod in pods:
        total = 0.0
        name = pod["metadata"]["name"]
        spec = pod["spec"]
        whole = (((spec.get("resources") or {}).get("requests")) or {}).get(resource)
        for each in _running(spec):
            if container and each["name"] != container:
                continue
            asked = ((each.get("resources") or {}).get("requests") or {}).get(resource)
            if asked is None and whole is None:
                raise Unmeasured(f"missing request for {resource} in container {each['name']} of Pod {name}")
            total += quantity.parse(str(asked)).milli / 1000 if asked is not None else 0.0
        found[name] = quantity.parse(str(whole)).milli / 1000 if whole is not None and not container else total
    return found


def _running(spec: Obj) -> list[Obj]:
    sidecars = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    machine = spec.get("virtualMachine")
    return [*(spec.get("containers") or ()), *sidecars, *([machine] if machine else ())]
