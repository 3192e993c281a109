"""What a ReplicaSet needs: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from arktos.controllers import conditions, podcontrol
from arktos.controllers.pods import PodView, victims
from arktos.model.kinds import Kind, Obj

BURST = 500
"""Pods that one reconcile creates or deletes at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pods to create, or which to delete."""

    create: int = 0
    delete: tuple[PodView, ...] = ()


def plan(replicaset: Obj, pods: Sequence[PodView], related: Iterable[PodView], now: float) -> Plan:
    """From the pods that are held. `related` are the active pods of all who share this one's owner."""
    wanted = replicas_of(replicaset)
    active = [pod for pod in pods if pod.active]
    surplus = len(active) - wanted
    if surplus < 0:
        return Plan(create=min(-surplus, BURST))
    if surplus > 0:
        return Plan(delete=tuple(victims(active, min(surplus, BURST), related, now)))
    return Plan()


def replicas_of(owner: Obj) -> int:
    replicas = (owner.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def pod_from(kind: Kind, replicaset: Obj) -> Obj:
    """The pod to create: the template, with our reference on it."""
    return podcontrol.pod_from(kind, replicaset, replicaset["spec"].get("template") or {})


def min_ready(replicaset: Obj) -> int:
    return int(replicaset["spec"].get("minReadySeconds") or 0)


def status_of(
    replicaset: Obj, pods: Sequence[PodView], failure: tuple[str, str] | None, now: float, now_text: str
) -> Obj:
    """The status that these pods make. `failure` is (reason, message) of what went wrong just now."""
    spec, old = replicaset["spec"], replicaset.get("status") or {}
    wanted_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    active = [pod for pod in pods if pod.active]
    found = old.get("conditions")
    known = conditions.find(found, "ReplicaFailure")
    if failure is not None and known is None:
        found = conditions.put(found, "ReplicaFailure", "True", *failure, now_text)
    elif failure is None and known is not None:
        found = conditions.without(found, "ReplicaFailure")
    status: Obj = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(1 for pod in active if wanted_labels.items() <= pod.labels.items()),
        "readyReplicas": sum(1 for pod in active if pod.ready_at is not None),
        "availableReplicas": sum(1 for pod in active if pod.available(min_ready(replicaset), now)),
        "terminatingReplicas": sum(1 for pod in pods if pod.deleting and not pod.ended),
        "observedGeneration": replicaset["metadata"].get("generation", 0),
    }
    if found:
        status["conditions"] = found
    return status


def differs(old: Obj | None, new: Obj) -> bool:
    """Whether a status says something else; a number that is absent is 0."""
    old = old or {}
    return any((old.get(field) or 0) != value for field, value in new.items() if field != "conditions") or (
        list(old.get("conditions") or ()) != list(new.get("conditions") or ())
    )


def body_of(status: Obj) -> Obj:
    """The status as a merge patch: numbers that Kubernetes leaves out at 0 are left out, and so is an empty list."""
    kept = {"replicas", "terminatingReplicas"}
    return {"conditions": None, **{field: value if value or field in kept else None for field, value in status.items()}}
