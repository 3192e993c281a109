"""Actions on real machines."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from conftest import eventually


def act(node: Any, pod: str, operation: str, **params: Any) -> str:
    """The name of the Action that was made."""
    body = json.dumps({"kind": "CustomAction", "apiVersion": "v1", "operation": operation, **params})
    path = f"/api/v1/namespaces/default/pods/{pod}/action"
    return str(json.loads(node.admin("create", "--raw", path, "-f", "-", input=body))["details"]["name"])


def result(node: Any, name: str, seconds: float = 120.0) -> Any:
    """The status of an Action, once it is over."""

    def over() -> Any:
        status = node.admin.json("get", "action", name).get("status") or {}
        return status if status.get("complete") else None

    return eventually(over, seconds, f"action {name} is over")


def done(node: Any, pod: str, operation: str, **params: Any) -> Any:
    status = result(node, act(node, pod, operation, **params))
    assert "error" not in status, status
    return status


@pytest.fixture(scope="module")
def machine(vm_node: Any) -> str:
    vm_node.machine("acted")
    vm_node.until_power("acted", "running")
    vm_node.until_said("acted", "GUEST-READY")
    return "acted"


def test_power(vm_node: Any, machine: str) -> None:
    assert done(vm_node, machine, "pause")["powerStatus"] == {"powerState": "paused"}
    paused = vm_node.until_power(machine, "paused")
    assert paused["spec"]["virtualMachine"]["powerSpec"] == "Paused"
    assert done(vm_node, machine, "resume")["powerStatus"] == {"powerState": "running"}
    vm_node.until_power(machine, "running")
    stopped = done(vm_node, machine, "stop", powerParams={"gracePeriodSeconds": 60})
    assert stopped["powerStatus"] == {"powerState": "shutdown"}
    assert vm_node.until_power(machine, "shutdown")["spec"]["nodeName"] == vm_node.name
    assert "GUEST-POWER-BUTTON" in vm_node.until_said(machine, "GUEST-POWER-BUTTON")
    boots = vm_node.until_said(machine, "GUEST-READY").count("GUEST-READY")
    done(vm_node, machine, "start")
    vm_node.until_power(machine, "running")
    vm_node.until_said(machine, "GUEST-READY", boots + 1)


def test_reboot_in_a_while_over_the_agents_end(vm_node: Any, machine: str) -> None:
    vm_node.until_power(machine, "running")
    boots = vm_node.until_said(machine, "GUEST-READY").count("GUEST-READY")
    name = act(vm_node, machine, "reboot", rebootParams={"delayInSeconds": 4})
    vm_node.kill("agent")
    assert not vm_node.admin.json("get", "action", name).get("status", {}).get("complete")
    vm_node.start_agent()
    assert result(vm_node, name)["rebootStatus"] == {"rebootSuccessful": True}
    vm_node.until_said(machine, "GUEST-READY", boots + 1)
    assert "Rebooted" in vm_node.reasons(machine)


def test_snapshots(vm_node: Any, machine: str) -> None:
    vm_node.until_power(machine, "running")
    assert done(vm_node, machine, "snapshot", snapshotParams={"snapshotName": "one"})["snapshotStatus"] == {
        "snapshotID": "one"
    }
    taken = vm_node.until(machine, lambda pod: pod["status"]["virtualMachineStatus"].get("snapshots"))
    (snapshot,) = taken["status"]["virtualMachineStatus"]["snapshots"]
    assert snapshot["name"] == "one" and snapshot["memory"] is True
    again = result(vm_node, act(vm_node, machine, "snapshot", snapshotParams={"snapshotName": "one"}))
    assert "one" in again["error"] and "snapshotStatus" not in again
    assert done(vm_node, machine, "restore", restoreParams={"snapshotID": "one"})["restoreStatus"] == {
        "restoreSuccessful": True
    }
    missing = result(vm_node, act(vm_node, machine, "restore", restoreParams={"snapshotID": "none"}))
    assert "none" in missing["error"]
    assert {"SnapshotCreated", "SnapshotRestored", "ActionFailed"} <= set(vm_node.reasons(machine))


def test_an_action_by_hand(vm_node: Any, machine: str) -> None:
    action = {
        "apiVersion": "v1",
        "kind": "Action",
        "metadata": {"name": "by-hand", "namespace": "default"},
        "spec": {"podName": machine, "rebootAction": {}},
    }
    vm_node.admin("create", "-f", "-", input=json.dumps(action))
    assert result(vm_node, "by-hand")["rebootStatus"] == {"rebootSuccessful": True}


def test_an_action_whose_pod_goes(vm_node: Any) -> None:
    vm_node.machine("going")
    vm_node.until_power("going", "running")
    name = act(vm_node, "going", "reboot", rebootParams={"delayInSeconds": 3})
    vm_node.admin("delete", "pod", "going", "--force", "--grace-period=0", "--wait=false")
    vm_node.gone("going")
    error = result(vm_node, name)["error"]
    assert "does not exist" in error or "is ending" in error


def test_a_deletion_calls_off_what_is_under_way(vm_node: Any) -> None:
    """A reboot of a guest that does not heed it takes a minute, which a deletion does not wait."""
    deaf = "sed -i '/ctrlaltdel/d' /etc/inittab; kill -HUP 1"
    vm_node.machine("deaf", cloudInitUserDataScript=deaf)
    vm_node.until_said("deaf", "GUEST-READY")
    name = act(vm_node, "deaf", "reboot")
    # From then on it is under way.
    eventually(lambda: list((vm_node.home / "agent" / "actions").glob("*.json")), 20, "an Action that was begun")
    began = time.monotonic()
    vm_node.admin("delete", "pod", "deaf", "--wait=false")
    assert "called off" in result(vm_node, name, 10)["error"]
    vm_node.gone("deaf")
    assert time.monotonic() - began < 30
    assert "ActionFailed" in vm_node.reasons("deaf")
