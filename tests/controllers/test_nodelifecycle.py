"""Nodes that fall silent, and when pods must leave."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.controllers.nodelifecycle import health
from arktos.controllers.nodelifecycle.eviction import arrived_at, leaves_at
from arktos.controllers.nodelifecycle.zones import RATE, SLOW_RATE, Zones, rate, zone_of
from arktos.model.placement import tolerates

Obj = dict[str, Any]
BORN, BEAT, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", "2026-01-01T00:05:00Z"


def node(ready: str | None = "True", **spec: Any) -> Obj:
    found = [] if ready is None else [{"type": "Ready", "status": ready, "lastHeartbeatTime": BEAT}]
    return {"metadata": {"name": "n1", "creationTimestamp": BORN}, "spec": spec, "status": {"conditions": found}}


def test_a_silent_node_is_unknown() -> None:
    found = {each["type"]: each for each in health.silenced(node("True"), NOW)}
    assert {each["status"] for each in found.values()} == {"Unknown"} and len(found) == 4
    assert found["Ready"]["reason"] == "NodeStatusUnknown"
    assert (found["Ready"]["lastHeartbeatTime"], found["Ready"]["lastTransitionTime"]) == (BEAT, NOW)
    assert found["DiskPressure"]["reason"] == "NodeStatusNeverUpdated"
    assert found["DiskPressure"]["lastHeartbeatTime"] == BORN


def test_saying_it_twice_changes_nothing() -> None:
    silent = node("True")
    silent["status"]["conditions"] = health.silenced(silent, BEAT)
    assert health.silenced(silent, NOW) == silent["status"]["conditions"]


def test_a_new_node_has_longer() -> None:
    assert health.deadline(node("True"), 100.0) == 150.0
    assert health.deadline(node(None), 100.0) == 160.0


@pytest.mark.parametrize(
    ("ready", "evict", "spec", "expected"),
    [
        ("True", True, {}, []),
        ("False", True, {}, [("not-ready", "NoSchedule"), ("not-ready", "NoExecute")]),
        ("Unknown", True, {}, [("unreachable", "NoSchedule"), ("unreachable", "NoExecute")]),
        ("Unknown", False, {}, [("unreachable", "NoSchedule")]),
        ("True", True, {"unschedulable": True}, [("unschedulable", "NoSchedule")]),
    ],
)
def test_taints_follow_the_conditions(ready: str, evict: bool, spec: Obj, expected: list[tuple[str, str]]) -> None:
    one = node(ready, **spec)
    made = health.taints(one, one["status"]["conditions"], evict, NOW)
    assert [(t["key"].removeprefix("node.kubernetes.io/"), t["effect"]) for t in made] == expected
    assert all(t["timeAdded"] == NOW for t in made)


def test_taints_of_others_stay_and_ours_change_over() -> None:
    foreign = {"key": "example.com/gpu", "effect": "NoExecute"}
    one = node("False")
    one["spec"]["taints"] = [foreign, *health.taints(one, one["status"]["conditions"], True, BEAT)]
    unreachable = health.taints(one, [{"type": "Ready", "status": "Unknown"}], False, NOW)
    assert unreachable[0] == foreign
    assert {(t["key"], t["effect"]) for t in unreachable[1:]} == {
        (health.UNREACHABLE, "NoSchedule"),
        (health.UNREACHABLE, "NoExecute"),
    }
    one["spec"]["taints"] = unreachable
    assert health.taints(one, [{"type": "Ready", "status": "True"}], True, NOW) == [foreign]


def test_pressure_is_a_taint() -> None:
    found = [{"type": "Ready", "status": "True"}, {"type": "MemoryPressure", "status": "True"}]
    (taint,) = health.taints(node(), found, True, NOW)
    assert taint["key"] == "node.kubernetes.io/memory-pressure"


TAINT = {"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": "1970-01-01T00:00:50Z"}


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "x", "operator": "Exists"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, True),
    ],
)
def test_tolerations(toleration: Obj, expected: bool) -> None:
    assert tolerates(toleration, TAINT) is expected


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], 100.0),
        ([{"operator": "Exists"}], None),
        ([{"operator": "Exists", "tolerationSeconds": 300}], 350.0),
        ([{"operator": "Exists", "tolerationSeconds": 300}, {"key": "k", "value": "v", "tolerationSeconds": 10}], 60.0),
        ([{"operator": "Exists", "tolerationSeconds": -5}], 50.0),
    ],
)
def test_when_a_pod_leaves(tolerations: list[Obj], expected: float | None) -> None:
    assert leaves_at(tolerations, [TAINT], 100.0) == expected


def test_a_pod_that_came_after_the_taint_has_its_seconds_from_then() -> None:
    assert leaves_at([{"operator": "Exists", "tolerationSeconds": 300}], [TAINT], 100.0, arrived=90.0) == 390.0
    said = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:01:30Z"}]
    assert arrived_at({"metadata": {"creationTimestamp": BORN}, "status": {"conditions": said}}) == 90.0
    assert arrived_at({"metadata": {"creationTimestamp": "1970-01-01T00:00:05Z"}}) == 5.0


def test_rates() -> None:
    assert rate(9, 1) == RATE
    assert rate(0, 2) == RATE
    assert rate(2, 8) == 0.0
    assert rate(20, 80) == SLOW_RATE
    assert rate(0, 80) == RATE  # one zone of several that is lost altogether


def test_nodes_are_given_up_one_at_a_time_and_not_all() -> None:
    zones = Zones()
    for number in range(10):
        zones.put(f"n{number}", "z", number > 1)
    assert zones.may_give_up("z", 0.0)
    assert not zones.may_give_up("z", 5.0)
    assert zones.may_give_up("z", 10.5)
    assert list(zones.sizes()) == [("z", 8, 2)]
    for number in range(10):
        zones.put(f"n{number}", "z", False)
    assert zones.all_lost and not zones.may_give_up("z", 1000.0)
    zones.put("other", "y", True)
    assert not zones.all_lost and zones.may_give_up("z", 1000.0)
    for number in range(10):
        zones.remove(f"n{number}")
    assert list(zones.sizes()) == [("y", 1, 0)]


def test_nobody_is_driven_out_where_all_are_lost() -> None:
    one = node("Unknown")
    one["spec"]["taints"] = health.taints(one, one["status"]["conditions"], True, BEAT)
    assert health.is_driven_out(one["spec"]["taints"])
    kept = health.taints(one, one["status"]["conditions"], None, NOW)
    assert [(each["key"], each["effect"]) for each in kept] == [(health.UNREACHABLE, "NoSchedule")]


def test_older_clients_find_their_labels() -> None:
    new = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}
    old = {"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "arm64"}
    assert health.lacking_labels(new) == old
    assert health.lacking_labels(new | old) == health.lacking_labels({}) == {}


def test_zones_are_named_as_kubernetes_names_them() -> None:
    labels = {"topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "a"}
    assert (zone_of(labels), zone_of({})) == ("eu:\x00:a", "")
