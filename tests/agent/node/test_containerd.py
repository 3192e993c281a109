"""Statistics, images and logs with a real containerd."""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arktos.agent.node import image_gc, runtime_health
from arktos.agent.node.container_logs import ContainerLogs
from arktos.agent.node.image_gc import ImageCollector
from arktos.agent.node.machine import Filesystem
from arktos.agent.node.options import NodeOptions
from arktos.agent.node.stats import Stats
from arktos.agent.node.stats.collect import Collector
from arktos.agent.pods.table import Pods
from arktos.agent.runtimes import Runtime, Runtimes, RuntimeSpec
from arktos.rpc import cri
from arktos.rpc.protos import cri_pb2 as pb

MIB = 1 << 20
BUSY = "dd if=/dev/zero of=/tmp/f bs=1M count=3 2>/dev/null; while :; do :; done"
NODE = {"kind": "Node", "metadata": {"name": "n1"}}


@pytest.fixture
def options(tmp_path: Path) -> NodeOptions:
    (tmp_path / "data").mkdir()
    (tmp_path / "logs").mkdir()
    return NodeOptions("n1", "10.0.0.1", tmp_path / "data", tmp_path / "logs")


async def test_states_of_runtimes(containerd: Any, runtimes: Runtimes, tmp_path: Path, until: Any) -> None:
    containerd.network(True)

    async def ready() -> bool:
        return all(state.ready for state in await runtime_health.states(runtimes))

    await until(ready)
    (state,) = await runtime_health.states(runtimes)
    assert state.version.startswith("containerd://1.")
    containerd.network(False)

    async def unready() -> Any:
        return (await runtime_health.states(runtimes))[0].problems

    (problem,) = await until(unready)
    assert problem.startswith("container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady")
    containerd.network(True)
    away = Runtimes([RuntimeSpec("vm", "vm", str(tmp_path / "nothing.sock"))])
    (state,) = await runtime_health.states(away)
    assert not state.ready and state.problems[0].startswith("container runtime is down: UNAVAILABLE")
    assert await runtime_health.images(away) == []
    await away.aclose()


async def test_statistics_of_a_busy_pod(
    containerd: Any, runtimes: Runtimes, runtime: Runtime, options: NodeOptions, until: Any
) -> None:
    await containerd.pull(runtime)
    pod = await containerd.pod(runtime, options.pod_logs_dir)
    await containerd.container(runtime, pod, "busy", BUSY)
    await containerd.container(runtime, pod, "idle", "echo started; sleep 1000")
    volume = options.data_dir / "pods" / pod.uid / "volumes" / "kubernetes.io~empty-dir" / "cache"
    volume.mkdir(parents=True)
    (volume / "f").write_bytes(b"x" * MIB)
    stats = Stats(Collector(list(runtimes), options.data_dir, options.pod_logs_dir).sample, "n1")
    try:
        await stats.usage()

        async def rated() -> Any:
            await stats.samples(0.0)
            return next((each for each in json.loads(await stats.usage())["pods"] if each["uid"] == pod.uid), None)

        found = await until(rated)
        assert (found["tenant"], found["namespace"], found["name"]) == ("acme", "default", "web")
        used = {each["name"]: each for each in found["containers"]}
        assert used["busy"]["cpu"] > 20_000_000 > used["idle"]["cpu"] >= 0
        assert used["idle"]["memory"] > 0
        node = json.loads(await stats.usage())["node"]
        assert node["cpu"] >= used["busy"]["cpu"] // 2 and node["memory"] > 10 * MIB

        summary = await stats.summary()
        (whole,) = [each for each in summary["pods"] if each["podRef"]["uid"] == pod.uid]
        assert whole["podRef"]["tenant"] == "acme" and whole["cpu"]["usageCoreNanoSeconds"] > 0
        containers = {each["name"]: each for each in whole["containers"]}
        assert containers["idle"]["logs"]["usedBytes"] > 0
        assert whole["volume"][0]["name"] == "cache" and whole["volume"][0]["usedBytes"] >= MIB
        assert whole["ephemeral-storage"]["usedBytes"] >= MIB
        assert summary["node"]["runtime"]["imageFs"]["capacityBytes"] > 0

        async def layered() -> bool:
            # containerd counts writable layers each ten seconds.
            now, _ = await stats.samples(0.0)
            layer = now.pods[pod.uid].containers["busy"].rootfs
            return layer is not None and layer.used >= 3 * MIB

        await until(layered)
        text = (await stats.resource_metrics()).decode()
        labels = '{container="busy",namespace="default",pod="web",tenant="acme"}'
        assert f"container_cpu_usage_seconds_total{labels}" in text
    finally:
        await containerd.remove(runtime, pod)


async def test_a_runtime_that_is_away_costs_only_its_own(
    containerd: Any, runtimes: Runtimes, options: NodeOptions, tmp_path: Path
) -> None:
    away = Runtimes([RuntimeSpec("vm", "vm", str(tmp_path / "nothing.sock"))])
    found = await Collector([*runtimes, *away], options.data_dir, options.pod_logs_dir).sample(False)
    assert found.failed == ("vm",) and found.node.cpu.nanoseconds > 0
    await away.aclose()


async def test_a_sample_is_cheap(containerd: Any, runtimes: Runtimes, options: NodeOptions) -> None:
    collector = Collector(list(runtimes), options.data_dir, options.pod_logs_dir)
    await collector.sample(False)
    before = time.process_time()
    for _ in range(10):
        await collector.sample(False)
    assert (time.process_time() - before) / 10 < 0.2


async def test_images_nobody_uses_go_when_the_disk_is_full(
    containerd: Any,
    runtimes: Runtimes,
    runtime: Runtime,
    options: NodeOptions,
    said: Any,
    container_registry: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from assets import container_images

    pushed = container_registry.push(container_images.busybox_image(), "unused", "1").reference
    other = container_registry.push(container_images.pause_image(), "other", "1").reference
    await containerd.pull(runtime)
    pod = await containerd.pod(runtime, options.pod_logs_dir, name="images")
    await containerd.container(runtime, pod, "c", "sleep 1000")
    await containerd.pull(runtime, pushed)
    await containerd.pull(runtime, other)
    clock = [0.0]
    collector = ImageCollector(list(runtimes), options, said, lambda: NODE, lambda: clock[0])
    disk = Filesystem(1000 * MIB, 900 * MIB, 100 * MIB, 1, 1)
    monkeypatch.setattr(image_gc, "filesystem", lambda path: disk)

    async def names() -> set[str]:
        listed = await runtime.call(cri.LIST_IMAGES, pb.ListImagesRequest())
        return {name for image in listed.images for name in image.repo_tags}

    before = await names()
    assert await collector.collect(runtime) == 0
    assert collector.image_path is not None and collector.image_path.is_relative_to(containerd.folder)
    disk = Filesystem(1000 * MIB, 100 * MIB, 900 * MIB, 1, 1)
    assert await collector.collect(runtime) == 0, "they are younger than two minutes"
    assert await names() == before and said.reasons == ["FreeDiskSpaceFailed"]
    clock[0] = 121.0
    freed = await collector.collect(runtime)
    # `unused` is the image that the container runs, by another name, and `other` that of the sandboxes.
    assert freed == 0 and await names() == before
    await containerd.remove(runtime, pod)
    clock[0] = 130.0
    assert await collector.reclaim() > 0
    left = await names()
    assert containerd.image not in left and pushed not in left
    assert any("pause" in name for name in left), "the image of sandboxes stays"


async def test_logs_are_rotated_while_the_container_writes(
    containerd: Any, runtimes: Runtimes, runtime: Runtime, options: NodeOptions, until: Any
) -> None:
    await containerd.pull(runtime)
    options = replace(options, log_max_size=20_000, log_max_files=3)
    pod = await containerd.pod(runtime, options.pod_logs_dir, name="talker")
    pods = Pods()
    logs = ContainerLogs(list(runtimes), pods, options, lambda: True)
    folder = pod.logs / "c"
    try:
        script = "n=0; while :; do n=$((n+1)); echo line-$n; [ $((n % 200)) = 0 ] && sleep 0.1; done"
        await containerd.container(runtime, pod, "c", script)

        async def rotated() -> int:
            return await logs.rotate()

        for _ in range(4):
            await until(rotated)
            # Names are by the second.
            last = max(folder.glob("0.log.*")).name
            await until(lambda last=last: _later(folder, last))  # type: ignore[misc]
        names = sorted(path.name for path in folder.iterdir())
        assert len(names) <= 3 and names[0] == "0.log"
        packed = [name for name in names if name.endswith(".gz")]
        assert packed and gzip.decompress((folder / packed[0]).read_bytes()).count(b" stdout F line-") > 100
        size = (folder / "0.log").stat().st_size

        async def grows() -> bool:
            return (folder / "0.log").stat().st_size > size

        await until(grows)
        # No line is lost where one file ends and the next begins.
        newest = next(name for name in reversed(names) if name != "0.log" and not name.endswith(".gz"))
        end = int((folder / newest).read_text().splitlines()[-1].rpartition("-")[2])
        first = int((folder / "0.log").read_text().splitlines()[0].rpartition("-")[2])
        assert first == end + 1
    finally:
        await containerd.remove(runtime, pod)


async def _later(folder: Path, last: str) -> bool:
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) > last.removeprefix("0.log.")[:15]


async def test_logs_of_a_container_that_has_ended_stay_as_they_are(
    containerd: Any, runtimes: Runtimes, runtime: Runtime, options: NodeOptions, until: Any
) -> None:
    await containerd.pull(runtime)
    options = replace(options, log_max_size=10)
    pod = await containerd.pod(runtime, options.pod_logs_dir, name="ended")
    try:
        await containerd.container(runtime, pod, "c", "echo a line that is long enough")
        running = pb.ContainerFilter(
            state=pb.ContainerStateValue(state=pb.CONTAINER_RUNNING), pod_sandbox_id=pod.sandbox
        )

        async def ended() -> bool:
            answer = await runtime.call(cri.LIST_CONTAINERS, pb.ListContainersRequest(filter=running))
            return not answer.containers

        await until(ended)
        logs = ContainerLogs(list(runtimes), Pods(), options, lambda: True)
        assert await logs.rotate() == 0
        assert [path.name for path in (pod.logs / "c").iterdir()] == ["0.log"]
    finally:
        await containerd.remove(runtime, pod)


async def test_logs_go_with_their_pod(
    containerd: Any, runtimes: Runtimes, runtime: Runtime, options: NodeOptions
) -> None:
    await containerd.pull(runtime)
    pod = await containerd.pod(runtime, options.pod_logs_dir, name="here")
    await containerd.container(runtime, pod, "c", "sleep 1000", attempt=3)
    for name in ("0.log", "1.log.20250101-000000.gz", "note.txt"):
        (pod.logs / "c" / name).touch()
    gone = options.pod_logs_dir / "acme_default_old_0000"
    (gone / "c").mkdir(parents=True)
    known = options.pod_logs_dir / "acme_default_new_1111"
    known.mkdir()
    strange = options.pod_logs_dir / "lost+found"
    strange.mkdir()
    pods = Pods()
    pods.put({"metadata": {"uid": "1111", "name": "new", "namespace": "default", "tenant": "acme"}})
    synced = [False]
    logs = ContainerLogs(list(runtimes), pods, options, lambda: synced[0])
    try:
        assert await logs.sweep() == [] and gone.exists()
        synced[0] = True
        assert await logs.sweep() == [gone.name]
        assert known.exists() and strange.exists()
        assert sorted(path.name for path in (pod.logs / "c").iterdir()) == ["3.log", "note.txt"]
    finally:
        await containerd.remove(runtime, pod)
    assert await logs.sweep() == [pod.logs.name]
