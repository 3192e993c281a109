"""Whether a Job has failed or succeeded, and the words for it: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from arktos.controllers import conditions
from arktos.controllers.job import indexes
from arktos.controllers.job.facts import JobPod
from arktos.controllers.job.failurepolicy import FAIL_JOB
from arktos.controllers.job.ledger import Ledger, completions, is_indexed
from arktos.model import dates
from arktos.model.kinds import Obj

FAILURE_TARGET, SUCCESS_CRITERIA_MET = "FailureTarget", "SuccessCriteriaMet"
COMPLETE, FAILED, SUSPENDED = "Complete", "Failed", "Suspended"


class Verdict(NamedTuple):
    """The condition that says so (`FailureTarget` or `SuccessCriteriaMet`), its reason and message."""

    condition: str
    reason: str
    message: str

    @property
    def final(self) -> str:
        """The condition that follows when no pod runs any more."""
        return FAILED if self.condition == FAILURE_TARGET else COMPLETE


def finished(job: Obj) -> bool:
    found = (job.get("status") or {}).get("conditions")
    return conditions.is_true(found, COMPLETE) or conditions.is_true(found, FAILED)


def verdict(job: Obj, pods: Sequence[JobPod], ledger: Ledger, started: float | None, now: float) -> Verdict | None:
    """What was decided before, or what these facts decide; None while it goes on."""
    found = (job.get("status") or {}).get("conditions")
    for type in (FAILURE_TARGET, SUCCESS_CRITERIA_MET):
        told = conditions.find(found, type)
        if told is not None and told.get("status") == "True":
            return Verdict(type, told.get("reason") or "", told.get("message") or "")
    return _failed(job, pods, ledger, started, now) or _succeeded(job, pods, ledger)


def _failed(job: Obj, pods: Sequence[JobPod], ledger: Ledger, started: float | None, now: float) -> Verdict | None:
    spec = job["spec"]
    for ruled in ledger.rulings.values():
        if ruled.action == FAIL_JOB:
            return Verdict(FAILURE_TARGET, "PodFailurePolicy", ruled.why)
    limit = spec.get("backoffLimit")
    limit = 6 if limit is None else int(limit)
    if ledger.all_failed > limit or _restarted_too_often(job, pods, limit):
        return Verdict(FAILURE_TARGET, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and started is not None and not spec.get("suspend") and now - started >= int(deadline):
        return Verdict(FAILURE_TARGET, "DeadlineExceeded", "Job was active longer than specified deadline")
    return _failed_by_indexes(job, ledger)


def _failed_by_indexes(job: Obj, ledger: Ledger) -> Verdict | None:
    if job["spec"].get("backoffLimitPerIndex") is None:
        return None
    most = job["spec"].get("maxFailedIndexes")
    if most is not None and len(ledger.failed_indexes) > int(most):
        said = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict(FAILURE_TARGET, "MaxFailedIndexesExceeded", said)
    if ledger.failed_indexes and len(ledger.failed_indexes | ledger.completed) >= (completions(job) or 0):
        return Verdict(FAILURE_TARGET, "FailedIndexes", "Job has failed indexes")
    return None


def _restarted_too_often(job: Obj, pods: Sequence[JobPod], limit: int) -> bool:
    if (job["spec"]["template"].get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(pod.restarts for pod in pods if pod.active)
    return restarts > 0 if limit == 0 else restarts >= limit


def _succeeded(job: Obj, pods: Sequence[JobPod], ledger: Ledger) -> Verdict | None:
    matched = _success_rule(job, ledger)
    if matched is not None:
        return Verdict(SUCCESS_CRITERIA_MET, "SuccessPolicy", f"Matched rules at index {matched}")
    wanted = completions(job)
    reached = Verdict(SUCCESS_CRITERIA_MET, "CompletionsReached", "Reached expected number of succeeded pods")
    if wanted is None:
        return reached if ledger.all_succeeded and not any(pod.active for pod in pods) else None
    return reached if ledger.all_succeeded >= wanted else None


def _success_rule(job: Obj, ledger: Ledger) -> int | None:
    """The first rule of the success policy that holds (KEP-3998)."""
    policy = job["spec"].get("successPolicy")
    if not policy or not is_indexed(job):
        return None
    for number, rule in enumerate(policy.get("rules") or ()):
        below = completions(job) or 0
        text = rule.get("succeededIndexes")
        of = indexes.parse(text, below) if text else set(range(below))
        done, least = len(of & ledger.completed), rule.get("succeededCount")
        if done >= (len(of) if least is None else int(least)) and of:
            return number
    return None


def deadline_in(job: Obj, started: float | None, now: float) -> float | None:
    """Seconds until `activeDeadlineSeconds` is over, None if there is none or it does not run."""
    deadline = job["spec"].get("activeDeadlineSeconds")
    if deadline is None or started is None or job["spec"].get("suspend"):
        return None
    return max(0.0, started + int(deadline) - now)


def started_at(status: Obj) -> float | None:
    return dates.unix(status["startTime"]) if status.get("startTime") else None
