"""The process `arktos controllers`: mirrors, rings, controllers, health; from its start to SIGTERM."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from arktos.controllers.catalogue import CONTROLLERS, RANGED, select

if TYPE_CHECKING:
    from arktos.client import Client
    from arktos.controllers.context import Context, Settings, Unit
    from arktos.controllers.sharing import Posts

    Build = Callable[[Context], Unit]

__all__ = ["run", "select", "serve"]

_PROBE_SECONDS = 0.05


async def run(
    kubeconfig: Path,
    names: Sequence[str],
    health_address: str,
    health_port: int,
    settings: Settings | None = None,
    lease: float = 15.0,
) -> None:
    """Runs controllers of the catalogue; else as `serve`."""
    # Those that share by ranges come last: they look what is mirrored whole anyway.
    order = sorted(names, key=lambda name: name in RANGED)
    builds: dict[str, Build] = {name: importlib.import_module(CONTROLLERS[name]).build for name in order}
    await serve(kubeconfig, builds, health_address, health_port, settings, lease)


async def serve(
    kubeconfig: Path,
    builds: Mapping[str, Build],
    health_address: str = "127.0.0.1",
    health_port: int = 0,
    settings: Settings | None = None,
    lease: float = 15.0,
    user_agent: str = "arktos-controllers",
) -> None:
    """Runs controllers, by name, until SIGTERM or SIGINT; what they own is handed over on the way out. Others wait
    `lease` seconds for us if we fall silent. ConfigError for a kubeconfig that cannot be used, OSError for a health
    port that cannot be had; 0 is one that is free."""
    from arktos.client import Client
    from arktos.client.serving import HealthServer
    from arktos.controllers.context import Context
    from arktos.controllers.sharing import Posts
    from arktos.ring.events import Timing

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with (
        Client.from_kubeconfig(kubeconfig, user_agent=user_agent) as client,
        Client.from_kubeconfig(kubeconfig, user_agent="arktos-ring") as ring,
    ):
        context = Context(client, settings=settings)
        units: dict[str, Unit] = {name: build(context) for name, build in builds.items()}
        timing = Timing(lease, patience=lease * 2 / 3, rest=lease * 2)
        posts = Posts(ring, context, units, timing, f"{socket.gethostname()}_{os.getpid()}")
        ready = {"informers": context.unsynced}
        async with HealthServer(health_address, health_port, ready=ready, metrics=context.metrics.render):
            working = asyncio.create_task(_work(context, posts), name="controllers")
            stopped = asyncio.create_task(stopping.wait(), name="signals")
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not working.done():
                await posts.leave()
            working.cancel()
            await asyncio.wait({working, stopped})
            if not working.cancelled():
                working.result()


async def _work(context: Context, posts: Posts) -> None:
    await _reachable(context.client)
    async with asyncio.TaskGroup() as group:
        # Rings first: they are small, and the mirrors' handshakes keep the loop busy for a while.
        group.create_task(posts.run(group))
        for part in context.ranged.values():
            group.create_task(part.run())
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
