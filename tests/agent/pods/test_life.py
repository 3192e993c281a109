"""Pods on a real containerd, from their creation to their end."""

from __future__ import annotations

import json
from typing import Any

from conftest import eventually


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


def test_run_to_end(shared_node: Any) -> None:
    node = shared_node
    node.run("good", "echo -n done > /dev/termination-log", restartPolicy="Never")
    node.run("bad", "echo broken; exit 3", restartPolicy="Never")
    good = node.until("good", lambda pod: pod["status"]["phase"] == "Succeeded")
    ended = good["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (0, "Completed", "done")
    assert condition(good, "Ready")["reason"] == "PodCompleted"
    bad = node.until("bad", lambda pod: pod["status"]["phase"] == "Failed")
    ended = bad["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert condition(bad, "ContainersReady")["reason"] == "PodFailed"
    for name in ("good", "bad"):
        node.admin("delete", "pod", name, "--wait=false")
        node.gone(name)


def test_words_from_the_log(shared_node: Any) -> None:
    container = {
        "name": "c0",
        "image": "arktos.test/busybox:1",
        "command": ["sh", "-c", "echo first; echo why it failed; exit 1"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    shared_node.apply("words", {"containers": [container], "restartPolicy": "Never"})
    pod = shared_node.until("words", lambda pod: pod["status"]["phase"] == "Failed")
    message = pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
    assert message == "first\nwhy it failed\n"


def test_crash_loop(shared_node: Any) -> None:
    shared_node.run("crash", "exit 7")

    def waits(pod: Any) -> Any:
        state = pod["status"]["containerStatuses"][0]
        return state["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff" and state["restartCount"] == 1

    pod = shared_node.until("crash", waits)
    status = pod["status"]["containerStatuses"][0]
    uid = pod["metadata"]["uid"]
    assert status["state"]["waiting"]["message"] == (
        f"back-off 10s restarting failed container=c0 pod=crash_default({uid})"
    )
    assert status["lastState"]["terminated"]["exitCode"] == 7
    assert pod["status"]["phase"] == "Running"
    said = ("BackOff", f"Back-off restarting failed container c0 in pod crash_default({uid})")
    eventually(lambda: said in shared_node.events("crash"))
    shared_node.until("crash", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 2)
    shared_node.admin("delete", "pod", "crash", "--wait=false")
    shared_node.gone("crash")


def test_init_containers_and_sidecars(shared_node: Any) -> None:
    image = "arktos.test/busybox:1"
    volume = {"name": "shared", "mountPath": "/shared"}

    def container(name: str, command: str, **more: Any) -> Any:
        return {"name": name, "image": image, "command": ["sh", "-c", command], "volumeMounts": [volume], **more}

    ends = "trap 'echo {0} >> /shared/ends; exit 0' TERM; echo {0} >> /shared/order; while :; do sleep 0.1; done"
    spec = {
        "initContainers": [
            container("first", "echo first >> /shared/order"),
            container(
                "side",
                ends.format("side"),
                restartPolicy="Always",
                startupProbe={"exec": {"command": ["cat", "/shared/order"]}, "periodSeconds": 1},
            ),
            container("second", "echo second >> /shared/order"),
        ],
        "containers": [container("main", ends.format("main"))],
        "volumes": [
            {"name": "shared", "hostPath": {"path": str(shared_node.home / "shared"), "type": "DirectoryOrCreate"}}
        ],
        "terminationGracePeriodSeconds": 10,
    }
    shared_node.apply("sides", spec)
    pod = shared_node.until("sides", running)
    assert (shared_node.home / "shared" / "order").read_text().split() == ["first", "side", "second", "main"]
    assert [each["name"] for each in pod["status"]["initContainerStatuses"]] == ["first", "side", "second"]
    assert all(each["ready"] for each in pod["status"]["initContainerStatuses"])
    shared_node.admin("delete", "pod", "sides", "--wait=false")
    shared_node.gone("sides")
    assert (shared_node.home / "shared" / "ends").read_text().split() == ["main", "side"]


def test_failing_init_container(shared_node: Any) -> None:
    container = {"name": "c0", "image": "arktos.test/busybox:1", "command": ["sleep", "100"]}
    init = {"name": "i0", "image": "arktos.test/busybox:1", "command": ["sh", "-c", "exit 4"]}
    shared_node.apply("init-fails", {"initContainers": [init], "containers": [container], "restartPolicy": "Never"})
    pod = shared_node.until("init-fails", lambda pod: pod["status"]["phase"] == "Failed")
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    assert condition(pod, "Initialized")["status"] == "False"


def test_grace_period_and_pre_stop(shared_node: Any) -> None:
    container = {
        "name": "c0",
        "image": "arktos.test/busybox:1",
        "command": ["sh", "-c", "trap 'echo term >> /mark/said; exit 5' TERM; while :; do sleep 0.1; done"],
        "lifecycle": {
            "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /mark/said"]}},
            "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /mark/said"]}},
        },
        "volumeMounts": [{"name": "mark", "mountPath": "/mark"}],
    }
    mark = shared_node.home / "mark"
    volume = {"name": "mark", "hostPath": {"path": str(mark), "type": "DirectoryOrCreate"}}
    shared_node.apply("hooks", {"containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 20})
    shared_node.until("hooks", running)
    shared_node.admin("delete", "pod", "hooks", "--wait=false")
    shared_node.gone("hooks", 15)
    assert (mark / "said").read_text().split() == ["started", "stopping", "term"]
    assert ("Killing", "Stopping container c0") in shared_node.events("hooks")


def test_deletion_with_less_grace_overtakes(shared_node: Any) -> None:
    shared_node.run("stubborn", "trap '' TERM; while :; do sleep 1; done", terminationGracePeriodSeconds=600)
    shared_node.until("stubborn", running)
    shared_node.admin("delete", "pod", "stubborn", "--wait=false")
    shared_node.until("stubborn", lambda pod: pod["metadata"].get("deletionTimestamp"))
    shared_node.admin("delete", "pod", "stubborn", "--grace-period=1", "--wait=false")
    shared_node.gone("stubborn", 20)


def test_probes(shared_node: Any) -> None:
    container = {
        "name": "c0",
        "image": "arktos.test/busybox:1",
        "command": ["sh", "-c", "mkdir /w; echo ok > /w/ok; sleep 1; httpd -p 8080 -h /w; sleep 1000"],
        "ports": [{"name": "web", "containerPort": 8080}],
        "startupProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 30},
        "readinessProbe": {"httpGet": {"path": "/ok", "port": "web"}, "periodSeconds": 1, "failureThreshold": 1},
        "livenessProbe": {"exec": {"command": ["cat", "/w/alive"]}, "periodSeconds": 1, "failureThreshold": 60},
    }
    shared_node.apply("probed", {"containers": [container]})
    shared_node.until("probed", running)
    pid = shared_node.pod("probed")["status"]["containerStatuses"][0]["containerID"].split("://")[1]
    shared_node.ctr("tasks", "exec", "--exec-id", "x1", pid, "rm", "/w/ok")
    pod = shared_node.until("probed", lambda pod: not pod["status"]["containerStatuses"][0]["ready"])
    assert condition(pod, "Ready")["reason"] == "ContainersNotReady"
    assert condition(pod, "Ready")["message"] == "containers with unready status: [c0]"
    said = shared_node.events("probed")
    assert ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404") in said
    assert any(reason == "Unhealthy" and "Liveness probe failed" in text for reason, text in said)


def test_liveness_restarts(shared_node: Any) -> None:
    container = {
        "name": "c0",
        "image": "arktos.test/busybox:1",
        "command": ["sh", "-c", "sleep 1000"],
        "livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1},
    }
    shared_node.apply("unwell", {"containers": [container]})
    shared_node.until("unwell", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] >= 1)
    assert ("Killing", "Container c0 failed liveness probe, will be restarted") in shared_node.events("unwell")
    shared_node.admin("delete", "pod", "unwell", "--wait=false")
    shared_node.gone("unwell")


def test_what_cannot_start_says_why(shared_node: Any) -> None:
    image = "arktos.test/busybox:1"
    waits: dict[str, tuple[Any, str]] = {
        "no-image": ({"image": "127.0.0.1:9/none:1"}, "ErrImagePull ImagePullBackOff"),
        "never": ({"image": "arktos.test/none:1", "imagePullPolicy": "Never"}, "ErrImageNeverPull"),
        "bad-name": ({"image": "UPPER/Case"}, "InvalidImageName"),
        "no-map": ({"image": image, "envFrom": [{"configMapRef": {"name": "none"}}]}, "CreateContainerConfigError"),
        "no-program": ({"image": image, "command": ["/nothing"]}, "RunContainerError CrashLoopBackOff"),
    }
    for name, (container, _) in waits.items():
        shared_node.apply(name, {"containers": [{"name": "c0", **container}]})
    for name, (_, reasons) in waits.items():

        def says(pod: Any, reasons: str = reasons) -> Any:
            state = pod["status"].get("containerStatuses") or [{"state": {}}]
            return state[0]["state"].get("waiting", {}).get("reason") in reasons.split()

        shared_node.until(name, says)
        shared_node.admin("delete", "pod", name, "--wait=false")
    for name in waits:
        shared_node.gone(name)


def test_deadline(shared_node: Any) -> None:
    shared_node.run("late", "sleep 1000", activeDeadlineSeconds=3)
    pod = shared_node.until("late", lambda pod: pod["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert pod["status"]["message"] == "Pod was active on the node longer than the specified deadline"


def test_refused_pods(shared_node: Any) -> None:
    container = {"name": "c0", "image": "x", "resources": {"requests": {"cpu": "1000"}}}
    shared_node.apply("large", {"containers": [container]})
    pod = shared_node.until("large", lambda pod: pod["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "OutOfcpu"
    assert pod["status"]["message"].startswith(
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000, used: "
    )
    shared_node.run("elsewhere", "sleep 1", nodeSelector={"no": "such"})
    pod = shared_node.until("elsewhere", lambda pod: pod["status"]["phase"] == "Failed")
    assert pod["status"]["reason"] == "NodeAffinity"
    shared_node.admin("delete", "pod", "large", "elsewhere", "--wait=false")
    shared_node.gone("large")
    shared_node.gone("elsewhere")


def test_resize_in_place(shared_node: Any) -> None:
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    container = {
        "name": "c0",
        "image": "arktos.test/busybox:1",
        "command": ["sleep", "1000"],
        "resources": resources,
    }
    shared_node.apply("resized", {"containers": [container]})
    before = shared_node.until("resized", running)
    wanted = {"requests": {"cpu": "150m", "memory": "32Mi"}, "limits": {"cpu": "300m", "memory": "64Mi"}}
    patch = {"spec": {"containers": [{"name": "c0", "resources": wanted}]}}
    shared_node.admin("patch", "pod", "resized", "--subresource=resize", "-p", json.dumps(patch))
    after = shared_node.until("resized", lambda pod: pod["status"]["containerStatuses"][0].get("resources") == wanted)
    first, second = (each["status"]["containerStatuses"][0] for each in (before, after))
    assert first["containerID"] == second["containerID"]
    assert second["allocatedResources"] == wanted["requests"]
    huge = {
        "spec": {"containers": [{"name": "c0", "resources": {"requests": {"cpu": "900"}, "limits": {"cpu": "900"}}}]}
    }
    shared_node.admin("patch", "pod", "resized", "--subresource=resize", "-p", json.dumps(huge))
    pod = shared_node.until("resized", lambda pod: condition(pod, "PodResizePending"))
    assert condition(pod, "PodResizePending")["reason"] == "Infeasible"


def test_ephemeral_container(shared_node: Any) -> None:
    shared_node.run("debugged", "sleep 1000")
    shared_node.until("debugged", running)
    patch = {"spec": {"ephemeralContainers": [{"name": "e0", "image": "arktos.test/busybox:1", "command": ["true"]}]}}
    shared_node.admin("patch", "pod", "debugged", "--subresource=ephemeralcontainers", "-p", json.dumps(patch))

    def ended(pod: Any) -> Any:
        statuses = pod["status"].get("ephemeralContainerStatuses") or [{"state": {}}]
        return "terminated" in statuses[0]["state"]

    pod = shared_node.until("debugged", ended)
    assert pod["status"]["ephemeralContainerStatuses"][0]["restartCount"] == 0
    assert running(pod)


def test_two_tenants_have_pods_of_one_name(shared_node: Any) -> None:
    shared_node.admin("create", "-f", "-", input=json.dumps(_tenant("acme")), timeout=60)
    other = shared_node.system.tenant("acme")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "same", "namespace": "default"},
        "spec": {
            "nodeName": shared_node.name,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c0", "image": "arktos.test/busybox:1", "command": ["sleep", "1000"]}],
        },
    }
    for kubectl in (shared_node.admin, other):
        kubectl.run("create", "namespace", "default")
        kubectl.run("create", "serviceaccount", "default")
        kubectl("create", "-f", "-", input=json.dumps(pod))
    found = []
    for kubectl in (shared_node.admin, other):
        eventually(lambda kubectl=kubectl: running(kubectl.json("get", "pod", "same")), 30)
        found.append(kubectl.json("get", "pod", "same")["status"]["podIP"])
    assert len(set(found)) == 2
    other("delete", "pod", "same", "--wait=false")
    eventually(lambda: other.run("get", "pod", "same").returncode != 0, 30)
    assert running(shared_node.admin.json("get", "pod", "same"))


def _tenant(name: str) -> Any:
    return {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": name}, "spec": {"storageClusterId": "0"}}
