"""The shell: changes of services, slices, pods and nodes into transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Protocol

import msgspec

from arktos.client import Cached
from arktos.client.informer import Handler
from arktos.client.ratelimit import Backoff
from arktos.network.provider import NetworkFailure
from arktos.network.services import kernel, rules
from arktos.network.services.routes import NOTHING, Place, routing
from arktos.network.services.table import Change, Table
from arktos.network.services.view import (
    ZONE,
    Key,
    ServiceView,
    SliceView,
    node_addresses,
    view_service,
    view_slice,
)
from arktos.wire import logs

_log = logs.get_logger(__name__)
_AT_ONCE = 64
"""Services looked at between two looks at the rest of the event loop."""
_FLOWS = 256
"""Flows ended per transaction; more end by their own time-out."""


class Source(Protocol):
    """An informer, or a mirror of several tenants."""

    def add_handler(self, on_change: Handler) -> None: ...


class Sources(Protocol):
    """The mirrors that routing reads: `network.watches.Watches`."""

    @property
    def services(self) -> Source: ...
    @property
    def slices(self) -> Source: ...
    @property
    def pods(self) -> Source: ...
    @property
    def nodes(self) -> Source: ...


class _PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")


class _Pod(msgspec.Struct, frozen=True):
    status: _PodStatus = _PodStatus()


_POD = msgspec.json.Decoder(_Pod)


class ServiceRouting:
    """Routes services on this node, in the network namespace of the process. `known()` says whether the mirrors are
    complete: until then nothing of what the kernel routes already is taken away. `applied` counts transactions."""

    def __init__(self, sources: Sources, node: str, fixed: rules.Fixed, known: Callable[[], bool]) -> None:
        self.applied = 0
        self.failure = "services are not routed yet"
        self._fixed = fixed
        self._known = known
        self._table = Table()
        self._services: dict[Key, ServiceView] = {}
        self._slices: dict[Key, dict[str, SliceView]] = {}
        self._mentions: dict[str, set[Key]] = {}
        self._owners: dict[str, dict[str, str]] = {}
        self._nodes: dict[str, frozenset[str]] = {}
        networks = IPv4Network(fixed.cluster_network), IPv4Network(fixed.service_network)
        self._place = Place(node, "", *networks)
        self._dirty: dict[Key, None] = {}
        self._wake = asyncio.Event()
        sources.nodes.add_handler(self._node_changed)
        sources.pods.add_handler(self._pod_changed)
        sources.services.add_handler(self._service_changed)
        sources.slices.add_handler(self._slice_changed)

    def unready(self) -> str:
        """Why services are not routed as they should be, "" if they are."""
        return self.failure

    async def run(self) -> None:
        """Until cancelled. What the kernel refuses is tried again, from what it has in truth."""
        # Mirrors of tenants come and go; there is no one event that says it.
        while not self._known():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        backoff = Backoff(0.2, 30.0)
        adopted = False
        while True:
            try:
                if not adopted:
                    await self._adopt()
                    adopted = True
                await self._bring()
                self.failure = ""
                backoff.reset()
            except NetworkFailure as failure:
                adopted = False
                self.failure = str(failure)
                wait = backoff.next()
                _log.error("services_not_routed", reason=str(failure), again_in=wait)
                await asyncio.sleep(wait)
                continue
            await self._wake.wait()
            self._wake.clear()

    async def _adopt(self) -> None:
        await kernel.apply(rules.base(self._fixed))
        self._table.adopt(*await kernel.read())
        for key in self._services:
            self._mark(key)

    async def _bring(self) -> None:
        """Brings the kernel to what is wanted."""
        while True:
            for count in range(len(self._dirty)):
                key = next(iter(self._dirty))
                del self._dirty[key]
                slices = self._slices.get(key, {}).values()
                service = self._services.get(key)
                self._table.put(key, routing(service, slices, self._place, self._owned) if service else NOTHING)
                if count % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)
            change = self._table.change()
            if change.commands:
                await kernel.apply(change.text)
                self._table.done(change)
                self.applied += 1
                await self._forget(change)
            elif not self._dirty and not self._table.waiting:
                return

    async def _forget(self, change: Change) -> None:
        """Ends what the kernel remembers of endpoints that went, and of ports before they were a service's."""
        if change.gone:
            await kernel.forget_affinity(self._table.leads_to)
        for mark, backend in change.gone[:_FLOWS]:
            await kernel.forget_flows(mark, backend)
        came = [key for (name, key), value in change.elements.items() if name == "ports" and value is not None]
        for key in came[:_FLOWS]:
            protocol, _, port = key.partition(" . ")
            if protocol == "udp":
                await kernel.forget_port(int(port))

    def _owned(self, address: str) -> Collection[str]:
        return set(self._owners.get(address, {}).values())

    def _mark(self, key: Key) -> None:
        self._dirty[key] = None
        self._wake.set()

    # --- handlers -----------------------------------------------------------------------------------------------------

    def _service_changed(self, old: Cached | None, new: Cached | None) -> None:
        known = new or old
        if known is None:
            return
        view = view_service(new) if new is not None else None
        if view != self._services.get(known.key):
            if view is None:
                del self._services[known.key]
            else:
                self._services[known.key] = view
            self._mark(known.key)

    def _slice_changed(self, old: Cached | None, new: Cached | None) -> None:
        known = new or old
        before, after = (view_slice(each) if each is not None else None for each in (old, new))
        if known is None or before == after:
            return
        name = known.name
        for view, comes in ((before, False), (after, True)):
            if view is None:
                continue
            slices = self._slices.setdefault(view.service, {})
            slices.pop(name, None)
            if comes:
                slices[name] = view
            if not slices:
                del self._slices[view.service]
            self._mark(view.service)
        self._mention(before, after)

    def _mention(self, before: SliceView | None, after: SliceView | None) -> None:
        for endpoint in before.endpoints if before else ():
            keys = self._mentions.get(endpoint.address, set())
            keys.discard(before.service if before else ("", "", ""))
            if not keys:
                self._mentions.pop(endpoint.address, None)
        for view in self._slices.get(before.service, {}).values() if before else ():
            for endpoint in view.endpoints:
                self._mentions.setdefault(endpoint.address, set()).add(view.service)
        for endpoint in after.endpoints if after else ():
            self._mentions.setdefault(endpoint.address, set()).add(after.service if after else ("", "", ""))

    def _pod_changed(self, old: Cached | None, new: Cached | None) -> None:
        before, after = _address(old), _address(new)
        if before == after:
            return
        for address, pod in ((before, old), (after, new)):
            if not address or pod is None:
                continue
            owners = self._owners.setdefault(address, {})
            if pod is new:
                owners[pod.uid] = pod.tenant
            else:
                owners.pop(pod.uid, None)
            if not owners:
                del self._owners[address]
            for key in self._mentions.get(address, ()):
                self._mark(key)

    def _node_changed(self, old: Cached | None, new: Cached | None) -> None:
        known = new or old
        if known is None:
            return
        addresses = node_addresses(new) if new is not None else None
        if addresses is None:
            self._nodes.pop(known.name, None)
        else:
            self._nodes[known.name] = addresses
        zone = self._place.zone
        if known.name == self._place.node:
            zone = new.labels.get(ZONE, "") if new is not None else ""
        listed = frozenset(address for each in self._nodes.values() for address in each)
        place = replace(self._place, zone=zone, nodes=listed)
        if place != self._place:
            self._place = place
            for key in self._services:
                self._mark(key)


def _address(pod: Cached | None) -> str:
    """The address that a pod holds, "" for none."""
    if pod is None:
        return ""
    status = pod.decode(_POD).status
    return "" if status.phase in ("Succeeded", "Failed") else status.pod_ip
