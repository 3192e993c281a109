"""What a DaemonSet needs, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.controllers.daemonset import placing, rolling
from arktos.controllers.daemonset.wiring import DAEMONSET
from arktos.controllers.failures import Failures
from arktos.controllers.pods import PodView

NOW = 1_000_000.0
Obj = dict[str, Any]


def daemonset(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "log"}}, "spec": {"containers": [{"name": "c"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "log", "namespace": "default", "tenant": "acme", "uid": "u1", "generation": 2},
        "spec": {"selector": {"matchLabels": {"app": "log"}}, "template": template, **spec},
    }


def node(name: str, *taints: Obj, **labels: str) -> Obj:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}}


def pod(name: str, on: str = "", revision: str = "new", **facts: Any) -> PodView:
    labels = {"app": "log", "controller-revision-hash": revision}
    given = {"phase": "Running", "ready_at": NOW - 60, "created_at": NOW - 100, **facts}
    return PodView(name, f"uid-{name}", labels, on, **given)


def taint(key: str, effect: str = "NoSchedule") -> Obj:
    return {"key": key, "effect": effect}


@pytest.mark.parametrize(
    ("where", "told", "fits"),
    [
        (node("n"), {}, (True, True)),
        (node("n", taint("node.kubernetes.io/unschedulable")), {}, (True, True)),
        (node("n", taint("node.kubernetes.io/unreachable", "NoExecute")), {}, (True, True)),
        (node("n", taint("mine")), {}, (False, True)),
        (node("n", taint("mine", "NoExecute")), {}, (False, False)),
        (node("n", taint("mine")), {"tolerations": [{"key": "mine", "operator": "Exists"}]}, (True, True)),
        (node("n", taint("node.kubernetes.io/network-unavailable")), {}, (False, True)),
        (node("n", taint("node.kubernetes.io/network-unavailable")), {"hostNetwork": True}, (True, True)),
        (node("n", disk="ssd"), {"nodeSelector": {"disk": "ssd"}}, (True, True)),
        (node("n"), {"nodeSelector": {"disk": "ssd"}}, (False, False)),
        (node("n"), {"nodeName": "other"}, (False, False)),
    ],
)
def test_which_nodes_it_is_for(where: Obj, told: Obj, fits: tuple[bool, bool]) -> None:
    owner = daemonset()
    owner["spec"]["template"]["spec"] |= told
    assert placing.fits(placing.pod_spec(owner), where) == fits


def test_a_pod_may_go_to_its_node_alone_and_says_which() -> None:
    owner = daemonset()
    spec = placing.pod_spec(owner)
    made = placing.pod_for(DAEMONSET, owner, spec, "n7", "abc")
    assert placing.meant_for(made) == "n7" and placing.fits(made["spec"], node("n7"))[0]
    assert not placing.fits(made["spec"], node("n8"))[0]
    assert made["metadata"]["labels"] == {"app": "log", "controller-revision-hash": "abc"}
    assert owner["spec"]["template"]["spec"] == {"containers": [{"name": "c"}]}


def planned(nodes: list[Obj], pods: dict[str, list[PodView]], **more: Any) -> placing.Plan:
    return placing.plan(placing.pod_spec(daemonset()), nodes, pods, more.get("surge", False), "new")


def test_one_pod_on_every_node() -> None:
    found = planned([node("a"), node("b")], {"a": [pod("x", "a")]})
    assert (found.create, found.delete, found.failed) == (["b"], [], [])


def test_the_younger_of_two_goes() -> None:
    old, young = pod("old", "a", created_at=NOW - 9), pod("young", "a", created_at=NOW - 5)
    assert planned([node("a")], {"a": [young, old]}).delete == [young]


def test_while_surging_a_node_has_one_of_each() -> None:
    here = [pod("x", "a", "old"), pod("y", "a", "new"), pod("z", "a", "new", created_at=NOW - 1)]
    assert planned([node("a")], {"a": here}, surge=True).delete == [here[2]]


def test_what_ended_is_told_apart_and_what_goes_is_waited_for() -> None:
    ended, going = pod("e", "a", phase="Failed"), pod("g", "b", deleting=True)
    found = planned([node("a"), node("b")], {"a": [ended], "b": [going]})
    assert found.failed == [("a", ended)] and not found.create and not found.delete


def test_a_node_that_is_no_longer_meant_loses_its_pod() -> None:
    there, waiting = pod("x", "a"), pod("w", "")
    found = planned([node("a", taint("x", "NoExecute"))], {"a": [there], "gone": [waiting, pod("bound", "gone")]})
    assert found.delete == [there, waiting]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (None, (True, 1, 0)),
        ({"type": "OnDelete"}, (False, 0, 0)),
        ({"rollingUpdate": {"maxUnavailable": "30%"}}, (True, 3, 0)),
        ({"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "11%"}}, (True, 0, 2)),
    ],
)
def test_bounds(strategy: Obj | None, expected: tuple[bool, int, int]) -> None:
    found = rolling.bounds(daemonset(**({"updateStrategy": strategy} if strategy else {})), 10)
    assert (found.rolls, found.unavailable, found.surge) == expected


def stepped(pods: dict[str, list[PodView]], **strategy: Any) -> rolling.Step:
    owner = daemonset(updateStrategy={"rollingUpdate": strategy})
    nodes = [node(name) for name in pods]
    return rolling.step(owner, placing.pod_spec(owner), nodes, pods, "new", NOW)


def test_old_pods_go_one_at_a_time() -> None:
    old = {name: [pod(name, name, "old")] for name in "abc"}
    assert [each.name for each in stepped(old, maxUnavailable=1).delete] == ["a"]
    half = {**old, "a": [pod("a2", "a", ready_at=None)]}
    assert stepped(half, maxUnavailable=1).delete == ()


def test_what_is_broken_anyway_is_replaced_at_once() -> None:
    pods = {name: [pod(name, name, "old", ready_at=None)] for name in "abc"}
    assert len(stepped(pods, maxUnavailable=1).delete) == 3


def test_with_surge_the_successor_comes_first() -> None:
    pods = {"a": [pod("a", "a", "old")], "b": [pod("b", "b", "old")]}
    first = stepped(pods, maxUnavailable=0, maxSurge=1)
    assert (first.create, first.delete) == (("a",), ())
    coming = {**pods, "a": [*pods["a"], pod("a2", "a", ready_at=None)]}
    assert stepped(coming, maxUnavailable=0, maxSurge=1) == rolling.Step()
    there = {**pods, "a": [*pods["a"], pod("a2", "a")]}
    done = stepped(there, maxUnavailable=0, maxSurge=1)
    assert [each.name for each in done.delete] == ["a"] and done.create == ("b",)


def test_status_counts_nodes() -> None:
    owner = daemonset()
    pods = {
        "a": [pod("x", "a")],
        "b": [pod("y", "b", "old", ready_at=None)],
        "t": [pod("z", "t")],
    }
    nodes = [node("a"), node("b"), node("c"), node("t", taint("x"))]
    status = placing.status_of(owner, placing.pod_spec(owner), nodes, pods, "new", 0, NOW)
    assert status == {
        "currentNumberScheduled": 2,
        "numberMisscheduled": 1,
        "desiredNumberScheduled": 3,
        "numberReady": 1,
        "observedGeneration": 2,
        "updatedNumberScheduled": 1,
        "numberAvailable": 1,
        "numberUnavailable": 2,
    }
    assert not placing.differs(status, status) and placing.differs({}, status)


def test_waits_double_and_are_forgotten() -> None:
    failures = Failures(1.0, 8.0)
    assert failures.wait("k", 0.0) == 0
    for now, wait in ((0.0, 1.0), (1.0, 2.0), (3.0, 4.0), (7.0, 8.0), (15.0, 8.0)):
        assert failures.wait("k", now) == 0
        failures.count("k", now)
        assert failures.wait("k", now) == wait
    failures.count("other", 100.0)
    failures.count("k", 100.0)
    assert failures.wait("k", 100.0) == 1.0
