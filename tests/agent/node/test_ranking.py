"""Whose turn it is to go, and what it is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.agent.node.local_storage import is_limited, violation
from arktos.agent.node.ranking import (
    Candidate,
    is_critical,
    message,
    most_urgent,
    ranked,
    refused,
)
from arktos.agent.node.stats.samples import ContainerReading, Disk, Memory, PodReading, PodRef
from arktos.agent.node.thresholds import MEMORY, NODEFS, PIDS, Amount, Observation, Threshold
from arktos.model.kinds import Obj

MIB = 1 << 20


def pod(uid: str, request: str = "", priority: int | None = None, limit: str = "", resource: str = "memory") -> Obj:
    resources: Obj = {}
    if request:
        resources["requests"] = {resource: request}
    if limit:
        resources["limits"] = {resource: limit}
    spec: Obj = {"containers": [{"name": "c", "resources": resources}]}
    if priority is not None:
        spec["priority"] = priority
    return {"metadata": {"uid": uid, "name": uid, "namespace": "default", "tenant": "acme"}, "spec": spec}


def reading(
    uid: str, memory: int = 0, disk: int = 0, logs: int = 0, volumes: dict[str, int] | None = None
) -> PodReading:
    container = ContainerReading("c", "id", 1.0, None, Memory(1.0, memory), Disk(1.0, disk, 1), Disk(1.0, logs, 1))
    disks = {name: Disk(1.0, used, 1) for name, used in (volumes or {}).items()}
    return PodReading(PodRef(uid, "acme", "default", uid), 1.0, {"c": container}, volumes=disks)


def order(resource: str, *candidates: Candidate) -> list[str]:
    return [candidate.uid for candidate in ranked(candidates, resource)]


def test_who_uses_more_than_it_asked_for_goes_first_whatever_its_priority() -> None:
    modest = Candidate(pod("modest", "1Gi", priority=0), reading("modest", 900 * MIB))
    greedy = Candidate(pod("greedy", "10Mi", priority=1000), reading("greedy", 20 * MIB))
    assert order("memory", modest, greedy) == ["greedy", "modest"]


def test_then_the_lower_priority_then_the_larger_excess() -> None:
    made = [
        Candidate(pod("important", "1Mi", priority=10), reading("important", 500 * MIB)),
        Candidate(pod("little", "1Mi", priority=1), reading("little", 20 * MIB)),
        Candidate(pod("much", "1Mi", priority=1), reading("much", 90 * MIB)),
        Candidate(pod("within", "100Mi", priority=-5), reading("within", 90 * MIB)),
    ]
    assert order("memory", *made) == ["much", "little", "important", "within"]


def test_who_asked_for_nothing_exceeds_it() -> None:
    free = Candidate(pod("free"), reading("free", MIB))
    asked = Candidate(pod("asked", "1Gi"), reading("asked", 100 * MIB))
    unknown = Candidate(pod("unknown", "1Gi"), None)
    assert order("memory", asked, unknown, free)[-1] == "asked"


def test_by_disk_and_by_processes() -> None:
    small = Candidate(pod("small"), reading("small", disk=10, logs=10))
    large = Candidate(pod("large"), reading("large", disk=10, volumes={"v": 100}))
    assert order("ephemeral-storage", small, large) == ["large", "small"]
    low, high = Candidate(pod("low", priority=1), reading("low")), Candidate(pod("high", priority=2), reading("high"))
    assert order("pids", high, low) == ["low", "high"]


@given(st.permutations([(0, 5), (0, 50), (3, 5), (-1, 500), (7, 7)]))
def test_the_order_does_not_depend_on_the_order(shuffled: list[tuple[int, int]]) -> None:
    made = [
        Candidate(pod(f"{priority}-{used}", "20Mi", priority), reading(f"{priority}-{used}", used * MIB))
        for priority, used in shuffled
    ]
    assert order("memory", *made) == ["-1-500", "0-50", "0-5", "3-5", "7-7"]


def test_memory_before_disk_before_processes_and_hard_before_soft() -> None:
    made = [Threshold(PIDS, Amount(1)), Threshold(NODEFS, Amount(1)), Threshold(MEMORY, Amount(2), 30)]
    hard = Threshold(MEMORY, Amount(1))
    assert most_urgent([*made, hard]) == hard
    assert most_urgent(made) == made[2]
    assert most_urgent([]) is None


def test_the_message_names_threshold_and_offenders() -> None:
    candidate = Candidate(pod("web", "10Mi"), reading("web", 64 * MIB + 100))
    text = message(Threshold(MEMORY, Amount(100 * MIB)), Observation(50 * MIB + 5, 1 << 30), candidate)
    assert text == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container c was using 64Mi, request is 10Mi, has larger consumption of memory. "
    )
    within = Candidate(pod("web", "1Gi"), reading("web", MIB))
    text = message(Threshold(MEMORY, Amount(percent=10)), Observation(50 * MIB, 1 << 30), within)
    assert text == "The node was low on resource: memory. Threshold quantity: 107374182, available: 50Mi. "


@pytest.mark.parametrize(
    ("change", "critical"),
    [
        ({}, False),
        ({"priority": 1_999_999_999}, False),
        ({"priority": 2_000_000_000}, True),
    ],
)
def test_critical_pods_by_priority(change: dict[str, Any], critical: bool) -> None:
    made = pod("x")
    made["spec"].update(change)
    assert is_critical(made) is critical


def test_static_pods_are_critical() -> None:
    made = pod("x")
    made["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert is_critical(made)


@pytest.mark.parametrize(
    ("pressures", "qos", "taken"),
    [
        ((), "BestEffort", True),
        (("MemoryPressure",), "BestEffort", False),
        (("MemoryPressure",), "Burstable", True),
        (("DiskPressure",), "Guaranteed", False),
        (("DiskPressure", "MemoryPressure"), "Guaranteed", False),
    ],
)
def test_which_pods_a_node_under_pressure_takes(pressures: tuple[str, ...], qos: str, taken: bool) -> None:
    text = refused(pod("x"), pressures, qos)
    assert (text == "") is taken
    if not taken:
        assert text == f"The node had condition: [{' '.join(pressures)}]. "
    assert refused(pod("x", priority=2_000_000_000), pressures, qos) == ""


def test_a_toleration_of_memory_pressure() -> None:
    made = pod("x")
    made["spec"]["tolerations"] = [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]
    assert refused(made, ["MemoryPressure"], "BestEffort") == ""
    made["spec"]["tolerations"] = [{"key": "other", "operator": "Exists"}]
    assert refused(made, ["MemoryPressure"], "BestEffort") != ""


def test_an_empty_dir_that_is_too_large() -> None:
    made = pod("x")
    made["spec"]["volumes"] = [{"name": "cache", "emptyDir": {"sizeLimit": "1Mi"}}]
    assert is_limited(made)
    assert violation(made, reading("x", volumes={"cache": MIB})) == ""
    text = violation(made, reading("x", volumes={"cache": MIB + 1}))
    assert text == 'Usage of EmptyDir volume "cache" exceeds the limit "1Mi". '
    made["spec"]["volumes"][0]["emptyDir"]["medium"] = "Memory"
    assert not is_limited(made) and violation(made, reading("x", volumes={"cache": 9 * MIB})) == ""


def test_limits_of_ephemeral_storage() -> None:
    made = pod("x", limit="1Mi", resource="ephemeral-storage")
    assert is_limited(made)
    assert violation(made, reading("x", disk=MIB // 2, logs=MIB // 4)) == ""
    of_pod = violation(made, reading("x", disk=MIB // 2, logs=MIB))
    assert of_pod == "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "
    made["spec"]["containers"].append({"name": "free"})
    of_container = violation(made, reading("x", disk=MIB, logs=MIB))
    assert of_container == 'Container c exceeded its local ephemeral storage limit "1Mi". '
