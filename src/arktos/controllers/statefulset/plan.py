"""The next moves of a StatefulSet, and what it counts: pure.

An OrderedReady set makes one move, then waits for it: a pod is made when all before it are available, and goes when
all after it have gone. A Parallel set makes all moves at once, but updates one after the other like any set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from arktos.controllers import history
from arktos.controllers.podcontrol import resolved
from arktos.controllers.pods import PodView
from arktos.controllers.statefulset import identity
from arktos.model.kinds import Obj

Pods = Mapping[int, PodView]
"""A set's pods by ordinal."""


@dataclass(frozen=True, slots=True)
class Revisions:
    """Hashes: of the template that pods have unless they were rolled on, and of the newest."""

    current: str
    update: str


@dataclass(slots=True)
class Plan:
    """Ordinals to make a pod for, with the hash of its revision; pods to replace since they ended; pods that are too
    many, the highest first; pods of an older template. `waits` names the pod that the next move waits for."""

    create: list[tuple[int, str]] = field(default_factory=list)
    replace: list[PodView] = field(default_factory=list)
    condemn: list[PodView] = field(default_factory=list)
    update: list[PodView] = field(default_factory=list)
    waits: str = ""


def plan(statefulset: Obj, pods: Pods, revisions: Revisions, now: float) -> Plan:
    """What to do now. Every move is safe whatever becomes of the others."""
    first, count = identity.start(statefulset), identity.replicas(statefulset)
    wanted = range(first, first + count)
    found = Plan()
    ordered = statefulset["spec"].get("podManagementPolicy") != "Parallel"
    if _fill(found, statefulset, pods, wanted, revisions, ordered, now):
        return found
    if _shrink(found, pods, wanted, ordered):
        return found
    if not found.create and not found.replace:
        found.update = _outdated(statefulset, pods, wanted, revisions, now)
    return found


def _fill(
    found: Plan, statefulset: Obj, pods: Pods, wanted: Sequence[int], revisions: Revisions, ordered: bool, now: float
) -> bool:
    """Pods that are missing or ended, from the lowest; True if the rest has to wait."""
    min_ready = _min_ready(statefulset)
    for number in wanted:
        pod = pods.get(number)
        if pod is None:
            found.create.append((number, _revision_for(statefulset, number, revisions)))
        elif pod.ended and not pod.deleting:
            found.replace.append(pod)
        elif pod.deleting or not pod.available(min_ready, now):
            if ordered:
                found.waits = pod.name
                return True
            continue
        else:
            continue
        if ordered:
            return True
    return False


def _revision_for(statefulset: Obj, number: int, revisions: Revisions) -> str:
    """The newest, but below the partition (or, while nothing tells, among those not rolled yet) the current one."""
    strategy = statefulset["spec"].get("updateStrategy") or {}
    if (strategy.get("type") or "RollingUpdate") != "RollingUpdate":
        return revisions.update
    rolling = strategy.get("rollingUpdate")
    kept = (
        int((statefulset.get("status") or {}).get("currentReplicas") or 0)
        if rolling is None
        else int(rolling.get("partition") or 0)
    )
    return revisions.current if number < identity.start(statefulset) + kept else revisions.update


def _shrink(found: Plan, pods: Pods, wanted: range, ordered: bool) -> bool:
    """Pods that are too many, from the highest; True if the rest has to wait."""
    surplus = sorted((number for number in pods if number not in wanted), reverse=True)
    for number in surplus:
        pod = pods[number]
        if pod.deleting:
            if ordered:
                found.waits = pod.name
                return True
            continue
        found.condemn.append(pod)
        if ordered:
            return True
    return False


def _outdated(statefulset: Obj, pods: Pods, wanted: Sequence[int], revisions: Revisions, now: float) -> list[PodView]:
    """Pods of an older template that go now: from the highest, as many as may be unavailable at once."""
    strategy = statefulset["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return []
    rolling = strategy.get("rollingUpdate") or {}
    lowest = identity.start(statefulset) + int(rolling.get("partition") or 0)
    room = max(1, resolved(rolling.get("maxUnavailable") or 1, len(wanted), up=True))
    min_ready = _min_ready(statefulset)
    room -= sum(1 for number in wanted if not pods[number].available(min_ready, now) or pods[number].deleting)
    going = []
    for number in reversed(wanted):
        pod = pods[number]
        if number < lowest or pod.deleting or revision_of(pod) == revisions.update:
            continue
        broken = not pod.available(min_ready, now)
        if not broken and room <= 0:
            break
        going.append(pod)
        room -= not broken
    return going


def revision_of(pod: PodView) -> str:
    return pod.labels.get(history.HASH_LABEL, "")


def _min_ready(statefulset: Obj) -> int:
    return int(statefulset["spec"].get("minReadySeconds") or 0)


def status_of(
    statefulset: Obj, pods: Pods, revisions: Revisions, names: Mapping[str, str], collisions: int, now: float
) -> Obj:
    """The status that these pods make; `names` are the revisions' names by hash. A finished roll-out makes the newest
    revision the current one."""
    first, count = identity.start(statefulset), identity.replicas(statefulset)
    min_ready = _min_ready(statefulset)
    here = [pod for pod in pods.values() if not pod.ended]
    staying = [pod for pod in here if not pod.deleting]
    current = sum(1 for pod in staying if revision_of(pod) == revisions.current)
    updated = sum(1 for pod in staying if revision_of(pod) == revisions.update)
    ready = sum(1 for pod in here if pod.ready_at is not None)
    now_current = revisions.current
    rolls = (statefulset["spec"].get("updateStrategy") or {}).get("type") != "OnDelete"
    whole = all(number in pods for number in range(first, first + count)) and len(here) == count
    if rolls and whole and updated == count and ready == count:
        now_current, current = revisions.update, updated
    status: Obj = {
        "replicas": len(here),
        "readyReplicas": ready or None,
        "availableReplicas": sum(1 for pod in here if pod.available(min_ready, now)),
        "currentReplicas": current or None,
        "updatedReplicas": updated or None,
        "currentRevision": names.get(now_current, ""),
        "updateRevision": names.get(revisions.update, ""),
        "observedGeneration": statefulset["metadata"].get("generation", 0),
        "collisionCount": collisions,
    }
    return status


def differs(old: Obj | None, new: Obj) -> bool:
    """Whether a status says something else; a number that is absent is 0."""
    old = old or {}
    return any((old.get(name) or 0) != (value or 0) for name, value in new.items()) or "collisionCount" not in old
