"""What leads where: services and their slices as routes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from arktos.model.kinds import SYSTEM_TENANT
from arktos.network.services.view import EndpointView, Key, ServicePort, ServiceView, SliceView

Backend = tuple[str, int]
"""Address and port."""
Owners = Callable[[str], Collection[str]]
"""The tenants of the pods that have an address; none where it is not known."""

_API = ("default", "kubernetes")
_NEVER = [IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")]


@dataclass(frozen=True, slots=True)
class Place:
    """The node, and the networks of the cluster. `nodes` are the addresses of all nodes."""

    node: str
    zone: str
    cluster_network: IPv4Network
    service_network: IPv4Network
    nodes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RouteId:
    """One port of one service, to all of its endpoints or to those on this node."""

    service: Key
    port: str
    protocol: str
    local: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """Where a route leads. With neither backends nor `drop`, connections are refused. `affinity` is seconds."""

    id: RouteId
    backends: frozenset[Backend]
    affinity: int = 0
    drop: bool = False


Entry = tuple[str, str]
"""Map and key, as nftables writes them."""


@dataclass(frozen=True, slots=True)
class Routing:
    """All that one service is on a node."""

    routes: tuple[Route, ...] = ()
    entries: tuple[tuple[Entry, RouteId], ...] = ()
    own: frozenset[str] = frozenset()
    """Addresses of endpoints on this node."""
    rank: tuple[str, Key] = ("", ("", "", ""))
    """Of two services that claim one entry, the lower has it."""


NOTHING = Routing()


def routing(service: ServiceView | None, slices: Iterable[SliceView], place: Place, owners: Owners) -> Routing:
    """What a service is on this node."""
    if service is None:
        return NOTHING
    routes: list[Route] = []
    entries: list[tuple[Entry, RouteId]] = []
    own: set[str] = set()
    listed = list(slices)
    for port in service.ports:
        found = list(_endpoints(service, port, listed, place, owners))
        wide = RouteId(service.key, port.name, port.protocol)
        near = RouteId(service.key, port.name, port.protocol, local=True)
        entries += _entries(service, port, place, wide, near)
        routes += _routes(service, {each for _, each in entries}, (wide, near), found, place)
        own |= {endpoint.address for endpoint, _ in found if endpoint.node == place.node}
    return Routing(tuple(routes), tuple(entries), frozenset(own), (service.born, service.key))


def _endpoints(
    service: ServiceView, port: ServicePort, slices: Sequence[SliceView], place: Place, owners: Owners
) -> Iterable[tuple[EndpointView, int]]:
    """The endpoints of a port, each address and number once, those left out that the tenant may not lead to: a slice
    may be written by anyone in its tenant."""
    inward = service.key[1:] == _API and not (port.node_port or service.external)
    seen: set[Backend] = set()
    for each in slices:
        number = each.ports.get((port.name, port.protocol))
        if number is None:
            continue
        for endpoint in each.endpoints:
            address = endpoint.address
            if (address, number) in seen or not may_lead(service.key[0], address, place, owners, inward=inward):
                continue
            seen.add((endpoint.address, number))
            yield endpoint, number


def may_lead(tenant: str, address: str, place: Place, owners: Owners, *, inward: bool = False) -> bool:
    """Whether a tenant's service may have an endpoint. In the pods' network it must be known as the tenant's alone: the
    node would reach another's pod for anybody who asks it. A node's own address is for pods that have it. `inward`
    spares those: the service is the API server's, and for pods only, whom the node's rules tell what they may reach."""
    at = IPv4Address(address)
    if at in place.service_network or any(at in network for network in _NEVER):
        return False
    theirs = owners(address)
    if at in place.cluster_network:
        return set(theirs) == {tenant} or (tenant == SYSTEM_TENANT and not theirs)
    return tenant == SYSTEM_TENANT or address not in place.nodes or tenant in theirs or inward


def _routes(
    service: ServiceView,
    used: set[RouteId],
    ids: tuple[RouteId, RouteId],
    found: Sequence[tuple[EndpointView, int]],
    place: Place,
) -> Iterable[Route]:
    usable = best(found)
    for which in ids:
        if which not in used:
            continue
        if which.local:
            here = best([each for each in found if each[0].node == place.node])
            yield Route(which, _backends(here), service.affinity, drop=bool(usable) and not here)
        else:
            yield Route(which, _backends(nearest(usable, place)), service.affinity)


def _backends(found: Iterable[tuple[EndpointView, int]]) -> frozenset[Backend]:
    return frozenset((endpoint.address, number) for endpoint, number in found)


def best(found: Sequence[tuple[EndpointView, int]]) -> list[tuple[EndpointView, int]]:
    """The ready ones; where there is none, those that still serve on their way out (KEP-1669)."""
    ready = [each for each in found if each[0].ready]
    return ready or [each for each in found if each[0].serving and each[0].terminating]


def nearest(found: list[tuple[EndpointView, int]], place: Place) -> list[tuple[EndpointView, int]]:
    """Those that are hinted for this node, else for this zone (KEP-3015, KEP-4444); all where hints are missing, or
    none is for us."""
    here = [each for each in found if place.node in each[0].nodes]
    if here and all(each[0].nodes for each in found):
        return here
    zone = [each for each in found if place.zone in each[0].zones]
    return zone if place.zone and zone and all(each[0].zones for each in found) else found


def _entries(
    service: ServiceView, port: ServicePort, place: Place, wide: RouteId, near: RouteId
) -> Iterable[tuple[Entry, RouteId]]:
    outside = near if service.outside_local else wide
    end = f"{port.protocol} . {port.port}"
    yield ("services", f"{service.address} . {end}"), near if service.inside_local else wide
    if port.node_port:
        key = f"{port.protocol} . {port.node_port}"
        yield ("ports", key), outside
        yield ("ports-in", key), wide
    for address in service.external:
        if may_claim(service.key[0], address, place):
            yield ("externals", f"{address} . {end}"), outside


def may_claim(tenant: str, address: str, place: Place) -> bool:
    """Whether a service may have an external address: it must not take what is the cluster's (CVE-2020-8554); a node's
    own addresses are for services of `system`."""
    at = IPv4Address(address)
    if at in place.cluster_network or at in place.service_network or any(at in network for network in _NEVER):
        return False
    return tenant == SYSTEM_TENANT or address not in place.nodes
