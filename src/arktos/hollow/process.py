"""The process of a fleet of hollow nodes. What `arktos hollow` runs."""

from __future__ import annotations

import asyncio
import random
import signal
from dataclasses import replace
from pathlib import Path

from arktos.client import Client, kubeconfig
from arktos.client.serving import HealthServer
from arktos.hollow.fleet import Nodes
from arktos.hollow.machine import Machine
from arktos.hollow.metrics import Metrics
from arktos.hollow.options import Behaviour, Fleet
from arktos.hollow.pods import Pods
from arktos.wire import logs

NAME = "arktos-hollow"
_MORE = 16
"""Connections beyond those of the writers: heartbeats must not wait behind pods."""
_log = logs.get_logger(__name__)


async def run(
    file: Path, fleet: Fleet, behaviour: Behaviour, *, writers: int, health_address: str, health_port: int
) -> None:
    """Plays the nodes until SIGTERM or SIGINT. They and their pods stay on the server, for the next process to adopt.
    The API server may come later, and come and go.

    Raises ConfigError for a kubeconfig that cannot be used, OSError for an address that cannot be had.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    config = replace(kubeconfig.load(file).with_user_agent(NAME), connections=writers + _MORE)
    machine = Machine(fleet, behaviour, random.Random())
    metrics = Metrics(
        lambda: {stage.value: count for stage, count in machine.stages.items()}, lambda: len(machine.outbox)
    )
    async with Client(config) as client:
        nodes = Nodes(client, fleet, metrics)
        pods = Pods(client, fleet, machine, metrics, writers)
        ready = {
            "nodes": lambda: None if nodes.registered.is_set() else "not all nodes are registered yet",
            "pods": lambda: None if pods.synced.is_set() else "pods are not known yet",
        }
        async with HealthServer(health_address, health_port, ready=ready, metrics=metrics.render):
            _log.info("playing", nodes=fleet.count, first=fleet.name(0), last=fleet.name(fleet.count - 1))
            await _until(stopped, nodes, pods)


async def _until(stopped: asyncio.Event, nodes: Nodes, pods: Pods) -> None:
    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(nodes.run())
            group.create_task(pods.run())

    working = asyncio.create_task(work(), name="hollow")
    stopping = asyncio.create_task(stopped.wait(), name="signals")
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait((working, stopping))
    if not working.cancelled():
        working.result()
