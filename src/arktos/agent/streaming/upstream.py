"""The streaming URLs that runtimes give out: connected to with SPDY/3.1, on this machine only.

A runtime's server listens on the loopback of its node and knows a caller by the token in the URL; so a URL to anywhere
else is not followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import cast
from urllib.parse import urlsplit

from arktos.model.status import ApiError, InternalError
from arktos.wire.exchange import ConnectionFailed, Exchange, begin
from arktos.wire.http import Reply, Response, Upgrade
from arktos.wire.remotecommand import VERSION_HEADER
from arktos.wire.spdy import PROTOCOL
from arktos.wire.spdy_connection import SpdyConnection
from arktos.wire.tunnel import splice

_CONNECT_TIMEOUT = 10.0
_HEAD_TIMEOUT = 30.0
_MAX_REFUSAL = 50_000
"""Bytes of a refusal that are passed on."""


async def dial(url: str, protocols: str) -> Exchange:
    """Asks the server behind a streaming URL to speak SPDY, one of `protocols` (a comma list, "" for none said). The
    answer need not be an upgrade. Raises InternalError."""
    found = urlsplit(url)
    host, port = found.hostname or "", found.port or 80
    if found.scheme != "http" or not _is_loopback(host):
        raise InternalError(f"the runtime's streaming server is not on this machine: {found.scheme}://{found.netloc}")
    target = found.path or "/"
    headers = [("Host", found.netloc), ("Connection", "Upgrade"), ("Upgrade", PROTOCOL)]
    headers += [(VERSION_HEADER, name) for name in map(str.strip, protocols.split(",")) if name]
    try:
        return await begin(
            host,
            port,
            "POST",
            f"{target}?{found.query}" if found.query else target,
            headers,
            connect_timeout=_CONNECT_TIMEOUT,
            head_timeout=_HEAD_TIMEOUT,
        )
    except ConnectionFailed as error:
        raise InternalError(f"the runtime's streaming server: {error}") from error


async def connect(url: str, protocol: str) -> SpdyConnection:
    """SPDY streams to a runtime, in one of the protocols of commands or port-forward. Raises InternalError."""
    transport, leftover = await raw(url, protocol)
    connection = SpdyConnection(client=True)
    connection.adopt(transport, leftover)
    return connection


async def raw(url: str, protocol: str) -> tuple[asyncio.Transport, bytes]:
    """The bytes of an upgraded connection to a runtime. Raises InternalError."""
    exchange = await dial(url, protocol)
    if exchange.status != 101:
        raise await _refusal(exchange)
    try:
        return exchange.take()
    except ConnectionFailed as error:
        raise InternalError(f"the runtime's streaming server: {error}") from error


async def join(url: str, protocols: str) -> Reply:
    """The reply that joins a client of SPDY to a runtime, byte by byte; a refusal is passed on as it is."""
    exchange = await dial(url, protocols)
    if exchange.status != 101:
        try:
            body = await exchange.read(_MAX_REFUSAL)
        except ConnectionFailed as error:
            raise InternalError(f"the runtime's streaming server: {error}") from error
        return Response(exchange.status, body, exchange.header("content-type"))
    there = exchange.take()
    headers = [("Upgrade", PROTOCOL)]
    if chosen := exchange.header(VERSION_HEADER.lower()):
        headers.append((VERSION_HEADER, chosen))
    return Upgrade(
        lambda transport, leftover: splice((cast(asyncio.Transport, transport), leftover), there),
        headers,
    )


async def _refusal(exchange: Exchange) -> ApiError:
    try:
        said = (await exchange.read(_MAX_REFUSAL)).decode("utf-8", "replace").strip()
    except ConnectionFailed as error:
        said = str(error)
    return InternalError(f"the runtime's streaming server answered {exchange.status}: {said}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
