"""Work that goes on although its caller has gone: a start half done would be worse than one nobody waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from arktos.rpc.method import RpcError
from arktos.vmruntime.errors import Failed, NoSpace, WrongState
from arktos.vmruntime.monitor import Unreachable
from arktos.vmruntime.power import NotAllowed
from arktos.wire import logs

_Found = TypeVar("_Found")
_log = logs.get_logger(__name__)
_NO_SPACE = 28


class Operations:
    """Those under way. Failures of the outside world become RpcErrors."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def finish(self, work: Coroutine[Any, Any, _Found]) -> _Found:
        """What the work gives. A caller that is cancelled stops waiting, nothing else."""
        task = asyncio.create_task(_translated(work), name="operation")
        self._running.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.info("operation_failed", error=str(task.exception()))

    async def drained(self, within: float) -> None:
        """Until all have ended, at most so many seconds; what is left is cancelled."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=within)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


async def _translated(work: Coroutine[Any, Any, _Found]) -> _Found:
    try:
        return await work
    except RpcError:
        raise
    except NotAllowed as error:
        raise WrongState(str(error)) from None
    except Unreachable as error:
        raise Failed(str(error)) from None
    except OSError as error:
        if error.errno == _NO_SPACE:
            raise NoSpace(f"the disk is full: {error}") from None
        raise Failed(str(error)) from None
