"""Which nodes a DaemonSet is for, and what is missing or too much on each: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from arktos.controllers import history
from arktos.controllers.podcontrol import pod_from
from arktos.controllers.pods import PodView
from arktos.model import placement
from arktos.model.kinds import Kind, Obj
from arktos.model.placement import NO_EXECUTE, NO_SCHEDULE

BURST = 250
"""Pods that one reconcile creates or deletes at most."""

_TOLERATED = (
    ("node.kubernetes.io/not-ready", NO_EXECUTE),
    ("node.kubernetes.io/unreachable", NO_EXECUTE),
    ("node.kubernetes.io/disk-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/memory-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/pid-pressure", NO_SCHEDULE),
    ("node.kubernetes.io/unschedulable", NO_SCHEDULE),
)
_TOLERATED_ON_HOST_NETWORK = (("node.kubernetes.io/network-unavailable", NO_SCHEDULE),)

ByNode = Mapping[str, Sequence[PodView]]
"""A DaemonSet's pods by the node that each is on, or is for."""


@dataclass(slots=True)
class Plan:
    """Nodes to make a pod for, and pods to delete; `failed` are those of them that ended, with their node."""

    create: list[str] = field(default_factory=list)
    delete: list[PodView] = field(default_factory=list)
    failed: list[tuple[str, PodView]] = field(default_factory=list)


def pod_spec(daemonset: Obj) -> Obj:
    """The template's pod spec with the tolerations that every daemon has."""
    spec: Obj = dict(daemonset["spec"]["template"].get("spec") or {})
    wanted = _TOLERATED + (_TOLERATED_ON_HOST_NETWORK if spec.get("hostNetwork") else ())
    told = list(spec.get("tolerations") or ())
    missing = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in wanted]
    spec["tolerations"] = [*told, *(each for each in missing if each not in told)]
    return spec


def fits(spec: Obj, node: Obj) -> tuple[bool, bool]:
    """Whether a pod shall be on a node, and whether one that is there already may stay."""
    name = spec.get("nodeName")
    if (name and name != node["metadata"]["name"]) or not placement.matches_node(spec, node):
        return False, False
    taints = (node.get("spec") or {}).get("taints") or ()
    tolerations = spec.get("tolerations") or ()
    if placement.untolerated(tolerations, taints, (NO_SCHEDULE, NO_EXECUTE)) is None:
        return True, True
    return False, placement.untolerated(tolerations, taints, (NO_EXECUTE,)) is None


def plan(spec: Obj, nodes: Iterable[Obj], pods: ByNode, surge: bool, updated: str) -> Plan:
    """What is missing and what is too much. With `surge`, a node may have two pods while a newer one, whose revision
    label is `updated`, takes over."""
    found = Plan()
    known = set()
    for node in nodes:
        name = node["metadata"]["name"]
        known.add(name)
        here = pods.get(name, ())
        wanted, may_stay = fits(spec, node)
        if wanted and not here:
            found.create.append(name)
        elif may_stay:
            _tidy(found, name, here, surge, updated)
        else:
            found.delete += [pod for pod in here if not pod.deleting]
    for name, here in pods.items():
        if name not in known:
            # Of a node that has gone: the pod collector ends those that were bound.
            found.delete += [pod for pod in here if not pod.deleting and not pod.node]
    return found


def _tidy(found: Plan, node: str, here: Sequence[PodView], surge: bool, updated: str) -> None:
    alive = []
    for pod in here:
        if pod.deleting:
            continue
        if pod.ended:
            found.failed.append((node, pod))
        else:
            alive.append(pod)
    by_age = sorted(alive, key=lambda pod: (pod.created_at, pod.name))
    if not surge:
        found.delete += by_age[1:]
        return
    # One of each side, the old one only while it is of use.
    new = [pod for pod in by_age if is_updated(pod, updated)]
    old = [pod for pod in by_age if not is_updated(pod, updated)]
    found.delete += [*new[1:], *old[1:]]


def is_updated(pod: PodView, revision: str) -> bool:
    return pod.labels.get(history.HASH_LABEL) == revision


def pod_for(kind: Kind, daemonset: Obj, spec: Obj, node: str, revision: str) -> Obj:
    """The pod to create for a node: the template, which the scheduler may bind to that node alone."""
    pod = pod_from(kind, daemonset, daemonset["spec"]["template"])
    pod["metadata"]["labels"] = {**pod["metadata"].get("labels", {}), history.HASH_LABEL: revision}
    affinity = dict(spec.get("affinity") or {})
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"nodeSelectorTerms": [term]}
    affinity["nodeAffinity"] = {
        **(affinity.get("nodeAffinity") or {}),
        "requiredDuringSchedulingIgnoredDuringExecution": required,
    }
    pod["spec"] = {**spec, "affinity": affinity}
    return pod


def meant_for(pod: Obj) -> str:
    """The node that a daemon's pod is on or is for, "" if it names none."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for each in term.get("matchFields") or ():
            if each.get("key") == "metadata.name" and each.get("operator") == "In" and len(each["values"]) == 1:
                return str(each["values"][0])
    return ""


def status_of(
    daemonset: Obj, spec: Obj, nodes: Iterable[Obj], pods: ByNode, revision: str, collisions: int, now: float
) -> Obj:
    """The status that these nodes and pods make. A node counts by its oldest living pod."""
    min_ready = int(daemonset["spec"].get("minReadySeconds") or 0)
    desired = current = misplaced = ready = updated = available = 0
    for node in nodes:
        here = [pod for pod in pods.get(node["metadata"]["name"], ()) if not pod.deleting and not pod.ended]
        wanted, _ = fits(spec, node)
        if not wanted:
            misplaced += bool(here)
            continue
        desired += 1
        if not here:
            continue
        current += 1
        by_age = sorted(here, key=lambda pod: (pod.created_at, pod.name))
        ready += any(pod.ready_at is not None for pod in by_age)
        available += any(pod.available(min_ready, now) for pod in by_age)
        updated += any(is_updated(pod, revision) for pod in by_age)
    status: Obj = {
        "currentNumberScheduled": current,
        "numberMisscheduled": misplaced,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": daemonset["metadata"].get("generation", 0),
        "updatedNumberScheduled": updated or None,
        "numberAvailable": available or None,
        "numberUnavailable": desired - available or None,
    }
    return status | ({"collisionCount": collisions} if collisions else {})


def differs(old: Obj | None, new: Obj) -> bool:
    """Whether a status says something else; a number that is absent is 0."""
    return any(((old or {}).get(name) or 0) != (value or 0) for name, value in new.items())
