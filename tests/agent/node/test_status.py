"""What a node says of itself: capacity, conditions, and the patch that tells the difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from arktos.agent.node import status as statuses
from arktos.agent.node.conditions import RuntimeState, conditions, timed
from arktos.agent.node.machine import Filesystem, Machine, parse_cpu_list, parse_os_release, read
from arktos.agent.node.options import NodeOptions, parse_labels, parse_taints
from arktos.agent.node.registration import new_node
from arktos.agent.node.runtime_health import problems
from arktos.agent.node.status import NodeFacts
from arktos.model.kinds import Obj
from arktos.model.quantity import parse
from arktos.rpc.protos import cri_pb2 as pb

GIB = 1 << 30
MACHINE = Machine("host", 4, 8 * GIB, 0, {2048: 512, 1048576: 0}, "m", "u", "boot", "6.1", "Debian", "amd64")
DISK = Filesystem(100 * GIB, 60 * GIB, 40 * GIB, 1000, 900)
OPTIONS = NodeOptions("n1", "10.0.0.1", Path("/data"), Path("/logs"), labels={"zone": "a"})
WELL = RuntimeState("containerd", "container", (), "containerd://1.6.20", ({"name": "runc"},))
ILL = RuntimeState("vm", "vm", ("container runtime is down: UNAVAILABLE",))
NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z"


def facts(*states: RuntimeState, pressures: frozenset[str] = frozenset()) -> NodeFacts:
    return NodeFacts(MACHINE, DISK, states or (WELL,), pressures, [(("a@sha256:1", "a:1"), 10), (("b:1",), 20)])


def by_type(found: list[Obj]) -> dict[str, Obj]:
    return {condition["type"]: condition for condition in found}


def test_capacity_and_allocatable() -> None:
    made = statuses.status(facts(), OPTIONS, {}, NOW)
    assert made["capacity"] == {
        "cpu": "4",
        "ephemeral-storage": "100Gi",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "1Gi",
        "memory": "8Gi",
        "pods": "110",
    }
    left = {name: parse(text).value for name, text in made["allocatable"].items()}
    assert left["memory"] == 7 * GIB - (100 << 20)
    assert left["ephemeral-storage"] == 90 * GIB
    assert (left["cpu"], left["pods"], left["hugepages-2Mi"]) == (4, 110, GIB)


def test_reserved_resources_are_not_allocatable() -> None:
    options = replace(OPTIONS, reserved={"cpu": 500, "memory": GIB, "ephemeral-storage": GIB})
    left = statuses.allocatable(facts(), options)
    assert left["cpu"] == "3500m" and parse(left["memory"]).value == 6 * GIB - (100 << 20)
    assert parse(left["ephemeral-storage"]).value == 89 * GIB
    assert statuses.allocatable(facts(), replace(OPTIONS, reserved={"memory": 99 * GIB}))["memory"] == "0"


def test_the_rest_of_the_status() -> None:
    made = statuses.status(facts(), OPTIONS, {}, NOW)
    assert made["addresses"] == [
        {"type": "InternalIP", "address": "10.0.0.1"},
        {"type": "Hostname", "address": "n1"},
    ]
    assert made["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    assert made["nodeInfo"]["containerRuntimeVersion"] == "containerd://1.6.20"
    assert made["nodeInfo"]["kubeletVersion"].startswith("v1.36.0")
    assert [image["names"][0] for image in made["images"]] == ["b:1", "a@sha256:1"]
    assert made["runtimeHandlers"] == [{"name": "runc"}]


def test_at_most_fifty_images_the_largest() -> None:
    found = statuses.images([((f"i:{n}",), n) for n in range(80)], 50)
    assert [image["sizeBytes"] for image in found] == list(range(79, 29, -1))
    assert len(statuses.images([(tuple(f"i:{n}" for n in range(9)), 1)], 50)[0]["names"]) == 5


def test_one_ready_runtime_of_any_type_makes_a_node_ready() -> None:
    found = by_type(conditions([WELL, ILL], ()))
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("True", "KubeletReady")
    assert found["Ready"]["message"] == "kubelet is posting ready status"
    assert found["ContainerRuntimeReady"]["status"] == "True"
    assert found["VmRuntimeReady"]["status"] == "False"
    assert "UNAVAILABLE" in found["VmRuntimeReady"]["message"]


def test_no_ready_runtime_makes_a_node_not_ready_and_says_why() -> None:
    network = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no cni"
    found = by_type(conditions([replace(WELL, problems=(network,)), ILL], ()))
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "KubeletNotReady")
    assert found["Ready"]["message"] == f"[containerd: {network}, vm: container runtime is down: UNAVAILABLE]"
    assert by_type(conditions([replace(WELL, problems=(network,))], ()))["Ready"]["message"] == network
    alone = by_type(conditions([WELL], ()))
    assert alone["VmRuntimeReady"]["message"] == "this node has no VM runtime"


def test_what_the_capacity_lacks() -> None:
    ready = by_type(conditions([WELL], (), ["cpu"]))["Ready"]
    assert ready["message"] == "missing node capacity for resources: cpu"


@pytest.mark.parametrize(
    ("pressure", "reason", "message"),
    [
        ("MemoryPressure", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("DiskPressure", "KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("PIDPressure", "KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ],
)
def test_pressures(pressure: str, reason: str, message: str) -> None:
    under = by_type(conditions([WELL], {pressure}))[pressure]
    assert (under["status"], under["reason"], under["message"]) == ("True", reason, message)
    assert by_type(conditions([WELL], ()))[pressure]["status"] == "False"


def test_a_transition_is_when_the_status_changes_and_only_then() -> None:
    first = timed(conditions([WELL], ()), [], NOW)
    assert {c["lastTransitionTime"] for c in first} == {NOW}
    second = timed(conditions([WELL], {"MemoryPressure"}), first, LATER)
    changed = {c["type"] for c in second if c["lastTransitionTime"] == LATER}
    assert changed == {"MemoryPressure"}
    assert {c["lastHeartbeatTime"] for c in second} == {LATER}


def test_a_heartbeat_is_no_change() -> None:
    first = statuses.status(facts(), OPTIONS, {}, NOW)
    assert statuses.is_change(first, {})
    second = statuses.status(facts(), OPTIONS, first, LATER)
    assert not statuses.is_change(second, first)
    assert statuses.patch(second, first, "u") == {
        "metadata": {"uid": "u"},
        "status": {"conditions": second["conditions"]},
    }


def test_what_others_put_into_the_status_is_left_alone() -> None:
    first = statuses.status(facts(), OPTIONS, {}, NOW)
    first["capacity"].update({"example.com/gpu": "2", "hugepages-32Mi": "0"})
    first["images"] = [{"names": ["b:1"], "sizeBytes": 20}]
    second = statuses.status(facts(), OPTIONS, first, LATER)
    change = statuses.patch(second, first, "u")["status"]
    assert change["capacity"] == {"hugepages-32Mi": None}
    assert "allocatable" not in change and "nodeInfo" not in change
    assert change["images"] == second["images"]


def test_an_address_replaces_the_one_before() -> None:
    first = statuses.status(facts(), OPTIONS, {}, NOW)
    second = statuses.status(facts(), replace(OPTIONS, node_ip="10.0.0.2"), first, NOW)
    change = statuses.patch(second, first, "u")["status"]["addresses"]
    assert change[0] == {"$patch": "replace"} and change[1]["address"] == "10.0.0.2"


def test_a_new_node() -> None:
    options = replace(OPTIONS, taints=parse_taints("dedicated=db:NoSchedule,x:NoExecute"))
    node = new_node(MACHINE, options, statuses.status(facts(), options, {}, NOW))
    assert node["spec"]["taints"] == [
        {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
        {"key": "x", "effect": "NoExecute"},
    ]
    labels = node["metadata"]["labels"]
    assert labels["kubernetes.io/hostname"] == "n1" and labels["kubernetes.io/arch"] == "amd64"
    assert labels["kubernetes.io/os"] == "linux" and labels["zone"] == "a"


@pytest.mark.parametrize("text", ["x", "a=b", "a:Never", ":NoSchedule"])
def test_malformed_taints(text: str) -> None:
    with pytest.raises(ValueError, match="malformed taint"):
        parse_taints(text)


def test_labels_of_a_flag() -> None:
    assert parse_labels("a=b, c=,") == {"a": "b", "c": ""}
    with pytest.raises(ValueError, match="malformed label 'x'"):
        parse_labels("a=b,x")


def test_problems_of_a_runtime_in_kubelets_words() -> None:
    def condition(name: str, status: bool, reason: str = "", message: str = "") -> pb.RuntimeCondition:
        return pb.RuntimeCondition(type=name, status=status, reason=reason, message=message)

    assert problems([condition("RuntimeReady", True), condition("NetworkReady", True)]) == ()
    assert problems([condition("RuntimeReady", True), condition("NetworkReady", False, "NoPlugin", "none")]) == (
        "container runtime network not ready: NetworkReady=false reason:NoPlugin message:none",
    )
    assert problems([condition("NetworkReady", True)]) == (
        "container runtime not ready: condition RuntimeReady is not set",
    )


def test_os_release_and_cpu_lists() -> None:
    assert parse_os_release('# x\nNAME="A B"\nPRETTY_NAME="Debian GNU/Linux 12"\n') == "Debian GNU/Linux 12"
    assert parse_os_release("NAME=Tiny\nVERSION='1 2'\n") == "Tiny 1 2"
    assert parse_os_release("") == "Unknown"
    assert [parse_cpu_list(text) for text in ("0", "0-3", "0-3,8,10-11\n")] == [1, 4, 7]


def test_this_machine() -> None:
    machine = read()
    assert machine.cpus >= 1 and machine.memory > 1 << 20
    assert machine.boot_id and machine.kernel and machine.architecture and machine.system_uuid
