"""Which addresses a tenant's URL may lead to."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence

from arktos.apiserver.encoding import decode
from arktos.apiserver.reader import Reader
from arktos.model.kinds import Obj
from arktos.store.records import Query

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FRESH = 10.0
_STRIDE = 100


class AddressRefused(Exception):
    """Nobody may be connected to there."""


class Guard:
    """`allowed` are the networks that the operator lets tenants reach whatever they are; `ranges` those of services."""

    def __init__(self, reader: Reader, allowed: Sequence[Network], ranges: Sequence[Network]) -> None:
        self._reader = reader
        self._allowed = tuple(allowed)
        self._ranges = tuple(ranges)
        self._nodes: tuple[frozenset[Address], tuple[Network, ...]] = (frozenset(), ())
        self._read_at = float("-inf")

    async def check(self, text: str) -> None:
        """AddressRefused unless a tenant may connect to this address."""
        address = _unmapped(ipaddress.ip_address(text))
        if any(address in network for network in self._allowed):
            return
        if is_special(address) or any(address in network for network in self._ranges):
            raise AddressRefused("address not allowed")
        nodes, pods = await self._of_nodes()
        if address in nodes or any(address in network for network in pods):
            raise AddressRefused("address not allowed")

    async def _of_nodes(self) -> tuple[frozenset[Address], tuple[Network, ...]]:
        """The nodes' own addresses and their pods' ranges, at most seconds old."""
        if time.monotonic() - self._read_at > _FRESH:
            addresses: set[Address] = set()
            pods: set[Network] = set()
            for count, record in enumerate(self._reader.list(Query("nodes", None)).records):
                if count % _STRIDE == _STRIDE - 1:
                    await asyncio.sleep(0)
                _of_node(decode(record), addresses, pods)
            self._nodes = (frozenset(addresses), tuple(pods))
            self._read_at = time.monotonic()
        return self._nodes


def _of_node(node: Obj, addresses: set[Address], pods: set[Network]) -> None:
    for each in (node.get("status") or {}).get("addresses") or ():
        try:
            addresses.add(ipaddress.ip_address(each.get("address") or ""))
        except ValueError:
            continue
    spec = node.get("spec") or {}
    for text in spec.get("podCIDRs") or [spec.get("podCIDR")]:
        try:
            pods.add(ipaddress.ip_network(text or "", strict=False))
        except ValueError:
            continue


def _unmapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does (mapped, 6to4 and NAT64 ones too)."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(address.packed[-4:])
        return inner or address
    return address


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_special(address: Address) -> bool:
    """Loopback, link-local, multicast, unspecified and reserved addresses: nobody else's."""
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or address in _THIS_NETWORK
    )


_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")
