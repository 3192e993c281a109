"""The scheduler's process: health port, election, and the service while it leads. What `arktos scheduler` runs."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from arktos.client import Client, ConnectionFailed, Leadership, LeadershipLost, Recorder
from arktos.client.ratelimit import Backoff
from arktos.client.serving import HealthServer
from arktos.model import registry
from arktos.model.status import ApiError
from arktos.processes import own_name
from arktos.scheduler.metrics import Metrics
from arktos.scheduler.service import Service
from arktos.wire import logs

NAME = "arktos-scheduler"
COMPONENT = "default-scheduler"
"""Who events are from, as clients know it."""
_TENANT, _NAMESPACE = "system", "kube-system"
_EVENTS = 5000
_log = logs.get_logger(__name__)


async def run(kubeconfig: Path, health_address: str, health_port: int) -> None:
    """Schedules, or stands by for it, until SIGTERM or SIGINT. The API server may come later, and come and go.

    Raises ConfigError for a kubeconfig that cannot be used, OSError for an address that cannot be had.
    """
    # One thread: our arrays are small, and a pool of threads costs memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with Client.from_kubeconfig(kubeconfig, user_agent=NAME) as client:
        scheduler = _Scheduler(client)
        async with HealthServer(
            health_address, health_port, ready={"scheduler": scheduler.unready}, metrics=scheduler.render
        ):
            working = asyncio.create_task(scheduler.run(), name="scheduler")
            stopping = asyncio.create_task(stopped.wait(), name="signals")
            try:
                await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                working.cancel()
                stopping.cancel()
                await asyncio.wait((working, stopping))
            if not working.cancelled():
                working.result()


class _Scheduler:
    """Stands by, leads, and stands by again when the lease is lost."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reached = False
        self._service: Service | None = None
        self._metrics = Metrics(lambda: self._service.engine.queue.counts() if self._service else {})

    def unready(self) -> str | None:
        """Why it cannot do its part yet: work while it leads, wait while another does."""
        if not self._reached:
            return "the API server has not been reached"
        if self._service is not None and not self._service.synced.is_set():
            return "nodes and pods are not known yet"
        return None

    def render(self, accept: str) -> tuple[bytes, str]:
        return self._metrics.render(accept)

    async def run(self) -> None:
        await self._reach()
        identity = own_name()
        while True:
            try:
                async with Leadership(self._client, NAME, _NAMESPACE, identity, tenant=_TENANT):
                    await self._lead()
            except LeadershipLost as lost:
                _log.warning("standing_by", reason=str(lost))
            finally:
                self._service = None

    async def _lead(self) -> None:
        async with Recorder(self._client, COMPONENT, limit=_EVENTS) as recorder:
            self._service = Service(self._client, recorder, self._metrics)
            await self._service.run()

    async def _reach(self) -> None:
        """Waits until the API server is there, and the namespace that the lease is in."""
        namespaces = registry.by_resource("namespaces")
        backoff = Backoff(0.1, 1.0)
        while not self._reached:
            try:
                await self._client.get(namespaces, _NAMESPACE, tenant=_TENANT)
                self._reached = True
            except (ConnectionFailed, ApiError) as error:
                _log.debug("server_awaited", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(backoff.next())
