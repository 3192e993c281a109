"""The status of a pod, from what was seen of it."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.agent.pods.container_status import Views
from arktos.agent.pods.observed import Container, Observed, Sandbox, State
from arktos.agent.pods.plan import Waiting
from arktos.agent.pods.status import merged, pod_status
from arktos.agent.pods.status_writer import patch_of
from arktos.agent.pods.table import PodRecord, Pods
from arktos.agent.pods.workload import Ended
from arktos.model import schema
from arktos.model.patch_strategic import apply

SANDBOX = Sandbox("s0", 0, True, 1.0, ("10.0.0.1",))
NOW = 1_700_000_000.0
STAMP = "2023-11-14T22:13:20Z"


def document(*names: str, status: Any = None, **spec: Any) -> Any:
    containers = [{"name": name, "image": "i"} for name in names or ("main",)]
    return {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 3},
        "spec": {"containers": containers, **spec},
        "status": status or {},
    }


def seen(name: str, state: State, code: int = 0, attempt: int = 0) -> Container:
    return Container(
        f"{name}{attempt}", name, attempt, "s0", state, 1.0, 2.0, 3.0 if state is State.EXITED else 0.0, code, image="i"
    )


def status(pod: Any, *containers: Container, ended: Ended | None = None, **more: Any) -> Any:
    observed = Observed((SANDBOX,), tuple(sorted(containers, key=lambda each: -each.attempt)))
    views = Views(pod, observed, ending=ended is not None, **more)
    return pod_status(views, host_ips=("192.0.2.1",), now=NOW, ended=ended)


def verdicts(found: Any) -> dict[str, tuple[str, str, str]]:
    return {
        each["type"]: (each["status"], each.get("reason", ""), each.get("message", "")) for each in found["conditions"]
    }


def test_fresh_pod_is_pending() -> None:
    views = Views(document("b", "a"), Observed())
    found = pod_status(views, host_ips=("192.0.2.1",), now=NOW)
    assert found["phase"] == "Pending"
    assert found["startTime"] == STAMP
    assert [each["name"] for each in found["containerStatuses"]] == ["a", "b"]
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert verdicts(found) == {
        "PodReadyToStartContainers": ("False", "", ""),
        "Initialized": ("True", "", ""),
        "Ready": ("False", "ContainersNotReady", "containers with unready status: [b a]"),
        "ContainersReady": ("False", "ContainersNotReady", "containers with unready status: [b a]"),
        "PodScheduled": ("True", "", ""),
    }
    assert "podIP" not in found


def test_running_pod() -> None:
    found = status(document(), seen("main", State.RUNNING))
    assert (found["phase"], found["podIP"], found["observedGeneration"]) == ("Running", "10.0.0.1", 3)
    assert found["containerStatuses"][0] == {
        "name": "main",
        "state": {"running": {"startedAt": "1970-01-01T00:00:02Z"}},
        "lastState": {},
        "ready": True,
        "restartCount": 0,
        "image": "i",
        "imageID": "",
        "containerID": "containerd://main0",
        "started": True,
    }
    assert verdicts(found)["Ready"] == ("True", "", "")


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 1), "Running"),
        ("Always", (0, 0), "Running"),
    ],
)
def test_phase_of_what_has_ended(policy: str, codes: tuple[int, int], phase: str) -> None:
    containers = [seen(name, State.EXITED, code) for name, code in zip("ab", codes, strict=True)]
    assert status(document("a", "b", restartPolicy=policy), *containers)["phase"] == phase


def test_no_end_while_something_runs() -> None:
    side = {"name": "side", "image": "i", "restartPolicy": "Always"}
    pod = document(restartPolicy="Never", initContainers=[side], status={"phase": "Running"})
    main, sidecar = seen("main", State.EXITED), seen("side", State.RUNNING)
    assert status(pod, main, sidecar)["phase"] == "Running"
    assert status(pod, main, seen("side", State.EXITED, 143), ended=Ended())["phase"] == "Succeeded"


def test_an_end_is_final() -> None:
    pod = document(status={"phase": "Failed", "reason": "Evicted", "message": "why"})
    found = status(pod, seen("main", State.RUNNING))
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "Evicted", "why")


def test_crash_loop_shows_the_last_end() -> None:
    waiting = {"main": Waiting("CrashLoopBackOff", "back-off")}
    found = status(document(), seen("main", State.EXITED, 7, 2), waiting=waiting)
    one = found["containerStatuses"][0]
    assert one["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    assert (one["lastState"]["terminated"]["exitCode"], one["restartCount"]) == (7, 2)
    assert found["phase"] == "Running"


def test_init_containers_hold_the_pod_pending() -> None:
    pod = document(initContainers=[{"name": "i1", "image": "i"}, {"name": "i2", "image": "i"}])
    found = status(pod, seen("i1", State.RUNNING))
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    said = "containers with incomplete status: [i1 i2]"
    assert verdicts(found)["Initialized"] == ("False", "ContainersNotInitialized", said)


def test_readiness_gates() -> None:
    gates = [{"conditionType": "a.io/x"}, {"conditionType": "a.io/y"}]
    before = {"conditions": [{"type": "a.io/y", "status": "False"}]}
    found = status(document(readinessGates=gates, status=before), seen("main", State.RUNNING))
    assert verdicts(found)["Ready"] == (
        "False",
        "ReadinessGatesNotReady",
        'corresponding condition of pod readiness gate "a.io/x" does not exist., '
        'the status of pod readiness gate "a.io/y" is not "True", but False',
    )
    assert verdicts(found)["ContainersReady"][0] == "True"


def test_transitions_keep_their_time() -> None:
    before = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}
    found = status(document(status=before), seen("main", State.RUNNING))
    times = {each["type"]: each["lastTransitionTime"] for each in found["conditions"]}
    assert (times["Ready"], times["ContainersReady"]) == ("2020-01-01T00:00:00Z", STAMP)


def test_probes_decide_readiness() -> None:
    pod = document()
    pod["spec"]["containers"][0] |= {"readinessProbe": {"exec": {}}, "startupProbe": {"exec": {}}}
    one = status(pod, seen("main", State.RUNNING))["containerStatuses"][0]
    assert (one["started"], one["ready"]) == (False, False)
    results = {("main0", "startupProbe"): True, ("main0", "readinessProbe"): True}
    one = status(pod, seen("main", State.RUNNING), results=results)["containerStatuses"][0]
    assert (one["started"], one["ready"]) == (True, True)


def test_container_that_vanished() -> None:
    before = {"containerStatuses": [{"name": "main", "state": {"running": {}}, "restartCount": 1, "lastState": {}}]}
    one = status(document(status=before))["containerStatuses"][0]
    assert one["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert (one["restartCount"], one["lastState"]["terminated"]["exitCode"]) == (2, 137)


def test_patch_leaves_what_is_others() -> None:
    pod_schema = schema.named("io.k8s.api.core.v1.Pod")
    there = {
        "qosClass": "Burstable",
        "reason": "old",
        "podIPs": [{"ip": "10.9.9.9"}],
        "conditions": [
            {"type": "a.io/x", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "why"},
            {"type": "PodResizePending", "status": "True"},
        ],
    }
    found = status(document(), seen("main", State.RUNNING))
    patched = apply(pod_schema, {"status": there}, {"status": patch_of(there, found)})["status"]
    assert patched["qosClass"] == "Burstable"
    assert "reason" not in patched
    assert patched["podIPs"] == [{"ip": "10.0.0.1"}]
    kinds = {each["type"]: each for each in patched["conditions"]}
    assert kinds["a.io/x"]["status"] == "True"
    assert "PodResizePending" not in kinds
    assert kinds["Ready"]["status"] == "True"
    assert not kinds["Ready"].get("reason")


def test_merged_is_ours_over_theirs() -> None:
    record = PodRecord(document(status={"qosClass": "Burstable", "conditions": [{"type": "x", "status": "True"}]}))
    record.status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    told = merged(record)["status"]
    assert (told["qosClass"], told["phase"]) == ("Burstable", "Running")
    assert [each["type"] for each in told["conditions"]] == ["Ready", "x"]


def test_table_knows_pods_by_uid_and_name() -> None:
    pods = Pods()

    def put(uid: str, **meta: Any) -> PodRecord:
        return pods.put({"metadata": {"uid": uid, "name": "p", "namespace": "n", "tenant": "t", **meta}, "spec": {}})

    elder = put("u1")
    put("u1", deletionTimestamp="x")
    younger = put("u2")
    put("u1", deletionTimestamp="x", generation=2)
    assert pods.find("t", "n", "p") is younger
    younger.observed = Observed((SANDBOX,), (seen("main", State.RUNNING),))
    assert pods.by_container("main0") is younger
    assert pods.by_container("s0") is younger
    assert younger.container_id("main") == "main0"
    pods.forget("u2")
    assert pods.get("u1") is elder
    assert pods.find("t", "n", "p") is None
