"""Every order of things that a small ring can meet, and many that a larger one can: never two owners."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator

import pytest

from arktos.model.hashkey import LARGEST
from arktos.ring.events import Stopped, Timing
from arktos.ring.machine import TABLE
from ring.test_machine import busy, merged
from ring.world import Member, World

POINTS = [0, 5, LARGEST // 3, LARGEST // 2, LARGEST // 2 + 1, LARGEST]
Choice = Callable[[World], None]


def _alive(world: World) -> list[tuple[str, Member]]:
    return [(name, member) for name, member in world.members.items() if not member.stopped and not member.paused]


def random_step(world: World, chance: random.Random, names: Iterator[str]) -> None:
    """Anything that can happen, likely things more often."""
    alive = _alive(world)
    dice = chance.random()
    if dice < 0.5 and world.messages:
        # Mostly in order; sometimes anything overtakes anything.
        at = 0 if chance.random() < 0.5 else chance.randrange(len(world.messages))
        message = world.messages[at]
        member = world.members.get(message.member)
        if member is None or not member.paused or message.action is not None or message.work is not None:
            world.deliver(message)
    elif dice < 0.56 and world.messages:
        world.time_out(chance.choice(world.messages))
    elif dice < 0.6 and world.messages:
        world.lose(chance.choice(world.messages))
    elif dice < 0.72 and alive:
        world.write(chance.choice(alive)[0], chance.choice(POINTS))
    elif dice < 0.82 and alive:
        world.tick(chance.choice(alive)[0], chance.choice([0.0, 0.1, 1.0, 5.0, 16.0]))
    elif dice < 0.88 and alive:
        name, member = chance.choice(alive)
        if member.draining:
            world.drained(name)
    elif dice < 0.93:
        _disturb(world, chance, names)
    else:
        for name, _ in alive:
            world.tick(name, chance.choice([0.1, 0.5]))


def _disturb(world: World, chance: random.Random, names: Iterator[str]) -> None:
    kind = chance.choice(["pause", "wake", "wake", "kill", "stop", "start", "start", "start", "edit"])
    present = list(world.members)
    if kind == "edit" and world.objects:
        edit(world, chance, chance.choice(list(world.objects)))
        return
    if kind == "start" and len(_alive(world)) < 4:
        load = busy({chance.randrange(16): chance.choice([0, 100, 3000])}) if chance.random() < 0.5 else None
        world.start(next(names), load, clock=chance.choice([0.0, 1e6]))
    elif present:
        name = chance.choice(present)
        member = world.members[name]
        if kind == "pause":
            member.paused = True
        elif kind == "wake" and member.paused:
            member.paused = False
            member.clock += chance.choice([1.0, 20.0, 1000.0])
        elif kind == "kill":
            world.kill(name)
        elif kind == "stop" and not member.stopped and not member.paused:
            world.tell(name, Stopped(member.clock))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_there_are_never_two_owners(seed: int) -> None:
    chance = random.Random(seed)
    timing = Timing(lease=15, patience=1, rest=2)
    for _ in range(6):
        world = World(timing, shared=chance.random() < 0.8)
        names = (f"m{n}" for n in range(1000))
        for _ in range(chance.randint(1, 3)):
            world.start(next(names))
        for _ in range(250):
            random_step(world, chance, names)
            world.check()
        heal(world, names)


def edit(world: World, chance: random.Random, name: str) -> None:
    """What operators must not do, and will."""
    kind = chance.randrange(4)
    if kind == 0:
        world.remove(name)
    elif kind == 1:
        world.edit(name, isLocked=True)
    elif kind == 2:
        world.edit(name, isLocked=False, rangeStart=chance.choice(POINTS), controllerKey=chance.choice(POINTS))
    else:
        world.edit(name, handOverTo=chance.choice(list(world.objects)))


def heal(world: World, names: Iterator[str]) -> None:
    """When all is well again, the whole ring is owned soon."""
    for member in world.members.values():
        member.paused = False
    if all(member.machine._stopping for _, member in _alive(world)):
        world.start(next(names))
    world.flow()
    world.resync()
    world.settle(90)
    world.run(20)
    world.check()
    assert world.covered(), world.story()


def choices(world: World) -> list[Choice]:
    """All that can happen next in a ring of a few: any message, one tick each, any loss."""
    found: list[Choice] = []
    for at, message in enumerate(world.messages):
        found.append(lambda w, at=at: w.deliver(w.messages[at]))  # type: ignore[misc]
        if message.call:
            found.append(lambda w, at=at: w.lose(w.messages[at]))  # type: ignore[misc]
    for name, member in world.members.items():
        if member.draining:
            found.append(lambda w, name=name: w.drained(name))  # type: ignore[misc]
        if not member.stopped:
            found.append(lambda w, name=name: w.tick(name, 16.0))  # type: ignore[misc]
        if member.open and not any(each.work for each in world.messages):
            found.append(lambda w, name=name: w.write(name, LARGEST))  # type: ignore[misc]
    return found


def state_of(world: World) -> str:
    """Two worlds with equal texts go on alike."""
    members = [
        (name, m.machine.state.name, str(m.machine.own), m.owns, m.epoch, m.open, m.draining, m.clock)
        for name, m in world.members.items()
    ]
    peers = [str(m.machine.peers.view(m.machine.own)) for m in world.members.values()]
    messages = sorted(map(repr, world.messages))
    return repr((members, peers, messages, world.objects, world.worked))


def explore(first: World, depth: int, limit: int) -> int:
    """Breadth first, each state once. How many states there were."""
    seen = {state_of(first)}
    frontier = [first]
    for _ in range(depth):
        following = []
        for world in frontier:
            for choice in choices(world):
                after = copy.deepcopy(world)
                choice(after)
                after.check()
                text = state_of(after)
                if text not in seen:
                    seen.add(text)
                    following.append(after)
            if len(seen) > limit:
                return len(seen)
        frontier = following
    return len(seen)


def test_every_order_of_a_join_and_a_lost_lease() -> None:
    world = World()
    world.start("a")
    world.flow()
    world.start("b")
    assert explore(world, depth=12, limit=1500) > 1000


def test_every_order_of_two_that_start_at_once() -> None:
    world = World()
    world.start("a")
    world.start("b")
    assert explore(world, depth=12, limit=1500) > 1000


def test_exploring_walks_the_whole_table() -> None:
    """No edge of the table is there for nothing, and nothing happens beside it (`Machine` asserts that)."""
    chance = random.Random(7)
    walked = merged()
    for _ in range(1500):
        world = World(Timing(lease=15, patience=1, rest=2))
        names = (f"m{n}" for n in range(1000))
        world.start(next(names))
        world.start(next(names))
        for _ in range(200):
            random_step(world, chance, names)
        walked |= world.steps
    declared = {(state, target) for (state, _), rule in TABLE.items() for target in rule.targets if target != state}
    assert declared - walked <= set(), f"{sorted((a.name, b.name) for a, b in declared - walked)}"
