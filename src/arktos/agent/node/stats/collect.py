"""Taking a look: every runtime over CRI, the host from its own files, what pods have on disk by counting it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from arktos.agent.node import host
from arktos.agent.node.host import Interface
from arktos.agent.node.machine import Filesystem, filesystem
from arktos.agent.node.stats.samples import (
    ContainerReading,
    Cpu,
    Disk,
    Memory,
    Network,
    NodeReading,
    PodReading,
    PodRef,
    Sample,
)
from arktos.agent.runtimes import Runtime
from arktos.agent.volumes.usage import measure
from arktos.rpc import cri
from arktos.rpc.method import RpcError
from arktos.rpc.protos import cri_pb2 as pb
from arktos.wire import logs

NAME, NAMESPACE = "io.kubernetes.pod.name", "io.kubernetes.pod.namespace"
UID, TENANT = "io.kubernetes.pod.uid", "io.kubernetes.pod.tenant"
CONTAINER = "io.kubernetes.container.name"

_PATIENCE = 10.0
_log = logs.get_logger(__name__)


@dataclass(slots=True)
class _Answers:
    """What one runtime said."""

    containers: Mapping[str, pb.Container] = field(default_factory=dict)
    sandboxes: Mapping[str, pb.PodSandbox] = field(default_factory=dict)
    stats: Iterable[pb.ContainerStats] = ()
    pods: Iterable[pb.PodSandboxStats] = ()
    failed: str = ""


async def ask(runtime: Runtime) -> _Answers:
    """Everything that a runtime tells of what runs in it. A runtime without statistics of pods as a whole is fine."""
    running = pb.ContainerFilter(state=pb.ContainerStateValue(state=pb.CONTAINER_RUNNING))
    ready = pb.PodSandboxFilter(state=pb.PodSandboxStateValue(state=pb.SANDBOX_READY))
    try:
        containers, sandboxes, stats, pods = await asyncio.gather(
            runtime.call(cri.LIST_CONTAINERS, pb.ListContainersRequest(filter=running), within=_PATIENCE),
            runtime.call(cri.LIST_POD_SANDBOX, pb.ListPodSandboxRequest(filter=ready), within=_PATIENCE),
            runtime.call(cri.LIST_CONTAINER_STATS, pb.ListContainerStatsRequest(), within=_PATIENCE),
            _pod_stats(runtime),
        )
    except RpcError as error:
        _log.debug("runtime_statistics_missing", runtime=runtime.name, error=str(error))
        return _Answers(failed=runtime.name)
    return _Answers(
        {each.id: each for each in containers.containers},
        {each.id: each for each in sandboxes.items},
        stats.stats,
        pods,
    )


async def _pod_stats(runtime: Runtime) -> Iterable[pb.PodSandboxStats]:
    try:
        answer = await runtime.call(cri.LIST_POD_SANDBOX_STATS, pb.ListPodSandboxStatsRequest(), within=_PATIENCE)
    except RpcError as error:
        # A sandbox that ended meanwhile fails the whole call in containerd 1.6.
        _log.debug("pod_statistics_missing", runtime=runtime.name, error=str(error))
        return ()
    return answer.stats


def pods_of(answers: _Answers) -> dict[str, PodReading]:
    """The pods of one runtime, by uid. Pure."""
    containers: dict[str, dict[str, ContainerReading]] = {}
    refs: dict[str, tuple[PodRef, float]] = {}
    for sandbox in answers.sandboxes.values():
        refs[sandbox.labels[UID] or sandbox.metadata.uid] = (_ref(sandbox.labels, sandbox), sandbox.created_at / 1e9)
    for stats in answers.stats:
        listed = answers.containers.get(stats.attributes.id)
        uid = listed.labels.get(UID, "") if listed is not None else ""
        if listed is not None and uid in refs:
            containers.setdefault(uid, {})[listed.labels.get(CONTAINER) or listed.metadata.name] = _container(
                listed, stats
            )
    wholes = {stats.attributes.labels.get(UID, ""): stats.linux for stats in answers.pods}
    found: dict[str, PodReading] = {}
    for uid, (ref, created) in refs.items():
        whole = wholes.get(uid)
        found[uid] = PodReading(
            ref,
            created,
            containers.get(uid, {}),
            _cpu(whole.cpu) if whole is not None and whole.HasField("cpu") else None,
            _memory(whole.memory) if whole is not None and whole.HasField("memory") else None,
            _network(whole.network) if whole is not None and whole.HasField("network") else None,
            whole.process.process_count.value if whole is not None and whole.HasField("process") else None,
        )
    return found


def _ref(labels: Mapping[str, str], sandbox: pb.PodSandbox) -> PodRef:
    meta = sandbox.metadata
    return PodRef(
        labels.get(UID) or meta.uid,
        labels.get(TENANT, ""),
        labels.get(NAMESPACE) or meta.namespace,
        labels.get(NAME) or meta.name,
    )


def _container(listed: pb.Container, stats: pb.ContainerStats) -> ContainerReading:
    layer = stats.writable_layer
    return ContainerReading(
        name=listed.labels.get(CONTAINER) or listed.metadata.name,
        id=listed.id,
        started_at=listed.created_at / 1e9,
        cpu=_cpu(stats.cpu) if stats.HasField("cpu") else None,
        memory=_memory(stats.memory) if stats.HasField("memory") else None,
        rootfs=Disk(layer.timestamp / 1e9, layer.used_bytes.value, layer.inodes_used.value)
        if stats.HasField("writable_layer")
        else None,
        swap=stats.swap.swap_usage_bytes.value if stats.HasField("swap") else None,
    )


def _cpu(cpu: pb.CpuUsage) -> Cpu | None:
    if not cpu.HasField("usage_core_nano_seconds"):
        return None
    return Cpu(cpu.timestamp / 1e9, cpu.usage_core_nano_seconds.value)


def _memory(memory: pb.MemoryUsage) -> Memory | None:
    if not memory.HasField("working_set_bytes"):
        return None
    told = {
        name: value.value if memory.HasField(name) else None
        for name, value in (
            ("usage_bytes", memory.usage_bytes),
            ("available_bytes", memory.available_bytes),
            ("rss_bytes", memory.rss_bytes),
            ("page_faults", memory.page_faults),
            ("major_page_faults", memory.major_page_faults),
        )
    }
    return Memory(memory.timestamp / 1e9, memory.working_set_bytes.value, *told.values())


def _network(network: pb.NetworkUsage) -> Network:
    interfaces = [network.default_interface, *network.interfaces]
    found = {
        each.name: Interface(
            each.name, each.rx_bytes.value, each.rx_errors.value, each.tx_bytes.value, each.tx_errors.value
        )
        for each in interfaces
        if each.name
    }
    return Network(network.timestamp / 1e9, network.default_interface.name, tuple(found.values()))


@dataclass(slots=True)
class Collector:
    """Takes samples. `data_dir` and `pod_logs_dir` are the agent's. What pods have on disk takes a walk over all their
    files: it is counted only where it is asked for, and anew when it is older than `disk_period` seconds."""

    runtimes: Iterable[Runtime]
    data_dir: Path
    pod_logs_dir: Path
    disk_period: float = 60.0
    _counted: float = float("-inf")
    _disks: dict[str, dict[str, Disk]] = field(default_factory=dict)
    _logs: dict[str, dict[str, Disk]] = field(default_factory=dict)

    async def sample(self, disks: bool) -> Sample:
        """A look at everything, what pods have on disk only with `disks`. Raises OSError where the host's own files
        cannot be read."""
        answers, image_fs = await asyncio.gather(
            asyncio.gather(*(ask(runtime) for runtime in self.runtimes)),
            self._image_filesystem(),
        )
        pods: dict[str, PodReading] = {}
        for each in answers:
            pods.update(pods_of(each))
        if disks and time.monotonic() - self._counted >= self.disk_period:
            self._counted = time.monotonic()
            await asyncio.to_thread(self._count, list(pods))
        node = await asyncio.to_thread(self._node, *image_fs)
        failed = tuple(each.failed for each in answers if each.failed)
        if disks:
            pods = {uid: self._with_disks(pod) for uid, pod in pods.items()}
        return Sample(time.time(), node, pods, failed, disks)

    async def _image_filesystem(self) -> tuple[str, Disk | None]:
        """Where the first runtime that says so keeps its images, and what they take up."""
        for runtime in self.runtimes:
            try:
                answer = await runtime.call(cri.IMAGE_FS_INFO, pb.ImageFsInfoRequest(), within=_PATIENCE)
            except RpcError:
                continue
            for found in answer.image_filesystems:
                used = Disk(found.timestamp / 1e9, found.used_bytes.value, found.inodes_used.value)
                return found.fs_id.mountpoint, used
        return "", None

    def _node(self, image_path: str, images: Disk | None) -> NodeReading:
        at = time.time()
        memory = host.memory()
        default, interfaces = host.interfaces()
        return NodeReading(
            started_at=host.boot_time(),
            cpu=Cpu(at, host.cpu_nanoseconds()),
            memory=Memory(
                at,
                memory.working_set,
                memory.usage,
                memory.available,
                memory.rss,
                memory.page_faults,
                memory.major_page_faults,
            ),
            nodefs=_filesystem(self.data_dir),
            imagefs=_filesystem(Path(image_path)) if image_path else None,
            images=images,
            network=Network(at, default, interfaces),
            processes=host.processes(),
            pid_max=host.pid_max(),
            swap_used=memory.swap_used,
            swap_free=memory.swap_free,
        )

    def _count(self, uids: Iterable[str]) -> None:
        """Walks over the volumes and logs of pods. In a thread."""
        at = time.time()
        self._disks = {uid: dict(_volumes(self.data_dir / "pods" / uid / "volumes", at)) for uid in uids}
        self._logs = dict(_logs_by_pod(self.pod_logs_dir, at))

    def _with_disks(self, pod: PodReading) -> PodReading:
        logs_of, uid = self._logs.get(pod.ref.uid, {}), pod.ref.uid
        containers = {
            name: ContainerReading(
                each.name, each.id, each.started_at, each.cpu, each.memory, each.rootfs, logs_of.get(name), each.swap
            )
            for name, each in pod.containers.items()
        }
        return PodReading(
            pod.ref,
            pod.started_at,
            containers,
            pod.cpu,
            pod.memory,
            pod.network,
            pod.processes,
            self._disks.get(uid, {}),
        )


LOCAL_PLUGINS = re.compile(r"(kubernetes\.io~)?(empty-?dir|configmap|secret|projected|downward-?api)\Z", re.IGNORECASE)
"""Plugins whose volumes are on the node's own disk, and count as the pod's ephemeral storage."""


def _volumes(folder: Path, at: float) -> Iterable[tuple[str, Disk]]:
    """The volumes of a pod that are on the same file system as the pod's folder (no others are the node's disk)."""
    try:
        device = folder.stat().st_dev
        plugins = [plugin for plugin in folder.iterdir() if LOCAL_PLUGINS.match(plugin.name)]
        volumes = [volume for plugin in plugins for volume in plugin.iterdir()]
    except OSError:
        return
    for volume in volumes:
        try:
            same = volume.stat(follow_symlinks=False).st_dev == device
        except OSError:
            continue
        if same:
            yield volume.name, _measured(volume, at)


def _logs_by_pod(folder: Path, at: float) -> Iterable[tuple[str, dict[str, Disk]]]:
    """Log folders are named TENANT_NAMESPACE_NAME_UID; an underscore is in none of these."""
    try:
        pods = [pod for pod in folder.iterdir() if pod.is_dir()]
    except OSError:
        return
    for pod in pods:
        try:
            containers = [each for each in pod.iterdir() if each.is_dir()]
        except OSError:
            continue
        yield pod.name.rpartition("_")[2], {each.name: _measured(each, at) for each in containers}


def _measured(path: Path, at: float) -> Disk:
    found = measure(str(path))
    return Disk(at, found.bytes, found.inodes)


def _filesystem(path: Path) -> Filesystem | None:
    try:
        return filesystem(path)
    except OSError:
        return None
