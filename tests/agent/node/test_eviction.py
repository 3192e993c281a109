"""The loop that makes room: one pod at a time, images first where the disk is short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arktos.agent.node.eviction import Evictions, observe
from arktos.agent.node.stats import Stats
from arktos.agent.node.stats.samples import ContainerReading, Cpu, Disk, Memory, NodeReading, PodReading, PodRef, Sample
from arktos.agent.node.thresholds import MEMORY, NODEFS, EvictionOptions, Observation, parse_thresholds
from arktos.agent.pods.table import Pods
from arktos.model.kinds import Obj

MIB = 1 << 20
NODE = {"kind": "Node", "metadata": {"name": "n1"}}
OPTIONS = EvictionOptions(
    parse_thresholds("memory.available<100Mi,nodefs.available<10%", None, "memory.available=50Mi")
)


class World:
    """A node whose memory and disk are as told; evicted pods are finished at once."""

    def __init__(self, said: Any) -> None:
        self.pods = Pods()
        self.free = {MEMORY: 500 * MIB, NODEFS: 500 * MIB}
        self.used: dict[str, tuple[int, int]] = {}
        self.evicted: list[tuple[str, str, str]] = []
        self.graces: list[float | None] = []
        self.reclaimed = 0
        self.in_images = 0
        self.changes = 0
        self.said = said
        self.evictions = Evictions(
            OPTIONS,
            self.pods,
            Stats(self.take, "n1"),
            self.evict,
            self.reclaim,
            lambda: {signal: Observation(free, 1000 * MIB) for signal, free in self.free.items()},
            said,
            lambda: NODE,
            self.changed,
        )

    def pod(self, uid: str, memory: int, disk: int = 0, **spec: Any) -> Obj:
        made: Obj = {
            "kind": "Pod",
            "metadata": {"uid": uid, "name": uid, "namespace": "default", "tenant": "acme"},
            "spec": {"containers": [{"name": "c"}], **spec},
        }
        self.pods.put(made)
        self.used[uid] = (memory, disk)
        return made

    async def take(self, disks: bool) -> Sample:
        found = {}
        for uid, (memory, disk) in self.used.items():
            volumes = {"cache": Disk(1.0, disk, 1)} if disks and disk else {}
            container = ContainerReading("c", uid, 1.0, None, Memory(1.0, memory))
            found[uid] = PodReading(PodRef(uid, "acme", "default", uid), 1.0, {"c": container}, volumes=volumes)
        return Sample(1.0, NodeReading(0.0, Cpu(1.0, 1), Memory(1.0, 1)), found, (), disks)

    async def evict(self, uid: str, reason: str, message: str, grace: float | None) -> None:
        self.evicted.append((uid, reason, message))
        self.graces.append(grace)
        record = self.pods.get(uid)
        assert record is not None
        record.terminating = record.finished = True
        self.free[MEMORY] += self.used[uid][0]

    async def reclaim(self) -> int:
        self.reclaimed += 1
        self.free[NODEFS] += self.in_images
        return self.in_images

    def changed(self) -> None:
        self.changes += 1


@pytest.fixture
def world(said: Any) -> World:
    return World(said)


async def test_nothing_happens_while_there_is_room(world: World) -> None:
    world.pod("a", 10 * MIB)
    assert await world.evictions.look() is False
    assert (world.evicted, world.changes, world.said.events) == ([], 0, [])


async def test_one_pod_at_a_time_until_the_minimum_is_back(world: World) -> None:
    world.pod("small", 10 * MIB)
    world.pod("large", 70 * MIB)
    world.pod("critical", 300 * MIB, priority=2_000_000_000)
    world.free[MEMORY] = 60 * MIB
    assert await world.evictions.look() is True
    assert world.evictions.conditions == {"MemoryPressure"} and world.changes == 1
    (evicted,) = world.evicted
    assert evicted[:2] == ("large", "Evicted")
    assert evicted[2].startswith("The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. ")
    assert world.said.events == [
        ("n1", "Warning", "EvictionThresholdMet", "Attempting to reclaim memory"),
        ("large", "Warning", "Evicted", evicted[2]),
    ]
    # 130 Mi are free: above the threshold, but the minimum of 50 Mi beyond it is not back.
    assert await world.evictions.look() is True
    assert [each[0] for each in world.evicted] == ["large", "small"]
    assert world.graces == [1.0, 1.0]
    assert await world.evictions.look() is False
    assert world.evictions.conditions == {"MemoryPressure"}


async def test_images_go_before_pods(world: World) -> None:
    world.pod("a", MIB, 10 * MIB)
    world.free[NODEFS], world.in_images = 50 * MIB, 400 * MIB
    assert await world.evictions.look() is False
    assert (world.reclaimed, world.evicted) == (1, [])
    assert world.evictions.conditions == {"DiskPressure"}


async def test_the_pod_that_fills_the_disk_goes(world: World) -> None:
    world.pod("a", 900 * MIB, 10 * MIB)
    world.pod("b", MIB, 90 * MIB)
    world.free[NODEFS] = 50 * MIB
    assert await world.evictions.look() is True
    assert [each[0] for each in world.evicted] == ["b"] and world.reclaimed == 1


async def test_an_empty_dir_over_its_limit(world: World) -> None:
    world.pod("a", MIB, 10 * MIB, volumes=[{"name": "cache", "emptyDir": {"sizeLimit": "5Mi"}}])
    world.pod("b", MIB, 2 * MIB, volumes=[{"name": "cache", "emptyDir": {"sizeLimit": "5Mi"}}])
    assert await world.evictions.look() is True
    assert world.evicted == [("a", "Evicted", 'Usage of EmptyDir volume "cache" exceeds the limit "5Mi". ')]
    assert world.evictions.conditions == frozenset()
    assert await world.evictions.look() is False


async def test_nobody_is_left_to_go(world: World) -> None:
    world.pod("critical", 300 * MIB, priority=2_000_001_000)
    world.free[MEMORY] = 1
    assert await world.evictions.look() is False
    assert world.evicted == []


def test_this_machine_can_be_observed(tmp_path: Path) -> None:
    found = observe(tmp_path, None)
    assert {MEMORY, NODEFS, "imagefs.available", "pid.available"} <= set(found)
    for signal, seen in found.items():
        assert 0 < seen.available <= seen.capacity, signal
