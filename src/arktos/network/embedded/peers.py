"""What a node's rules and routes need to know of the rest of the cluster, kept from the watches.

Routes to the pods of other nodes; the addresses of each tenant's pods, wherever they are; where the API server is.
Handlers change the state and ask for it to be applied; `run` applies, what came together together.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Network
from urllib.parse import urlsplit

import msgspec

from arktos.client import Cached
from arktos.client.ratelimit import Backoff
from arktos.hostnet.links import LinkError
from arktos.network.embedded.network import EmbeddedNetwork
from arktos.network.provider import NetworkFailure
from arktos.network.watches import Watches
from arktos.wire import logs

_log = logs.get_logger(__name__)
_GATHER = 0.02
"""Seconds in which changes are gathered."""
_AGAIN = 60.0


class _Address(msgspec.Struct, frozen=True):
    address: str = ""
    type: str = ""


class _NodeSpec(msgspec.Struct, frozen=True):
    podCIDR: str = ""


class _NodeStatus(msgspec.Struct, frozen=True):
    addresses: tuple[_Address, ...] | None = None


class _Node(msgspec.Struct, frozen=True):
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()


class _PodSpec(msgspec.Struct, frozen=True):
    hostNetwork: bool | None = False


class _PodStatus(msgspec.Struct, frozen=True):
    phase: str = ""
    podIP: str = ""


class _Pod(msgspec.Struct, frozen=True):
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


class _Port(msgspec.Struct, frozen=True):
    port: int | None = None


class _Endpoint(msgspec.Struct, frozen=True):
    addresses: tuple[str, ...] | None = None


class _Slice(msgspec.Struct, frozen=True):
    addressType: str = ""
    ports: tuple[_Port, ...] | None = None
    endpoints: tuple[_Endpoint, ...] | None = None


_NODE = msgspec.json.Decoder(_Node)
_POD = msgspec.json.Decoder(_Pod)
_SLICE = msgspec.json.Decoder(_Slice)


def node_network(node: Cached) -> tuple[str, str]:
    """A node's pod network and its IPv4 InternalIP, "" for what it does not have."""
    seen = node.decode(_NODE)
    addresses = (found.address for found in seen.status.addresses or () if found.type == "InternalIP")
    return seen.spec.podCIDR, next((address for address in addresses if ":" not in address), "")


def pod_address(pod: Cached) -> str:
    """The IPv4 address that is the pod's own: none while it has none, when it has ended, and in the node's network."""
    seen = pod.decode(_POD)
    if seen.spec.hostNetwork or seen.status.phase in ("Succeeded", "Failed") or ":" in seen.status.podIP:
        return ""
    return seen.status.podIP


def slice_addresses(found: Cached) -> set[tuple[str, int]]:
    seen = found.decode(_SLICE)
    if seen.addressType != "IPv4":
        return set()
    addresses = [address for endpoint in seen.endpoints or () for address in endpoint.addresses or ()]
    return {(address, port.port) for address in addresses for port in seen.ports or () if port.port}


def server_addresses(server: str, node_ip: str) -> set[tuple[str, int]]:
    """Where a server's URL leads, as pods of this node can reach it; by the node's address if it is on loopback.
    Blocks: names are resolved. One that does not resolve has none."""
    parts = urlsplit(server)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        _log.warning("server_unresolved", server=server, error=str(error))
        return set()
    addresses = {(str(entry[4][0]), int(entry[4][1])) for entry in found}
    return {(node_ip if address.startswith("127.") else address, port) for address, port in addresses}


class Peers:
    """Keeps an EmbeddedNetwork's state true to the watches. `server` is the API server's URL as we reach it."""

    def __init__(self, network: EmbeddedNetwork, watches: Watches, server: str, node_ip: str, cluster: str) -> None:
        self.unreachable: dict[str, str] = {}
        """Networks of other nodes without a route, and why."""
        self._network = network
        self._watches = watches
        self._server = server
        self._node_ip = node_ip
        self._cluster = IPv4Network(cluster)
        self._nodes: dict[str, tuple[str, str]] = {}
        self._slices: dict[tuple[str, str, str], set[tuple[str, int]]] = {}
        self._own_servers: set[tuple[str, int]] = set()
        self._dirty = asyncio.Event()
        watches.nodes.add_handler(self._node)
        watches.pods.add_handler(self._pod)
        watches.api_servers.add_handler(self._slice)

    async def prepare(self) -> None:
        """The API server's addresses as we know them without asking it."""
        self._own_servers = await asyncio.to_thread(server_addresses, self._server, self._node_ip)
        self._serve()

    async def run(self) -> None:
        """Until cancelled. What fails is tried again."""
        backoff = Backoff(0.2, 30.0)
        wait: float | None = 0.0
        while True:
            try:
                async with asyncio.timeout(wait):
                    await self._dirty.wait()
                await asyncio.sleep(_GATHER)
            except TimeoutError:
                pass
            self._dirty.clear()
            try:
                await self._apply()
            except (NetworkFailure, LinkError) as error:
                wait = backoff.next()
                _log.error("peers_not_applied", error=str(error), again_in=wait)
            else:
                backoff.reset()
                wait = _AGAIN if self.unreachable else None

    async def _apply(self) -> None:
        await self._network.nft.apply()
        routes = {
            network: address
            for name, (network, address) in self._nodes.items()
            if name != self._watches.node_name and network and address and self._inside(network)
        }
        failed = await asyncio.to_thread(self._network.plumbing.peers, routes)
        for network, reason in failed.items():
            if self.unreachable.get(network) != reason:
                _log.warning("node_unreachable", network=network, by=routes[network], reason=reason)
        self.unreachable = failed

    def _inside(self, network: str) -> bool:
        """A node's object must not lead anything but pods' packets elsewhere."""
        try:
            return IPv4Network(network).subnet_of(self._cluster)
        except ValueError:
            return False

    def _node(self, old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            self._nodes[new.name] = node_network(new)
        elif old is not None:
            self._nodes.pop(old.name, None)
        others = {address for name, (_, address) in self._nodes.items() if name != self._watches.node_name}
        self._network.state.nodes = others - {""}
        self._dirty.set()

    def _pod(self, old: Cached | None, new: Cached | None) -> None:
        before, after = (pod_address(pod) if pod is not None else "" for pod in (old, new))
        if before == after:
            return
        tenant = (new or old).tenant  # type: ignore[union-attr]
        addresses = self._network.state.addresses
        if before:
            addresses.get(tenant, set()).discard(before)
            if not addresses.get(tenant):
                addresses.pop(tenant, None)
        if after and self._inside(f"{after}/32"):
            addresses.setdefault(tenant, set()).add(after)
        self._dirty.set()

    def _slice(self, old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            self._slices[new.key] = slice_addresses(new)
        elif old is not None:
            self._slices.pop(old.key, None)
        self._serve()

    def _serve(self) -> None:
        self._network.state.api_servers = self._own_servers.union(*self._slices.values())
        self._dirty.set()
