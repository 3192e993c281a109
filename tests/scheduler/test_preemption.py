"""Preemption: who must go, who may stay, and for whom the room is kept."""

from __future__ import annotations

from typing import Any

from arktos.scheduler.engine import Refused
from arktos.scheduler.harness import Harness


def budget(app: str, allowed: int) -> dict[str, Any]:
    return {"spec": {"selector": {"matchLabels": {"app": app}}}, "status": {"disruptionsAllowed": allowed}}


def test_the_least_important_goes_and_the_pod_gets_its_room() -> None:
    h = Harness()
    h.node("a", cpu="2")
    h.pod("low", cpu="1", node="a", priority=1)
    h.pod("middle", cpu="1", node="a", priority=5)
    key = h.pod("high", cpu="1", priority=10)
    decision = h.step()
    assert isinstance(decision, Refused)
    assert decision.nominated == "a"
    assert [victim.name for victim in decision.victims] == ["low"]
    assert decision.message == "0/1 nodes are available: 1 Insufficient cpu."
    h.now = 2.0
    assert h.run() == {"high": "a"}
    assert key in h.bound


def test_as_few_as_possible_go() -> None:
    h = Harness()
    h.node("a", cpu="4")
    for number in range(4):
        h.pod(f"low{number}", cpu="1", node="a", priority=number)
    h.pod("high", cpu="2", priority=10)
    decision = h.step()
    assert isinstance(decision, Refused)
    assert sorted(victim.name for victim in decision.victims) == ["low0", "low1"]


def test_the_node_with_the_least_important_victims_is_chosen() -> None:
    h = Harness()
    for name, priority in (("a", 5), ("b", 2), ("c", 7)):
        h.node(name, cpu="1")
        h.pod(f"on-{name}", cpu="1", node=name, priority=priority)
    h.pod("high", cpu="1", priority=10)
    decision = h.step()
    assert isinstance(decision, Refused)
    assert decision.nominated == "b"


def test_budgets_are_respected_where_there_is_a_choice_and_broken_where_there_is_none() -> None:
    h = Harness()
    for name, app in (("a", "guarded"), ("b", "free")):
        h.node(name, cpu="1")
        h.pod(f"on-{name}", cpu="1", node=name, priority=1 if app == "guarded" else 5, labels={"app": app})
    h.engine.budgets.changed("system", "default", "g", budget("guarded", 0))
    h.pod("high", cpu="1", priority=10)
    decision = h.step()
    assert isinstance(decision, Refused)
    assert decision.nominated == "b"
    h.pod("higher", cpu="1", priority=11)
    h.remove_node("b")
    decision = h.step()
    assert isinstance(decision, Refused)
    assert [victim.name for victim in decision.victims] == ["on-a"]


def test_room_that_is_made_is_not_taken_by_others_of_no_higher_priority() -> None:
    h = Harness()
    h.node("a", cpu="1")
    victim = h.pod("low", cpu="1", node="a", priority=1)
    h.pod("high", cpu="1", priority=10)
    h.step(confirm=False)
    dying = h.pods[victim]
    h.put_pod({**dying, "metadata": {**dying["metadata"], "deletionTimestamp": "2030-01-01T00:00:00Z"}})
    rival = h.pod("rival", cpu="1", priority=10)
    h.remove_pod(victim)
    h.step(confirm=False)
    assert rival in h.refused
    h.now = 2.0
    assert h.run() == {"high": "a"}


def test_a_higher_priority_takes_nominated_room() -> None:
    h = Harness()
    h.node("a", cpu="1")
    victim = h.pod("low", cpu="1", node="a", priority=1)
    h.pod("high", cpu="1", priority=10)
    h.step(confirm=False)
    h.pod("higher", cpu="1", priority=20)
    h.remove_pod(victim)
    h.now = 2.0
    assert h.run() == {"higher": "a"}


def test_it_waits_for_those_on_their_way_out() -> None:
    h = Harness()
    h.node("a", cpu="1")
    victim = h.pod("low", cpu="1", node="a", priority=1)
    key = h.pod("high", cpu="1", priority=10)
    h.step(confirm=False)
    dying = h.pods[victim]
    h.put_pod({**dying, "metadata": {**dying["metadata"], "deletionTimestamp": "2030-01-01T00:00:00Z"}})
    h.now = 5.0
    h.engine.queue.changed(key, h.now)
    decision = h.step(confirm=False)
    assert isinstance(decision, Refused)
    assert decision.victims == () and decision.nominated == "a"
    assert decision.message.endswith("not eligible due to a terminating pod on the nominated node.")


def test_never_means_never() -> None:
    h = Harness()
    h.node("a", cpu="1")
    h.pod("low", cpu="1", node="a", priority=1)
    key = h.pod("high", cpu="1", priority=10, preemptionPolicy="Never")
    h.run()
    assert h.refused[key].message.endswith("preemption: not eligible due to preemptionPolicy=Never.")
    assert not h.refused[key].victims


def test_no_help_where_the_node_itself_is_wrong() -> None:
    h = Harness()
    h.node("a", cpu="1", taints=["k=v:NoSchedule"])
    h.pod("low", cpu="1", node="a", priority=1)
    key = h.pod("high", cpu="1", priority=10)
    h.run()
    assert h.refused[key].message.endswith(
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


def test_victims_by_affinity() -> None:
    anti = {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "kubernetes.io/hostname"}
    h = Harness()
    h.node("a")
    h.pod("x", labels={"app": "x"}, node="a", priority=1)
    h.pod("bystander", node="a", priority=0)
    h.pod(
        "high",
        priority=10,
        affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [anti]}},
    )
    decision = h.step()
    assert isinstance(decision, Refused)
    assert [victim.name for victim in decision.victims] == ["x"]


def test_supposing_leaves_no_trace() -> None:
    h = Harness()
    h.node("a", cpu="3")
    for number in range(3):
        h.pod(f"low{number}", cpu="1", node="a", priority=1, ports=[80 + number])
    h.pod("high", cpu="9", priority=10)
    h.run()
    cluster = h.engine.cluster
    assert cluster is not None
    slot = cluster.nodes.slots["a"]
    assert cluster.nodes.used[0, slot] == 3000
    assert cluster.nodes.used[3, slot] == 3
