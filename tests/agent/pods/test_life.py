"""Pods on a real containerd, from their creation to their end."""

from __future__ import annotations

from typing import Any


def running(pod: Any) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return pod["status"].get("phase") == "Running" and bool(statuses) and all(each["ready"] for each in statuses)


def condition(pod: Any, kind: str) -> Any:
    return next((each for each in pod["status"]["conditions"] if each["type"] == kind), None)


def test_runs_and_is_deleted(shared_node: Any) -> None:
    node = shared_node
    node.run("plain", "echo hello; sleep 1000")
    pod = node.until("plain", running)
    status = pod["status"]
    assert status["podIP"].startswith("10.")
    assert status["hostIP"] == "127.0.0.1"
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    (container,) = status["containerStatuses"]
    assert container["containerID"].startswith("containerd://")
    assert container["started"] is True
    assert container["restartCount"] == 0
    said = [reason for reason, _ in node.events("plain")]
    assert {"Pulled", "Created", "Started"} <= set(said)
    logs = next((node.home / "pods").glob("*_plain_*/c0/0.log"))
    assert "hello" in logs.read_text()
    node.admin("delete", "pod", "plain", "--wait=false")
    node.gone("plain")
    assert not list((node.home / "pods").glob("*_plain_*"))
    assert not (node.home / "agent" / "pods" / pod["metadata"]["uid"]).exists()
