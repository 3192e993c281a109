"""A controller at its post: what it works on, under which tenure, and what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from arktos.client import Client, ClientConfig, Controller, Informer, Key
from arktos.client.cached import Cached
from arktos.client.fencing import current
from arktos.controllers.context import Sharing, Unit
from arktos.controllers.sharing import Post
from arktos.model import registry
from arktos.model.hashkey import LARGEST, hash_key
from arktos.model.hashranges import FULL, Range, Tenure, parse

MAPS = registry.by_resource("configmaps")
HALF = LARGEST // 2


class Stage:
    """A controller whose mirror is filled by hand, and whose work waits to be let go."""

    def __init__(self, sharing: Sharing, group: asyncio.TaskGroup) -> None:
        self.done: list[tuple[Key, str]] = []
        self.begun: list[Key] = []
        self.go = asyncio.Event()
        self.go.set()
        self.owns: list[bool] = []
        self.mirror = Informer(Client(ClientConfig(server="http://127.0.0.1:1")), MAPS)
        self.mirror.synced.set()
        self.controller = Controller("test", self.reconcile).watches(self.mirror)
        self.unit = Unit([self.controller], [], self.refresh, sharing, "Test", self.mirror, [])
        self.post = Post(self.unit, group.create_task, self.owns.append)

    def refresh(self) -> None:
        for cached in self.mirror.items():
            self.controller.enqueue(cached.key)

    async def reconcile(self, key: Key) -> None:
        self.begun.append(key)
        await self.go.wait()
        self.done.append((key, current()))

    async def put(self, *names: str) -> None:
        for name in names:
            raw = (
                f'{{"metadata":{{"name":"{name}","namespace":"n","tenant":"t","uid":"{name}","resourceVersion":"1"}}}}'
            )
            await self.mirror._take([(None, Cached.from_raw(MAPS, raw.encode()))])

    async def own(self, place: Range | None, epoch: int = 1) -> None:
        await self.post.own(None if place is None else Tenure("Test", "ci-1", "u", epoch, place, place.start), 1)


NAMES = [f"{n * 7919:x}-{n}" for n in range(40)]


def point(sharing: Sharing, name: str) -> int:
    return hash_key(name if sharing is Sharing.RANGES else f"t/n/{name}")


@pytest.fixture
async def group() -> AsyncIterator[asyncio.TaskGroup]:
    async with asyncio.TaskGroup() as group:
        yield group
        for task in list(group._tasks):  # type: ignore[attr-defined]
            task.cancel()


async def rest(stage: Stage) -> None:
    """Until nothing happens any more."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("sharing", [Sharing.KEYS, Sharing.RANGES])
async def test_it_works_on_its_range_and_says_under_which_tenure(sharing: Sharing, group: Any) -> None:
    stage = Stage(sharing, group)
    await stage.put(*NAMES)
    low = {name for name in NAMES if point(sharing, name) <= HALF}
    assert low and low != set(NAMES)
    await stage.own(Range(0, HALF))
    await rest(stage)
    assert {key[2] for key, _ in stage.done} == low
    for key, header in stage.done:
        tenure = parse(header)
        assert tenure.key == point(sharing, key[2]) and tenure.range == (0, HALF) and tenure.epoch == 1
    assert stage.post.load.total() == 2 * len(low)
    stage.done.clear()
    await stage.own(FULL)
    await rest(stage)
    assert {key[2] for key, _ in stage.done} == set(NAMES) - low
    stage.done.clear()
    await stage.own(None)
    stage.refresh()
    await rest(stage)
    assert not stage.done and stage.owns == [True, True, False]


async def test_a_drain_waits_for_what_is_under_way_and_lets_nothing_begin(group: Any) -> None:
    stage = Stage(Sharing.KEYS, group)
    stage.go.clear()
    await stage.own(FULL)
    await stage.put("one")
    await rest(stage)
    assert len(stage.begun) == 1
    draining = asyncio.create_task(stage.post.drain())
    await stage.put("two")
    await rest(stage)
    assert len(stage.begun) == 1 and not draining.done()
    stage.go.set()
    await draining
    await rest(stage)
    assert len(stage.begun) == 1
    await stage.own(Range(0, LARGEST), epoch=2)
    await rest(stage)
    assert [key[2] for key in stage.begun] == ["one", "two"] and parse(stage.done[1][1]).epoch == 2


async def test_a_whole_ring_runs_or_does_not(group: Any) -> None:
    stage = Stage(Sharing.WHOLE, group)
    await stage.put("one")
    await rest(stage)
    assert not stage.done
    await stage.own(FULL)
    await rest(stage)
    assert parse(stage.done[0][1]).range == FULL
    stage.post.hold()
    await rest(stage)
    await stage.put("two")
    await rest(stage)
    assert len(stage.done) == 1
    await stage.own(FULL, epoch=3)
    await rest(stage)
    assert {key[2] for key, _ in stage.done} == {"one", "two"} and parse(stage.done[-1][1]).epoch == 3
    await stage.own(None)
    await stage.put("three")
    await rest(stage)
    assert not any(key[2] == "three" for key, _ in stage.done)
