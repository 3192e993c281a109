"""Counting pods that ended, each once: pure. (KEP-2307)

A pod that ended keeps our finalizer. First the status names it among the uncounted, then the finalizer goes, then the
status counts it and names it no more; indexes are sets and need no such detour. A crash between two steps repeats a
step, never a count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from arktos.controllers.job import indexes
from arktos.controllers.job.facts import JobPod
from arktos.controllers.job.failurepolicy import COUNT, FAIL_INDEX, IGNORE, Ruling, ruling
from arktos.model.kinds import Obj

_MOST_UNCOUNTED = 500
"""Pods that a status names at most, so that it stays small."""


@dataclass(slots=True)
class Ledger:
    """What has been counted. `uncounted_*` are uids; `release` are pods whose finalizer may go once the status is
    written; `rulings` are the failure policy's on pods counted just now, by uid."""

    succeeded: int = 0
    failed: int = 0
    uncounted_succeeded: set[str] = field(default_factory=set)
    uncounted_failed: set[str] = field(default_factory=set)
    completed: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    release: list[JobPod] = field(default_factory=list)
    rulings: dict[str, Ruling] = field(default_factory=dict)

    @property
    def all_succeeded(self) -> int:
        return self.succeeded + len(self.uncounted_succeeded)

    @property
    def all_failed(self) -> int:
        return self.failed + len(self.uncounted_failed)

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be counted."""
        return not self.uncounted_succeeded and not self.uncounted_failed and not self.release


def is_indexed(job: Obj) -> bool:
    return str(job["spec"].get("completionMode")) == "Indexed"


def completions(job: Obj) -> int | None:
    told = job["spec"].get("completions")
    return None if told is None else int(told)


def only_terminal(job: Obj) -> bool:
    """Whether a pod is replaced only when it has ended, not when it is being deleted (KEP-3939)."""
    spec = job["spec"]
    policy = spec.get("podReplacementPolicy") or ("Failed" if spec.get("podFailurePolicy") else "")
    return str(policy) == "Failed"


def count(job: Obj, pods: Sequence[JobPod]) -> Ledger:
    """The ledger that the status holds, and these pods."""
    status = job.get("status") or {}
    uncounted = status.get("uncountedTerminatedPods") or {}
    below = completions(job) or 0
    ledger = Ledger(
        int(status.get("succeeded") or 0),
        int(status.get("failed") or 0),
        set(uncounted.get("succeeded") or ()),
        set(uncounted.get("failed") or ()),
        indexes.parse(status.get("completedIndexes"), below) if is_indexed(job) else set(),
        indexes.parse(status.get("failedIndexes"), below) if is_indexed(job) else set(),
    )
    tracked = {pod.uid for pod in pods if pod.tracked}
    for waiting in (ledger.uncounted_succeeded, ledger.uncounted_failed):
        done = {uid for uid in waiting if uid not in tracked}
        waiting -= done
        if waiting is ledger.uncounted_succeeded:
            ledger.succeeded += len(done)
        else:
            ledger.failed += len(done)
    for pod in pods:
        if pod.tracked:
            _enter(ledger, job, pod, below)
    if is_indexed(job):
        ledger.succeeded = len(ledger.completed)
    return ledger


def _enter(ledger: Ledger, job: Obj, pod: JobPod, below: int) -> None:
    indexed = is_indexed(job)
    if pod.uid in ledger.uncounted_succeeded or pod.uid in ledger.uncounted_failed:
        ledger.release.append(pod)
    elif len(ledger.uncounted_succeeded) + len(ledger.uncounted_failed) >= _MOST_UNCOUNTED:
        return
    elif pod.succeeded:
        if not indexed:
            ledger.uncounted_succeeded.add(pod.uid)
        elif pod.index is not None and pod.index < below:
            ledger.completed.add(pod.index)
        ledger.release.append(pod)
    elif pod.failed(only_terminal(job)):
        _enter_failed(ledger, job, pod)


def _enter_failed(ledger: Ledger, job: Obj, pod: JobPod) -> None:
    ruled = ruling(job, pod)
    ledger.rulings[pod.uid] = ruled
    if ruled.action != IGNORE:
        ledger.uncounted_failed.add(pod.uid)
    per_index = job["spec"].get("backoffLimitPerIndex")
    if per_index is not None and pod.index is not None and pod.index not in ledger.completed:
        counted = ruled.action == COUNT and pod.index_failures >= int(per_index)
        if ruled.action == FAIL_INDEX or counted:
            ledger.failed_indexes.add(pod.index)
    ledger.release.append(pod)
