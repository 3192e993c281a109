"""Which addresses images may come from: none that lead back into this machine.

Names are resolved here and the address that was checked is the one connected to, so that no second answer of a name
server can smuggle in another.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

from arktos.vmruntime.images.faults import Unfit, Unreachable

CONNECT_WITHIN = 10.0
SILENT_AT_MOST = 30.0
"""Seconds."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def connect(host: str, port: int, *, anywhere: bool) -> socket.socket:
    """A connection to a host. Raises Unfit where every address of its is refused (`anywhere` lifts that), Unreachable
    where it has none or none answers."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"cannot resolve {host}: {error}") from None
    refused, failed = "", ""
    for family, kind, protocol, _, address in found:
        reason = "" if anywhere else refusal(family, address)
        if reason:
            refused = reason
            continue
        link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(CONNECT_WITHIN)
            link.connect(address)
        except OSError as error:
            link.close()
            failed = str(error)
            continue
        link.settimeout(SILENT_AT_MOST)
        return link
    if failed or not refused:
        raise Unreachable(f"cannot connect to {host}:{port}: {failed or 'it has no address'}")
    raise Unfit(f"images may not come from {host}: {refused}; the runtime's --allow-local-images lifts this")


def refusal(family: int, address: tuple[object, ...]) -> str:
    """Why an address is refused, "" if it is not."""
    text = str(address[0]).partition("%")[0]
    for meant in _meanings(ipaddress.ip_address(text)):
        if meant.is_loopback or meant.is_unspecified:
            return f"{text} is a loopback address"
        if meant.is_link_local:
            return f"{text} is a link-local address"
        if meant.is_multicast or (meant.is_reserved and meant.version == 4):
            return f"{text} is no address of a single host"
    if _is_own(family, address):
        return f"{text} is an address of this node"
    return ""


def _meanings(address: _Address) -> list[_Address]:
    """An address, and the IPv4 address that it carries inside."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inside = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    if inside is None and address in _NAT64:
        inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return [address, inside] if inside else [address]


def _is_own(family: int, address: tuple[object, ...]) -> bool:
    """The kernel reaches an address of its own from that same address. No packet is sent for the question."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(address)
        return bool(probe.getsockname()[0] == address[0])
    return False
