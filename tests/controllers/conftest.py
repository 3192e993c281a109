"""A real API server per module, and controllers that run against it in the test's own loop."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.client import Client


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a running API server."""
    root = tmp_path_factory.mktemp("server")
    settings = Settings(str(root), port=free_port())
    credentials.ensure(settings.layout, settings.address, settings.port, "10.96.0.1")
    Path(settings.layout.store).parent.mkdir(parents=True, exist_ok=True)
    with (root / "apiserver.log").open("wb") as log:
        process = subprocess.Popen(components(settings)[0].command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", settings.port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((root / "apiserver.log").read_text())
        yield root
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture
async def admin(server: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(server / "admin.kubeconfig") as client:
        yield client


@pytest.fixture(scope="module")
def running(server: Path) -> Iterator[Path]:
    """The server with all controllers beside it."""
    log = (server / "controllers.log").open("ab")
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "arktos",
            "controllers",
            f"--kubeconfig={server / 'components' / 'controllers.kubeconfig'}",
            "--health-port=0",
        ],
        stdout=log,
        stderr=log,
    )
    try:
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        log.close()
        said = (server / "controllers.log").read_text()
        assert "reconcile_bug" not in said, said


async def eventually(check: Callable[[], Awaitable[object]], seconds: float = 45.0) -> None:
    """Waits until `check` returns something true."""
    deadline = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    return eventually
