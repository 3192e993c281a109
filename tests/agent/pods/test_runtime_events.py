"""What the events of containerd wake: the pods whose containers they name, also those that nobody knew yet."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from arktos.agent.pods import runtime_events
from arktos.agent.pods.observed import Container, Observed, State
from arktos.agent.pods.runtime_events import RuntimeEvents
from arktos.agent.pods.table import PodRecord, Pods
from arktos.rpc.protos import containerd_events_pb2 as events


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_events, "_AGAIN", (0.01, 0.02))


class World:
    def __init__(self) -> None:
        self.pods = Pods()
        self.record = self.pods.put({"metadata": {"uid": "u1", "name": "p", "namespace": "n", "tenant": "t"}})
        self.woken: list[str] = []
        self.events = RuntimeEvents(cast(Any, None), self.pods, self.woken.append, lambda runtime: None)

    def seen(self, state: State) -> PodRecord:
        self.record.observed = Observed((), (Container("c1", "main", 0, "s", state),))
        return self.record

    def exit(self, id: str = "c1") -> None:
        self.events._heard("/tasks/exit", events.TaskExit(container_id="c1", id=id).SerializeToString())


async def test_an_end_is_looked_at_until_it_is_seen() -> None:
    world = World()
    world.seen(State.RUNNING)
    world.exit()
    assert world.woken == ["u1"]
    await asyncio.sleep(0.05)
    assert world.woken == ["u1"] * 3
    world.seen(State.EXITED)
    world.exit()
    await asyncio.sleep(0.05)
    assert world.woken == ["u1"] * 4


async def test_the_end_of_a_container_that_becomes_known_later() -> None:
    world = World()
    world.exit()
    assert world.woken == []
    world.seen(State.RUNNING)
    await asyncio.sleep(0.05)
    assert world.woken == ["u1"] * 2


async def test_the_end_of_a_command_inside_is_none() -> None:
    world = World()
    world.seen(State.RUNNING)
    world.exit("exec-1")
    await asyncio.sleep(0.05)
    assert world.woken == []
