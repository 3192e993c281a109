"""What the CNI daemon asks of a network. `embedded` implements it; so can what drives another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol


class NetworkFailure(Exception):
    """The network cannot do what was asked. With `again`, the same call may succeed later."""

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """Whose interface it is. The uid is the key: tenants have equal namespaces and names."""

    uid: str
    tenant: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A port of the host that leads to the pod. `protocol` is tcp, udp or sctp; `host_ip` "" is all addresses."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """One interface as asked for. `annotations` are the pod's. `address` and `mac` are those that it had once and is to
    have again: the address if it is free."""

    pod: PodIdentity
    container_id: str
    netns: str
    ifname: str
    ports: Sequence[PortMapping] = ()
    annotations: Mapping[str, str] | None = None
    address: IPv4Address | None = None
    mac: str = ""


@dataclass(frozen=True, slots=True)
class Attached:
    """An interface as it is. `address` has its prefix length."""

    ifname: str
    netns: str
    mac: str
    mtu: int
    address: str
    gateway: str
    host_ifname: str


class Provider(Protocol):
    """One kind of network. All methods raise NetworkFailure; none blocks the loop."""

    def unready(self) -> str:
        """Why no pod can be attached now, "" if one can."""
        ...

    async def attach(self, wish: Wish) -> Attached:
        """Joins a namespace to the pod's network; again for one that is joined: the same answer. All or nothing."""
        ...

    async def detach(self, container_id: str, ifname: str) -> None:
        """Takes an interface away, and all that was made for it; fine if it is gone."""
        ...

    async def check(self, container_id: str, ifname: str, netns: str) -> None:
        """Raises NetworkFailure, saying what is not as `attach` left it."""
        ...

    async def keep_only(self, wanted: frozenset[tuple[str, str]]) -> None:
        """Detaches every interface, (container id, name), that is not among these."""
        ...
