"""Which pods go first, and what a pod's state means."""

from __future__ import annotations

import random

import pytest

from arktos.controllers.pods import PodView, deletion_cost, victims

NOW = 1_000_000.0


def pod(name: str, **facts: object) -> PodView:
    defaults: dict[str, object] = {"node": "n1", "phase": "Running", "ready_at": NOW - 100, "created_at": NOW - 200}
    return PodView(name, f"uid-{name}", {}, **{**defaults, **facts})  # type: ignore[arg-type]


ORDER = [
    pod("unassigned", node="", phase="Pending", ready_at=None),
    pod("pending", phase="Pending", ready_at=None),
    pod("unknown", phase="Unknown", ready_at=None),
    pod("unready", ready_at=None),
    pod("cheap", cost=-10),
    pod("crowded", node="n2"),
    pod("just-ready", ready_at=NOW - 3),
    pod("restarted", restarts=3),
    pod("young", created_at=NOW - 130),
    pod("old"),
    pod("dear", cost=10),
]
CROWD = [pod("x", node="n2"), pod("y", node="n2")]


def test_pods_go_in_kubernetes_order() -> None:
    shuffled = ORDER[:]
    random.Random(1).shuffle(shuffled)
    for count in range(1, len(ORDER)):
        related = [*ORDER, *CROWD, *(pod(f"n1-{i}") for i in range(0))]
        found = {each.name for each in victims(shuffled, count, related, NOW)}
        # The n1 pods share a crowd of their own, so only those with a rank before it are compared here.
        if count <= 5:
            assert found == {each.name for each in ORDER[:count]}


def test_the_crowded_node_gives_first() -> None:
    pods = [pod("a", node="n1"), pod("b", node="n2"), pod("c", node="n2")]
    assert victims(pods, 1, pods, NOW)[0].node == "n2"
    deleting = [pod("gone", node="n1", deleting=True), pod("gone2", node="n1", deleting=True)]
    assert victims(pods, 1, [*pods, *deleting], NOW)[0].node == "n2"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"ready_at": NOW - 3}, {"ready_at": NOW - 100}),
        ({"restarts": 3}, {"restarts": 2}),
        ({"created_at": NOW - 120}, {"created_at": NOW - 4000}),
    ],
)
def test_ties_are_broken(first: dict[str, object], second: dict[str, object]) -> None:
    one, other = pod("b", **first), pod("a", **second)
    assert [each.name for each in victims([other, one], 1, [], NOW)] == ["b"]


def test_times_of_one_magnitude_are_decided_by_uid() -> None:
    one, other = pod("a", ready_at=NOW - 101), pod("b", ready_at=NOW - 100)
    assert victims([one, other], 1, [], NOW)[0].name == "a"


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("5", 5),
        ("-5", -5),
        ("0", 0),
        ("+5", 0),
        ("05", 0),
        ("x", 0),
        ("", 0),
        (str(2**31), 0),
        (str(-(2**31)), -(2**31)),
    ],
)
def test_deletion_cost(text: str, cost: int) -> None:
    assert deletion_cost({"controller.kubernetes.io/pod-deletion-cost": text}) == cost
    assert deletion_cost(None) == 0


def test_availability_needs_time() -> None:
    ready = pod("a", ready_at=NOW - 5)
    assert ready.available(0, NOW) and ready.available(5, NOW) and not ready.available(6, NOW)
    assert not pod("b", ready_at=None).available(0, NOW)
