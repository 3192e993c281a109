"""What a Job needs next: its status, pods to make, to delete and to let go. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from arktos.controllers import conditions
from arktos.controllers.job import facts, indexes
from arktos.controllers.job import verdict as verdicts
from arktos.controllers.job.facts import JobPod
from arktos.controllers.job.failurepolicy import IGNORE
from arktos.controllers.job.ledger import Ledger, completions, count, is_indexed, only_terminal
from arktos.controllers.job.verdict import SUSPENDED, Verdict
from arktos.controllers.podcontrol import pod_from
from arktos.model import dates
from arktos.model.kinds import Kind, Obj

BURST = 500
"""Pods that one reconcile makes or deletes at most."""

FIRST_BACKOFF, LONGEST_BACKOFF = 10.0, 600.0
"""Seconds until a pod follows one that failed; doubles with each failure in a row."""


@dataclass(frozen=True, slots=True)
class NewPod:
    """A pod to make: for an index where the Job is Indexed, with how often that index failed before."""

    index: int | None = None
    failures: int = 0
    ignored: int = 0


@dataclass(slots=True)
class Plan:
    """Deletions and creations come before the status is written, what is released after it. Pods to `drop` are released
    first and deleted then: they count as nothing. `again` is in seconds. `events` are (type, reason, message)."""

    status: Obj
    create: list[NewPod] = field(default_factory=list)
    delete: list[JobPod] = field(default_factory=list)
    drop: list[JobPod] = field(default_factory=list)
    release: list[JobPod] = field(default_factory=list)
    again: float | None = None
    events: list[tuple[Any, str, str]] = field(default_factory=list)


def plan(job: Obj, pods: Sequence[JobPod], now: float) -> Plan:
    """From the pods that the Job holds."""
    status: Obj = dict(job.get("status") or {})
    found = Plan(status)
    if verdicts.finished(job):
        found.release = [pod for pod in pods if pod.tracked]
        found.delete = [pod for pod in pods if pod.active]
        return found
    text = dates.rfc3339(dates.from_unix(now))
    suspended = bool(job["spec"].get("suspend"))
    if not suspended and not status.get("startTime"):
        status["startTime"] = text
    ledger = count(job, pods)
    started = verdicts.started_at(status)
    judged = verdicts.verdict(job, pods, ledger, started, now)
    found.release = ledger.release
    active = [pod for pod in pods if pod.active]
    if judged is not None and judged.final == verdicts.FAILED:
        found.delete = active
    elif judged is not None or suspended:
        found.drop = active
    else:
        _manage(found, job, pods, ledger, now)
    if judged is None:
        _suspension(found, suspended, text)
        deadline = verdicts.deadline_in(job, started, now)
        found.again = _sooner(found.again, deadline)
    _count(status, job, pods, ledger)
    if judged is not None:
        _judge(found, judged, pods, ledger, text)
    return found


def _manage(found: Plan, job: Obj, pods: Sequence[JobPod], ledger: Ledger, now: float) -> None:
    """Makes the number of active pods right."""
    active = [pod for pod in pods if pod.active]
    parallelism = int(job["spec"]["parallelism"] if job["spec"].get("parallelism") is not None else 1)
    wanted_in_all = completions(job)
    if wanted_in_all is None:
        wanted = min(parallelism, len(active)) if ledger.all_succeeded else parallelism
    else:
        done = ledger.all_succeeded + len(ledger.failed_indexes)
        wanted = max(0, min(parallelism, wanted_in_all - done))
    spare = _spare(job, active, ledger)
    surplus = len(active) - len(spare) - wanted
    found.drop = [*spare, *(_victims([pod for pod in active if pod not in spare], surplus) if surplus > 0 else ())]
    going = sum(1 for pod in pods if pod.deleting and not pod.ended) if only_terminal(job) else 0
    missing = min(BURST, wanted - (len(active) - len(spare)) - going)
    if missing <= 0:
        return
    wait = backoff(job, pods, now) if job["spec"].get("backoffLimitPerIndex") is None else 0.0
    if wait > 0:
        found.again = wait
        return
    if is_indexed(job):
        found.create, wait = _by_index(job, pods, ledger, missing, now)
        found.again = wait or None
    else:
        found.create = [NewPod() for _ in range(missing)]


def _spare(job: Obj, active: Sequence[JobPod], ledger: Ledger) -> list[JobPod]:
    """Active pods that nobody needs: of an index beyond the last, one that is done, or one that another has too."""
    if not is_indexed(job):
        return []
    below = completions(job) or 0
    over = ledger.completed | ledger.failed_indexes
    seen: set[int] = set()
    spare = []
    for pod in sorted(active, key=lambda each: (each.created_at, each.name)):
        if pod.index is None or pod.index >= below or pod.index in over or pod.index in seen:
            spare.append(pod)
        else:
            seen.add(pod.index)
    return spare


def _victims(active: Sequence[JobPod], surplus: int) -> list[JobPod]:
    """Those that got least far: without a node first, then not ready, then the younger."""
    order = {"Pending": 0, "Unknown": 1, "Running": 2}
    return sorted(active, key=lambda pod: (order.get(pod.phase, 0), pod.ready, -pod.created_at))[:surplus]


def _by_index(job: Obj, pods: Sequence[JobPod], ledger: Ledger, missing: int, now: float) -> tuple[list[NewPod], float]:
    """The lowest indexes that have no pod; seconds until the next that has to wait may come."""
    taken = {pod.index for pod in pods if pod.active}
    if only_terminal(job):
        taken |= {pod.index for pod in pods if pod.deleting and not pod.ended}
    per_index = job["spec"].get("backoffLimitPerIndex") is not None
    last: dict[int, JobPod] = {}
    for pod in sorted(pods, key=lambda each: each.created_at):
        if pod.index is not None and pod.failed(only_terminal(job)):
            last[pod.index] = pod
    found: list[NewPod] = []
    waits: list[float] = []
    for index in range(completions(job) or 0):
        if len(found) >= missing:
            break
        if index in taken or index in ledger.completed or index in ledger.failed_indexes:
            continue
        before = last.get(index)
        if before is None or not per_index:
            found.append(NewPod(index))
            continue
        ruled = ledger.rulings.get(before.uid)
        ignored = ruled is not None and ruled.action == IGNORE
        failures = before.index_failures + (not ignored)
        wait = _backoff_after(failures + before.index_ignored + ignored, before.ended_at, now)
        if wait > 0:
            waits.append(wait)
        else:
            found.append(NewPod(index, failures, before.index_ignored + ignored))
    return found, min(waits, default=0.0)


def backoff(job: Obj, pods: Sequence[JobPod], now: float) -> float:
    """Seconds until a pod may follow those that failed since the last success."""
    ended = sorted((pod for pod in pods if pod.ended or _failing(job, pod)), key=lambda pod: pod.ended_at)
    failures, last = 0, 0.0
    for pod in ended:
        if pod.succeeded:
            failures = 0
        else:
            failures, last = failures + 1, pod.ended_at
    return _backoff_after(failures, last, now)


def _failing(job: Obj, pod: JobPod) -> bool:
    # What was dropped, and so let go before, has neither failed nor succeeded.
    return pod.tracked and pod.failed(only_terminal(job))


def _backoff_after(failures: int, last: float, now: float) -> float:
    if not failures:
        return 0.0
    length = min(FIRST_BACKOFF * float(2 ** min(failures - 1, 16)), LONGEST_BACKOFF)
    return max(0.0, last + length - now)


def _suspension(found: Plan, suspended: bool, text: str) -> None:
    status = found.status
    known = conditions.is_true(status.get("conditions"), SUSPENDED)
    if suspended == known:
        return
    word, value = ("Suspended", "True") if suspended else ("Resumed", "False")
    said = (f"Job{word}", f"Job {word.lower()}", text)
    status["conditions"] = conditions.put(status.get("conditions"), SUSPENDED, value, *said, lastProbeTime=text)
    # A job that goes on has all its time again.
    status["startTime"] = None if suspended else text
    found.events.append(("Normal", word, f"Job {word.lower()}"))


def _count(status: Obj, job: Obj, pods: Sequence[JobPod], ledger: Ledger) -> None:
    active = [pod for pod in pods if pod.active]
    status["active"] = len(active) or None
    status["ready"] = sum(1 for pod in active if pod.ready)
    status["terminating"] = sum(1 for pod in pods if pod.deleting and not pod.ended)
    status["succeeded"] = ledger.succeeded or None
    status["failed"] = ledger.failed or None
    status["uncountedTerminatedPods"] = {
        "succeeded": sorted(ledger.uncounted_succeeded) or None,
        "failed": sorted(ledger.uncounted_failed) or None,
    }
    if is_indexed(job):
        status["completedIndexes"] = indexes.written(ledger.completed) or None
        if job["spec"].get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = indexes.written(ledger.failed_indexes)


def _judge(found: Plan, judged: Verdict, pods: Sequence[JobPod], ledger: Ledger, text: str) -> None:
    """The verdict at once; that it is over, when no pod is left that runs or waits to be counted."""
    status = found.status
    said = (judged.reason, judged.message, text)
    put = conditions.put(status.get("conditions"), judged.condition, "True", *said, lastProbeTime=text)
    running = any(not pod.ended for pod in pods)
    if not running and ledger.settled:
        put = conditions.put(put, judged.final, "True", *said, lastProbeTime=text)
        status["active"] = None
        if judged.final == verdicts.COMPLETE:
            status["completionTime"] = text
            found.events.append(("Normal", "Completed", "Job completed"))
        else:
            found.events.append(("Warning", judged.reason, judged.message))
    status["conditions"] = put


def pod_for(kind: Kind, job: Obj, new: NewPod) -> Obj:
    """The pod to create: the template, tracked, and for an index named and told which."""
    template = job["spec"]["template"]
    made = pod_from(kind, job, template)
    meta, spec = made["metadata"], dict(made["spec"])
    meta["finalizers"] = [*meta.get("finalizers", ()), facts.FINALIZER]
    if new.index is not None:
        name = f"{job['metadata']['name']}-{new.index}"
        meta["generateName"] = f"{name}-"
        meta["labels"] = {**meta.get("labels", {}), facts.INDEX: str(new.index)}
        meta["annotations"] = {**meta.get("annotations", {}), facts.INDEX: str(new.index)}
        if job["spec"].get("backoffLimitPerIndex") is not None:
            meta["annotations"][facts.INDEX_FAILURES] = str(new.failures)
            if new.ignored:
                meta["annotations"][facts.INDEX_IGNORED] = str(new.ignored)
        spec.setdefault("hostname", name)
        for containers in ("initContainers", "containers"):
            if spec.get(containers):
                spec[containers] = [_told(each) for each in spec[containers]]
    made["spec"] = spec
    return made


def _told(container: Obj) -> Obj:
    name = "JOB_COMPLETION_INDEX"
    env = list(container.get("env") or ())
    if any(each.get("name") == name for each in env):
        return container
    path = f"metadata.labels['{facts.INDEX}']"
    return {**container, "env": [*env, {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}]}


def differs(old: Obj | None, new: Obj) -> bool:
    """Whether a status says something else; what is absent, empty or 0 says the same."""
    return _said(old or {}) != _said(new)


def _said(status: Obj) -> Obj:
    plain = {name: _said(value) if isinstance(value, dict) else value for name, value in status.items()}
    return {name: value for name, value in plain.items() if value}


def _sooner(one: float | None, other: float | None) -> float | None:
    return min(one, other) if one is not None and other is not None else one if other is None else other
