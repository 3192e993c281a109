"""Samples when they are wanted, and the answers that are made from them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from arktos.agent.node.stats.exposition import exposition
from arktos.agent.node.stats.samples import Sample
from arktos.agent.node.stats.summary import summary
from arktos.agent.node.stats.usage import usage
from arktos.model.kinds import Obj
from arktos.wire import logs

FRESH = 10.0
"""Seconds for which a sample is good enough to answer with."""

IDLE = 15.0
"""Seconds between samples while nobody asks: so that the first who does gets rates."""

_FIRST = 2.0
_LEAST = 1.0
"""Seconds between two samples at least: rates over less are noise."""
_KEPT = 8
_DISKS_WANTED = 300.0
"""Seconds after a question about disks for which they are counted without being asked for."""
_WINDOW = 10.0
"""Seconds that a rate goes over, where samples reach so far back."""

_log = logs.get_logger(__name__)


class Stats:
    """The node's statistics, as everyone asks for them: the streaming endpoint, eviction, our API server.

    `take` takes a sample, with what is on disk or without (`Collector.sample`). Answers are at most `FRESH` seconds
    old. Those who ask at the same time share one sample. Raises OSError where the host's own files cannot be read.
    """

    def __init__(self, take: Callable[[bool], Awaitable[Sample]], node_name: str) -> None:
        self._take = take
        self._node_name = node_name
        self._samples: deque[Sample] = deque(maxlen=_KEPT)
        self._taken: deque[float] = deque(maxlen=_KEPT)
        self._taking: asyncio.Task[None] | None = None
        self._disks_until = float("-inf")

    async def run(self) -> None:
        """Takes a sample now and then, until cancelled: two soon after the start, so that there are rates at once."""
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            try:
                await self._refresh(IDLE - 1 if len(self._samples) > 1 else _LEAST)
                pause = IDLE if len(self._samples) > 1 else _FIRST
            except OSError as error:
                _log.warning("statistics_missing", error=str(error))
                pause = IDLE

    async def summary(self) -> Obj:
        """kubelet's Summary API object, for `/stats/summary`."""
        now, before = await self.samples(disks=True)
        return summary(now, before, self._node_name)

    async def resource_metrics(self) -> bytes:
        """kubelet's `/metrics/resource`, in Prometheus' text format (`exposition.CONTENT_TYPE`)."""
        now, _ = await self.samples()
        return exposition(now)

    async def usage(self) -> bytes:
        """What our API server asks for (`usage`), JSON, for `/stats/usage`."""
        now, before = await self.samples()
        return usage(now, before)

    async def summary_json(self) -> bytes:
        """`summary`, encoded."""
        return msgspec.json.encode(await self.summary())

    async def samples(self, fresh: float = FRESH, *, disks: bool = False) -> tuple[Sample, Sample | None]:
        """A sample at most `fresh` seconds old, and one before it to compare with (None if there is none yet). With
        `disks` it tells what pods have on disk, and so will the next ones, for a while."""
        if disks:
            self._disks_until = asyncio.get_running_loop().time() + _DISKS_WANTED
        await self._refresh(fresh)
        if disks and not self._samples[-1].disks:
            await self._refresh(0.0, least=0.0)
        now = self._samples[-1]
        older = list(self._samples)[:-1]
        far = [sample for sample in older if now.at - sample.at >= _WINDOW]
        return now, far[-1] if far else older[0] if older else None

    async def _refresh(self, fresh: float, least: float = _LEAST) -> None:
        loop = asyncio.get_running_loop()
        if self._taken and loop.time() - self._taken[-1] < max(fresh, least):
            return
        if self._taking is None or self._taking.done():
            self._taking = loop.create_task(self._sample(), name="statistics")
        await asyncio.shield(self._taking)

    async def _sample(self) -> None:
        now = asyncio.get_running_loop().time()
        self._samples.append(await self._take(now < self._disks_until))
        self._taken.append(asyncio.get_running_loop().time())
