"""Services and the pods behind them, as both kinds of endpoints see them. Pure.

A pod that runs a virtual machine stands behind a service as any other: by its address and its condition Ready.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

import msgspec

from arktos.client import Cached, Key

HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"


class _TargetPort(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    name: str = ""
    container_port: int = 0
    protocol: str = "TCP"


class _Workload(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    ports: tuple[_TargetPort, ...] | None = None
    restart_policy: str | None = None


class _PodSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    node_name: str = ""
    hostname: str = ""
    subdomain: str = ""
    containers: tuple[_Workload, ...] | None = None
    init_containers: tuple[_Workload, ...] | None = None
    virtual_machine: _Workload | None = None


class _Condition(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    status: str = ""


class _Address(msgspec.Struct, frozen=True, gc=False):
    ip: str = ""


class _PodStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    phase: str = ""
    conditions: tuple[_Condition, ...] | None = None
    pod_ip: str = msgspec.field(default="", name="podIP")
    pod_ips: tuple[_Address, ...] | None = msgspec.field(default=None, name="podIPs")


class _Pod(msgspec.Struct, frozen=True, gc=False):
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


class ServicePort(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One port of a service; `target_port` is a number or the name of a port of the pod's."""

    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str = 0
    app_protocol: str | None = None


class _ServiceSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    type: str = "ClusterIP"
    selector: dict[str, str] | None = None
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    ip_families: tuple[str, ...] | None = None
    ports: tuple[ServicePort, ...] | None = None
    publish_not_ready_addresses: bool = False
    traffic_distribution: str | None = None


class _Service(msgspec.Struct, frozen=True, gc=False):
    spec: _ServiceSpec = _ServiceSpec()


_POD = msgspec.json.Decoder(_Pod)
_SERVICE = msgspec.json.Decoder(_Service)


class ServiceView(msgspec.Struct, frozen=True):
    """One service. `selector` is None where others look after its endpoints: no selector, or an ExternalName."""

    key: Key
    uid: str
    labels: Mapping[str, str]
    selector: dict[str, str] | None
    headless: bool
    families: tuple[str, ...]
    ports: tuple[ServicePort, ...]
    publish_not_ready: bool
    distribution: str


class PodView(msgspec.Struct, frozen=True):
    """One pod: what of it comes into endpoints. Two equal views make equal endpoints."""

    key: Key
    uid: str
    labels: Mapping[str, str]
    node: str
    hostname: str
    subdomain: str
    addresses: tuple[str, ...]
    ready: bool
    deleting: bool
    ended: bool
    ports: tuple[_TargetPort, ...]

    def counts(self, *, terminating: bool) -> bool:
        """Whether it stands behind a service at all; `terminating`: pods on their way out do."""
        return bool(self.addresses) and not self.ended and (terminating or not self.deleting)

    def address(self, family: str) -> str:
        """Its first address of a family (`IPv4`, `IPv6`), "" for none."""
        return next((text for text in self.addresses if family_of(text) == family), "")

    def hostname_in(self, service: ServiceView) -> str:
        """The name that it has below the service's, "" for none."""
        same = self.key[:2] == service.key[:2] and self.subdomain == service.key[2]
        return self.hostname if same else ""

    def target(self, port: ServicePort) -> int | None:
        """The number behind a service's port; None where the pod has no port of that name and protocol."""
        if isinstance(port.target_port, int):
            return port.target_port or port.port
        for mine in self.ports:
            if mine.name == port.target_port and mine.protocol == port.protocol:
                return mine.container_port
        return None


def family_of(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def canonical(address: str) -> str:
    """An address as it is compared; "" for what is none."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""


def view_service(cached: Cached) -> ServiceView:
    spec = cached.decode(_SERVICE).spec
    return ServiceView(
        cached.key,
        cached.uid,
        cached.labels,
        None if spec.type == "ExternalName" or not spec.selector else spec.selector,
        spec.cluster_ip == "None",
        spec.ip_families or (family_of(spec.cluster_ip),),
        spec.ports or (),
        spec.publish_not_ready_addresses,
        spec.traffic_distribution or "",
    )


def view_pod(cached: Cached) -> PodView:
    pod = cached.decode(_POD)
    spec, status = pod.spec, pod.status
    sidecars = [each for each in spec.init_containers or () if each.restart_policy == "Always"]
    machine = [spec.virtual_machine] if spec.virtual_machine else []
    found = (canonical(each.ip) for each in status.pod_ips or (_Address(status.pod_ip),))
    return PodView(
        cached.key,
        cached.uid,
        cached.labels,
        spec.node_name,
        spec.hostname,
        spec.subdomain,
        tuple(address for address in found if address),
        any(each.type == "Ready" and each.status == "True" for each in status.conditions or ()),
        cached.deleting,
        status.phase in ("Succeeded", "Failed"),
        tuple(port for each in (*(spec.containers or ()), *machine, *sidecars) for port in each.ports or ()),
    )


class Selecting:
    """Which services select a pod: the selectors of all services, by namespace."""

    def __init__(self) -> None:
        self._selectors: dict[tuple[str, str], dict[str, dict[str, str]]] = {}

    def changed(self, old: Cached | None, new: Cached | None) -> None:
        """A handler for the services' informer."""
        if new is not None:
            service = view_service(new)
            place = self._selectors.setdefault(service.key[:2], {})
            if service.selector is None:
                place.pop(service.key[2], None)
            else:
                place[service.key[2]] = service.selector
        elif old is not None:
            place = self._selectors.get(old.key[:2], {})
            place.pop(old.name, None)
            if not place:
                self._selectors.pop(old.key[:2], None)

    def keys(self, pod: Cached) -> Iterable[Key]:
        """The services that select a pod: a map function for the pods' informer."""
        labels = pod.labels.items()
        place = self._selectors.get((pod.tenant, pod.namespace), {})
        return [(pod.tenant, pod.namespace, name) for name, wanted in place.items() if wanted.items() <= labels]


def matters(old: Cached | None, new: Cached | None) -> bool:
    """Whether a pod's change can change endpoints."""
    return old is None or new is None or view_pod(old) != view_pod(new)
