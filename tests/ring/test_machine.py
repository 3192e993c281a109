"""The life of members as transcripts: what is done on the left, what comes of it on the right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from arktos.model.hashkey import LARGEST
from arktos.ring.load import Load
from arktos.ring.machine import RESTING, TABLE, State
from ring.world import World


def busy(weights: dict[int, int]) -> Load:
    """Load at sixteenths of the ring."""
    load = Load(half_life=1e9)
    for sixteenth, weight in weights.items():
        for n in range(weight):
            load._work[(LARGEST // 16) * sixteenth + n * 1000 + 1] = 1.0
    return load


def test_one_instance_is_the_ring_with_one_member() -> None:
    world = World()
    world.start("a")
    world.flow()
    assert world.log == [
        "a: Ticked OUT -> JOINING",
        "a: Written JOINING -> CLAIMING",
        "a: owns 0..16 epoch 1",
        "a: Written CLAIMING -> ACTIVE",
    ]


def test_a_second_one_gets_half() -> None:
    world = World()
    world.start("a")
    world.flow()
    world.log.clear()
    world.start("b")
    world.flow()
    assert world.ranges() == {"a": "0..8", "b": "8..16"}
    assert world.log == [
        "b: Ticked OUT -> JOINING",
        "a: Seen ACTIVE -> DRAINING",
        "b: Written JOINING -> WAITING",
        "a: Drained DRAINING -> GIVING",
        "b: Seen WAITING -> CLAIMING",
        "a: owns 0..8 epoch 2",
        "a: Written GIVING -> ACTIVE",
        "b: owns 8..16 epoch 1",
        "b: Written CLAIMING -> ACTIVE",
    ]


def test_a_join_splits_the_busiest_at_its_median() -> None:
    world = World()
    world.start("a", busy({1: 100, 3: 100}))
    world.flow()
    world.start("b")
    world.flow()
    world.run(6)
    assert world.ranges() == {"a": "0..3", "b": "3..16"}
    world.members["b"].machine._load = busy({3: 500, 5: 500})
    world.run(6)
    world.start("c")
    world.flow()
    assert world.ranges() == {"a": "0..3", "b": "3..5", "c": "5..16"}


def test_leaving_hands_over_at_once() -> None:
    world = World()
    for name in "abc":
        world.start(name)
        world.flow()
    world.log.clear()
    world.stop("b")
    world.flow()
    assert world.covered()
    assert "b: Drained LEAVING -> REMOVING" in world.log and world.members["b"].machine.state is State.GONE
    assert set(world.ranges()) == {"a", "c"}


def test_a_dead_ones_range_is_taken_within_its_lease() -> None:
    world = World()
    for name in "ab":
        world.start(name)
        world.flow()
    world.run(7)
    world.kill("a")
    assert world.settle(step=0.1) <= world.timing.lease + 1
    assert world.ranges() == {"b": "0..16"}


def test_one_that_waits_takes_a_dead_ones_place_and_not_its_neighbour() -> None:
    world = World(shared=False)
    for name in "abc":
        world.start(name)
        world.flow()
    assert world.ranges() == {"a": "0..16", "b": "nothing", "c": "nothing"}
    world.kill("a")
    world.settle()
    assert world.ranges() == {"b": "0..16", "c": "nothing"}


def test_a_paused_one_finds_its_range_gone_and_its_writes_refused() -> None:
    world = World()
    for name in "ab":
        world.start(name)
        world.flow()
    world.write("a", 5)
    paused, under_way = world.members.pop("a"), list(world.messages)
    world.messages.clear()
    world.settle()
    assert world.ranges() == {"b": "0..16"}
    world.write("b", 5)
    world.flow()
    paused.clock += 60
    world.members["a"] = paused
    world.messages += under_way
    world.write("a", 5)
    world.flow()
    assert world.refused == 2
    world.tick("a", 0)
    world.flow()
    world.settle()
    assert set(world.ranges()) == {"a", "b"} and world.covered()


def test_an_outage_of_the_server_costs_nobody_its_range() -> None:
    world = World()
    for name in "ab":
        world.start(name)
        world.flow()
    before = world.ranges()
    for _ in range(80):
        for name in "ab":
            world.tick(name, 0.5)
        while world.messages:
            world.lose(world.messages[0])
    assert [world.members[name].machine.state for name in "ab"] == [State.SILENT] * 2
    world.run(40)
    assert world.covered() and world.ranges() == before


def test_load_moves_to_a_neighbour_in_time_and_then_rests() -> None:
    world = World()
    for name in "ab":
        world.start(name)
        world.flow()
    world.run(40)
    before = world.ranges()
    world.members["a"].machine._load = busy({1: 100, 2: 100, 3: 100, 4: 100})
    world.run(5)
    assert world.ranges() == before
    world.run(12)
    after = world.ranges()
    assert after == {"a": "0..3", "b": "3..16"}
    world.members["a"].machine._load = busy({1: 100, 2: 100})
    world.members["b"].machine._load = busy({3: 110, 4: 110})
    world.run(300)
    assert world.ranges() == after


def merged() -> set[tuple[State, State]]:
    world = World()
    for name in "abcd":
        world.start(name)
        world.flow()
    world.run(40)
    order = sorted(world.ranges().items(), key=lambda each: float(each[1].split("..")[0]))
    far = order[0][0]
    world.members[far].machine._load = busy({0: 4000})
    world.run(17)
    assert any("-> WAITING" in line for line in world.log)
    world.run(10)
    assert world.covered() and len(world.ranges()) == 4
    return world.steps


def test_small_ranges_merge_to_serve_a_busy_one_far_away() -> None:
    assert (State.GIVING, State.WAITING) in merged()


@pytest.mark.parametrize("cut", range(12))
def test_a_call_whose_answer_is_lost_is_looked_up(cut: int) -> None:
    """Whichever message is lost, the ring heals."""
    world = World()
    world.start("a")
    world.start("b")
    for _ in range(cut):
        if world.messages:
            world.deliver(world.messages[0])
    if world.messages:
        world.lose(world.messages[0])
    world.settle(step=0.25)
    world.run(60)
    assert world.covered() and len(world.ranges()) == 2


def test_the_table_is_whole() -> None:
    reached = {target for rule in TABLE.values() for target in rule.targets}
    assert reached | {State.OUT} == set(State)
    assert {state for state, _ in TABLE} == set(State) - {State.GONE}
    assert set(State) > RESTING


def test_the_page_shows_the_table() -> None:
    script = Path(__file__).parents[2] / "scripts" / "ring_diagram.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
