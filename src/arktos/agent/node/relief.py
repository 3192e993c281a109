"""Room on a disk that is full to the last byte.

There a runtime cannot note that a container has ended, so a pod that was told to end never has, and what it keeps on
the disk stays. Two things lead out: what such a pod kept in its own volumes goes as soon as its processes have,
whatever the runtime still believes; and a file that was put by in better days makes room for the runtime's notes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from arktos.agent.pods.observed import State
from arktos.agent.pods.table import PodRecord, Pods
from arktos.model.workload import is_vm
from arktos.wire import logs

SIZE = 4 << 20
"""Bytes that are put by."""

_log = logs.get_logger(__name__)


class Relief:
    """`path` is the file that is put by. `occupied(uid, containers)` says whether processes are left in one of a pod's
    containers, `empty(uid)` deletes what is in a pod's volumes. Both may raise OSError."""

    def __init__(
        self,
        path: Path,
        pods: Pods,
        occupied: Callable[[str, Collection[str]], Awaitable[bool]],
        empty: Callable[[str], Awaitable[None]],
        size: int = SIZE,
    ) -> None:
        self._path = path
        self._pods = pods
        self._occupied = occupied
        self._empty = empty
        self._size = size
        self._emptied: set[str] = set()

    async def put_by(self) -> None:
        """For when there is room. Never raises: a node without the file is one that may run full for good."""
        self._emptied.clear()
        try:
            await asyncio.to_thread(self._reserve)
        except OSError as error:
            _log.info("no_room_put_by", error=str(error))

    async def give(self) -> None:
        """For when there is none: takes what pods that are ending no longer need, and gives what was put by if one of
        them waits for nothing but the runtime. Never raises."""
        for record in self._pods:
            if record.terminating and not record.finished and record.uid not in self._emptied:
                try:
                    if await self._has_ended(record):
                        await self._empty(record.uid)
                        await asyncio.to_thread(self._path.unlink, missing_ok=True)
                        self._emptied.add(record.uid)
                        _log.warning("room_given", tenant=record.tenant, namespace=record.namespace, pod=record.name)
                except OSError as error:
                    _log.warning("no_room_given", uid=record.uid, error=str(error))

    async def _has_ended(self, record: PodRecord) -> bool:
        """Whether nothing of a pod runs, although its runtime says so. Of machines only their runtime knows."""
        believed = [each.id for each in record.observed.containers if each.state is State.RUNNING]
        if is_vm(record.pod) or not believed:
            return False
        return not await self._occupied(record.uid, believed)

    def _reserve(self) -> None:
        if self._path.exists():
            return
        scratch = self._path.with_suffix(".new")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
            os.rename(scratch, self._path)
        except OSError:
            os.unlink(scratch)
            raise
        finally:
            os.close(descriptor)
