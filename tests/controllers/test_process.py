"""The process itself: health, metrics, leases, and its end."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.client import Client
from arktos.controllers.catalogue import CONTROLLERS
from arktos.ring.runner import INSTANCE
from arktos.wire.http_client import ConnectionFailed, HttpClient

Until = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def unready(tmp_path: Path) -> AsyncIterator[tuple[Path, list[str]]]:
    """A data directory, and the command that starts its API server."""
    settings = Settings(str(tmp_path), port=free_port())
    credentials.ensure(settings.layout, settings.address, settings.port, "10.96.0.1")
    Path(settings.layout.store).parent.mkdir(parents=True, exist_ok=True)
    yield tmp_path, components(settings)[0].command


async def ask(port: int, path: str) -> tuple[int, str]:
    client = HttpClient(f"http://127.0.0.1:{port}")
    try:
        answer = await client.request("GET", path)
        return answer.status, answer.body.decode()
    except ConnectionFailed:
        return 0, ""
    finally:
        await client.aclose()


async def test_it_waits_for_the_server_works_and_leaves_in_order(unready: tuple[Path, list[str]], until: Until) -> None:
    root, server_command = unready
    port = free_port()
    kubeconfig = root / "components" / "controllers.kubeconfig"
    command = [sys.executable, "-m", "arktos", "controllers", f"--kubeconfig={kubeconfig}", f"--health-port={port}"]
    with (root / "log").open("wb") as log:
        controllers = await asyncio.to_thread(subprocess.Popen, command, stdout=log, stderr=log)
        servers: list[subprocess.Popen[bytes]] = []
        try:

            async def alive() -> bool:
                return (await ask(port, "/livez"))[0] == 200

            async def ready() -> bool:
                return (await ask(port, "/readyz"))[0] == 200

            await until(alive)
            status, text = await ask(port, "/readyz")
            assert status == 500 and "waiting for" in text
            servers.append(await asyncio.to_thread(subprocess.Popen, server_command, stdout=log, stderr=log))
            await until(ready)
            async with Client.from_kubeconfig(root / "admin.kubeconfig") as client:

                async def owned() -> int:
                    """How many rings this process is the one member of."""
                    items = (await client.list(INSTANCE)).items
                    return sum(
                        not each["isLocked"] and each["rangeStart"] == 0 and each["controllerKey"] == 2**63 - 1
                        for each in items
                    )

                async def all_held() -> bool:
                    return await owned() == len(CONTROLLERS)

                await until(all_held)
                metrics = (await ask(port, "/metrics"))[1]
                assert 'workqueue_adds_total{name="tenant"}' in metrics
                assert 'leader_election_master_status{name="tenant"} 1.0' in metrics
                assert 'workqueue_unfinished_work_seconds{name="tenant"}' in metrics
                assert 'workqueue_longest_running_processor_seconds{name="pvprotection"} 0.0' in metrics
                assert re.search(
                    r'rest_client_requests_total\{code="201",host="127.0.0.1:\d+",method="POST"\}', metrics
                )
                assert re.search(r'rest_client_request_duration_seconds_count\{host="[^"]+",verb="GET"\}', metrics)
                began = time.monotonic()
                controllers.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(controllers.wait, 5) == 0
                assert time.monotonic() - began < 2
                assert await owned() == 0 and not (await client.list(INSTANCE)).items
        finally:
            for process in (controllers, *servers):
                process.kill()
                process.wait()
    assert "reconcile_bug" not in (root / "log").read_text()
