"""How services, their endpoints, ingresses and addresses are shown."""

from __future__ import annotations

from arktos.model.columns_cell import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Cell,
    Printer,
    age_of,
    at,
    first_few,
    items,
    joined,
    label_selector,
    labels,
    name_of,
    number,
    part,
    text,
    wide,
)
from arktos.model.kinds import Column, Obj

_SHOWN = 3
"""Endpoints, ports and hosts shown in one cell at most."""


def _balancers(obj: Obj) -> list[str]:
    found = (text(i, "ip") or text(i, "hostname") for i in items(obj, "status", "loadBalancer", "ingress"))
    return sorted({address for address in found if address})


def _external(obj: Obj) -> str:
    addresses = [str(a) for a in items(obj, "spec", "externalIPs")]
    kind = text(obj, "spec", "type")
    if kind in {"ClusterIP", "NodePort"}:
        return joined(addresses)
    if kind == "LoadBalancer":
        return joined([*_balancers(obj), *addresses], "<pending>")
    return text(obj, "spec", "externalName") if kind == "ExternalName" else UNKNOWN


def _ports(obj: Obj) -> str:
    shown = []
    for port in items(obj, "spec", "ports"):
        outside = number(port, "nodePort")
        middle = f":{outside}" if outside else ""
        shown.append(f"{number(port, 'port')}{middle}/{text(port, 'protocol', empty='TCP')}")
    return joined(shown)


def service(obj: Obj) -> list[Cell]:
    inside = items(obj, "spec", "clusterIPs")
    return [
        name_of(obj),
        text(obj, "spec", "type"),
        str(inside[0]) if inside else text(obj, "spec", "clusterIP", empty=NONE),
        _external(obj),
        _ports(obj),
        age_of(obj),
        labels(at(obj, "spec", "selector")),
    ]


def _host_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def endpoints(obj: Obj) -> list[Cell]:
    found: list[str] = []
    for subset in items(obj, "subsets"):
        addresses = [text(a, "ip") for a in items(subset, "addresses")]
        ports = items(subset, "ports")
        if not ports:
            found += addresses
        for port in ports:
            found += [_host_port(a, number(port, "port")) for a in addresses]
    empty = "" if items(obj, "subsets") else NONE
    return [name_of(obj), first_few(found, _SHOWN, empty), age_of(obj)]


def endpoint_slice(obj: Obj) -> list[Cell]:
    ports = [text(p, "port") or text(p, "name") or "*" for p in items(obj, "ports")]
    addresses = [str(a) for e in items(obj, "endpoints") for a in items(e, "addresses")]
    return [
        name_of(obj),
        text(obj, "addressType"),
        first_few(ports, _SHOWN, UNSET),
        first_few(addresses, _SHOWN, UNSET),
        age_of(obj),
    ]


def ingress(obj: Obj) -> list[Cell]:
    rules = items(obj, "spec", "rules")
    hosts = [text(r, "host") for r in rules[:_SHOWN] if text(r, "host")]
    shown = joined(hosts, "*")
    if hosts and len(rules) > _SHOWN:
        shown += f" + {len(rules) - _SHOWN} more..."
    return [
        name_of(obj),
        text(obj, "spec", "ingressClassName", empty=NONE),
        shown,
        joined(_balancers(obj), ""),
        "80, 443" if items(obj, "spec", "tls") else "80",
        age_of(obj),
    ]


def ingress_class(obj: Obj) -> list[Cell]:
    parameters = part(obj, "spec", "parameters")
    shown = NONE
    if parameters:
        group = text(parameters, "apiGroup")
        shown = f"{text(parameters, 'kind')}{'.' if group else ''}{group}/{text(parameters, 'name')}"
    return [name_of(obj), text(obj, "spec", "controller"), shown, age_of(obj)]


def network_policy(obj: Obj) -> list[Cell]:
    return [name_of(obj), label_selector(at(obj, "spec", "podSelector")), age_of(obj)]


def service_cidr(obj: Obj) -> list[Cell]:
    return [name_of(obj), joined(items(obj, "spec", "cidrs"), ""), age_of(obj)]


def ip_address(obj: Obj) -> list[Cell]:
    parent = part(obj, "spec", "parentRef")
    shown = NONE
    if parent:
        resource = joined((v for v in (text(parent, "resource"), text(parent, "group")) if v), by=".").lower()
        shown = "/".join(v for v in (resource, text(parent, "namespace"), text(parent, "name")) if v)
    return [name_of(obj), shown, age_of(obj)]


PRINTERS = {
    "services": Printer(
        (
            NAME,
            Column("Type", description="How it can be reached."),
            Column("Cluster-IP", description="Its address inside the cluster."),
            Column("External-IP", description="Its addresses outside the cluster."),
            Column("Port(s)", description="Its ports, with the node's where they have one."),
            AGE,
            wide("Selector", description="Selects the pods behind it."),
        ),
        service,
    ),
    "endpoints": Printer(
        (NAME, Column("Endpoints", description="The addresses and ports behind the service."), AGE), endpoints
    ),
    "endpointslices.discovery.k8s.io": Printer(
        (
            NAME,
            Column("AddressType", description="The kind of the addresses."),
            Column("Ports", description="The ports of each endpoint."),
            Column("Endpoints", description="The addresses."),
            AGE,
        ),
        endpoint_slice,
    ),
    "ingresses.networking.k8s.io": Printer(
        (
            NAME,
            Column("Class", description="The class that serves it."),
            Column("Hosts", description="The hosts that its rules match."),
            Column("Address", description="The addresses at which it is served."),
            Column("Ports", description="The ports at which it is served."),
            AGE,
        ),
        ingress,
    ),
    "ingressclasses.networking.k8s.io": Printer(
        (
            NAME,
            Column("Controller", description="What serves the class."),
            Column("Parameters", description="Where its configuration is."),
            AGE,
        ),
        ingress_class,
    ),
    "networkpolicies.networking.k8s.io": Printer(
        (NAME, Column("Pod-Selector", description="Selects the pods that it governs."), AGE), network_policy
    ),
    "servicecidrs.networking.k8s.io": Printer(
        (NAME, Column("CIDRs", description="The ranges of addresses for services."), AGE), service_cidr
    ),
    "ipaddresses.networking.k8s.io": Printer(
        (NAME, Column("ParentRef", description="What has the address."), AGE), ip_address
    ),
}
