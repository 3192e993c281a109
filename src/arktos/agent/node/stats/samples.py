"""One look at what is used, and rates between two looks. Pure.

Times are seconds since the epoch as the sources gave them, CPU is nanoseconds of one core since the start of what is
measured, everything else is bytes unless its name says otherwise. None is what a source did not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from arktos.agent.node.host import Interface
from arktos.agent.node.machine import Filesystem

LEAST_WINDOW = 0.5
"""Seconds: a rate over less says little."""


class PodRef(NamedTuple):
    uid: str
    tenant: str
    namespace: str
    name: str


class Cpu(NamedTuple):
    at: float
    nanoseconds: int


class Memory(NamedTuple):
    at: float
    working_set: int
    usage: int | None = None
    available: int | None = None
    rss: int | None = None
    page_faults: int | None = None
    major_page_faults: int | None = None


class Network(NamedTuple):
    """`default` is the name of the interface that traffic leaves by."""

    at: float
    default: str
    interfaces: tuple[Interface, ...]


class Disk(NamedTuple):
    at: float
    used: int
    inodes_used: int | None = None


class Rate(NamedTuple):
    """`nanocores` on average over the `window` seconds before `at`."""

    at: float
    window: float
    nanocores: int


@dataclass(frozen=True, slots=True)
class ContainerReading:
    """A container, or a virtual machine. `started_at` is 0.0 where unknown."""

    name: str
    id: str
    started_at: float
    cpu: Cpu | None = None
    memory: Memory | None = None
    rootfs: Disk | None = None
    logs: Disk | None = None
    swap: int | None = None


@dataclass(frozen=True, slots=True)
class PodReading:
    """`cpu` and `memory` are those of the whole pod's cgroup; where a runtime does not tell, of its containers."""

    ref: PodRef
    started_at: float
    containers: Mapping[str, ContainerReading]
    cpu: Cpu | None = None
    memory: Memory | None = None
    network: Network | None = None
    processes: int | None = None
    volumes: Mapping[str, Disk] = field(default_factory=dict)

    @property
    def whole_cpu(self) -> Cpu | None:
        if self.cpu is not None:
            return self.cpu
        parts = [each.cpu for each in self.containers.values() if each.cpu is not None]
        return Cpu(max(p.at for p in parts), sum(p.nanoseconds for p in parts)) if parts else None

    @property
    def whole_memory(self) -> Memory | None:
        if self.memory is not None:
            return self.memory
        parts = [each.memory for each in self.containers.values() if each.memory is not None]
        if not parts:
            return None
        return Memory(max(p.at for p in parts), sum(p.working_set for p in parts))

    @property
    def ephemeral(self) -> Disk | None:
        """Writable layers, logs, and volumes that are on the node's own disk."""
        parts = [disk for each in self.containers.values() for disk in (each.rootfs, each.logs) if disk is not None]
        parts += self.volumes.values()
        if not parts:
            return None
        return Disk(max(p.at for p in parts), sum(p.used for p in parts), sum(p.inodes_used or 0 for p in parts))


@dataclass(frozen=True, slots=True)
class NodeReading:
    started_at: float
    cpu: Cpu
    memory: Memory
    nodefs: Filesystem | None = None
    imagefs: Filesystem | None = None
    images: Disk | None = None
    network: Network | None = None
    processes: int = 0
    pid_max: int = 0
    swap_used: int = 0
    swap_free: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `failed` are the runtimes that did not answer, by name; `disks` says whether volumes and logs were
    counted."""

    at: float
    node: NodeReading
    pods: Mapping[str, PodReading]
    failed: tuple[str, ...] = ()
    disks: bool = False


def rate(now: Cpu | None, before: Cpu | None, started_at: float = 0.0) -> Rate | None:
    """The rate between two readings of one thing; of something new, over its whole life, where that is known. None
    where there is nothing to compare with, or the counter went back (it is another thing by the same name)."""
    if now is None:
        return None
    if before is not None and now.nanoseconds >= before.nanoseconds:
        window, spent = now.at - before.at, now.nanoseconds - before.nanoseconds
    elif started_at:
        window, spent = now.at - started_at, now.nanoseconds
    else:
        return None
    if window < LEAST_WINDOW:
        return None
    return Rate(now.at, window, int(spent / window))


def container_rate(now: ContainerReading, before: Sample | None, uid: str) -> Rate | None:
    """The rate of a container since the sample before; another container of the same name is no part of it."""
    pod = before.pods.get(uid) if before is not None else None
    known = pod.containers.get(now.name) if pod is not None else None
    if known is not None and known.id == now.id:
        return rate(now.cpu, known.cpu)
    # What was there before the sample before, but was not seen by it, has a life too long to be an average of.
    fresh = before is not None and now.started_at >= before.at - 1
    return rate(now.cpu, None, now.started_at if fresh else 0.0)


def pod_rate(now: PodReading, before: Sample | None) -> Rate | None:
    """The rate of a pod as a whole: its own, or the sum of its containers'."""
    known = before.pods.get(now.ref.uid) if before is not None else None
    if now.cpu is not None:
        if known is not None and known.cpu is not None:
            return rate(now.cpu, known.cpu)
        fresh = before is not None and now.started_at >= before.at - 1
        return rate(now.cpu, None, now.started_at if fresh else 0.0)
    parts = [found for each in now.containers.values() if (found := container_rate(each, before, now.ref.uid))]
    if not parts:
        return None
    return Rate(max(p.at for p in parts), max(p.window for p in parts), sum(p.nanocores for p in parts))
