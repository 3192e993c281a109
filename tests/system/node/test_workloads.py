"""Every kind of workload on a node, as a tenant makes them with kubectl."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Obj = dict[str, Any]


def template(app: str, script: str, **spec: Any) -> Obj:
    container = {"name": "c", "image": "busybox", "command": ["sh", "-c", script]}
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec},
    }


def manifest(api_version: str, kind: str, name: str, spec: Obj) -> str:
    return json.dumps({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})


def test_daemons_jobs_and_schedules(shared_node: Any, until: Callable[..., Any]) -> None:
    shared_node.arktos("tenant", "create", "works")
    kubectl = shared_node.tenant("works")
    forever = template("log", "sleep 3600")
    daemon = {"selector": {"matchLabels": {"app": "log"}}, "template": forever}
    kubectl("apply", "-f", "-", input=manifest("apps/v1", "DaemonSet", "log", daemon))
    parts = template("parts", "echo part $JOB_COMPLETION_INDEX; [ $JOB_COMPLETION_INDEX != 1 ]", restartPolicy="Never")
    spec = {
        "completions": 3,
        "parallelism": 3,
        "completionMode": "Indexed",
        "backoffLimitPerIndex": 0,
        "template": parts,
    }
    kubectl("apply", "-f", "-", input=manifest("batch/v1", "Job", "parts", spec))
    once = {"jobTemplate": {"spec": {"template": template("tick", "echo tick", restartPolicy="OnFailure")}}}
    kubectl("apply", "-f", "-", input=manifest("batch/v1", "CronJob", "tick", {"schedule": "@every 2s", **once}))
    kubectl("rollout", "status", "daemonset/log", "--timeout=60s", timeout=90)
    kubectl("wait", "--for=condition=failed", "job/parts", "--timeout=90s", timeout=120)
    status = kubectl.json("get", "job", "parts")["status"]
    assert (status["completedIndexes"], status["failedIndexes"], status["failed"]) == ("0,2", "1", 1)
    assert "part 0\n" in kubectl("logs", "-l", "app=parts")
    until(lambda: "lastSuccessfulTime" in kubectl.json("get", "cronjob", "tick")["status"], 60, "a job of the schedule")
    kubectl("delete", "cronjob,job,daemonset", "--all")
    until(lambda: not kubectl.json("get", "pods")["items"], 60, "pods to go")
