"""Other CPUs and memory for a machine: what is done, and what its pod says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from arktos.agent.vm.machine import Machine, Power
from arktos.agent.vm.resizing import is_due, verdicts
from arktos.rpc import vm
from arktos.rpc.method import call, connect
from arktos.rpc.protos import cri_pb2 as pb
from arktos.rpc.protos import vm_pb2
from conftest import eventually

GIVEN = pb.LinuxContainerResources(
    cpu_quota=100_000, cpu_period=100_000, cpu_shares=1024, memory_limit_in_bytes=1 << 30
)


def test_when_it_is_due() -> None:
    assert not is_due(GIVEN, None) and not is_due(GIVEN, GIVEN)
    more = pb.LinuxContainerResources()
    more.CopyFrom(GIVEN)
    more.oom_score_adj = 7
    assert not is_due(more, GIVEN)
    more.cpu_quota = 200_000
    assert is_due(more, GIVEN)


def test_what_the_conditions_say() -> None:
    machine = Machine("m", Power.RUNNING, cpus=1, memory=1 << 30)
    assert verdicts(machine, GIVEN, None) == verdicts(None, None, None) == {}
    assert verdicts(machine, GIVEN, ("Infeasible", "too much")) == {
        "PodResizePending": ("True", "Infeasible", "too much")
    }
    waiting = Machine("m", Power.RUNNING, memory=1 << 30, resize_pending="later")
    assert verdicts(waiting, GIVEN, None) == {
        "PodResizePending": ("True", "Deferred", "The virtual machine runs: later")
    }
    taking = Machine("m", Power.RUNNING, memory=1 << 29)
    assert verdicts(taking, GIVEN, None) == {"PodResizeInProgress": ("True", "", "")}


def condition(pod: Any, kind: str) -> Any:
    return next((each for each in pod["status"]["conditions"] if each["type"] == kind), None)


def resize(node: Any, name: str, cpu: str, memory: str) -> None:
    """By the subresource, as kubectl does it from 1.32 on."""
    pod = node.pod(name)
    pod["spec"]["virtualMachine"]["resources"] = {"limits": {"cpu": cpu, "memory": memory}}
    node.admin("replace", "--raw", f"/api/v1/namespaces/default/pods/{name}/resize", "-f", "-", input=json.dumps(pod))


def has(node: Any, name: str) -> tuple[int, int]:
    """vCPUs and MiB of a machine, as its runtime tells."""
    uid = node.pod(name)["metadata"]["uid"]

    async def ask() -> Any:
        channel = connect(str(node.home / "vm.sock"))
        try:
            return await call(channel, vm.LIST, vm_pb2.ListRequest(), within=30)
        finally:
            await channel.close()

    (found,) = [each for each in asyncio.run(ask()).machines if each.pod_uid == uid]
    return found.cpus, found.memory_bytes >> 20


def test_a_pod_is_resized(vm_node: Any) -> None:
    vm_node.machine("grows", resources={"limits": {"cpu": "1", "memory": "1Gi"}})
    vm_node.until_power("grows", "running")
    vm_node.until_said("grows", "GUEST-READY")
    resize(vm_node, "grows", "1", "1224Mi")
    eventually(lambda: has(vm_node, "grows") == (1, 1224), 30, "more memory")
    grown = vm_node.until("grows", lambda pod: not condition(pod, "PodResizeInProgress"))
    assert not condition(grown, "PodResizePending") and "Resized" in vm_node.reasons("grows")

    def pending(reason: str, message: str) -> Any:
        def look(pod: Any) -> bool:
            found = condition(pod, "PodResizePending") or {}
            return found.get("reason") == reason and message in found["message"]

        return vm_node.until("grows", look, 30)

    resize(vm_node, "grows", "1", "4000Gi")
    pending("Infeasible", "Node didn't have enough capacity: memory")
    resize(vm_node, "grows", "2", "1100Mi")
    waiting = pending("Deferred", "an emulated machine has 2 instead of 1 vCPUs when it is started next")
    assert has(vm_node, "grows") == (1, 1224) and waiting["status"]["phase"] == "Running"
    vm_node.power("grows", "Shutdown")
    vm_node.until_power("grows", "shutdown")
    vm_node.power("grows", "Running")
    vm_node.until_power("grows", "running")
    assert has(vm_node, "grows") == (2, 1100)
    vm_node.until("grows", lambda pod: not condition(pod, "PodResizePending"))
    vm_node.admin("delete", "pod", "grows", "--grace-period=1", "--wait=false")
    vm_node.gone("grows")
