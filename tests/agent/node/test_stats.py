"""Rates between looks, and the three forms in which they are told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from arktos.agent.node.machine import Filesystem
from arktos.agent.node.stats import Stats
from arktos.agent.node.stats.exposition import exposition
from arktos.agent.node.stats.samples import (
    ContainerReading,
    Cpu,
    Disk,
    Memory,
    Network,
    NodeReading,
    PodReading,
    PodRef,
    Rate,
    Sample,
    container_rate,
    pod_rate,
    rate,
)
from arktos.agent.node.stats.summary import summary
from arktos.agent.node.stats.usage import usage

FS = Filesystem(1000, 400, 600, 100, 60)


def container(cpu: int, at: float, *, name: str = "c", id: str = "1", started: float = 1.0) -> ContainerReading:
    return ContainerReading(name, id, started, Cpu(at, cpu), Memory(at, 4096, 8192), Disk(at, 10, 2), Disk(at, 5, 1))


def sample(at: float, *containers: ContainerReading, started: float = 1.0, **of_pod: Any) -> Sample:
    ref = PodRef("u", "acme", "default", "web")
    node = NodeReading(0.5, Cpu(at, int(at * 1e9)), Memory(at, 1 << 20), FS, FS, Disk(at, 7), pid_max=99, processes=9)
    pod = PodReading(ref, started, {each.name: each for each in containers}, **of_pod)
    return Sample(at, node, {"u": pod} if containers else {})


def test_a_rate_is_over_the_time_between_the_readings() -> None:
    assert rate(Cpu(20, 3_000), Cpu(10, 1_000)) == Rate(20, 10, 200)
    assert rate(Cpu(10.1, 3_000), Cpu(10, 1_000)) is None
    assert rate(Cpu(20, 3_000), None) is None
    assert rate(None, Cpu(10, 1)) is None


def test_a_counter_that_went_back_is_another_thing() -> None:
    assert rate(Cpu(20, 500), Cpu(10, 1_000)) is None


def test_something_new_is_rated_over_its_life() -> None:
    before = sample(10.0)
    young = container(4_000, 14.0, started=12.0)
    assert container_rate(young, before, "u") == Rate(14.0, 2.0, 2_000)
    old = container(4_000, 14.0, started=2.0)
    assert container_rate(old, before, "u") is None
    assert container_rate(young, None, "u") is None


def test_a_restarted_container_is_not_compared_with_the_one_before() -> None:
    before = sample(10.0, container(9_000, 10.0, id="old"))
    new = container(4_000, 14.0, id="new", started=12.0)
    assert container_rate(new, before, "u") == Rate(14.0, 2.0, 2_000)


def test_a_pod_is_its_own_cgroup_or_the_sum_of_its_containers() -> None:
    before = sample(10.0, container(0, 10.0), container(0, 10.0, name="d"))
    now = sample(20.0, container(1_000, 20.0), container(3_000, 20.0, name="d"))
    assert pod_rate(now.pods["u"], before) == Rate(20.0, 10.0, 400)
    whole = sample(10.0, container(0, 10.0), cpu=Cpu(10.0, 0))
    later = sample(20.0, container(1, 20.0), cpu=Cpu(20.0, 50_000), memory=Memory(20.0, 77))
    assert pod_rate(later.pods["u"], whole) == Rate(20.0, 10.0, 5_000)
    assert later.pods["u"].whole_memory == Memory(20.0, 77)


def test_the_summary() -> None:
    before = sample(10.0, container(0, 10.0))
    interface_less = Network(20.0, "eth0", ())
    found = summary(sample(20.0, container(1_000, 20.0), network=interface_less, processes=3), before, "n1")
    node, (pod,) = found["node"], found["pods"]
    assert node["nodeName"] == "n1" and node["cpu"]["usageNanoCores"] == 1_000_000_000
    assert node["fs"]["availableBytes"] == 400 and node["runtime"]["imageFs"]["usedBytes"] == 7
    assert node["rlimit"] == {"time": "1970-01-01T00:00:20Z", "maxpid": 99, "curproc": 9}
    assert pod["podRef"] == {"name": "web", "namespace": "default", "tenant": "acme", "uid": "u"}
    (one,) = pod["containers"]
    assert one["cpu"] == {"time": "1970-01-01T00:00:20Z", "usageCoreNanoSeconds": 1000, "usageNanoCores": 100}
    assert one["memory"] == {"time": "1970-01-01T00:00:20Z", "usageBytes": 8192, "workingSetBytes": 4096}
    assert one["rootfs"]["usedBytes"] == 10 and one["logs"]["inodesUsed"] == 1
    assert pod["ephemeral-storage"]["usedBytes"] == 15 and pod["process_stats"] == {"process_count": 3}
    json.dumps(found)


def test_usage_leaves_out_what_has_no_rate() -> None:
    now = sample(20.0, container(1_000, 20.0), container(1, 20.0, name="old", started=0.1))
    assert json.loads(usage(now, None)) == {"node": None, "pods": []}
    assert json.loads(usage(now, sample(10.0, container(0, 10.0))))["pods"] == []
    before = sample(10.0, container(0, 10.0), container(0, 10.0, name="old"))
    found = json.loads(usage(now, before))
    (pod,) = found["pods"]
    assert (pod["uid"], pod["tenant"], pod["window"]) == ("u", "acme", 10.0)
    assert pod["containers"][0] == {"name": "c", "cpu": 100, "memory": 4096}
    assert found["node"] == {"time": 20.0, "window": 10.0, "cpu": 1_000_000_000, "memory": 1 << 20}


def test_the_exposition_is_prometheus() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    text = exposition(sample(20.0, container(1_500_000_000, 20.0, started=3.5))).decode()
    found = {s.name: s for family in text_string_to_metric_families(text) for s in family.samples}
    cpu = found["container_cpu_usage_seconds_total"]
    assert cpu.value == 1.5 and cpu.timestamp == 20.0
    assert cpu.labels == {"container": "c", "namespace": "default", "pod": "web", "tenant": "acme"}
    assert found["container_start_time_seconds"].value == 3.5
    assert found["pod_memory_working_set_bytes"].value == 4096
    assert found["node_cpu_usage_seconds_total"].value == 20.0
    assert found["resource_scrape_error"].value == 0
    broken = Sample(20.0, sample(20.0).node, {}, ("containerd",))
    assert b"resource_scrape_error 1" in exposition(broken)


class _Source:
    def __init__(self) -> None:
        self.taken: list[bool] = []

    async def take(self, disks: bool) -> Sample:
        self.taken.append(disks)
        await asyncio.sleep(0.1)
        at = asyncio.get_running_loop().time()
        made = sample(at, container(int(at * 1e6), at))
        return Sample(at, made.node, made.pods, (), disks)


@pytest.mark.looptime
async def test_samples_are_shared_and_kept_for_a_moment() -> None:
    source = _Source()
    stats = Stats(source.take, "n1")
    await asyncio.gather(*(stats.usage() for _ in range(5)))
    await stats.resource_metrics()
    assert source.taken == [False]
    await asyncio.sleep(11)
    await stats.usage()
    assert len(source.taken) == 2


@pytest.mark.looptime
async def test_what_is_on_disk_is_counted_when_somebody_asks() -> None:
    source = _Source()
    stats = Stats(source.take, "n1")
    await stats.usage()
    await stats.summary()
    assert source.taken == [False, True]
    await asyncio.sleep(11)
    await stats.usage()
    assert source.taken[-1] is True
    await asyncio.sleep(400)
    await stats.usage()
    assert source.taken[-1] is False


@pytest.mark.looptime
async def test_there_are_rates_soon_after_the_start_and_ever_after() -> None:
    source = _Source()
    stats = Stats(source.take, "n1")
    running = asyncio.create_task(stats.run())
    await asyncio.sleep(3)
    assert json.loads(await stats.usage())["node"] is not None
    await asyncio.sleep(57)
    assert 4 <= len(source.taken) <= 7
    found = json.loads(await stats.usage())
    assert 10 <= found["node"]["window"] <= 31
    running.cancel()


@pytest.mark.looptime
async def test_one_who_goes_away_does_not_spoil_it_for_the_others() -> None:
    stats = Stats(_Source().take, "n1")
    impatient, patient = asyncio.create_task(stats.usage()), asyncio.create_task(stats.usage())
    await asyncio.sleep(0.05)
    impatient.cancel()
    assert json.loads(await patient)["pods"] is not None
