"""A Job's pods as its controller sees them: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arktos.client import Cached
from arktos.model import dates
from arktos.model.kinds import Obj

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
INDEX_IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


@dataclass(frozen=True, slots=True)
class JobPod:
    """One pod. `index` is None unless the Job is Indexed; `ended_at` is when it ended, in seconds since the epoch, 0.0
    while it has not; `index_failures` is how often its index had failed before it. `obj` is the whole of an ended
    pod, for its failure policy."""

    name: str
    uid: str
    phase: str = "Pending"
    deleting: bool = False
    tracked: bool = True
    ready: bool = False
    index: int | None = None
    restarts: int = 0
    ended_at: float = 0.0
    created_at: float = 0.0
    index_failures: int = 0
    index_ignored: int = 0
    obj: Obj | None = None

    @property
    def active(self) -> bool:
        return not self.deleting and not self.ended

    @property
    def ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    @property
    def succeeded(self) -> bool:
        return self.phase == "Succeeded"

    def failed(self, only_terminal: bool) -> bool:
        """Whether it counts as failed. Unless `only_terminal`, one that is being deleted has failed already."""
        return self.phase == "Failed" or (not only_terminal and self.deleting and not self.succeeded)


def view(cached: Cached) -> JobPod:
    pod = cached.obj()
    meta, status = pod["metadata"], pod.get("status") or {}
    annotations = meta.get("annotations") or {}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    conditions = status.get("conditions") or ()
    ended = status.get("phase") in ("Succeeded", "Failed") or cached.deleting
    return JobPod(
        cached.name,
        cached.uid,
        status.get("phase") or "Pending",
        cached.deleting,
        FINALIZER in (meta.get("finalizers") or ()),
        any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions),
        _number(annotations.get(INDEX), None),
        sum(int(each.get("restartCount") or 0) for each in statuses),
        _ended_at(pod, statuses) if ended else 0.0,
        dates.unix(meta["creationTimestamp"]) if meta.get("creationTimestamp") else 0.0,
        _number(annotations.get(INDEX_FAILURES), 0) or 0,
        _number(annotations.get(INDEX_IGNORED), 0) or 0,
        pod if ended else None,
    )


def _number(text: str | None, otherwise: int | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else otherwise


def _ended_at(pod: Obj, statuses: Sequence[Obj]) -> float:
    times = [
        terminated["finishedAt"]
        for each in statuses
        if (terminated := (each.get("state") or {}).get("terminated")) and terminated.get("finishedAt")
    ]
    if times:
        return max(map(dates.unix, times))
    if pod["metadata"].get("deletionTimestamp"):
        return dates.unix(pod["metadata"]["deletionTimestamp"])
    changed = [
        each["lastTransitionTime"]
        for each in (pod.get("status") or {}).get("conditions") or ()
        if each.get("type") == "Ready" and each.get("lastTransitionTime")
    ]
    return dates.unix(changed[0] if changed else pod["metadata"]["creationTimestamp"])
