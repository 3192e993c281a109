"""Looking after the node's resources: what is short, and which pod has to make room for the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from arktos.agent.node import host
from arktos.agent.node.local_storage import is_limited, violation
from arktos.agent.node.machine import filesystem
from arktos.agent.node.ranking import EVENT_REASON, REASON, Candidate, is_critical, message, most_urgent, ranked
from arktos.agent.node.relief import Relief
from arktos.agent.node.stats import Stats
from arktos.agent.node.thresholds import (
    IMAGEFS,
    IMAGEFS_INODES,
    MEMORY,
    NODEFS,
    NODEFS_INODES,
    PIDS,
    RESOURCES,
    EvictionOptions,
    Observation,
    Observations,
    Pressure,
    Threshold,
    is_met,
    look,
)
from arktos.agent.pods.table import PodRecord, Pods
from arktos.client import Recorder
from arktos.model.kinds import Obj
from arktos.wire import logs

Evict = Callable[[str, str, str, float | None], Awaitable[None]]
"""Ends a pod for good: uid, reason (of its status), message, seconds of grace (None for the pod's own). Returns at the
latest when it has been told to end."""

Reclaim = Callable[[], Awaitable[int]]
"""Frees what images take up that nobody uses; says how many bytes."""

_DISK = frozenset({NODEFS, NODEFS_INODES, IMAGEFS, IMAGEFS_INODES})
_CLEANUP = 30.0
"""Seconds that an evicted pod is waited for before another is chosen."""
_AT_ONCE = 1.0
"""The grace of a pod that goes because of a hard threshold, or a limit of its own; kubelet's."""

_log = logs.get_logger(__name__)


def observe(nodefs: Path, imagefs: Path | None) -> Observations:
    """What there is of each signal. In a thread. Raises OSError."""
    memory = host.memory()
    node = filesystem(nodefs)
    most = host.pid_max()
    found = {
        MEMORY: Observation(memory.available, memory.capacity),
        PIDS: Observation(max(0, most - host.processes()), most),
        NODEFS: Observation(node.available, node.capacity),
    }
    images = filesystem(imagefs) if imagefs is not None else node
    found[IMAGEFS] = Observation(images.available, images.capacity)
    if node.inodes:
        found[NODEFS_INODES] = Observation(node.inodes_free, node.inodes)
    if images.inodes:
        found[IMAGEFS_INODES] = Observation(images.inodes_free, images.inodes)
    return found


class Evictions:
    """Looks every few seconds, and evicts one pod at a time while a threshold is met.

    `observe` gives observations (blocking; called in a thread). `changed` is called when a pressure condition came or
    went; `conditions` are those that hold. `node` is a reference to the node object for events. `relief` is for a disk
    on which nothing can be written any more.
    """

    def __init__(
        self,
        options: EvictionOptions,
        pods: Pods,
        stats: Stats,
        evict: Evict,
        reclaim: Reclaim,
        observe: Callable[[], Observations],
        recorder: Recorder,
        node: Callable[[], Obj],
        changed: Callable[[], None] = lambda: None,
        relief: Relief | None = None,
    ) -> None:
        self._options = options
        self._pods = pods
        self._stats = stats
        self._evict = evict
        self._reclaim = reclaim
        self._observe = observe
        self._recorder = recorder
        self._node = node
        self._changed = changed
        self._relief = relief
        self._pressure = Pressure()
        self.conditions: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Until cancelled. A look that fails is taken again at the next turn."""
        while True:
            try:
                evicted = await self.look()
            except OSError as error:
                _log.warning("node_resources_unknown", error=str(error))
                evicted = False
            if not evicted:
                await asyncio.sleep(self._options.period)

    async def look(self) -> bool:
        """One look. Whether a pod was evicted, which asks for another look at once. Raises OSError."""
        observations = await self._judge()
        if await self._limits():
            return True
        threshold = most_urgent(self._pressure.met)
        if self._relief is not None and not any(each.signal in _DISK for each in self._pressure.met):
            await self._relief.put_by()
        if threshold is None:
            return False
        resource = RESOURCES[threshold.signal]
        _log.warning(
            "eviction_threshold_met", signal=threshold.signal, available=observations[threshold.signal].available
        )
        self._recorder.event(self._node(), "Warning", "EvictionThresholdMet", f"Attempting to reclaim {resource}")
        if threshold.signal in _DISK:
            await self._relieve()
        if threshold.signal in _DISK and await self._reclaim():
            observations = await asyncio.to_thread(self._observe)
            if not is_met(threshold, observations, with_reclaim=True):
                return False
        return await self._make_room(threshold, observations)

    async def _judge(self) -> Observations:
        observations = await asyncio.to_thread(self._observe)
        now = asyncio.get_running_loop().time()
        options = self._options
        self._pressure = look(self._pressure, options.thresholds, observations, now, options.transition)
        holding = self._pressure.conditions(now, options.transition)
        if holding != self.conditions:
            self.conditions = holding
            self._changed()
        return observations

    async def _limits(self) -> bool:
        """Evicts pods that keep more on disk than they may."""
        limited = [record for record in self._active().values() if is_limited(record.pod)]
        if not limited:
            return False
        now, _ = await self._stats.samples(disks=True)
        evicted = False
        for record in limited:
            reading = now.pods.get(record.uid)
            text = violation(record.pod, reading) if reading is not None else ""
            if text and not is_critical(record.pod):
                await self._remove(record, text, _AT_ONCE)
                evicted = True
        return evicted

    async def _make_room(self, threshold: Threshold, observations: Observations) -> bool:
        now, _ = await self._stats.samples(disks=threshold.signal in _DISK)
        active = self._active()
        candidates = [Candidate(record.pod, now.pods.get(uid)) for uid, record in active.items()]
        for candidate in ranked(candidates, RESOURCES[threshold.signal]):
            if is_critical(candidate.pod):
                continue
            text = message(threshold, observations[threshold.signal], candidate)
            await self._remove(active[candidate.uid], text, None if threshold.grace else _AT_ONCE)
            return True
        _log.warning("no_pod_to_evict", signal=threshold.signal)
        return False

    def _active(self) -> Mapping[str, PodRecord]:
        return {record.uid: record for record in self._pods if not record.terminating and not record.finished}

    async def _relieve(self) -> None:
        if self._relief is not None:
            await self._relief.give()

    async def _remove(self, record: PodRecord, text: str, grace: float | None) -> None:
        _log.warning("pod_evicted", tenant=record.tenant, namespace=record.namespace, pod=record.name, reason=text)
        self._recorder.event(record.pod, "Warning", EVENT_REASON, text)
        await self._evict(record.uid, REASON, text, grace)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CLEANUP
        while record.uid in self._pods and not record.finished and loop.time() < deadline:
            # The table has no bell, and this is rare.
            await asyncio.sleep(0.5)
            if any(each.signal in _DISK for each in self._pressure.met):
                await self._relieve()
