"""What Endpoints list: pure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from arktos.controllers.backends import PodView, ServiceView
from arktos.model.kinds import Obj

CAPACITY = 1000
"""Addresses that one object lists at most."""

_Port = tuple[str, int, str, str]


def subsets(service: ServiceView, pods: Iterable[PodView]) -> list[Obj]:
    """The subsets of a service: addresses with the same ports share one. Sorted throughout, so that equal worlds make
    equal subsets."""
    by_address: dict[str, tuple[Obj, bool, set[_Port]]] = {}
    for pod in pods:
        if not pod.counts(terminating=service.publish_not_ready):
            continue
        text = pod.address(service.families[0])
        ports = _ports(service, pod)
        if not text or (service.ports and not ports):
            continue
        ready = pod.ready or service.publish_not_ready
        # An address that two pods claim is listed once, ready if one of them is.
        known = by_address.get(text)
        if known is None or (ready and not known[1]):
            by_address[text] = (_address(service, pod, text), ready, ports)
    grouped: dict[tuple[_Port, ...], tuple[list[Obj], list[Obj]]] = {}
    for address, ready, ports in by_address.values():
        grouped.setdefault(tuple(sorted(ports)), ([], []))[0 if ready else 1].append(address)
    return [_subset(ports, *addresses) for ports, addresses in sorted(grouped.items())]


def _ports(service: ServiceView, pod: PodView) -> set[_Port]:
    found = set()
    for port in service.ports:
        number = pod.target(port)
        if number is not None:
            found.add((port.name, number, port.protocol, port.app_protocol or ""))
    return found


def _address(service: ServiceView, pod: PodView, text: str) -> Obj:
    _, namespace, name = pod.key
    address: Obj = {"ip": text, "targetRef": {"kind": "Pod", "namespace": namespace, "name": name, "uid": pod.uid}}
    if pod.node:
        address["nodeName"] = pod.node
    if hostname := pod.hostname_in(service):
        address["hostname"] = hostname
    return address


def _subset(ports: tuple[_Port, ...], ready: list[Obj], not_ready: list[Obj]) -> Obj:
    subset: Obj = {}
    for name, addresses in (("addresses", ready), ("notReadyAddresses", not_ready)):
        if addresses:
            subset[name] = sorted(addresses, key=lambda each: (each["ip"], each["targetRef"]["uid"]))
    if ports:
        subset["ports"] = [
            {"port": number, "protocol": protocol}
            | ({"name": name} if name else {})
            | ({"appProtocol": app} if app else {})
            for name, number, protocol, app in ports
        ]
    return subset


def truncated(found: list[Obj], capacity: int = CAPACITY) -> tuple[list[Obj], bool]:
    """The subsets with at most `capacity` addresses, and whether any was left out. Ready ones are kept before others;
    each subset keeps its share."""
    counts = {name: sum(len(each.get(name) or ()) for each in found) for name in ("addresses", "notReadyAddresses")}
    if sum(counts.values()) <= capacity:
        return found, False
    too_many_ready = counts["addresses"] > capacity
    cut = "addresses" if too_many_ready else "notReadyAddresses"
    room = capacity if too_many_ready else capacity - counts["addresses"]
    free, kept = room, []
    for each in found:
        mine = each.get(cut) or []
        share = min(math.ceil(len(mine) / counts[cut] * room), free)
        free -= len(mine[:share])
        shorter = {name: value for name, value in each.items() if name != "notReadyAddresses" and name != cut}
        if mine[:share]:
            shorter[cut] = mine[:share]
        if shorter.get("addresses") or shorter.get("notReadyAddresses"):
            kept.append(shorter)
    return kept, True
