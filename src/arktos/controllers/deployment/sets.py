"""A ReplicaSet as a rollout sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from arktos.client import Cached
from arktos.model import dates
from arktos.model.kinds import Obj

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


@dataclass(slots=True)
class SetView:
    """`size` is what the spec wants, and what a plan changes; the other numbers are the status."""

    obj: Obj
    name: str
    uid: str
    size: int
    replicas: int
    ready: int
    available: int
    terminating: int
    created_at: float
    deleting: bool

    @property
    def annotations(self) -> dict[str, str]:
        found: dict[str, str] = self.obj["metadata"].get("annotations") or {}
        return found

    @property
    def revision(self) -> int:
        return number(self.annotations.get(REVISION))

    @property
    def template(self) -> Obj:
        template: Obj = self.obj["spec"].get("template") or {}
        return template


def number(text: str | None) -> int:
    """An annotation's number; 0 where it is none."""
    return int(text) if text and text.isdecimal() else 0


def unfinished(obj: Obj) -> int:
    """How many of its pods have not ended, as its status has it; at least one while that is older than the spec."""
    meta, status = obj["metadata"], obj.get("status") or {}
    counted = int(status.get("replicas") or 0) + int(status.get("terminatingReplicas") or 0)
    observed = int(status.get("observedGeneration") or 0) >= int(meta.get("generation") or 0)
    return counted if observed else max(counted, 1)


def view(cached: Cached) -> SetView:
    return view_of(cached.obj())


def view_of(obj: Obj) -> SetView:
    meta, status = obj["metadata"], obj.get("status") or {}
    size = obj["spec"].get("replicas")
    created = meta.get("creationTimestamp")
    return SetView(
        obj,
        meta["name"],
        meta.get("uid", ""),
        1 if size is None else size,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        status.get("availableReplicas") or 0,
        status.get("terminatingReplicas") or 0,
        dates.unix(created) if created else 0.0,
        "deletionTimestamp" in meta,
    )


def total(sets: Iterable[SetView]) -> int:
    return sum(each.size for each in sets)


def active(sets: Iterable[SetView]) -> list[SetView]:
    """Those that want pods."""
    return [each for each in sets if each.size > 0]


def by_age(sets: Iterable[SetView]) -> list[SetView]:
    return sorted(sets, key=lambda each: (each.created_at, each.name))
