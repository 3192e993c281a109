"""What a node finds again after its processes were killed, and what it cleans up."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from conftest import eventually


def running(pod: Any) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return pod["status"].get("phase") == "Running" and bool(statuses) and all(each["ready"] for each in statuses)


def test_killed_agent_takes_up_what_runs(node: Any) -> None:
    readiness = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    container = {"name": "c0", "image": "arktos.test/busybox:1", "command": ["sleep", "1000"]}
    node.apply("kept", {"containers": [{**container, "readinessProbe": readiness, "startupProbe": readiness}]})
    node.run("ends", "sleep 1000", restartPolicy="Never")
    node.run("dropped", "sleep 1000")
    before = {name: node.until(name, running) for name in ("kept", "ends", "dropped")}
    watch = subprocess.Popen(
        ["kubectl", f"--kubeconfig={node.admin.kubeconfig}", "get", "pod", "kept", "-w", "-o", "json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    node.kill_agent()
    node.admin("delete", "pod", "dropped", "--force", "--grace-period=0")
    ending = before["ends"]["status"]["containerStatuses"][0]["containerID"].split("://")[1]
    node.ctr("tasks", "kill", "-s", "KILL", ending)
    node.start_agent()
    ended = node.until("ends", lambda pod: pod["status"]["phase"] == "Failed")
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    kept = node.until("kept", running)
    for field in ("containerID", "restartCount", "state", "ready", "started"):
        assert kept["status"]["containerStatuses"][0][field] == before["kept"]["status"]["containerStatuses"][0][field]
    dropped = before["dropped"]["status"]["containerStatuses"][0]["containerID"].split("://")[1]
    eventually(lambda: dropped not in node.containers(), 30, "the orphan is gone")
    eventually(lambda: not list((node.home / "pods").glob("*_dropped_*")), 10, "its logs are gone")
    assert not (node.home / "agent" / "pods" / before["dropped"]["metadata"]["uid"]).exists()
    watch.terminate()
    assert watch.stdout is not None
    # No state in between was told: the pod stayed ready throughout.
    decoder, text = json.JSONDecoder(), watch.stdout.read()
    watch.wait()
    while text.strip():
        pod, end = decoder.raw_decode(text.lstrip())
        text = text.lstrip()[end:]
        assert running(pod)


def test_killed_containerd_costs_no_container(node: Any) -> None:
    node.run("kept", "sleep 1000")
    before = node.until("kept", running)
    node.kill_containerd()
    node.run("later", "sleep 1000")
    node.start_containerd()
    node.until("later", running, 60)
    kept = node.pod("kept")
    assert kept["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    # The events of the new containerd are heard.
    killed = before["status"]["containerStatuses"][0]["containerID"].split("://")[1]
    node.ctr("tasks", "kill", "-s", "KILL", killed)
    again = node.until("kept", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1 and running(pod))
    assert again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137


def test_lost_sandbox_is_made_anew(node: Any) -> None:
    node.run("p", "sleep 1000")
    before = node.until("p", running)
    uid = before["metadata"]["uid"]
    sandboxes = [
        line.split()[0]
        for line in node.ctr("containers", "list", "labels.io.kubernetes.pod.uid==" + uid).splitlines()[1:]
        if "pause" in line
    ]
    node.ctr("tasks", "kill", "-s", "KILL", sandboxes[0])
    after = node.until("p", lambda pod: running(pod) and pod["status"]["containerStatuses"][0]["restartCount"] == 1, 40)
    assert after["status"]["podIP"] != before["status"]["podIP"]
    assert any(reason == "SandboxChanged" for reason, _ in node.events("p"))


def test_statuses_wait_for_the_api_server(node: Any) -> None:
    node.run("p", "sleep 4; exit 3", restartPolicy="Never")
    node.until("p", running)
    node.system.kill_server()
    uid_dir = next((node.home / "pods").glob("*_p_*"))
    eventually(lambda: "task" and _task_ended(node, "p"), 30, "the container has ended")
    node.system.start_server()
    pod = node.until("p", lambda pod: pod["status"]["phase"] == "Failed", 60)
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert uid_dir.exists()


def _task_ended(node: Any, _: str) -> bool:
    return not any("RUNNING" in line for line in node.ctr("tasks", "list").splitlines()[1:])


def test_agent_killed_in_the_middle_of_many_starts(node: Any) -> None:
    names = [f"p{number}" for number in range(12)]
    for name in names:
        node.run(name, "sleep 1000", terminationGracePeriodSeconds=0)
        if name in ("p3", "p7"):
            node.kill_agent()
            node.start_agent()
    for name in names:
        node.until(name, running, 60)
    sandboxes = [line for line in node.ctr("containers", "list").splitlines() if "pause" in line]
    assert len(sandboxes) == len(names)
    for name in names[::2]:
        node.admin("delete", "pod", name, "--wait=false")
    node.kill_agent()
    node.start_agent()
    for name in names[::2]:
        node.gone(name, 60)

    def left() -> int:
        return sum("pause" in line for line in node.ctr("containers", "list").splitlines())

    eventually(lambda: left() == len(names) // 2, 30, "nothing is left of what was deleted")
    for name in names[1::2]:
        assert running(node.pod(name))
        status = node.pod(name)["status"]["containerStatuses"][0]
        # A start that the kill broke off in the middle has failed, says the runtime.
        assert status["restartCount"] == 0 or status["lastState"]["terminated"]["reason"] == "StartError"
