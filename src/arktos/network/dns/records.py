"""Services, endpoints and pods by tenant, as DNS reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from arktos.client import Cached
from arktos.client.informer import Handler

SERVICE_NAME = "kubernetes.io/service-name"


class _Base(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    pass


class _Port(_Base, frozen=True):
    port: int = 0
    name: str = ""
    protocol: str = "TCP"


class _Spec(_Base, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    external_name: str = ""
    ports: tuple[_Port, ...] | None = None


class _Service(_Base, frozen=True):
    spec: _Spec = _Spec()


class _Conditions(_Base, frozen=True):
    ready: bool | None = None


class _Endpoint(_Base, frozen=True):
    addresses: tuple[str, ...] | None = None
    conditions: _Conditions | None = None
    hostname: str | None = None


class _SlicePort(_Base, frozen=True):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class _Slice(_Base, frozen=True):
    address_type: str = ""
    endpoints: tuple[_Endpoint, ...] | None = None
    ports: tuple[_SlicePort, ...] | None = None


class _PodStatus(_Base, frozen=True):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")


class _Pod(_Base, frozen=True):
    status: _PodStatus = _PodStatus()


_SERVICE = msgspec.json.Decoder(_Service)
_SLICE = msgspec.json.Decoder(_Slice)
_POD = msgspec.json.Decoder(_Pod)

Name = tuple[str, str]
"""Namespace and name of a service."""
Port = tuple[str, str, int]
"""Name, protocol in lower case, number."""


class Service(msgspec.Struct, frozen=True):
    """`address` is "" for a headless service; `alias` is what an ExternalName stands for."""

    address: str
    alias: str
    ports: tuple[Port, ...]


class Endpoint(msgspec.Struct, frozen=True):
    """A ready endpoint: its name below the service's, address and ports."""

    label: str
    address: str
    ports: tuple[Port, ...]


class TenantRecords:
    """What one tenant has. `generation` grows with every change."""

    def __init__(self) -> None:
        self.generation = 0
        self.services: dict[Name, Service] = {}
        self.by_address: dict[str, Name] = {}
        self.namespaces: Counter[str] = Counter()
        self._slices: dict[Name, dict[str, tuple[Endpoint, ...]]] = {}
        self._pods: dict[tuple[str, str], set[str]] = {}
        self._hosts: dict[str, dict[Name, str]] = {}

    def endpoints(self, name: Name) -> list[Endpoint]:
        """The ready endpoints of a service, each address and label once."""
        found: dict[tuple[str, str], Endpoint] = {}
        for endpoints in self._slices.get(name, {}).values():
            for each in endpoints:
                known = found.get((each.label, each.address))
                if known is not None:
                    each = Endpoint(each.label, each.address, tuple(dict.fromkeys((*known.ports, *each.ports))))
                found[each.label, each.address] = each
        return list(found.values())

    def has_pod(self, namespace: str, address: str) -> bool:
        return (namespace, address) in self._pods

    def hosts(self, address: str) -> list[tuple[str, Name]]:
        """Endpoints with a hostname that have an address: label and service."""
        return [(label, name) for name, label in self._hosts.get(address, {}).items()]

    def put_service(self, name: Name, service: Service | None) -> None:
        old = self.services.pop(name, None)
        if old is not None:
            self._leave(name[0])
            if self.by_address.get(old.address) == name:
                del self.by_address[old.address]
        if service is not None:
            self.services[name] = service
            self.namespaces[name[0]] += 1
            if service.address:
                self.by_address[service.address] = name
        self.generation += 1

    def put_slice(self, service: Name, name: str, endpoints: tuple[Endpoint, ...] | None, named: Iterable[str]) -> None:
        slices = self._slices.setdefault(service, {})
        for each in slices.pop(name, ()):
            hosts = self._hosts.get(each.address, {})
            hosts.pop(service, None)
            if not hosts:
                self._hosts.pop(each.address, None)
        if endpoints is not None:
            slices[name] = endpoints
            hostnames = set(named)
            for each in endpoints:
                if each.label in hostnames:
                    self._hosts.setdefault(each.address, {})[service] = each.label
        if not slices:
            del self._slices[service]
        self.generation += 1

    def put_pod(self, namespace: str, address: str, uid: str, there: bool) -> None:
        uids = self._pods.setdefault((namespace, address), set())
        if there:
            if not uids:
                self.namespaces[namespace] += 1
            uids.add(uid)
        else:
            uids.discard(uid)
            if not uids:
                del self._pods[namespace, address]
                self._leave(namespace)
        self.generation += 1

    def _leave(self, namespace: str) -> None:
        self.namespaces[namespace] -= 1
        if not self.namespaces[namespace]:
            del self.namespaces[namespace]


class Source(Protocol):
    """An informer, or a mirror of several tenants."""

    def add_handler(self, on_change: Handler) -> None: ...


class Sources(Protocol):
    """The mirrors that DNS reads: `network.watches.Watches`."""

    @property
    def services(self) -> Source: ...
    @property
    def slices(self) -> Source: ...
    @property
    def pods(self) -> Source: ...


class Records:
    """All tenants' records, kept true by the mirrors."""

    def __init__(self, sources: Sources) -> None:
        self._tenants: dict[str, TenantRecords] = {}
        sources.services.add_handler(self._service)
        sources.slices.add_handler(self._slice)
        sources.pods.add_handler(self._pod)

    def of(self, tenant: str) -> TenantRecords:
        """One tenant's; empty for one that has nothing."""
        found = self._tenants.get(tenant)
        if found is None:
            found = self._tenants[tenant] = TenantRecords()
        return found

    def _service(self, old: Cached | None, new: Cached | None) -> None:
        known = new or old
        if known is not None:
            name = (known.namespace, known.name)
            self.of(known.tenant).put_service(name, None if new is None else view_service(new))

    def _slice(self, old: Cached | None, new: Cached | None) -> None:
        for cached, comes in ((old, False), (new, True)):
            service = cached.labels.get(SERVICE_NAME) if cached is not None else None
            if cached is not None and service:
                endpoints, named = view_slice(cached) if comes else (None, ())
                self.of(cached.tenant).put_slice((cached.namespace, service), cached.name, endpoints, named)

    def _pod(self, old: Cached | None, new: Cached | None) -> None:
        before, after = pod_address(old), pod_address(new)
        if before == after:
            return
        for address, cached, there in ((before, old, False), (after, new, True)):
            if address and cached is not None:
                self.of(cached.tenant).put_pod(cached.namespace, address, cached.uid, there)


def view_service(cached: Cached) -> Service:
    spec = cached.decode(_SERVICE).spec
    if spec.type == "ExternalName":
        return Service("", spec.external_name, ())
    address = "" if spec.cluster_ip == "None" else spec.cluster_ip
    return Service(address, "", tuple((port.name, port.protocol.lower(), port.port) for port in spec.ports or ()))


def view_slice(cached: Cached) -> tuple[tuple[Endpoint, ...], set[str]]:
    """The ready endpoints of a slice, and which of their labels are hostnames. Without one, the label is the address
    with dashes."""
    found = cached.decode(_SLICE)
    if found.address_type != "IPv4":
        return (), set()
    ports = tuple((p.name or "", (p.protocol or "TCP").lower(), p.port) for p in found.ports or () if p.port)
    ready = [
        each
        for each in found.endpoints or ()
        if each.addresses and (each.conditions is None or each.conditions.ready is not False)
    ]
    endpoints = tuple(
        Endpoint((each.hostname or address.replace(".", "-")).lower(), address, ports)
        for each in ready
        for address in each.addresses or ()
    )
    return endpoints, {each.hostname.lower() for each in ready if each.hostname}


def pod_address(cached: Cached | None) -> str:
    """The address that a pod holds, "" for none."""
    if cached is None:
        return ""
    status = cached.decode(_POD).status
    return "" if status.phase in ("Succeeded", "Failed") else status.pod_ip


Askers = Callable[[str], str | None]
"""The tenant that a source address belongs to, None if it is not known."""
