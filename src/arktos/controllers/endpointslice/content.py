"""Which endpoints a service has, by address family and ports. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from arktos.controllers.backends import HEADLESS, PodView, ServiceView
from arktos.model.kinds import Obj

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
RESERVED = frozenset({SERVICE_NAME, MANAGED_BY, HEADLESS})
"""Labels that a slice never takes from its service."""

Ports = tuple[tuple[str, int, str, str | None], ...]
"""(name, number, protocol, appProtocol), sorted: what all endpoints of a slice have in common."""


@dataclass(slots=True)
class Group:
    """Endpoints that may share a slice."""

    family: str
    ports: Ports
    endpoints: list[Obj] = field(default_factory=list)


def groups(service: ServiceView, pods: Iterable[PodView], zones: Mapping[str, str]) -> list[Group]:
    """The endpoints of a service. `zones` has every node that exists, with its zone ("" for none): a pod on a node that
    does not exist is left out, unless the service publishes what is not ready."""
    found: dict[tuple[str, Ports], Group] = {}
    for pod in pods:
        if not pod.counts(terminating=True):
            continue
        if pod.node and pod.node not in zones and not service.publish_not_ready:
            continue
        ports = _ports(service, pod)
        for family in service.families:
            address = pod.address(family)
            if address:
                group = found.setdefault((family, ports), Group(family, ports))
                group.endpoints.append(_endpoint(service, pod, address, zones.get(pod.node, "")))
    for group in found.values():
        _hint(service, group)
    return list(found.values())


def _ports(service: ServiceView, pod: PodView) -> Ports:
    """Those of the service's ports that this pod has; a port that it lacks by name is left out."""
    found = []
    for port in service.ports:
        number = pod.target(port)
        if number is not None:
            found.append((port.name, number, port.protocol, port.app_protocol))
    return tuple(sorted(found, key=lambda each: (each[0], each[2], each[1], each[3] or "")))


def _endpoint(service: ServiceView, pod: PodView, address: str, zone: str) -> Obj:
    _, namespace, name = pod.key
    ready = service.publish_not_ready or (pod.ready and not pod.deleting)
    endpoint: Obj = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": pod.ready, "terminating": pod.deleting},
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": name, "uid": pod.uid},
    }
    if hostname := pod.hostname_in(service):
        endpoint["hostname"] = hostname
    if pod.node:
        endpoint["nodeName"] = pod.node
    if zone:
        endpoint["zone"] = zone
    return endpoint


def _hint(service: ServiceView, group: Group) -> None:
    """Hints for `trafficDistribution` (KEP-4444, KEP-3015): an endpoint is for the zone, or node, that it is in."""
    if service.distribution not in ("PreferClose", "PreferSameZone", "PreferSameNode"):
        return
    for endpoint in group.endpoints:
        hints: Obj = {}
        if not endpoint["conditions"]["ready"]:
            continue
        if zone := endpoint.get("zone"):
            hints["forZones"] = [{"name": zone}]
        if service.distribution == "PreferSameNode" and endpoint.get("nodeName"):
            hints["forNodes"] = [{"name": endpoint["nodeName"]}]
        if hints:
            endpoint["hints"] = hints


def ports_of(endpoint_slice: Obj) -> Ports:
    """A slice's ports in the form of a group's."""
    found = [
        (port.get("name") or "", port.get("port") or 0, port.get("protocol") or "TCP", port.get("appProtocol"))
        for port in endpoint_slice.get("ports") or ()
    ]
    return tuple(sorted(found, key=lambda each: (each[0], each[2], each[1], each[3] or "")))


def ports_body(ports: Ports) -> list[Obj]:
    return [
        {"name": name, "port": number, "protocol": protocol} | ({"appProtocol": app} if app else {})
        for name, number, protocol, app in ports
    ]
