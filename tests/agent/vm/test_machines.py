"""Pods that are virtual machines, on a real VM runtime, from their creation to their end."""

from __future__ import annotations

import base64
import os
import signal
from typing import Any


def machine(pod: Any) -> Any:
    return pod["status"]["virtualMachineStatus"]


def test_power_follows_the_spec(vm_node: Any) -> None:
    script = base64.b64encode(b"#!/bin/sh\necho USER-DATA-RAN\n").decode()
    created = vm_node.machine("power", userData=base64.b64encode(script.encode()).decode())
    pod = vm_node.until_power("power", "running")
    assert pod["status"]["phase"] == "Running" and pod["status"]["podIP"].startswith(
        vm_node.subnet.removesuffix("0/24")
    )
    said = vm_node.until_said("power", "GUEST-READY")
    assert "USER-DATA-RAN" in said and "host=power" in said
    vm_node.power("power", "Paused")
    assert vm_node.until_power("power", "paused")["status"]["phase"] == "Running"
    vm_node.power("power", "Suspended")
    assert vm_node.until_power("power", "suspended")["status"]["phase"] == "NoSchedule"
    assert not vm_node.qemus()
    vm_node.power("power", "Running")
    vm_node.until_power("power", "running")
    vm_node.power("power", "Shutdown")
    stopped = vm_node.until_power("power", "shutdown")
    assert stopped["status"]["phase"] == "NoSchedule" and stopped["spec"]["nodeName"] == vm_node.name
    assert vm_node.admin("get", "pod", "power", "--no-headers").split()[2] == "Stopped"
    vm_node.power("power", "Running")
    again = vm_node.until_power("power", "running")
    assert machine(again)["virtualMachineId"] == machine(pod)["virtualMachineId"]
    assert again["metadata"]["uid"] == created["metadata"]["uid"]
    # The disk was kept: the guest counts its boots on it.
    assert "boot=2" in vm_node.until_said("power", "GUEST-READY", times=2)
    reasons = vm_node.reasons("power")
    assert {"Pulled", "Created", "Started", "Paused", "Suspended", "Resumed", "Stopping"} <= set(reasons)
    vm_node.admin("delete", "pod", "power", "--wait=false")
    vm_node.gone("power")
    assert not list((vm_node.home / "vm" / "machines").iterdir())
    assert not list((vm_node.home / "pods").glob("*_power_*"))


def test_a_crashed_machine_is_started_again_and_agents_come_and_go(vm_node: Any) -> None:
    vm_node.machine("crash")
    before = vm_node.until_power("crash", "running")
    vm_node.kill("agent")
    vm_node.kill("runtime")
    vm_node.start_runtime()
    vm_node.start_agent()
    after = vm_node.until_power("crash", "running")
    assert machine(after)["restartCount"] == machine(before)["restartCount"] == 0
    (pid,) = vm_node.qemus().values()
    os.kill(pid, signal.SIGKILL)
    restarted = vm_node.until("crash", lambda pod: machine(pod).get("restartCount") == 1 and machine(pod)["ready"])
    assert "Killed" in machine(restarted)["lastTerminationState"]
    assert "Crashed" in vm_node.reasons("crash")
    vm_node.admin("delete", "pod", "crash", "--force", "--grace-period=0")
    vm_node.gone("crash")


def test_guests_that_power_off(vm_node: Any) -> None:
    off = base64.b64encode(b"#!/bin/sh\npoweroff\n").decode()
    vm_node.machine("stays", userData=off)
    stays = vm_node.until_power("stays", "shutdown")
    assert stays["status"]["reason"] == "GuestShutdown" and stays["status"]["phase"] == "NoSchedule"
    vm_node.machine("goes", userData=off, shutdownBehavior="terminate")
    vm_node.gone("goes")
    assert machine(vm_node.pod("stays"))["powerState"] == "shutdown"
    vm_node.admin("delete", "pod", "stays", "--wait=false")
    vm_node.gone("stays")


def test_an_image_that_is_not_there(vm_node: Any) -> None:
    vm_node.machine("imageless", image=f"file://{vm_node.image.parent}/none.qcow2")
    pod = vm_node.until("imageless", lambda pod: pod["status"].get("reason") in ("ErrImagePull", "ImagePullBackOff"))
    assert pod["status"]["phase"] == "Pending" and "there is no file" in pod["status"]["message"]
    vm_node.admin("delete", "pod", "imageless", "--wait=false")
    vm_node.gone("imageless")
