"""Machines of a node that starts anew: what ran runs again, what was stopped can be started."""

from __future__ import annotations

import base64
import os
import signal
from typing import Any

from arktos.hostnet import netns
from conftest import eventually


def machine(pod: Any) -> Any:
    return pod["status"]["virtualMachineStatus"]


def restart_host(node: Any) -> None:
    """Ends what a host's end ends, and starts the node again."""
    node.kill("agent")
    node.kill("runtime")
    for pid in node.qemus().values():
        os.kill(pid, signal.SIGKILL)
    for path in (node.home / "vm" / "sandboxes").glob("*/"):
        netns.remove(netns.FOLDER / f"arktos-vm-{path.name}")
    eventually(lambda: not node.qemus(), 20, "no process is left")
    node.start_runtime()
    node.start_agent()


def test_machines_are_back_after_the_node_has_started_anew(vm_node: Any) -> None:
    vm_node.machine("ran", userData=base64.b64encode(b"#!/bin/sh\nsync\n").decode())
    vm_node.machine("stopped")
    before = vm_node.until_power("ran", "running")
    vm_node.until_power("stopped", "running")
    vm_node.power("stopped", "Shutdown")
    vm_node.until_said("ran", "GUEST-READY")
    vm_node.until_power("stopped", "shutdown")
    restart_host(vm_node)

    after = vm_node.until("ran", lambda pod: machine(pod).get("restartCount") == 1 and machine(pod)["ready"])
    assert machine(after)["virtualMachineId"] == machine(before)["virtualMachineId"]
    assert after["status"]["podIP"] == before["status"]["podIP"]
    said = vm_node.until_said("ran", "boot=2")
    assert f"boot=2 ip={after['status']['podIP']}/" in said
    assert machine(vm_node.pod("stopped"))["powerState"] == "shutdown"
    vm_node.power("stopped", "Running")
    vm_node.until_power("stopped", "running")
    assert "Crashed" in vm_node.reasons("ran")
    for name in ("ran", "stopped"):
        vm_node.admin("delete", "pod", name, "--force", "--grace-period=0")
        vm_node.gone(name)
