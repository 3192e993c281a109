"""Endpoints and endpoint slices."""

from __future__ import annotations

import ipaddress

from arktos.model.kinds import Obj
from arktos.model.validation.causes import (
    Errors,
    check_immutable,
    check_messages,
    duplicate,
    required,
    too_many,
)
from arktos.model.validation.formats import (
    Messages,
    dns_label,
    dns_subdomain,
    ip,
    non_special_ip,
    parse_ip,
    port_number,
    qualified_name,
)
from arktos.model.validation.rules import Rules

_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100
_MAX_PORTS = 20000
_MAX_ZONE_HINTS = 8


def _check_endpoints(errs: Errors, obj: Obj) -> None:
    for i, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{i}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errs.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for name in ("addresses", "notReadyAddresses"):
            for j, address in enumerate(subset.get(name) or ()):
                _check_address(errs, f"{path}.{name}[{j}]", address)
        ports = subset.get("ports") or []
        for j, port in enumerate(ports):
            _check_subset_port(errs, f"{path}.ports[{j}]", port, len(ports) > 1)


def _check_address(errs: Errors, path: str, address: Obj) -> None:
    text = address.get("ip", "")
    check_messages(errs, f"{path}.ip", text, ip(text) or non_special_ip(text))
    if address.get("hostname"):
        check_messages(errs, f"{path}.hostname", address["hostname"], dns_label(address["hostname"]))
    if address.get("nodeName") is not None:
        check_messages(errs, f"{path}.nodeName", address["nodeName"], dns_subdomain(address["nodeName"]))


def _check_subset_port(errs: Errors, path: str, port: Obj, needs_name: bool) -> None:
    name, number = port.get("name", ""), port.get("port", 0)
    if name:
        check_messages(errs, f"{path}.name", name, dns_label(name))
    elif needs_name:
        errs.append(required(f"{path}.name"))
    check_messages(errs, f"{path}.port", number, port_number(number))
    if not port.get("protocol"):
        errs.append(required(f"{path}.protocol"))
    if port.get("appProtocol") is not None:
        check_messages(errs, f"{path}.appProtocol", port["appProtocol"], qualified_name(port["appProtocol"]))


ENDPOINTS = Rules(always=_check_endpoints)


def _check_slice(errs: Errors, obj: Obj) -> None:
    kind = obj.get("addressType", "")
    if not kind:
        errs.append(required("addressType"))
    endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
    if len(endpoints) > _MAX_ENDPOINTS:
        errs.append(too_many("endpoints", len(endpoints), _MAX_ENDPOINTS))
        return
    for i, endpoint in enumerate(endpoints):
        _check_endpoint(errs, f"endpoints[{i}]", endpoint, kind)
    if len(ports) > _MAX_PORTS:
        errs.append(too_many("ports", len(ports), _MAX_PORTS))
        return
    names: set[str] = set()
    for i, port in enumerate(ports):
        name = port.get("name", "")
        if name in names:
            errs.append(duplicate("ports.name", name))
        names.add(name)
        if name:
            check_messages(errs, f"ports[{i}].name", name, dns_label(name))
        if port.get("appProtocol") is not None:
            check_messages(errs, f"ports[{i}].appProtocol", port["appProtocol"], qualified_name(port["appProtocol"]))


def _address_messages(kind: str, text: str) -> Messages:
    if kind == "FQDN":
        return dns_subdomain(text)
    address = parse_ip(text)
    wanted = ipaddress.IPv6Address if kind == "IPv6" else ipaddress.IPv4Address
    if not isinstance(address, wanted):
        return (f"must be an {'IPv6' if kind == 'IPv6' else 'IPv4'} address",)
    return non_special_ip(text)


def _check_endpoint(errs: Errors, path: str, endpoint: Obj, kind: str) -> None:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        errs.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > _MAX_ADDRESSES:
        errs.append(too_many(f"{path}.addresses", len(addresses), _MAX_ADDRESSES))
    if kind in ("IPv4", "IPv6", "FQDN"):
        for i, text in enumerate(addresses[:_MAX_ADDRESSES]):
            check_messages(errs, f"{path}.addresses[{i}]", text, _address_messages(kind, text))
    if endpoint.get("nodeName") is not None:
        check_messages(errs, f"{path}.nodeName", endpoint["nodeName"], dns_subdomain(endpoint["nodeName"]))
    topology = endpoint.get("deprecatedTopology") or {}
    if len(topology) > 16:
        errs.append(too_many(f"{path}.deprecatedTopology", len(topology), 16))
    if endpoint.get("hostname") is not None:
        check_messages(errs, f"{path}.hostname", endpoint["hostname"], dns_label(endpoint["hostname"]))
    _check_hints(errs, f"{path}.hints", endpoint.get("hints") or {})


def _check_hints(errs: Errors, path: str, hints: Obj) -> None:
    for field in ("forZones", "forNodes"):
        entries = hints.get(field) or []
        if len(entries) > _MAX_ZONE_HINTS:
            errs.append(too_many(f"{path}.{field}", len(entries), _MAX_ZONE_HINTS))
            continue
        names = [each.get("name", "") for each in entries]
        for i, name in enumerate(names):
            if name in names[:i]:
                errs.append(duplicate(f"{path}.{field}[{i}].name", name))
            check_messages(errs, f"{path}.{field}[{i}].name", name, qualified_name(name))


def _check_slice_update(errs: Errors, obj: Obj, old: Obj) -> None:
    check_immutable(errs, "addressType", obj.get("addressType"), old.get("addressType"))


ENDPOINT_SLICE = Rules(always=_check_slice, update=_check_slice_update)
