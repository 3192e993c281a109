"""What a Job does next, case by case; and that nothing is ever counted twice or lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arktos.controllers.job import indexes
from arktos.controllers.job.facts import JobPod
from arktos.controllers.job.plan import Plan, backoff, differs, plan, pod_for
from arktos.controllers.job.wiring import JOB

NOW = 1_000_000.0
Obj = dict[str, Any]


def job(status: Obj | None = None, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"job": "x"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "sums", "namespace": "default", "tenant": "acme", "uid": "u1"},
        "spec": {"parallelism": 2, "completions": 3, "backoffLimit": 6, "template": template, **spec},
        "status": status or {},
    }


def pod(name: str, phase: str = "Running", **facts: Any) -> JobPod:
    whole = {"metadata": {"name": name, "namespace": "default"}, "status": {"phase": phase}}
    given = {"ended_at": NOW - 100 if phase in ("Failed", "Succeeded") else 0.0, "created_at": NOW - 200, **facts}
    return JobPod(name, f"uid-{name}", phase, obj=whole, **given)


def conditions(found: Plan) -> dict[str, str]:
    return {each["type"]: each["reason"] for each in found.status.get("conditions") or () if each["status"] == "True"}


def test_as_many_as_may_run_and_are_missing() -> None:
    assert len(plan(job(), [], NOW).create) == 2
    assert len(plan(job(), [pod("a")], NOW).create) == 1
    assert len(plan(job({"succeeded": 2}), [], NOW).create) == 1
    assert [each.name for each in plan(job(parallelism=1), [pod("a"), pod("b", "Pending")], NOW).drop] == ["b"]


def test_without_completions_one_success_ends_the_making() -> None:
    free = job(completions=None)
    assert len(plan(free, [], NOW).create) == 2
    going = plan(free, [pod("a", "Succeeded"), pod("b")], NOW)
    assert not going.create and not going.drop and not conditions(going)
    assert "SuccessCriteriaMet" in conditions(plan(free, [pod("a", "Succeeded")], NOW))


def test_a_pod_is_named_then_let_go_then_counted() -> None:
    ended = pod("a", "Succeeded")
    first = plan(job(), [ended], NOW)
    assert first.status["uncountedTerminatedPods"] == {"succeeded": ["uid-a"], "failed": None}
    assert first.release == [ended] and first.status["succeeded"] is None
    second = plan(job(first.status), [replace(ended, tracked=False)], NOW)
    assert second.status["succeeded"] == 1 and second.status["uncountedTerminatedPods"]["succeeded"] is None
    third = plan(job(second.status), [replace(ended, tracked=False)], NOW)
    assert third.status["succeeded"] == 1 and not differs(second.status, third.status)


def test_it_is_complete_when_nothing_waits_to_be_counted() -> None:
    pods = [pod(name, "Succeeded") for name in "abc"]
    first = plan(job(), pods, NOW)
    assert conditions(first) == {"SuccessCriteriaMet": "CompletionsReached"}
    second = plan(job(first.status), [replace(each, tracked=False) for each in pods], NOW)
    assert conditions(second) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert second.status["completionTime"] and second.status["succeeded"] == 3
    assert ("Normal", "Completed", "Job completed") in second.events


def test_too_many_failures() -> None:
    failed = [pod(str(n), "Failed") for n in range(2)]
    first = plan(job(backoffLimit=1), [*failed, pod("r")], NOW)
    assert conditions(first) == {"FailureTarget": "BackoffLimitExceeded"}
    assert [each.name for each in first.delete] == ["r"] and not first.create
    gone = [replace(each, tracked=False) for each in failed]
    second = plan(job(first.status, backoffLimit=1), gone, NOW)
    assert conditions(second)["Failed"] == "BackoffLimitExceeded" and second.status["failed"] == 2


def test_a_pod_that_somebody_deletes_has_failed_unless_only_ends_count() -> None:
    going = pod("a", deleting=True, ended_at=NOW)
    assert plan(job(), [going], NOW).status["uncountedTerminatedPods"]["failed"] == ["uid-a"]
    waiting = plan(job(podReplacementPolicy="Failed"), [going], NOW)
    assert waiting.status["uncountedTerminatedPods"]["failed"] is None and len(waiting.create) == 1


def test_failures_in_a_row_make_the_next_wait_longer() -> None:
    def failed(name: str, ago: float) -> JobPod:
        return pod(name, "Failed", ended_at=NOW - ago)

    assert backoff(job(), [failed("a", 4)], NOW) == 6
    assert backoff(job(), [failed("a", 40), failed("b", 4)], NOW) == 16
    assert backoff(job(), [failed("a", 40), pod("s", "Succeeded", ended_at=NOW - 5)], NOW) == 0
    waits = plan(job(), [failed("a", 4)], NOW)
    assert waits.create == [] and waits.again == 6


def test_the_deadline() -> None:
    started = job({"startTime": "1970-01-12T13:46:00Z"}, activeDeadlineSeconds=60)  # 40 s ago
    assert plan(started, [pod("a"), pod("b")], NOW).again == 20
    late = plan(started, [pod("a")], NOW + 20)
    assert conditions(late) == {"FailureTarget": "DeadlineExceeded"} and [each.name for each in late.delete] == ["a"]


def test_suspended_and_resumed() -> None:
    first = plan(job(suspend=True), [pod("a")], NOW)
    assert [each.name for each in first.drop] == ["a"] and conditions(first) == {"Suspended": "JobSuspended"}
    assert first.status["startTime"] is None
    second = plan(job(first.status), [], NOW)
    assert conditions(second) == {} and second.status["startTime"] and len(second.create) == 2


RULES = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [7]}},
    ]
}


def exited(name: str, code: int, **facts: Any) -> JobPod:
    found = pod(name, "Failed", **facts)
    assert found.obj is not None
    terminated = {"terminated": {"exitCode": code}}
    found.obj["status"]["containerStatuses"] = [{"name": "c", "state": terminated}]
    return found


def test_the_failure_policy() -> None:
    ruled = job(podFailurePolicy=RULES)
    fails = plan(ruled, [exited("a", 42)], NOW)
    (said,) = (each for each in fails.status["conditions"] if each["type"] == "FailureTarget")
    assert (said["reason"], said["message"]) == (
        "PodFailurePolicy",
        "Container c for pod default/a failed with exit code 42 matching FailJob rule at index 1",
    )
    counted = plan(ruled, [exited("a", 1)], NOW)
    assert counted.status["uncountedTerminatedPods"]["failed"] == ["uid-a"]
    disrupted = exited("a", 137)
    assert disrupted.obj is not None
    disrupted.obj["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    ignored = plan(ruled, [disrupted], NOW)
    assert ignored.status["uncountedTerminatedPods"]["failed"] is None and ignored.release == [disrupted]


def indexed(status: Obj | None = None, **spec: Any) -> Obj:
    return job(status, completionMode="Indexed", **{"completions": 4, **spec})


def test_indexes() -> None:
    assert [new.index for new in plan(indexed(), [], NOW).create] == [0, 1]
    found = plan(indexed({"completedIndexes": "0"}), [pod("b", index=1), pod("c", "Succeeded", index=2)], NOW)
    assert [new.index for new in found.create] == [3]
    assert found.status["completedIndexes"] == "0,2" and found.status["succeeded"] == 2
    twice = [pod("old", index=1), pod("young", index=1, created_at=NOW), pod("over", index=9)]
    assert [each.name for each in plan(indexed(), twice, NOW).drop] == ["over", "young"]


def test_indexes_fail_one_by_one() -> None:
    spec = {"backoffLimitPerIndex": 1, "backoffLimit": 2**31 - 1}
    once = plan(indexed(**spec), [pod("a", "Failed", index=0)], NOW)
    assert [(new.index, new.failures) for new in once.create] == [(0, 1), (1, 0)]
    twice = plan(indexed(**spec), [pod("b", "Failed", index=0, index_failures=1)], NOW)
    assert twice.status["failedIndexes"] == "0" and [new.index for new in twice.create] == [1, 2]
    assert "Failed" not in conditions(twice)
    rest = [pod(str(n), "Succeeded", index=n) for n in (1, 2, 3)]
    over = plan(indexed(twice.status, **spec), rest, NOW)
    assert conditions(over) == {"FailureTarget": "FailedIndexes"}
    most = plan(indexed({"failedIndexes": "0,1"}, maxFailedIndexes=1, **spec), [], NOW)
    assert set(conditions(most).values()) == {"MaxFailedIndexesExceeded"}
    ruled = plan(indexed(podFailurePolicy=RULES, **spec), [exited("a", 7, index=3)], NOW)
    assert ruled.status["failedIndexes"] == "3"


def test_the_success_policy() -> None:
    policy = {"rules": [{"succeededIndexes": "0-1", "succeededCount": 1}]}
    found = plan(indexed(successPolicy=policy), [pod("a", "Succeeded", index=1), pod("b", index=2)], NOW)
    assert conditions(found) == {"SuccessCriteriaMet": "SuccessPolicy"}
    assert [each.name for each in found.drop] == ["b"]


def test_a_pod_of_an_index_is_told_which() -> None:
    made = pod_for(JOB, indexed(), plan(indexed(), [], NOW).create[1])
    assert made["metadata"]["generateName"] == "sums-1-" and made["spec"]["hostname"] == "sums-1"
    assert made["metadata"]["annotations"] == {"batch.kubernetes.io/job-completion-index": "1"}
    assert made["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    assert made["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]


@given(st.sets(st.integers(0, 40)))
def test_indexes_are_read_as_they_were_written(found: set[int]) -> None:
    assert indexes.parse(indexes.written(found), 41) == found


def test_indexes_that_somebody_wrote() -> None:
    assert indexes.written([0, 1, 3, 5, 6, 7]) == "0-1,3,5-7"
    assert indexes.parse("1,x,3-,-4,6-99", 8) == {1, 6, 7}


@given(st.data())
def test_every_pod_is_counted_once_whatever_is_lost_on_the_way(data: st.DataObject) -> None:
    """Random crashes: a status that is not written, a finalizer that is not taken off, in any order."""
    ends = data.draw(st.lists(st.sampled_from(["Succeeded", "Failed"]), max_size=6))
    there = {f"uid-{n}": pod(str(n), phase) for n, phase in enumerate(ends)}
    status: Obj = {}
    counting = job(completions=100, parallelism=0, backoffLimit=100)
    for _ in range(12):
        found = plan({**counting, "status": status}, list(there.values()), NOW)
        if data.draw(st.booleans()):
            continue
        status = {name: value for name, value in found.status.items() if value is not None}
        for each in found.release:
            if data.draw(st.booleans()):
                there[each.uid] = replace(each, tracked=False)
    for _ in range(3):
        found = plan({**counting, "status": status}, list(there.values()), NOW)
        status = found.status
        for each in found.release:
            there[each.uid] = replace(each, tracked=False)
    assert (status["succeeded"] or 0, status["failed"] or 0) == (ends.count("Succeeded"), ends.count("Failed"))
