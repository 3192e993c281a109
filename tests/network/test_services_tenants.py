"""Services on top of the pod network: a service is no way into another tenant."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from arktos.network.services.routing import ServiceRouting
from arktos.network.services.rules import Fixed
from network.service_stage import Mirrors, endpoint, service, settled, slice_
from network.stage import CLUSTER, DNS, SERVICES, Node, Stage

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@contextlib.contextmanager
def routed(node: Node, mirrors: Mirrors) -> Iterator[None]:
    async def start() -> tuple[ServiceRouting, asyncio.Task[None]]:
        routing = ServiceRouting(mirrors, "n1", Fixed(CLUSTER, SERVICES, DNS), lambda: True)
        task = asyncio.create_task(routing.run())
        await settled(routing)
        return routing, task

    async def stop(task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait([task])

    starting: Coroutine[Any, Any, tuple[ServiceRouting, asyncio.Task[None]]] = start()
    _, task = node.call(starting)
    try:
        yield
    finally:
        node.call(stop(task))


def test_a_service_leads_its_own_tenant_only(stage: Stage) -> None:
    node = stage.node()
    server, friend, stranger = node.pod("red", "web"), node.pod("red", "db"), node.pod("blue", "web")
    node.call(node.network.nft.apply())
    mirrors = Mirrors()
    mirrors.services.put(service(tenant="red", ports=[{"port": 80, "nodePort": 30080}]))
    mirrors.slices.put(slice_(endpoint(server.address), tenant="red"))
    with server.space.listen(server.address, 8080), routed(node, mirrors):
        assert friend.space.connects("10.96.0.7", 80) == friend.address
        assert server.space.connects("10.96.0.7", 80) == server.address  # itself
        assert node.connects("10.96.0.7", 80)
        assert stage.outside.connects(node.address, 30080)
        assert friend.space.connects(node.address, 30080)
        assert stranger.space.connects("10.96.0.7", 80) == ""
        assert stranger.space.connects(node.address, 30080) == ""
