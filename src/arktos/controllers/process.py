"""The process `arktos controllers`: mirrors, leases, controllers, health; from its start to SIGTERM."""

from __future__ import annotations

import asyncio
import importlib
import signal
import socket
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from arktos.controllers.catalogue import CONTROLLERS, select

if TYPE_CHECKING:
    from arktos.client import Client
    from arktos.controllers.context import Context, Settings, Unit

__all__ = ["run", "select"]

_PROBE_SECONDS = 0.05


async def run(
    kubeconfig: Path, names: Sequence[str], health_address: str, health_port: int, settings: Settings | None = None
) -> None:
    """Runs controllers until SIGTERM or SIGINT; leases are given up on the way out. ConfigError for a kubeconfig that
    cannot be used, OSError for a health port that cannot be had."""
    from arktos.client import Client
    from arktos.client.serving import HealthServer
    from arktos.controllers.context import Context

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with Client.from_kubeconfig(kubeconfig, user_agent="arktos-controllers") as client:
        context = Context(client, settings=settings)
        units: dict[str, Unit] = {name: importlib.import_module(CONTROLLERS[name]).build(context) for name in names}
        ready = {"informers": context.unsynced}
        async with HealthServer(health_address, health_port, ready=ready, metrics=context.metrics.render):
            working = asyncio.create_task(_work(context, units), name="controllers")
            stopped = asyncio.create_task(stopping.wait(), name="signals")
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            working.cancel()
            await asyncio.wait({working, stopped})
            if not working.cancelled():
                working.result()


async def _work(context: Context, units: dict[str, Unit]) -> None:
    from arktos.controllers.leading import lead

    identity = f"{socket.gethostname()}_{uuid.uuid4()}"
    await _reachable(context.client)
    async with asyncio.TaskGroup() as group:
        # Leases first: they are small, and the mirrors' handshakes keep the loop busy for a while.
        for name, unit in units.items():
            group.create_task(lead(context.client, name, unit, identity, context.metrics))
        for recorder in context.recorders:
            group.create_task(recorder.run())
        await asyncio.sleep(0)
        group.create_task(context.informers.run())


async def _reachable(client: Client) -> None:
    """Waits for the API server. It may be started after us: that is no failure to speak of."""
    from arktos.client import ConnectionFailed
    from arktos.model.status import ApiError

    while True:
        try:
            await client.request("GET", "/version")
            return
        except (ApiError, ConnectionFailed):
            await asyncio.sleep(_PROBE_SECONDS)
