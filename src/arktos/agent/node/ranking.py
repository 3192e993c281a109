"""Which pod goes first when the node is short of something, and what it is told. Pure.

Order and wording are those of Kubernetes' node-pressure eviction: who uses more than was asked for, then the lower
priority, then the larger use beyond the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arktos.agent.node.stats.samples import PodReading
from arktos.agent.node.thresholds import RESOURCES, Observation, Threshold, shown
from arktos.model import quantity
from arktos.model.kinds import Obj
from arktos.model.quantity import Format, Quantity
from arktos.model.workload import requests, workloads

SYSTEM_CRITICAL = 2_000_000_000
"""The lowest priority of pods without which the system does not work."""

REASON = "Evicted"
EVENT_REASON = "Evicted"

_MIRROR = "kubernetes.io/config.mirror"
_SOURCE = "kubernetes.io/config.source"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that could be evicted; `reading` is what it uses, None where unknown."""

    pod: Obj
    reading: PodReading | None

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def priority(self) -> int:
        return int((self.pod.get("spec") or {}).get("priority") or 0)

    def used(self, resource: str) -> int | None:
        """Bytes, inodes or processes, None where unknown."""
        if self.reading is None:
            return None
        if resource == "memory":
            memory = self.reading.whole_memory
            return memory.working_set if memory is not None else None
        if resource == "pids":
            return self.reading.processes or 0
        disk = self.reading.ephemeral
        if disk is None:
            return None
        return disk.used if resource == "ephemeral-storage" else disk.inodes_used or 0

    def requested(self, resource: str) -> int:
        """Bytes; nothing can be requested of inodes and processes."""
        found = requests(self.pod).get(resource)
        return found.value if found is not None and resource in ("memory", "ephemeral-storage") else 0

    def beyond(self, resource: str) -> int:
        """Use beyond the request, negative for use below it."""
        return (self.used(resource) or 0) - self.requested(resource)

    def exceeds(self, resource: str) -> bool:
        """Whether it uses more than it asked for. Of which nothing is known, the worst is assumed, as upstream."""
        used = self.used(resource)
        return used is None or used > self.requested(resource)


def is_critical(pod: Obj) -> bool:
    """Pods that are never evicted by the node: static ones, and those without which the system does not work."""
    annotations = pod["metadata"].get("annotations") or {}
    if _MIRROR in annotations or annotations.get(_SOURCE, "api") != "api":
        return True
    return int((pod.get("spec") or {}).get("priority") or 0) >= SYSTEM_CRITICAL


def ranked(candidates: Iterable[Candidate], resource: str) -> list[Candidate]:
    """The candidates, first to go first. Equal ones by uid, so that the order is always the same."""
    key: Callable[[Candidate], Any]
    if resource == "pids":
        key = lambda c: (c.priority, -(c.used("pids") or 0), c.uid)  # noqa: E731
    else:
        key = lambda c: (not c.exceeds(resource), c.priority, -c.beyond(resource), c.uid)  # noqa: E731
    return sorted(candidates, key=key)


_ORDER = ("memory", "ephemeral-storage", "inodes", "pids")


def most_urgent(thresholds: Sequence[Threshold]) -> Threshold | None:
    """The threshold to act upon first: memory before everything, hard before soft."""
    return min(thresholds, key=lambda t: (_ORDER.index(RESOURCES[t.signal]), t.grace), default=None)


def message(threshold: Threshold, seen: Observation, candidate: Candidate) -> str:
    """Why a pod is evicted, in kubelet's words."""
    resource = RESOURCES[threshold.signal]
    wanted = shown(threshold.signal, threshold.amount.of(seen.capacity))
    text = (
        f"The node was low on resource: {resource}. Threshold quantity: {wanted}, "
        f"available: {_rounded(threshold.signal, seen.available)}. "
    )
    return text + "".join(_offences(candidate, resource))


def _offences(candidate: Candidate, resource: str) -> Iterable[str]:
    if candidate.reading is None or resource not in ("memory", "ephemeral-storage"):
        return
    asked: Mapping[str, Obj] = {each.get("name", ""): each for each in workloads(candidate.pod)}
    for name, reading in candidate.reading.containers.items():
        if resource == "memory":
            used = reading.memory.working_set if reading.memory is not None else 0
        else:
            used = sum(disk.used for disk in (reading.rootfs, reading.logs) if disk is not None)
        request = _request(asked.get(name) or {}, resource)
        if used > request.value:
            yield (
                f"Container {name} was using {Quantity.of(used // 1024 * 1024, Format.BINARY)}, request is {request}, "
                f"has larger consumption of {resource}. "
            )


def _request(workload: Obj, resource: str) -> Quantity:
    stated = ((workload.get("resources") or {}).get("requests") or {}).get(resource)
    return quantity.parse(str(stated)) if stated is not None else quantity.ZERO


def _rounded(signal: str, amount: int) -> Quantity:
    """Bytes in whole KiB, which is how kubelet reports what it measures."""
    return shown(signal, amount if RESOURCES[signal] in ("inodes", "pids") else amount // 1024 * 1024)


def refused(pod: Obj, pressures: Iterable[str], qos: str) -> str:
    """Why a node under these pressures does not take a new pod, "" if it does. Under memory pressure alone it takes
    those that have asked for memory, and those that tolerate it."""
    holding = sorted(pressures)
    if not holding or is_critical(pod):
        return ""
    if holding == ["MemoryPressure"] and (qos != "BestEffort" or _tolerates_memory_pressure(pod)):
        return ""
    return f"The node had condition: [{' '.join(holding)}]. "


def _tolerates_memory_pressure(pod: Obj) -> bool:
    for toleration in (pod.get("spec") or {}).get("tolerations") or ():
        key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
        right_key = key == "node.kubernetes.io/memory-pressure" or (not key and operator == "Exists")
        right_value = operator == "Exists" or not toleration.get("value")
        if right_key and right_value and toleration.get("effect") in (None, "", "NoSchedule"):
            return True
    return False
