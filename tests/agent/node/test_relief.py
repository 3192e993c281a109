"""Room on a disk that is full: what is put by, and for whom it is given."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from arktos.agent.node.relief import Relief
from arktos.agent.pods.observed import Container, Observed, State
from arktos.agent.pods.table import PodRecord, Pods


class World:
    def __init__(self, folder: Path) -> None:
        self.pods = Pods()
        self.alive: set[str] = set()
        self.emptied: list[str] = []
        self.path = folder / "put-by"
        self.relief = Relief(self.path, self.pods, self.occupied, self.empty, 8192)

    def pod(self, uid: str, state: State = State.RUNNING) -> PodRecord:
        record = self.pods.put({"metadata": {"uid": uid, "name": uid, "namespace": "d", "tenant": "t"}, "spec": {}})
        record.observed = Observed((), (Container(f"{uid}-1", "main", 0, "s", state),))
        return record

    async def occupied(self, uid: str, inner: Collection[str]) -> bool:
        return bool(self.alive & set(inner))

    async def empty(self, uid: str) -> None:
        self.emptied.append(uid)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_room_is_put_by_once(world: World) -> None:
    await world.relief.put_by()
    assert world.path.stat().st_blocks * 512 >= 8192
    before = world.path.stat().st_ino
    await world.relief.put_by()
    assert world.path.stat().st_ino == before


async def test_only_for_pods_that_end_and_whose_processes_have(world: World) -> None:
    await world.relief.put_by()
    runs, ends, told, done = (world.pod(uid) for uid in ("runs", "ends", "told", "done"))
    world.alive = {"runs-1", "ends-1"}
    for record in (ends, told, done):
        record.terminating = True
    told.observed = Observed((), (Container("told-1", "main", 0, "s", State.EXITED),))
    done.finished = True
    await world.relief.give()
    assert (world.emptied, world.path.exists()) == ([], True)
    world.alive.clear()
    await world.relief.give()
    await world.relief.give()
    assert (world.emptied, world.path.exists()) == (["ends"], False)
    assert not runs.terminating


async def test_of_machines_only_their_runtime_knows(world: World) -> None:
    record = world.pod("machine")
    record.pod = {**record.pod, "spec": {"virtualMachine": {"name": "vm"}}}
    record.terminating = True
    await world.relief.give()
    assert world.emptied == []


async def test_a_disk_without_room_for_it(world: World) -> None:
    """The file is whole or not there."""
    relief = Relief(world.path, world.pods, world.occupied, world.empty, 1 << 60)
    await relief.put_by()
    assert list(world.path.parent.iterdir()) == []
