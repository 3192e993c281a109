"""The worker of one pod: looks, tells, acts; from the pod's arrival on this node until nothing of it is left.

It acts by one call of its Workload at a time, in the background, and goes on looking and telling meanwhile. What it
does next is decided by `stage` alone:

    SYNCING   the pod shall run: sync, again when something happens
    KILLING   it is stopped for good: kill, with the grace that is left
    CLOSING   nothing runs: volumes and cgroups go
    CLOSED    it stands there, Succeeded or Failed, its containers kept for their logs
    REMOVING  the API object goes, or has gone: containers, sandboxes, logs go, then the object
    GONE      nothing is left
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from arktos.agent.pods import podspec
from arktos.agent.pods.admission import Admission
from arktos.agent.pods.status import rejected
from arktos.agent.pods.table import FINISHED, PodRecord
from arktos.agent.pods.telling import Telling
from arktos.agent.pods.workload import Ended, Outcome, Workload
from arktos.agent.runtimes import NoRuntime
from arktos.agent.volumes import VolumeError
from arktos.client.errors import ConnectionFailed
from arktos.client.ratelimit import Backoff
from arktos.model import dates
from arktos.model.status import ApiError, NotFound
from arktos.rpc.method import RpcError
from arktos.wire import logs

DEADLINE = "Pod was active on the node longer than the specified deadline"

_FAILURES = (RpcError, NoRuntime, VolumeError, ApiError, ConnectionFailed, OSError)
_log = logs.get_logger(__name__)


class Stage(Enum):
    SYNCING = "syncing"
    KILLING = "killing"
    CLOSING = "closing"
    CLOSED = "closed"
    REMOVING = "removing"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Hands:
    """What a worker does beyond its Workload. `publish` tells that `record.status` changed; `close` takes away what
    the node keeps for a pod that has ended; `remove` what is left of one whose object goes; `delete` deletes the object
    (true once it is gone, or will go without us)."""

    admission: Admission
    telling: Telling
    publish: Callable[[PodRecord], None]
    is_written: Callable[[str], bool]
    close: Callable[[PodRecord], Awaitable[None]]
    remove: Callable[[PodRecord], Awaitable[None]]
    delete: Callable[[PodRecord], Awaitable[None]]
    clock: Callable[[], float] = time.time


class Worker:
    """One pod. `wake` and the methods that tell it something return at once."""

    def __init__(self, record: PodRecord, workload: Workload, hands: Hands) -> None:
        self.record = record
        self.stage = Stage.SYNCING
        self._workload = workload
        self._hands = hands
        self._woken = asyncio.Event()
        self._dirty = True
        self._removed = False
        self._deleted = False
        self._deletes_itself = False
        self._ended: Ended | None = None
        self._acting: asyncio.Task[Outcome] | None = None
        self._acts = Stage.SYNCING
        self._due: float | None = None
        self._overtaken = False
        self._not_before = 0.0
        self._kill_by: float | None = None
        self._killing_until = 0.0
        self._backoff = Backoff(0.5, 60.0)
        phase = str((record.pod.get("status") or {}).get("phase") or "")
        self._sealed = phase in FINISHED
        if self._sealed:
            self._ended = Ended(phase)
            record.terminating = True

    # what happens

    def wake(self) -> None:
        """Something of this pod has changed: its document, its containers, a probe's verdict."""
        self._dirty = True
        self._woken.set()

    def hurry(self) -> None:
        """As `wake`, and what failed before is tried again now."""
        self._not_before = 0.0
        self._backoff.reset()
        self.wake()

    def end(self, ended: Ended, grace: float | None = None) -> None:
        """Stops the pod for good; the first reason stands. `grace` in seconds, None = the pod's own."""
        self._end_with(ended)
        if grace is not None:
            by = asyncio.get_running_loop().time() + grace
            self._kill_by = by if self._kill_by is None else min(by, self._kill_by)
        self.wake()

    def remove(self) -> None:
        """The API server no longer has the pod."""
        self._removed = True
        self.end(Ended())

    # the loop

    async def run(self) -> None:
        """Returns once nothing is left. Cancelling it leaves everything as it is, for the next process."""
        try:
            while self.stage is not Stage.GONE:
                await self._wait()
                try:
                    await self._turn()
                except _FAILURES as error:
                    self._failed(error)
        finally:
            await self._drop()

    async def _wait(self) -> None:
        due = self._next_due(asyncio.get_running_loop().time())
        with suppress(TimeoutError):
            async with asyncio.timeout(due):
                await self._woken.wait()
        self._woken.clear()

    def _next_due(self, now: float) -> float | None:
        """Seconds until there is something to do that nothing tells of."""
        found = []
        if self._dirty:
            found.append(self._not_before - now)
        if self._due is not None and self._acting is None:
            found.append(max(self._due, self._not_before) - now)
        deadline = self._deadline()
        if deadline is not None and self._ended is None:
            found.append(deadline)
        return max(0.0, min(found)) if found else None

    async def _turn(self) -> None:
        """One look, and what follows from it."""
        loop = asyncio.get_running_loop()
        self._decide()
        await self._reconsider()
        if self._acting is not None and self._acting.done():
            self._harvest(loop.time())
        if self._dirty and loop.time() >= self._not_before:
            self._dirty = False
            try:
                await self._look()
            except _FAILURES:
                self._dirty = True
                raise
            self._due = loop.time()
            self._overtaken = self._acting is not None
        now = loop.time()
        if self._acting is None and self._due is not None and max(self._due, self._not_before) <= now:
            self._act()

    def _decide(self) -> None:
        """Whether the pod has come to its end, by what its document and the clock say."""
        pod = self.record.pod
        deadline = self._deadline()
        if pod["metadata"].get("deletionTimestamp"):
            self._end_with(Ended())
        elif self._ended is None and deadline is not None and deadline <= 0:
            self._hands.telling.normal(pod, "DeadlineExceeded", DEADLINE)
            self._end_with(Ended("Failed", "DeadlineExceeded", DEADLINE))
        if self._ended is not None and self.stage is Stage.SYNCING:
            self.stage = Stage.KILLING
            self._due = 0.0
        if self.stage is Stage.CLOSED and self._going:
            self.stage = Stage.REMOVING
            self._due = 0.0
        if self.stage is Stage.REMOVING and self._deleted and self._removed:
            self.stage = Stage.GONE

    def _end_with(self, ended: Ended) -> None:
        if self._ended is None:
            self._ended = ended
            self.record.terminating = True

    @property
    def _going(self) -> bool:
        return self._removed or self._deletes_itself or bool(self.record.pod["metadata"].get("deletionTimestamp"))

    def _deadline(self) -> float | None:
        """Seconds until activeDeadlineSeconds is over; None for a pod that has none, or has not begun."""
        stated = self.record.pod["spec"].get("activeDeadlineSeconds")
        began = (self.record.status or self.record.pod.get("status") or {}).get("startTime")
        if stated is None or not began:
            return None
        return dates.unix(began) + float(stated) - self._hands.clock()

    async def _reconsider(self) -> None:
        """Drops an act that is no longer the right one: a sync of a pod that ends, a kill that has less time now."""
        if self._acting is None or self._acting.done():
            return
        overtaken = self._acts is Stage.SYNCING and self.stage is not Stage.SYNCING
        if self._acts is Stage.KILLING and self.stage is Stage.KILLING:
            overtaken = asyncio.get_running_loop().time() + self._grace() < self._killing_until - 1.0
        if overtaken:
            await self._drop()
            self._due = 0.0

    async def _drop(self) -> None:
        if self._acting is not None:
            self._acting.cancel()
            await asyncio.wait([self._acting])
            self._acting = None

    def _harvest(self, now: float) -> None:
        """Takes the result of an act, and sets when to act again. Raises what the act raised."""
        task, self._acting = self._acting, None
        assert task is not None
        outcome = task.result()
        if outcome.error:
            delay = self._backoff.next()
            self._not_before = now + delay
            self._due = self._not_before
            _log.info("pod_not_synced", uid=self.record.uid, error=outcome.error, again=round(delay, 1))
            self._tell()
            return
        self._backoff.reset()
        if outcome.finished and self.stage is Stage.SYNCING:
            self._deletes_itself = outcome.deleted
            self._end_with(Ended())
            self._decide()
        if outcome.again == 0.0 or self.stage is not self._acts:
            self._dirty = True
        else:
            self._tell()
        # Something happened while it acted: it may have acted, and looked, at what is no longer so.
        self._dirty = self._dirty or self._overtaken
        self._due = None if outcome.again is None and self.stage is self._acts else now + (outcome.again or 0.0)

    def _failed(self, error: Exception) -> None:
        delay = self._backoff.next()
        self._not_before = asyncio.get_running_loop().time() + delay
        self._due = self._not_before
        # What failed may have done half of it.
        self._dirty = True
        if isinstance(error, NoRuntime | NotFound) and self.stage is Stage.SYNCING:
            message = f"Failed to create pod sandbox: {error}"
            self._hands.telling.warning(self.record.pod, "FailedCreatePodSandBox", message)
        _log.warning("pod_failed", uid=self.record.uid, stage=self.stage.value, error=str(error), again=round(delay, 1))

    # looking and telling

    async def _look(self) -> None:
        record = self.record
        if self.stage is Stage.GONE:
            return
        await self._workload.observe(record)
        if not record.admitted and self._ended is None:
            self._admit()
        self._tell()

    def _admit(self) -> None:
        """Takes the pod, or refuses it. What runs already was taken before."""
        record = self.record
        began = (record.pod.get("status") or {}).get("startTime")
        if not began and not record.observed.sandboxes:
            refused = self._hands.admission.refuse(record.pod)
            if refused is not None:
                self._hands.telling.warning(record.pod, refused.reason, refused.message.split(": ", 1)[-1])
                record.status = rejected(record.pod, refused, self._hands.clock())
                self._hands.publish(record)
                self._end_with(refused)
                self._sealed = True
                self.stage = Stage.KILLING
                self._due = 0.0
                return
        record.admitted = True

    def _tell(self) -> None:
        """Publishes the status, if it is another one."""
        record = self.record
        if self._sealed or self._removed or self.stage in (Stage.REMOVING, Stage.GONE):
            return
        status = self._workload.status(record, self._ended)
        if status != record.status:
            record.status = status
            self._hands.publish(record)

    # acting

    def _act(self) -> None:
        act = {
            Stage.SYNCING: self._sync,
            Stage.KILLING: self._kill,
            Stage.CLOSING: self._close,
            Stage.REMOVING: self._remove,
        }.get(self.stage)
        self._due = None
        if act is None:
            return
        self._acts = self.stage
        if self.stage is Stage.KILLING:
            self._killing_until = asyncio.get_running_loop().time() + self._grace()
            self._kill_by = self._killing_until if self._kill_by is None else min(self._kill_by, self._killing_until)
        self._overtaken = False
        self._acting = asyncio.create_task(act(), name=f"{self.stage.value} {self.record.uid}")
        self._acting.add_done_callback(lambda _: self._woken.set())

    async def _sync(self) -> Outcome:
        return await self._workload.sync(self.record)

    def _grace(self) -> float:
        """Seconds that the pod still has."""
        now = asyncio.get_running_loop().time()
        left = podspec.grace_left(self.record.pod, self._hands.clock())
        if self._kill_by is not None:
            left = min(left, self._kill_by - now)
        return max(0.0, left)

    async def _kill(self) -> Outcome:
        await self._workload.kill(self.record, max(0.0, self._killing_until - asyncio.get_running_loop().time()))
        await self._workload.observe(self.record)
        self.stage = Stage.CLOSING
        self._tell()
        return Outcome(0.0)

    async def _close(self) -> Outcome:
        await self._hands.close(self.record)
        self.record.finished = True
        self.stage = Stage.REMOVING if self._going else Stage.CLOSED
        return Outcome(0.0)

    async def _remove(self) -> Outcome:
        if not self._deleted:
            if not self._removed and not self._hands.is_written(self.record.uid):
                return Outcome()
            await self._workload.remove(self.record)
            await self._hands.remove(self.record)
            if not self._removed:
                await self._hands.delete(self.record)
            self._deleted = True
        return Outcome()
