"""The life of hollow pods, on a clock of the test's own."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.hollow import statuses, view
from arktos.hollow.addresses import Addresses
from arktos.hollow.machine import Machine, Write
from arktos.hollow.options import Behaviour, Fleet, Latency, NodeShape
from arktos.hollow.record import Record
from arktos.hollow.stages import FINISHED, TRANSITIONS, Event, Stage

FLEET = Fleet(10, shape=NodeShape(pods=3))
QUICK = Behaviour(Latency(1.0), Latency(5.0), Latency(0.5), 0.0, 10.0)
NOW = 1_700_000_000.0
VM = {"name": "vm", "image": "cirros", "powerSpec": "Running"}


class Bench:
    """A machine with a server: what is written comes back as the watch would tell it."""

    def __init__(self, behaviour: Behaviour = QUICK, fleet: Fleet = FLEET) -> None:
        self.fleet, self.now = fleet, NOW
        self.machine = Machine(fleet, behaviour, random.Random(7))
        self.pods: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []

    def add(self, name: str = "p", node: int = 0, **spec: Any) -> None:
        containers = [] if "virtualMachine" in spec else [{"name": "b", "image": "i:1"}, {"name": "a", "image": "i:2"}]
        meta = {"name": name, "namespace": "ns", "tenant": "acme", "uid": f"uid-{name}", "generation": 1}
        spec = {"nodeName": self.fleet.name(node), "containers": containers, **spec}
        self.pods[name] = {"metadata": meta, "spec": spec, "status": {"phase": "Pending"}}
        self.tell(name)

    def change(self, name: str, **spec: Any) -> None:
        self.pods[name]["spec"].update(spec)
        self.pods[name]["metadata"]["generation"] += 1
        self.tell(name)

    def end(self, name: str, grace: int = 30) -> None:
        self.pods[name]["metadata"] |= {
            "deletionTimestamp": "2023-01-01T00:00:00Z",
            "deletionGracePeriodSeconds": grace,
        }
        self.tell(name)

    def tell(self, name: str) -> None:
        self.machine.seen(view.decode(msgspec.json.encode(self.pods[name])), self.now)

    def write(self) -> list[tuple[str, Write]]:
        done = []
        while self.machine.outbox:
            record = self.machine.outbox.popleft()
            wants, version = self.machine.wants(record), record.version
            done.append((record.name, wants))
            if wants is Write.STATUS:
                self._patch(record)
            self.machine.wrote(record, version, deleted=wants is Write.DELETE)
            if wants is Write.DELETE:
                self.deleted.append(record.name)
                self.machine.gone(record.uid)
            elif wants is Write.STATUS:
                self.tell(record.name)
        return done

    def _patch(self, record: Record) -> None:
        patch = json.loads(statuses.patch(record, self.machine.host_ip(record), self.fleet.shape.pods))
        assert patch["metadata"] == {"uid": record.uid}
        for name in ("podIPs", "hostIPs"):
            if name in patch["status"]:
                assert patch["status"][name].pop(0) == {"$patch": "replace"}
        status = self.pods[record.name]["status"]
        merged = {
            each["type"]: each for each in (*status.get("conditions", ()), *patch["status"].get("conditions", ()))
        }
        status.update({**patch["status"], "conditions": list(merged.values())})

    def pass_time(self, seconds: float) -> None:
        """Everything happens at its time."""
        until = self.now + seconds
        self.write()
        while (due := self.machine.next_due()) is not None and due <= until:
            self.now = due
            self.machine.due(due)
            self.write()
        self.now = until

    def status(self, name: str = "p") -> dict[str, Any]:
        status: dict[str, Any] = self.pods[name]["status"]
        return status

    def conditions(self, name: str = "p") -> dict[str, str]:
        return {each["type"]: each["status"] for each in self.status(name)["conditions"]}


def test_a_pod_starts() -> None:
    bench = Bench()
    bench.add(initContainers=[{"name": "i", "image": "x"}, {"name": "s", "image": "y", "restartPolicy": "Always"}])
    bench.pass_time(0.9)
    status = bench.status()
    assert status["phase"] == "Pending" and "podIP" not in status
    assert [each["state"]["waiting"]["reason"] for each in status["containerStatuses"]] == ["PodInitializing"] * 2
    conditions = {each["type"]: each for each in status["conditions"]}
    assert conditions["Initialized"]["message"] == "containers with incomplete status: [i s]"
    assert conditions["Ready"]["message"] == "containers with unready status: [s b a]"
    bench.pass_time(0.2)
    status = bench.status()
    assert status["phase"] == "Running" and set(bench.conditions().values()) == {"True"}
    assert [each["name"] for each in status["containerStatuses"]] == ["a", "b"]
    ids = [each["containerID"] for each in status["containerStatuses"] + status["initContainerStatuses"]]
    assert len(set(ids)) == 4
    assert status["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert "running" in status["initContainerStatuses"][1]["state"]
    assert (status["podIP"], status["hostIP"]) == ("240.0.0.1", "248.0.0.1")
    assert bench.write() == []


def test_what_restarts_always_runs_for_ever_and_what_does_not_succeeds() -> None:
    bench = Bench()
    bench.add("service")
    bench.add("job", restartPolicy="Never")
    bench.pass_time(10.5)
    assert bench.status("job")["phase"] == "Running"
    bench.pass_time(1)
    assert bench.status("job")["phase"] == "Succeeded" and bench.conditions("job")["Ready"] == "False"
    ended = bench.status("job")["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed") and ended["startedAt"] < ended["finishedAt"]
    bench.pass_time(1000)
    assert bench.status("service")["phase"] == "Running"


def test_deletion_ends_a_pod_in_its_grace_period_and_removes_it() -> None:
    bench = Bench()
    bench.add()
    bench.pass_time(2)
    bench.end("p")
    assert bench.write() == []
    bench.pass_time(0.6)
    assert bench.deleted == ["p"] and not bench.machine.records
    assert bench.status()["phase"] == "Failed"
    assert bench.status()["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 143
    bench.add("q")
    bench.end("q", grace=0)
    bench.pass_time(0.1)
    assert bench.deleted == ["p", "q"] and "containerID" not in bench.status("q")["containerStatuses"][0]


def test_a_finished_pod_is_removed_at_once_and_keeps_its_status() -> None:
    bench = Bench()
    bench.add(restartPolicy="Never")
    bench.pass_time(20)
    bench.end("p")
    assert bench.write() == [("p", Write.DELETE)] and bench.status()["phase"] == "Succeeded"


def test_failures() -> None:
    bench = Bench(Behaviour(Latency(1.0), Latency(1.0), Latency(0.5), 1.0, 10.0))
    bench.add("never", restartPolicy="Never")
    bench.add("always")
    bench.pass_time(1.5)
    assert bench.status("never")["phase"] == "Failed"
    assert bench.status("never")["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 1
    status = bench.status("always")
    assert status["phase"] == "Running" and bench.conditions("always")["Ready"] == "False"
    waiting = status["containerStatuses"][0]["state"]["waiting"]
    said = "back-off 10s restarting failed container=a pod=always_ns(uid-always)"
    assert waiting == {"reason": "CrashLoopBackOff", "message": said}
    bench.pass_time(11)
    container = bench.status("always")["containerStatuses"][0]
    assert container["restartCount"] == 1 and "back-off 20s" in container["state"]["waiting"]["message"]


def test_a_machine_follows_its_power_spec() -> None:
    bench = Bench()
    bench.add(virtualMachine=VM)
    bench.pass_time(4)
    assert bench.status()["virtualMachineStatus"] == {
        "name": "vm",
        "image": "cirros",
        "powerState": "nostate",
        "ready": False,
    }
    bench.pass_time(2)
    told = bench.status()["virtualMachineStatus"]
    assert (told["state"], told["powerState"], told["ready"], told["restartCount"]) == ("active", "running", True, 0)
    assert bench.conditions() == {"VirtualMachineReady": "True", "Ready": "True", "PodScheduled": "True"}
    for power, phase, state in (
        ("Paused", "Running", "paused"),
        ("Suspended", "NoSchedule", "suspended"),
        ("Shutdown", "NoSchedule", "stopped"),
        ("Running", "Running", "active"),
    ):
        bench.change("p", virtualMachine={**VM, "powerSpec": power})
        bench.pass_time(6)
        assert (bench.status()["phase"], bench.status()["virtualMachineStatus"]["state"]) == (phase, state)
    assert bench.status()["virtualMachineStatus"]["restartCount"] == 1
    bench.end("p")
    bench.pass_time(1)
    assert bench.deleted == ["p"] and bench.status()["phase"] == "Succeeded"


def test_a_full_node_refuses() -> None:
    bench = Bench()
    for n in range(4):
        bench.add(f"p{n}")
    bench.pass_time(2)
    refused = bench.status("p3")
    assert (refused["phase"], refused["reason"]) == ("Failed", "OutOfpods")
    assert refused["message"].endswith("pods, requested: 1, used: 3, capacity: 3")
    assert len({bench.status(f"p{n}")["podIP"] for n in range(3)}) == 3
    bench.end("p0")
    bench.pass_time(1)
    bench.add("p4")
    bench.pass_time(2)
    assert bench.status("p4")["phase"] == "Running" and bench.status("p4")["podIP"] == "240.0.0.1"


def test_readiness_gates_count() -> None:
    bench = Bench()
    bench.add(readinessGates=[{"conditionType": "example.com/ready"}])
    bench.pass_time(2)
    assert bench.conditions()["Ready"] == "False" and bench.conditions()["ContainersReady"] == "True"
    bench.status()["conditions"].append({"type": "example.com/ready", "status": "True"})
    bench.tell("p")
    bench.pass_time(0)
    assert bench.conditions()["Ready"] == "True"


def test_a_restart_finds_everything_where_it_was() -> None:
    bench = Bench()
    bench.add("job", restartPolicy="Never")
    bench.add("service")
    bench.add("vm", node=1, virtualMachine=VM)
    bench.add("done", node=2, restartPolicy="Never")
    bench.pass_time(7)
    bench.pods["done"]["status"]["phase"] = "Succeeded"
    address = bench.status("service")["podIP"]
    bench.machine = Machine(FLEET, QUICK, random.Random(1))
    for name in ("service", "vm", "done", "job"):
        bench.tell(name)
    assert bench.write() == []
    assert bench.machine.stages == {Stage.RUNNING: 3, Stage.SUCCEEDED: 1}
    bench.add("new")
    bench.pass_time(2)
    assert bench.status("service")["podIP"] == address != bench.status("new")["podIP"]
    bench.pass_time(3)
    assert bench.status("job")["phase"] == "Succeeded"


def test_what_failed_is_written_again_and_nothing_twice_at_once() -> None:
    bench = Bench()
    bench.add()
    record = bench.machine.outbox.popleft()
    bench.machine.due(NOW + 5)
    assert not bench.machine.outbox, "it is in a writer's hands"
    assert bench.machine.failed(record, NOW + 5) == 0.2
    bench.machine.due(NOW + 6)
    assert bench.write() == [("p", Write.STATUS)] and bench.status()["phase"] == "Running"


def test_other_nodes_pods_and_pods_that_are_gone() -> None:
    bench = Bench()
    bench.add("far", node=99)
    assert not bench.machine.records
    bench.add("a")
    bench.add("b")
    bench.machine.keep(["uid-b"])
    bench.pass_time(2)
    assert list(bench.machine.records) == ["uid-b"] and "podIP" not in bench.status("a")


def test_a_template_may_say_anything() -> None:
    bench = Bench()
    bench.add(containers=[{"name": "c", "image": '%(uid)s"\\<x:uid>%s'}])
    bench.pass_time(2)
    assert bench.status()["containerStatuses"][0]["image"] == '%(uid)s"\\<x:uid>%s'


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_has_a_way_out_but_the_last_ones(stage: Stage) -> None:
    leaves = {event for at, event in TRANSITIONS if at is stage}
    assert (Event.STOP in leaves) is (stage not in FINISHED)


def test_names_are_numbers() -> None:
    fleet = Fleet(10, first=95)
    assert [fleet.index(fleet.name(n)) for n in range(10)] == list(range(10))
    for other in ("hollow-00094", "hollow-00105", "hollow-95", "other-00095", "hollow", ""):
        assert fleet.index(other) == -1
    assert fleet.selector == "spec.nodeName=gte:hollow-00095,spec.nodeName=lte:hollow-00104"


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=60), st.integers(1, 9))
def test_addresses_are_nobodys_twice(steps: list[tuple[int, bool]], room: int) -> None:
    addresses = Addresses(5, 3, room)
    held: dict[str, tuple[int, int]] = {}
    for node, takes in steps:
        mine = [address for address, (at, _) in held.items() if at == node]
        if takes and len(mine) < room:
            slot = addresses.take(node)
            address = addresses.address(node, slot)
            assert slot >= 0 and address not in held
            held[address] = (node, slot)
        elif not takes and mine:
            addresses.free(*held.pop(mine[0]))
    fresh = Addresses(5, 3, room)
    for address, (node, slot) in held.items():
        assert fresh.take(node, address) == slot
