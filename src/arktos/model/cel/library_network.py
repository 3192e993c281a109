"""Addresses, networks and URLs: Kubernetes' `ip`, `cidr` and `url` libraries."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from arktos.model.cel.declarations import Library, declare
from arktos.model.cel.errors import EvaluationError
from arktos.model.cel.types import BOOL, INT, STRING, Type, list_of, map_of

IP, CIDR, URL = Type("net.IP"), Type("net.CIDR"), Type("kubernetes.URL")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True, slots=True)
class _Ip:
    address: Address


@dataclass(frozen=True, slots=True)
class _Cidr:
    """A network, with the address that was written."""

    written: Network


@dataclass(frozen=True, slots=True)
class _Url:
    text: str
    parts: SplitResult


declare(IP, _Ip)
declare(CIDR, _Cidr)
declare(URL, _Url)


def install(library: Library) -> None:
    _addresses(library)
    _networks(library)
    _urls(library)


def _ip(text: str) -> _Ip:
    try:
        if len(text) > 50 or "%" in text:
            raise ValueError
        address = ipaddress.ip_address(text)
    except ValueError:
        raise EvaluationError(f'IP Address "{text}" parse error during conversion from string') from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise EvaluationError(
            f'IPv4-mapped IPv6 address "{text}" not allowed' if "." in text else f'IP Address "{text}" parse error'
        )
    return _Ip(address)


def _cidr(text: str) -> _Cidr:
    try:
        if len(text) > 55 or "/" not in text or "%" in text or not text.rsplit("/", 1)[1].isdecimal():
            raise ValueError
        return _Cidr(ipaddress.ip_interface(text))
    except ValueError:
        raise EvaluationError(f'network address parse error during conversion from string: "{text}"') from None


def _is(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def run(text: str) -> bool:
        try:
            parse(text)
        except EvaluationError:
            return False
        return True

    return run


def _addresses(library: Library) -> None:
    library.function("ip", [STRING], IP, _ip)
    library.function("isIP", [STRING], BOOL, _is(_ip))
    library.function("ip.isCanonical", [STRING], BOOL, lambda text: str(_ip(text).address) == text)
    library.function("string", [IP], STRING, lambda a: str(a.address))
    library.method("family", [IP], INT, lambda a: a.address.version)
    library.method("isUnspecified", [IP], BOOL, lambda a: a.address.is_unspecified)
    library.method("isLoopback", [IP], BOOL, lambda a: a.address.is_loopback)
    library.method("isLinkLocalMulticast", [IP], BOOL, lambda a: _local_multicast(a.address))
    library.method("isLinkLocalUnicast", [IP], BOOL, lambda a: a.address.is_link_local)
    library.method("isGlobalUnicast", [IP], BOOL, lambda a: _global_unicast(a.address))


def _local_multicast(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.IPv4Network("224.0.0.0/24")
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 2


def _global_unicast(address: Address) -> bool:
    if address == ipaddress.ip_address("255.255.255.255"):
        return False
    return not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local)


def _networks(library: Library) -> None:
    library.function("cidr", [STRING], CIDR, _cidr)
    library.function("isCIDR", [STRING], BOOL, _is(_cidr))
    library.function("string", [CIDR], STRING, lambda a: str(a.written))
    library.method("containsIP", [CIDR, IP], BOOL, lambda a, b: _holds(a, b.address))
    library.method("containsIP", [CIDR, STRING], BOOL, lambda a, b: _holds(a, _ip(b).address))
    library.method("containsCIDR", [CIDR, CIDR], BOOL, _covers)
    library.method("containsCIDR", [CIDR, STRING], BOOL, lambda a, b: _covers(a, _cidr(b)))
    library.method("ip", [CIDR], IP, lambda a: _Ip(a.written.ip))
    library.method("masked", [CIDR], CIDR, lambda a: _Cidr(ipaddress.ip_interface(str(a.written.network))))
    library.method("prefixLength", [CIDR], INT, lambda a: a.written.network.prefixlen)


def _holds(cidr: _Cidr, address: Address) -> bool:
    return address in cidr.written.network


def _covers(outer: _Cidr, inner: _Cidr) -> bool:
    a, b = outer.written.network, inner.written.network
    return a.version == b.version and a.prefixlen <= b.prefixlen and b.network_address in a


_BAD_URL = re.compile(r"[\x00-\x20\x7f]|%(?![0-9A-Fa-f]{2})")


def _url(text: str) -> _Url:
    """An absolute URI, or an absolute path."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # raises on a bad one
        if _BAD_URL.search(text) or not (parts.scheme or text.startswith("/")):
            raise ValueError
    except ValueError:
        raise EvaluationError(f'URL parse error during conversion from string: parse "{text}": invalid URI') from None
    return _Url(text, parts)


def _urls(library: Library) -> None:
    library.function("url", [STRING], URL, _url)
    library.function("isURL", [STRING], BOOL, _is(_url))
    library.method("getScheme", [URL], STRING, lambda a: a.parts.scheme)
    library.method("getHost", [URL], STRING, lambda a: a.parts.netloc.rpartition("@")[2])
    library.method("getHostname", [URL], STRING, _hostname)
    library.method("getPort", [URL], STRING, lambda a: "" if a.parts.port is None else str(a.parts.port))
    library.method("getEscapedPath", [URL], STRING, lambda a: a.parts.path)
    library.method("getQuery", [URL], map_of(STRING, list_of(STRING)), _query)


def _hostname(url: _Url) -> str:
    host = url.parts.netloc.rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return unquote(host.partition(":")[0])


def _query(url: _Url) -> dict[str, list[str]]:
    try:
        return parse_qs(url.parts.query, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise EvaluationError("too many query parameters") from None
