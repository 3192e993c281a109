"""Service addresses and node ports: taken and given back inside the commit that writes the service.

A taken address is a record of its own, `serviceips.internal` (or `nodeports.internal`), created under the precondition
that it
is absent: whoever loses a race draws again, and nothing is ever taken twice, on any engine. Addresses and ports are
unique over all tenants, since nodes route for all of them.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Sequence

from arktos.apiserver.admission import Attempt, Effects
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import FieldError, InternalError, invalid
from arktos.store.records import SLOT, Absent, Delete, Header, Key, Put, Store, Write

ADDRESSES = "serviceips.internal"
PORTS = "nodeports.internal"
RESERVED = (1, 10)
"""Which addresses of a range are nobody's to take: that of the Service `kubernetes`, and that of cluster DNS."""
DRAWS = 64
"""Random draws before a range is searched from end to end."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_ranges(text: str) -> tuple[Network, ...]:
    """`--service-cluster-ip-range`: one network, or one of each family, separated by a comma. ValueError."""
    networks = tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
    if len(networks) > 2 or (len(networks) == 2 and networks[0].version == networks[1].version):
        raise ValueError("--service-cluster-ip-range takes one network, or one IPv4 and one IPv6 network")
    return networks


class ServiceAllocation:
    """An admission step for services, and what a removed service gives back."""

    def __init__(self, store: Store, ranges: Sequence[Network], ports: tuple[int, int] = (30000, 32767)) -> None:
        self._store = store
        self._ranges = tuple(ranges)
        self._ports = ports
        self._reserved = frozenset(str(network[index]) for network in ranges for index in RESERVED)

    def step(self, attempt: Attempt, effects: Effects) -> None:
        if attempt.operation == "delete":
            return
        spec, old = attempt.obj.setdefault("spec", {}), (attempt.old or {}).get("spec") or {}
        self._addresses(attempt.obj, spec, old)
        self._node_ports(attempt.obj, spec, old)
        before, after = taken(old), taken(spec)
        for key in sorted(after - before):
            effects.preconditions.append(Absent(key))
            effects.writes.append(_record(key))
        effects.writes += [Delete(key) for key in sorted(before - after)]

    @staticmethod
    def release(service: Obj) -> list[Write]:
        return [Delete(key) for key in sorted(taken(service.get("spec") or {}))]

    def _addresses(self, service: Obj, spec: Obj, old: Obj) -> None:
        if spec.get("type") == "ExternalName":
            for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(name, None)
            return
        given = list(spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else []))
        if not given and old.get("clusterIPs"):
            given = list(old["clusterIPs"])
        if given and given[0] == "None":
            spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
            spec.setdefault("ipFamilies", [f"IPv{self._ranges[0].version}"])
            spec.setdefault("ipFamilyPolicy", "SingleStack")
            return
        families = self._families(service, spec, given)
        held = set(old.get("clusterIPs") or ())
        addresses = [
            self._claim(service, given[i], i, held) if i < len(given) and given[i] else self._draw(family)
            for i, family in enumerate(families)
        ]
        spec["clusterIPs"], spec["clusterIP"] = addresses, addresses[0]
        spec["ipFamilies"] = [f"IPv{network.version}" for network in families]
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _families(self, service: Obj, spec: Obj, given: Sequence[str]) -> list[Network]:
        policy = spec.get("ipFamilyPolicy") or ("RequireDualStack" if len(given) > 1 else "SingleStack")
        if policy == "RequireDualStack" and len(self._ranges) < 2:
            why = 'Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services'
            raise _invalid(service, "spec.ipFamilyPolicy", why)
        wanted = spec.get("ipFamilies") or []
        if given and given[0] and not wanted:
            wanted = ["IPv6" if ":" in given[0] else "IPv4"]
        by_name = {f"IPv{network.version}": network for network in self._ranges}
        for i, name in enumerate(wanted):
            if name not in by_name:
                why = f'Invalid value: "{name}": not configured on this cluster'
                raise _invalid(service, f"spec.ipFamilies[{i}]", why)
        families = [by_name[name] for name in wanted] or [self._ranges[0]]
        if policy == "SingleStack":
            return families[:1]
        return families + [network for network in self._ranges if network not in families]

    def _claim(self, service: Obj, text: str, index: int, held: set[str]) -> str:
        """An address that the user named: in range, and nobody else's."""
        field = f"spec.clusterIPs[{index}]"
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise _invalid(service, field, f'Invalid value: "{text}": must be a valid IP address') from None
        if not any(address in network for network in self._ranges):
            listed = ", ".join(map(str, self._ranges))
            why = f'Invalid value: "{text}": failed to allocate IP {text}: '
            why += f"the provided IP is not in the valid range {listed}"
            raise _invalid(service, field, why)
        if text not in held and self._is_taken(str(address)):
            why = f'Invalid value: "{text}": failed to allocate IP {text}: provided IP is already allocated'
            raise _invalid(service, field, why)
        return str(address)

    def _is_taken(self, address: str) -> bool:
        return address in self._reserved or self._store.get(_address_key(address)) is not None

    def _draw(self, network: Network) -> str:
        size = network.num_addresses
        for _ in range(DRAWS):
            address = str(network[random.randrange(1, size - 1)])
            if not self._is_taken(address):
                return address
        for host in network.hosts():
            if not self._is_taken(str(host)):
                return str(host)
        raise InternalError("Internal error occurred: failed to allocate a serviceIP: range is full")

    def _node_ports(self, service: Obj, spec: Obj, old: Obj) -> None:
        ports = spec.get("ports") or []
        wants = spec.get("type") == "NodePort" or (
            spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False
        )
        if not wants:
            for port in ports:
                if spec.get("type") != "LoadBalancer":
                    port.pop("nodePort", None)
        held = _node_port_numbers(old)
        drawn: set[int] = set()
        for index, port in enumerate(ports):
            number = port.get("nodePort")
            if number:
                self._claim_port(service, index, number, held)
            elif wants:
                kept = self._kept(port, old)
                port["nodePort"] = kept or self._draw_port(drawn | held)
            if port.get("nodePort"):
                drawn.add(port["nodePort"])

    @staticmethod
    def _kept(port: Obj, old: Obj) -> int:
        """The node port that an update left out, of the same named or numbered port."""
        for other in old.get("ports") or ():
            if (other.get("name"), other.get("port"), other.get("protocol")) == (
                port.get("name"),
                port.get("port"),
                port.get("protocol"),
            ):
                return int(other.get("nodePort") or 0)
        return 0

    def _claim_port(self, service: Obj, index: int, number: int, held: set[int]) -> None:
        low, high = self._ports
        field = f"spec.ports[{index}].nodePort"
        if not low <= number <= high:
            why = f"Invalid value: {number}: provided port is not in the valid range. "
            why += f"The range of valid ports is {low}-{high}"
            raise _invalid(service, field, why)
        if number not in held and self._store.get(_port_key(number)) is not None:
            raise _invalid(service, field, f"Invalid value: {number}: provided port is already allocated")

    def _draw_port(self, avoid: set[int]) -> int:
        low, high = self._ports
        start = random.randrange(low, high + 1)
        for offset in range(high - low + 1):
            number = low + (start - low + offset) % (high - low + 1)
            if number not in avoid and self._store.get(_port_key(number)) is None:
                return number
        raise InternalError("Internal error occurred: failed to allocate a nodePort: range is full")


def taken(spec: Obj) -> set[Key]:
    """The keys of all that a service with this spec holds."""
    keys = {_address_key(address) for address in spec.get("clusterIPs") or () if address and address != "None"}
    return keys | {_port_key(number) for number in _node_port_numbers(spec)}


def _node_port_numbers(spec: Obj) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def _address_key(address: str) -> Key:
    return Key(ADDRESSES, SYSTEM_TENANT, "", address)


def _port_key(number: int) -> Key:
    return Key(PORTS, SYSTEM_TENANT, "", str(number))


def _record(key: Key) -> Put:
    return Put(key, Header(""), b'{"metadata":{' + SLOT + b'"}}')


def _invalid(service: Obj, field: str, message: str) -> Exception:
    reason = "FieldValueInvalid"
    return invalid("", "Service", service["metadata"].get("name", ""), [FieldError(field, reason, message)])
