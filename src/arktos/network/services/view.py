"""What of services, slices and nodes matters to routing. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import msgspec

from arktos.client import Cached

SERVICE_NAME = "kubernetes.io/service-name"
ZONE = "topology.kubernetes.io/zone"
PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}

Key = tuple[str, str, str]


class _Base(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    pass


class _Port(_Base, frozen=True):
    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    node_port: int = 0


class _ClientIp(_Base, frozen=True):
    timeout_seconds: int = 10800


class _Affinity(_Base, frozen=True):
    client_ip: _ClientIp | None = msgspec.field(default=None, name="clientIP")


class _Spec(_Base, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ports: tuple[_Port, ...] | None = None
    external_ips: tuple[str, ...] | None = msgspec.field(default=None, name="externalIPs")
    session_affinity: str = "None"
    session_affinity_config: _Affinity | None = None
    internal_traffic_policy: str = "Cluster"
    external_traffic_policy: str = "Cluster"
    load_balancer_source_ranges: tuple[str, ...] | None = None
    publish_not_ready_addresses: bool = False


class _Ingress(_Base, frozen=True):
    ip: str = ""
    ip_mode: str | None = None


class _Balancer(_Base, frozen=True):
    ingress: tuple[_Ingress, ...] | None = None


class _Status(_Base, frozen=True):
    load_balancer: _Balancer | None = None


class _Meta(_Base, frozen=True):
    creation_timestamp: str | None = None


class _Service(_Base, frozen=True):
    metadata: _Meta = _Meta()
    spec: _Spec = _Spec()
    status: _Status = _Status()


class _Conditions(_Base, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class _Named(_Base, frozen=True):
    name: str = ""


class _Hints(_Base, frozen=True):
    for_zones: tuple[_Named, ...] | None = None
    for_nodes: tuple[_Named, ...] | None = None


class _Endpoint(_Base, frozen=True):
    addresses: tuple[str, ...] | None = None
    conditions: _Conditions | None = None
    node_name: str | None = None
    hints: _Hints | None = None


class _SlicePort(_Base, frozen=True):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class _Slice(_Base, frozen=True):
    address_type: str = ""
    endpoints: tuple[_Endpoint, ...] | None = None
    ports: tuple[_SlicePort, ...] | None = None


class _Address(_Base, frozen=True):
    type: str = ""
    address: str = ""


class _NodeStatus(_Base, frozen=True):
    addresses: tuple[_Address, ...] | None = None


class _Node(_Base, frozen=True):
    status: _NodeStatus = _NodeStatus()


_SERVICE = msgspec.json.Decoder(_Service)
_SLICE = msgspec.json.Decoder(_Slice)
_NODE = msgspec.json.Decoder(_Node)


class ServicePort(msgspec.Struct, frozen=True):
    """`protocol` as nftables writes it; `node_port` 0 for none."""

    name: str
    protocol: str
    port: int
    node_port: int = 0


class ServiceView(msgspec.Struct, frozen=True):
    """A service with an address. `affinity` is seconds, 0 for none; `born` orders services that claim one address."""

    key: Key
    address: str
    ports: tuple[ServicePort, ...]
    external: tuple[str, ...] = ()
    affinity: int = 0
    inside_local: bool = False
    outside_local: bool = False
    born: str = ""


class EndpointView(msgspec.Struct, frozen=True):
    """One address and port. `ports` of a slice are by name and protocol."""

    address: str
    node: str
    ready: bool
    serving: bool
    terminating: bool
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


class SliceView(msgspec.Struct, frozen=True):
    """The endpoints of one slice, and its ports: (name, protocol) -> number."""

    service: Key
    endpoints: tuple[EndpointView, ...]
    ports: dict[tuple[str, str], int]


def is_ipv4(text: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False


def view_service(cached: Cached) -> ServiceView | None:
    """None for a service that nodes do not route: headless, without an address yet, an ExternalName, not IPv4."""
    service = cached.decode(_SERVICE)
    spec = service.spec
    if spec.type == "ExternalName" or not is_ipv4(spec.cluster_ip):
        return None
    ports = tuple(
        ServicePort(port.name, PROTOCOLS[port.protocol], port.port, port.node_port)
        for port in spec.ports or ()
        if port.protocol in PROTOCOLS
    )
    affinity = 0
    if spec.session_affinity == "ClientIP":
        config = spec.session_affinity_config
        affinity = config.client_ip.timeout_seconds if config and config.client_ip else 10800
    return ServiceView(
        cached.key,
        spec.cluster_ip,
        ports,
        tuple(sorted({*filter(is_ipv4, spec.external_ips or ()), *_balancers(service)})),
        affinity,
        spec.internal_traffic_policy == "Local",
        spec.external_traffic_policy == "Local",
        service.metadata.creation_timestamp or "",
    )


def _balancers(service: _Service) -> Iterable[str]:
    """Addresses of a load balancer that arrive here untranslated. With source ranges it is left to the balancer, which
    alone can keep them."""
    balancer = service.status.load_balancer
    if service.spec.type != "LoadBalancer" or service.spec.load_balancer_source_ranges or not balancer:
        return ()
    return [each.ip for each in balancer.ingress or () if each.ip_mode in (None, "VIP") and is_ipv4(each.ip)]


def view_slice(cached: Cached) -> SliceView | None:
    """None for a slice of no service, or of addresses that are not IPv4."""
    name = cached.labels.get(SERVICE_NAME)
    found = cached.decode(_SLICE)
    if not name or found.address_type != "IPv4":
        return None
    ports = {
        (port.name or "", PROTOCOLS[port.protocol or "TCP"]): port.port
        for port in found.ports or ()
        if port.port and (port.protocol or "TCP") in PROTOCOLS
    }
    endpoints = tuple(
        _endpoint(each) for each in found.endpoints or () if each.addresses and is_ipv4(each.addresses[0])
    )
    return SliceView((cached.tenant, cached.namespace, name), endpoints, ports)


def _endpoint(endpoint: _Endpoint) -> EndpointView:
    """What is not said counts as ready, and as serving where it is ready (the API's own reading)."""
    said = endpoint.conditions or _Conditions()
    ready = said.ready is not False
    hints = endpoint.hints or _Hints()
    return EndpointView(
        (endpoint.addresses or ("",))[0],
        endpoint.node_name or "",
        ready,
        ready if said.serving is None else said.serving,
        bool(said.terminating),
        tuple(zone.name for zone in hints.for_zones or ()),
        tuple(node.name for node in hints.for_nodes or ()),
    )


def node_addresses(cached: Cached) -> frozenset[str]:
    """A node's own addresses."""
    listed = cached.decode(_NODE).status.addresses or ()
    return frozenset(each.address for each in listed if is_ipv4(each.address))
