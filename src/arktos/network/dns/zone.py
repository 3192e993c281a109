"""Names of the cluster: what each type of question is answered. Pure.

NOERROR without records (NODATA) where the name exists with other types, or something exists below it; NXDOMAIN
where nothing does. A namespace exists here when something with a name is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from arktos.network.dns.records import Endpoint, Name, Service, TenantRecords

VERSION = "1.1.0"


@dataclass(frozen=True, slots=True)
class Data:
    """One record: its owner, type, and text as in a zone file. Names are absolute, without the last dot."""

    owner: str
    type: str
    text: str


@dataclass(slots=True)
class Answer:
    """`exists` false is NXDOMAIN. `alias` is set where the rest of the answer is to be asked for elsewhere."""

    exists: bool
    records: list[Data] = field(default_factory=list)
    extra: list[Data] = field(default_factory=list)
    alias: str = ""


NODATA, NXDOMAIN = Answer(True), Answer(False)


@dataclass(frozen=True, slots=True)
class Zone:
    """`domain` ("cluster.local"), the address of the server itself, and the networks whose reverse names are ours."""

    domain: str
    server: str
    networks: tuple[IPv4Network, ...]

    def holds(self, name: str) -> bool:
        """Whether a name (lower case, without the last dot) is ours to answer."""
        if name == self.domain or name.endswith("." + self.domain):
            return True
        address = reverse_address(name)
        return address is not None and any(address in network for network in self.networks)

    def lookup(self, tenant: TenantRecords, name: str, type: str) -> Answer:
        """Answers a question about a name that we hold."""
        address = reverse_address(name)
        if address is not None:
            return self._reverse(tenant, name, str(address), type)
        labels = name[: -len(self.domain)].rstrip(".").split(".") if name != self.domain else []
        match labels:
            case []:
                return self._apex(type)
            case ["dns-version"]:
                return _typed([Data(name, "TXT", f'"{VERSION}"')], type)
            case ["dns"]:
                return NODATA
            case ["ns", "dns"]:
                return _typed([Data(name, "A", self.server)], type)
            case ["svc"] | ["pod"]:
                return NODATA
            case [namespace, "svc" | "pod"]:
                return NODATA if namespace in tenant.namespaces else NXDOMAIN
            case [address_label, namespace, "pod"]:
                return _pod(tenant, name, address_label, namespace, type)
            case [*below, service, namespace, "svc"]:
                return self._service(tenant, name, below, (namespace, service), type)
        return NXDOMAIN

    def _apex(self, type: str) -> Answer:
        if type == "NS":
            glue = Data(f"ns.dns.{self.domain}", "A", self.server)
            return Answer(True, [Data(self.domain, "NS", f"ns.dns.{self.domain}.")], [glue])
        return Answer(True, [self.soa(1)]) if type == "SOA" else NODATA

    def soa(self, serial: int) -> Data:
        """The record that says how long a negative answer holds."""
        end = f"ns.dns.{self.domain}. hostmaster.{self.domain}. {serial} 7200 1800 86400 5"
        return Data(self.domain, "SOA", end)

    def _service(self, tenant: TenantRecords, name: str, below: Sequence[str], key: Name, type: str) -> Answer:
        service = tenant.services.get(key)
        if service is None:
            return NXDOMAIN
        if service.alias:
            return _alias(name, service.alias) if not below else NXDOMAIN
        endpoints = tenant.endpoints(key) if below or not service.address else []
        match below:
            case []:
                if type == "SRV":
                    return self._srv(name, key, service, endpoints, "", "")
                addresses = [service.address] if service.address else [each.address for each in endpoints]
                # A headless service without ready endpoints has no name: clients shall not take it for an empty one.
                if not addresses:
                    return NXDOMAIN
                return _typed([Data(name, "A", each) for each in dict.fromkeys(addresses)], type)
            case [port, protocol] if port.startswith("_") and protocol.startswith("_"):
                found = self._srv(name, key, service, endpoints, port[1:], protocol[1:])
                return _typed_srv(found, type)
            case [protocol] if protocol.startswith("_"):
                has = any(each[1] == protocol[1:] for each in _ports(service, endpoints))
                return NODATA if has else NXDOMAIN
            case [label]:
                addresses = [each.address for each in endpoints if each.label == label]
                return _typed([Data(name, "A", each) for each in addresses], type) if addresses else NXDOMAIN
        return NXDOMAIN

    def _srv(
        self, name: str, key: Name, service: Service, endpoints: Sequence[Endpoint], port: str, protocol: str
    ) -> Answer:
        """One record per port, and per endpoint where the service has no address. "" is any port."""
        base = f"{key[1]}.{key[0]}.svc.{self.domain}"

        def wanted(ports: Sequence[tuple[str, str, int]]) -> list[int]:
            return [number for label, of, number in ports if not port or (label.lower(), of) == (port, protocol)]

        if service.address:
            targets = [(number, base, service.address) for number in wanted(service.ports)]
        else:
            targets = [(n, f"{each.label}.{base}", each.address) for each in endpoints for n in wanted(each.ports)]
        if not targets:
            return NODATA if not port and service.address else NXDOMAIN
        weight = max(100 // len(targets), 1)
        records = [Data(name, "SRV", f"0 {weight} {number} {target}.") for number, target, _ in targets]
        extra = dict.fromkeys(Data(target, "A", address) for _, target, address in targets)
        return Answer(True, records, list(extra))

    def _reverse(self, tenant: TenantRecords, name: str, address: str, type: str) -> Answer:
        names = []
        service = tenant.by_address.get(address)
        if service is not None:
            names.append(f"{service[1]}.{service[0]}.svc.{self.domain}")
        names += [f"{label}.{key[1]}.{key[0]}.svc.{self.domain}" for label, key in tenant.hosts(address)]
        return _typed([Data(name, "PTR", f"{each}.") for each in names], type) if names else NXDOMAIN


def reverse_address(name: str) -> IPv4Address | None:
    """The address of a whole reverse name; None for any other name."""
    if not name.endswith(".in-addr.arpa"):
        return None
    try:
        return IPv4Address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
    except ValueError:
        return None


def _ports(service: Service, endpoints: Sequence[Endpoint]) -> list[tuple[str, str, int]]:
    return list(service.ports) if service.address else [port for each in endpoints for port in each.ports]


def _pod(tenant: TenantRecords, name: str, label: str, namespace: str, type: str) -> Answer:
    """A pod's address as a name, if there is such a pod."""
    try:
        address = str(IPv4Address(label.replace("-", ".")))
    except ValueError:
        return NXDOMAIN
    return _typed([Data(name, "A", address)], type) if tenant.has_pod(namespace, address) else NXDOMAIN


def _alias(name: str, target: str) -> Answer:
    target = target.rstrip(".").lower()
    return Answer(True, [Data(name, "CNAME", f"{target}.")], alias=target)


def _typed(records: list[Data], type: str) -> Answer:
    """The records of a name that exists, as far as they are of the type."""
    found = [each for each in records if type in (each.type, "ANY")]
    return Answer(True, found) if found else NODATA


def _typed_srv(found: Answer, type: str) -> Answer:
    return found if type in ("SRV", "ANY") or not found.exists else NODATA
