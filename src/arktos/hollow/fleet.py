"""Registers the nodes and keeps them alive: Leases and statuses, renewed one after the other, spread evenly over their
periods, by a few lanes that each have one request under way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial

import msgspec

from arktos.client import Client, ConnectionFailed
from arktos.client.cached import decode_header
from arktos.client.ratelimit import Backoff
from arktos.hollow import nodes
from arktos.hollow.metrics import Metrics
from arktos.hollow.options import Fleet
from arktos.model import registry
from arktos.model.dates import rfc3339, rfc3339_micro
from arktos.model.kinds import SYSTEM_TENANT
from arktos.model.status import AlreadyExists, ApiError, Conflict, NotFound
from arktos.wire import logs

NODES = registry.by_resource("nodes")
LEASES = registry.by_resource("leases.coordination.k8s.io")
_LANES = 16
_HEARTBEAT_LANES = 8
_LATE = 8.0
"""Seconds behind time from which a node may have been taken for dead, so that its status is renewed, too."""

_log = logs.get_logger(__name__)

_Act = Callable[[int, float], Awaitable[None]]
"""Does about the node of an index what was due at a moment of the loop's clock."""


class Nodes:
    """The nodes of a fleet on the API server. `registered` is set when all are there."""

    def __init__(self, client: Client, fleet: Fleet, metrics: Metrics) -> None:
        self.registered = asyncio.Event()
        self._client = client
        self._fleet = fleet
        self._metrics = metrics
        self._uids = [""] * fleet.count

    async def run(self) -> None:
        """Registers all nodes, then keeps them until cancelled."""
        await self._patiently(self._find, "nodes_not_listed")
        left = iter(range(self._fleet.count))
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(_LANES):
                group.create_task(self._register_all(left))
        _log.info("nodes_registered", count=self._fleet.count, seconds=round(time.monotonic() - began, 2))
        self.registered.set()
        async with asyncio.TaskGroup() as group:
            for lane in range(_HEARTBEAT_LANES):
                group.create_task(self._beat(lane, _HEARTBEAT_LANES, self._fleet.heartbeat, self._renew))
            group.create_task(self._beat(0, 1, self._fleet.status_heartbeat, self._report))

    # registering

    async def _find(self) -> None:
        """The nodes that are there already."""
        label = f"{nodes.HOLLOW}=true"
        listing = await self._client.list_raw(NODES, label_selector=label, limit=500, metadata_only=True)
        for raw in listing.items:
            meta = decode_header(raw).metadata
            index = self._fleet.index(meta.name)
            if index >= 0:
                self._uids[index] = meta.uid

    async def _register_all(self, left: Iterator[int]) -> None:
        for index in left:
            await self._patiently(partial(self._register, index), "node_not_registered")

    async def _register(self, index: int) -> None:
        """Makes the node, or brings the one that is there up to date; and its Lease."""
        now = rfc3339(datetime.now(UTC))
        if self._uids[index]:
            change = {"metadata": {"uid": self._uids[index]}, "status": nodes.status(self._fleet, index, now)}
            try:
                await self._client.patch(NODES, self._fleet.name(index), change, type="strategic", subresource="status")
            except (NotFound, Conflict):
                self._uids[index] = ""
        if not self._uids[index]:
            try:
                made = await self._client.create(NODES, nodes.node(self._fleet, index, now))
            except AlreadyExists:
                made = await self._client.get(NODES, self._fleet.name(index))
            self._uids[index] = made["metadata"]["uid"]
            self._metrics.registrations += 1
        lease = nodes.lease(self._fleet, index, self._uids[index], rfc3339_micro(datetime.now(UTC)))
        try:
            await self._client.create(LEASES, lease)
        except AlreadyExists:
            await self._patch_lease(index, {"metadata": {"ownerReferences": lease["metadata"]["ownerReferences"]}})

    # keeping alive

    async def _beat(self, lane: int, lanes: int, period: float, act: _Act) -> None:
        """Acts on every `lanes`-th node, each once a period, at a moment of its own."""
        loop = asyncio.get_running_loop()
        count = self._fleet.count
        began = loop.time()
        while True:
            for index in range(lane, count, lanes):
                due = began + period * (index + 1) / count
                pause = due - loop.time()
                if pause > 0:
                    await asyncio.sleep(pause)
                self._metrics.lateness = max(0.0, -pause)
                await self._patiently(partial(act, index, due), "node_not_renewed")
            if lane >= count:
                await asyncio.sleep(period)
            # What could not be done in its period is not made up for.
            began = max(began + period, loop.time() - period)

    async def _renew(self, index: int, due: float) -> None:
        try:
            await self._patch_lease(index, {})
        except NotFound:
            await self._register(index)
        self._metrics.renewals += 1
        if self._is_late(due):
            await self._report(index, due)

    async def _patch_lease(self, index: int, change: dict[str, object]) -> None:
        change["spec"] = {"renewTime": rfc3339_micro(datetime.now(UTC))}
        name = self._fleet.name(index)
        await self._client.patch(LEASES, name, change, namespace=nodes.NAMESPACE, tenant=SYSTEM_TENANT)

    @staticmethod
    def _is_late(due: float) -> bool:
        return asyncio.get_running_loop().time() - due > _LATE

    async def _report(self, index: int, due: float) -> None:
        now = rfc3339(datetime.now(UTC))
        change = nodes.heartbeat(self._uids[index], now, not self._is_late(due))
        try:
            await self._client.patch(NODES, self._fleet.name(index), change, type="strategic", subresource="status")
        except (NotFound, Conflict):
            self._uids[index] = ""
            await self._register(index)

    async def _patiently(self, act: Callable[[], Awaitable[None]], complaint: str) -> None:
        """Until it is done, or refused for good."""
        backoff: Backoff | None = None
        while True:
            try:
                return await act()
            except (ApiError, ConnectionFailed, msgspec.DecodeError) as error:
                self._metrics.failures += 1
                if backoff is None:
                    _log.warning(complaint, error=f"{type(error).__name__}: {error}")
                    backoff = Backoff(0.1, 5.0)
                if isinstance(error, ApiError) and error.code < 500 and error.code != 429 and self.registered.is_set():
                    return None
            await asyncio.sleep(backoff.next())
