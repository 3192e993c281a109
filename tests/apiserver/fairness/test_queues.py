"""Fair queues: nobody is starved, nothing is lost, every flow has its own hand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.apiserver.fairness.gate import Gate, Level, hand_of, seats
from arktos.apiserver.fairness.queues import FairQueues, deal
from arktos.apiserver.identity import User


@dataclass
class Item:
    flow: str
    queued: float = 0.0


@given(st.text(max_size=20), st.integers(1, 128), st.integers(1, 10))
def test_a_hand_is_of_different_queues_and_always_the_same(flow: str, queues: int, hand: int) -> None:
    dealt = deal(flow, queues, hand)
    assert dealt == deal(flow, queues, hand)
    assert len(set(dealt)) == len(dealt) == min(queues, hand)
    assert all(0 <= card < queues for card in dealt)


def test_hands_are_spread() -> None:
    dealt = [deal(f"flow-{number}", 128, 6) for number in range(500)]
    assert {card for hand in dealt for card in hand} == set(range(128))
    assert len(set(dealt)) == 500


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.001, 1.0)), max_size=60))
def test_everything_that_is_put_is_taken_once_and_in_order_of_its_flow(work: list[tuple[str, float]]) -> None:
    queues: FairQueues[tuple[str, int]] = FairQueues(8, 100)
    costs = {}
    for number, (flow, cost) in enumerate(work):
        assert queues.put((flow, number), deal(flow, 8, 1))
        costs[number] = cost
    taken = []
    while (found := queues.take()) is not None:
        item, queue = found
        queues.charge(queue, costs[item[1]])
        taken.append(item)
    assert queues.waiting == 0
    assert sorted(number for _, number in taken) == list(range(len(work)))
    for flow in "abc":
        numbers = [number for owner, number in taken if owner == flow]
        assert numbers == sorted(numbers)


def test_a_flood_waits_behind_who_asks_little() -> None:
    queues: FairQueues[Item] = FairQueues(16, 1000)
    flood = deal("flood", 16, 2)
    calm = next(h for n in range(100) if not set(h := deal(f"calm-{n}", 16, 2)) & set(flood))
    for _ in range(500):
        queues.put(Item("flood"), flood)
    for _ in range(100):
        item, queue = queues.take() or (None, None)
        assert item is not None and queue is not None
        queues.charge(queue, 1.0)
    queues.put(Item("calm"), calm)
    order = []
    for _ in range(5):
        item, queue = queues.take() or (None, None)
        assert item is not None and queue is not None
        order.append(item.flow)
        queues.charge(queue, 1.0)
    assert "calm" in order[:3]


def test_dear_requests_are_taken_less_often() -> None:
    queues: FairQueues[Item] = FairQueues(2, 1000)
    for _ in range(400):
        queues.put(Item("dear"), (0,))
        queues.put(Item("cheap"), (1,))
    taken = {"dear": 0, "cheap": 0}
    for _ in range(200):
        item, queue = queues.take() or (None, None)
        assert item is not None and queue is not None
        taken[item.flow] += 1
        queues.charge(queue, 10.0 if item.flow == "dear" else 1.0)
    assert taken["cheap"] > 8 * taken["dear"]


def test_full_queues_and_old_items() -> None:
    queues: FairQueues[Item] = FairQueues(4, 3)
    hand = (0, 1)
    assert all(queues.put(Item("x", float(number)), hand) for number in range(6))
    assert not queues.put(Item("x", 6.0), hand)
    assert queues.put(Item("y", 6.0), (2,))
    assert [item.queued for item in queues.expired(4.0)] == [0.0, 2.0, 1.0, 3.0]
    assert queues.waiting == 3
    assert [item.queued for item in queues.drain()] == [4.0, 5.0, 6.0]
    assert queues.waiting == 0 and queues.take() is None
    assert queues.put(Item("z"), hand) and queues.take() is not None


def test_all_users_of_a_tenant_share_one_hand() -> None:
    level = Level("workload-low")
    level.shape, level.hand = (128, 50), 6
    hands = [hand_of(User(f"robot-{n}", "acme"), f"robot-{n}", "service-accounts", level) for n in range(200)]
    used = {card for hand in hands for card in hand}
    assert len(used) == 6 and len(set(hands)) > 5
    assert {len(hand) for hand in hands} == {3}
    other = hand_of(User("robot-1", "globex"), "robot-1", "service-accounts", level)
    assert set(other) - used
    nodes = {hand_of(User(f"system:node:n{n}", "system"), f"n{n}", "system-nodes", level) for n in range(50)}
    assert len(nodes) == 50


async def test_who_waits_for_long_keeps_nobody_from_a_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arktos.apiserver.fairness.gate._SEATED", 0.02)
    gate, level = Gate(4), Level("global-default")
    flow: Any = SimpleNamespace(level=level, kind="mutating")
    answered: list[Any] = [asyncio.get_running_loop().create_future() for _ in range(4)]
    waiting: list[Any] = [asyncio.create_task(gate.hold(flow, each)) for each in answered]
    await asyncio.sleep(0)
    assert (level.seats, gate.inflight["mutating"]) == (4, 4)
    answered[0].set_result("quick")
    assert await waiting[0] == "quick" and level.seats == 3
    async with asyncio.timeout(5):
        while level.seats:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert gate.inflight["mutating"] == 3
    for each in answered[1:]:
        each.set_result("slow")
    assert await asyncio.gather(*waiting[1:]) == ["slow"] * 3
    assert (level.seats, gate.inflight["mutating"]) == (0, 0)


def test_what_a_list_takes() -> None:
    assert [seats(count) for count in (0, 1, 100, 101, 100_000)] == [0, 1, 1, 2, 10]
