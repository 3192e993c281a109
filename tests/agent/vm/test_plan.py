"""The table of a machine's next step, and what its pod's status says."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from arktos.agent.pods.observed import NOTHING, Observed, Sandbox
from arktos.agent.pods.workload import Ended
from arktos.agent.spec.facts import ConfigError
from arktos.agent.vm.document import boot_data, boot_path, check_user_data, user_data
from arktos.agent.vm.machine import GUEST_SHUTDOWN, Machine, Power, Want
from arktos.agent.vm.plan import TABLE, Step, next_step
from arktos.agent.vm.status import PHASES, STATES, View, machine_pod_status


def pod(power: str = "Running", **machine: Any) -> Any:
    spec = {"name": "vm", "image": "h/x.qcow2", "powerSpec": power, **machine}
    return {"metadata": {"name": "p", "uid": "u", "generation": 3}, "spec": {"virtualMachine": spec}}


def test_the_table_is_complete() -> None:
    for want in Want:
        assert set(TABLE[want]) == set(Power)
    assert set(STATES) == set(PHASES) == set(Power)


@pytest.mark.parametrize(
    ("reason", "terminates", "step"),
    [
        ("Requested", False, Step.RUN),
        ("Requested", True, Step.RUN),
        (GUEST_SHUTDOWN, False, Step.NOTHING),
        (GUEST_SHUTDOWN, True, Step.SUCCEED),
    ],
)
def test_a_machine_that_stopped(reason: str, terminates: bool, step: Step) -> None:
    stopped = Machine("m", Power.STOPPED, reason)
    for want in (Want.RUNNING, Want.PAUSED):
        assert next_step(want, stopped, terminates=terminates, restart_policy="Always") is step
    for want in (Want.SHUTDOWN, Want.SUSPENDED):
        assert next_step(want, stopped, terminates=terminates, restart_policy="Always") is Step.NOTHING


@pytest.mark.parametrize(
    ("policy", "step"), [("Always", Step.RESTART), ("OnFailure", Step.RESTART), ("Never", Step.FAIL)]
)
def test_a_machine_that_crashed(policy: str, step: Step) -> None:
    crashed = Machine("m", Power.CRASHED, "Killed")
    assert next_step(Want.RUNNING, crashed, terminates=True, restart_policy=policy) is step
    assert next_step(Want.SHUTDOWN, crashed, terminates=True, restart_policy=policy) is Step.NOTHING


def test_every_want_is_reached_and_kept() -> None:
    """Whatever the state, doing the steps leads to what is wanted, and then nothing is done any more."""
    leads = {
        Step.CREATE: Power.CREATED,
        Step.RUN: Power.RUNNING,
        Step.RESTART: Power.RUNNING,
        Step.PAUSE: Power.PAUSED,
        Step.SUSPEND: Power.SUSPENDED,
        Step.STOP: Power.STOPPED,
    }
    ends = {Want.RUNNING: Power.RUNNING, Want.PAUSED: Power.PAUSED}
    for want in Want:
        for power in Power:
            at: Machine | None = None if power is Power.NONE else Machine("m", power, "Requested")
            for _ in range(4):
                step = next_step(want, at, terminates=False, restart_policy="Always")
                if step is Step.NOTHING:
                    break
                at = Machine("m", leads[step], "Requested")
            else:
                pytest.fail(f"{want} from {power} has no end")
            if want in ends:
                assert at is not None and at.power is ends[want]
            else:
                assert at is None or at.power not in (Power.RUNNING, Power.PAUSED)


def told(document: Any, machine: Machine | None, ended: Ended | None = None, **view: Any) -> Any:
    room = Observed((Sandbox("s", 0, True, 0.0, ("10.1.2.3",)),)) if machine else NOTHING
    return machine_pod_status(
        View(document, machine, room, **view), host_ips=("192.0.2.1",), now=1_700_000_000, ended=ended
    )


def condition(status: Any, kind: str) -> tuple[str, str]:
    found = next(each for each in status["conditions"] if each["type"] == kind)
    return found["status"], found.get("reason", "")


def test_status_of_a_running_machine() -> None:
    status = told(pod(), Machine("m1", Power.RUNNING, starts=3))
    assert status["phase"] == "Running" and status["podIP"] == "10.1.2.3" and status["observedGeneration"] == 3
    assert status["virtualMachineStatus"] == {
        "name": "vm",
        "image": "h/x.qcow2",
        "virtualMachineId": "m1",
        "restartCount": 2,
        "state": "active",
        "powerState": "running",
        "ready": True,
    }
    assert {each["type"] for each in status["conditions"]} == {"VirtualMachineReady", "Ready", "PodScheduled"}
    assert condition(status, "Ready") == condition(status, "VirtualMachineReady") == ("True", "")


def test_a_stopped_machine_keeps_its_place() -> None:
    status = told(pod("Shutdown"), Machine("m", Power.STOPPED, "Requested"))
    assert status["phase"] == "NoSchedule" and status["podIP"] == "10.1.2.3" and status["hostIP"] == "192.0.2.1"
    found = status["virtualMachineStatus"]
    assert (found["state"], found["powerState"], found["ready"]) == ("stopped", "shutdown", False)
    assert condition(status, "Ready") == ("False", "VirtualMachineShutdown")
    assert status["reason"] == "Requested" and found["lastTerminationState"] == "Requested"


def test_before_there_is_a_machine() -> None:
    waiting = told(pod(), None, waiting=("ErrImagePull", "no such file"))
    assert waiting["phase"] == "Pending" and waiting["reason"] == "ErrImagePull"
    assert condition(waiting, "VirtualMachineReady") == ("False", "UnknownVirtualMachineStatus")
    assert told(pod("Shutdown"), None)["phase"] == "NoSchedule"


@pytest.mark.parametrize(
    ("machine", "failed", "phase"),
    [
        (Machine("m", Power.RUNNING), False, "Running"),
        (Machine("m", Power.STOPPED, GUEST_SHUTDOWN), False, "Succeeded"),
        (Machine("m", Power.CRASHED, "Killed"), True, "Failed"),
        (None, False, "Succeeded"),
    ],
)
def test_the_end(machine: Machine | None, failed: bool, phase: str) -> None:
    assert told(pod(), machine, Ended(), failed=failed)["phase"] == phase
    evicted = told(pod(), machine, Ended("Failed", "Evicted", "too much"))
    assert evicted["phase"] == ("Running" if phase == "Running" else "Failed") and evicted["reason"] == "Evicted"
    done = pod()
    done["status"] = {"phase": "Succeeded"}
    assert told(done, Machine("m", Power.RUNNING))["phase"] == "Succeeded"


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "content", [b"#cloud-config\nhostname: a\n", b"#!/bin/sh\necho\n", b"Content-Type: multipart/x\n"]
)
def test_user_data_is_encoded_once_or_twice(content: bytes, times: int) -> None:
    text = content
    for _ in range(times):
        text = base64.b64encode(text)
    assert user_data({"userData": text.decode()}) == content


@pytest.mark.parametrize("content", [b"", b"aGVsbG8=", b"plain words", b"\xff\x00"])
def test_user_data_that_is_something_else_stays_as_it_is(content: bytes) -> None:
    assert user_data({"userData": base64.b64encode(content).decode()}) == content


def test_boot_data() -> None:
    document = pod(publicKey="ssh-ed25519 AAAA me\n", cloudInitUserDataScript="echo", userData="IyEK")
    document["metadata"]["annotations"] = {"arktos.io/root-size": "4Gi"}
    assert json.loads(boot_data(document, "web")) == {
        "userData": "IyEK",
        "script": "echo",
        "sshKeys": ["ssh-ed25519 AAAA me"],
        "hostname": "web",
        "instanceId": "u",
        "bootVolume": "",
        "rootSize": "4Gi",
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("#cloud-config\nruncmd: [echo\n", "not YAML: yaml: "),
        ("#cloud-config\n- echo\n", "not a YAML mapping"),
        ("#cloud-config\na: \xff", "not YAML"),
        ("#cloud-config\nruncmd:\n  - echo\n", ""),
        ("#cloud-config\n", ""),
        ("#cloud-config-archive\n- {type: text/x}\n", ""),
        ("## template: jinja\n#cloud-config\n{% if x %}", ""),
        ("#!/bin/sh\n: [", ""),
    ],
)
def test_cloud_config_that_is_none(content: str, said: str) -> None:
    machine = {"userData": base64.b64encode(content.encode("latin1")).decode()}
    if not said:
        check_user_data(machine)
        return
    with pytest.raises(ConfigError) as caught:
        check_user_data(machine)
    assert caught.value.reason == "InvalidUserData" and said in caught.value.message


def test_the_volume_to_boot_from() -> None:
    machine = {
        "bootVolume": "disk",
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "disk", "mountPath": "disk"}],
    }
    assert boot_path({}) == "" and boot_path(machine) == "/disk"
    assert boot_path({**machine, "volumeDevices": [{"name": "disk", "devicePath": "/dev/x"}]}) == "/dev/x"
    with pytest.raises(ConfigError, match='bootVolume: "other" is in neither') as caught:
        boot_path({**machine, "bootVolume": "other"})
    assert caught.value.reason == "InvalidBootVolume"
