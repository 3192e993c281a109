"""Which time a CronJob acts for, and what its Jobs make of its status."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.controllers import ttlafterfinished
from arktos.controllers.cronjob import status, timing
from arktos.controllers.cronjob.wiring import job_for
from arktos.model import dates

Obj = dict[str, Any]


def cronjob(schedule: str = "*/10 * * * *", last: str = "", **spec: Any) -> Obj:
    return {
        "metadata": {
            "name": "tick",
            "namespace": "default",
            "tenant": "acme",
            "uid": "u1",
            "creationTimestamp": "2026-01-01T00:00:30Z",
        },
        "spec": {"schedule": schedule, "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}}, **spec},
        "status": {"lastScheduleTime": last} if last else {},
    }


def due(owner: Obj, now: str) -> timing.Due:
    return timing.due(owner, dates.unix(now))


def test_a_time_comes() -> None:
    early = due(cronjob(), "2026-01-01T00:05:00Z")
    assert early.at is None and early.next_in == pytest.approx(300.1)
    now = due(cronjob(), "2026-01-01T00:10:01Z")
    assert now.at is not None and timing.job_name(cronjob(), now.at) == f"tick-{int(now.at.timestamp()) // 60}"
    assert now.next_in == pytest.approx(599.1) and not now.late
    done = due(cronjob(last="2026-01-01T00:10:00Z"), "2026-01-01T00:10:01Z")
    assert done.at is None


def test_of_what_was_missed_the_last_counts() -> None:
    found = due(cronjob(last="2026-01-01T00:00:00Z"), "2026-01-01T00:35:00Z")
    assert found.at is not None and (found.at.minute, found.missed) == (30, 3)
    many = due(cronjob("* * * * *", last="2026-01-01T00:00:00Z"), "2026-01-03T00:00:30Z")
    assert many.at is not None and (many.at.day, many.at.hour, many.at.minute) == (3, 0, 0)
    assert many.missed == 2880 > timing.TOO_MANY


def test_a_deadline_leaves_out_what_is_too_old() -> None:
    owner = cronjob("0 0 * * *", last="2026-01-01T00:00:00Z", startingDeadlineSeconds=60)
    assert due(owner, "2026-01-02T00:00:59Z").at is not None
    assert due(owner, "2026-01-02T00:02:00Z").at is None


def test_a_deadline_may_be_as_long_as_a_number_can_be() -> None:
    found = due(cronjob(startingDeadlineSeconds=2**63 - 1), "2026-01-01T00:10:01Z")
    assert found.at is not None and not found.late


def test_a_time_zone_is_meant() -> None:
    owner = cronjob("0 9 * * *", timeZone="America/New_York")
    found = due(owner, "2026-01-01T14:00:00Z")
    assert found.at is not None and found.at.timestamp() == dates.unix("2026-01-01T14:00:00Z")
    assert job_for(owner, "x", found.at)["metadata"]["annotations"] == {
        "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T09:00:00-05:00"
    }
    with pytest.raises(ValueError, match="unknown time zone Nowhere/Land"):
        due(cronjob(timeZone="Nowhere/Land"), "2026-01-01T14:00:00Z")


def test_every_so_often_counts_from_the_last_time() -> None:
    owner = cronjob("@every 90m", last="2026-01-01T00:00:00Z")
    assert due(owner, "2026-01-01T01:29:00Z").next_in == pytest.approx(60.1)
    found = due(owner, "2026-01-01T01:31:00Z")
    assert found.at is not None and found.next_in == pytest.approx(89 * 60 + 0.1)


def job(name: str, ended: str = "", started: str = "2026-01-01T00:00:00Z") -> Obj:
    conditions = [{"type": ended, "status": "True", "lastTransitionTime": started}] if ended else []
    meta = {"name": name, "namespace": "default", "uid": f"u-{name}", "creationTimestamp": started}
    told: Obj = {"startTime": started, "conditions": conditions}
    if ended == "Complete":
        told["completionTime"] = started
    return {"metadata": meta, "spec": {}, "status": told}


def test_jobs_that_run_are_active_and_those_that_ended_are_told() -> None:
    owner = cronjob()
    owner["status"] = {"active": [status.reference(job("a")), status.reference(job("gone"))]}
    found = status.standing(owner, [job("a", "Complete", "2026-01-01T00:09:00Z"), job("new")])
    assert [each["name"] for each in found.active] == ["new"]
    assert found.succeeded_at == "2026-01-01T00:09:00Z"
    assert [reason for _, reason, _ in found.events] == ["SawCompletedJob", "MissingJob"]


def test_history_is_kept_as_long_as_told() -> None:
    jobs = [job(f"ok{n}", "Complete", f"2026-01-01T00:0{n}:00Z") for n in range(5)]
    jobs += [job(f"no{n}", "Failed", f"2026-01-01T00:0{n}:00Z") for n in range(2)]
    gone = [each["metadata"]["name"] for each in status.history(cronjob(), jobs)]
    assert gone == ["ok0", "ok1", "no0"]
    assert not status.history(cronjob(successfulJobsHistoryLimit=9, failedJobsHistoryLimit=2), jobs)
    assert len(status.history(cronjob(successfulJobsHistoryLimit=0, failedJobsHistoryLimit=0), jobs)) == 7


def test_ended_jobs_expire() -> None:
    ended = job("a", "Failed")
    assert ttlafterfinished.expires_at(ended) is None
    ended["spec"]["ttlSecondsAfterFinished"] = 30
    assert ttlafterfinished.expires_at(ended) == dates.unix("2026-01-01T00:00:30Z")
    running = job("b")
    running["spec"]["ttlSecondsAfterFinished"] = 0
    assert ttlafterfinished.expires_at(running) is None
