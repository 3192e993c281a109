"""A request passed on to another server, and its answer passed back: bodies as they come, upgrades as raw bytes.

Hop-by-hop headers stay on their hop (RFC 9110, 7.6.1), and what the caller has proved to this server who he is with
never leaves it. Everything ends when either side goes away, or this server ends.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import cast

from arktos.apiserver.authn import SUBPROTOCOL
from arktos.model import hashranges
from arktos.model.status import BadRequest
from arktos.wire import logs
from arktos.wire.exchange import ConnectionFailed, Exchange, begin
from arktos.wire.http import Channel, Reply, Request, Response, Stream, Upgrade, chunk
from arktos.wire.tunnel import splice

log = logs.get_logger(__name__)

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_CREDENTIALS = frozenset({"authorization", "x-remote-user", "x-remote-uid", "x-remote-group"})
_CREDENTIAL_PREFIXES = ("impersonate-", "x-remote-extra-")
_OURS = frozenset(
    {"host", "content-length", "expect", "sec-websocket-protocol", "x-forwarded-for", hashranges.HEADER.lower()}
)
_WHOLE = 256 * 1024
"""Bytes up to which an answer whose length is known is answered in one piece."""

Headers = list[tuple[str, str]]


def onward_headers(request: Request, authority: str, *, cookies: bool = True) -> Headers:
    """The headers with which a request goes on to `authority`."""
    found: Headers = [("Host", authority)]
    named = _named(request.headers.get("connection", ""))
    upgrade = request.headers.get("upgrade", "") if "upgrade" in named else ""
    if upgrade:
        found += [("Connection", "Upgrade"), ("Upgrade", upgrade)]
    for name, value in request.headers.items():
        if name in HOP_BY_HOP or name in named or name in _CREDENTIALS or name in _OURS:
            continue
        if name.startswith(_CREDENTIAL_PREFIXES) or (name == "cookie" and not cookies):
            continue
        found.append((name, value))
    protocols = _named(request.headers.get("sec-websocket-protocol", ""), keep_case=True)
    offered = [name for name in protocols if not name.startswith(SUBPROTOCOL)]
    if offered:
        found.append(("Sec-WebSocket-Protocol", ", ".join(offered)))
    chain = [request.headers.get("x-forwarded-for", ""), request.peer.address]
    found.append(("X-Forwarded-For", ", ".join(filter(None, chain))))
    return found


def _named(header: str, *, keep_case: bool = False) -> list[str]:
    return [part.strip() if keep_case else part.strip().lower() for part in header.split(",") if part.strip()]


async def forward(
    request: Request,
    host: str,
    port: int,
    target: str,
    headers: Sequence[tuple[str, str]],
    *,
    method: str = "",
    ssl_context: ssl.SSLContext | None = None,
    server_name: str = "",
    connect_timeout: float = 10.0,
    head_timeout: float = 0.0,
) -> Exchange:
    """Sends a request on; `headers` are those of `onward_headers`. Raises ConnectionFailed, RequestTimeout and, for a
    target or header that cannot be sent, BadRequest."""
    try:
        return await begin(
            host,
            port,
            method or request.method,
            target,
            headers,
            request.body,
            ssl_context=ssl_context,
            server_name=server_name,
            connect_timeout=connect_timeout,
            head_timeout=head_timeout,
        )
    except ValueError as error:
        raise BadRequest(f"the request cannot be passed on: {error}") from error


async def reply_of(exchange: Exchange, replaced: dict[str, str] | None = None) -> Reply:
    """The reply that passes an answer back. `replaced` are headers, by lower-case name, that get other values. The
    exchange belongs to the reply from here on. Raises ConnectionFailed."""
    headers = _backward_headers(exchange, replaced or {})
    if exchange.status == 101:
        there = exchange.take()
        upgrade = exchange.header("upgrade")
        return Upgrade(
            lambda transport, leftover: splice((cast(asyncio.Transport, transport), leftover), there),
            [("Upgrade", upgrade), *headers] if upgrade else headers,
        )
    kind = exchange.header("content-type")
    length = exchange.header("content-length")
    if exchange.status in (204, 304) or (length.isdecimal() and int(length[:12]) <= _WHOLE):
        try:
            return Response(exchange.status, await exchange.read(_WHOLE), kind, headers)
        finally:
            exchange.abort()
    relay = _Relay(exchange)
    return Stream(relay.open, relay.drained, relay.close, exchange.status, kind, headers)


def _backward_headers(exchange: Exchange, replaced: dict[str, str]) -> Headers:
    named = _named(exchange.header("connection"))
    found: Headers = []
    for name, value in exchange.headers:
        key = name.lower()
        if key in HOP_BY_HOP or key in named or key in ("content-length", "content-type", "date"):
            continue
        found.append((name, replaced.get(key, value)))
    return found


class _Relay:
    """Carries a body to a channel, at the pace of whoever is slower."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()

    def open(self, channel: Channel) -> None:
        self._task = asyncio.get_running_loop().create_task(self._carry(channel))

    def drained(self) -> None:
        self._room.set()

    def close(self) -> None:
        self._exchange.abort()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _carry(self, channel: Channel) -> None:
        try:
            while piece := await self._exchange.piece():
                channel.write(chunk(piece))
                while channel.congested:
                    self._room.clear()
                    await self._room.wait()
        except ConnectionFailed as error:
            # The head has gone out: that the body broke off can only be told by breaking off.
            log.info("proxied_body_broke_off", reason=str(error))
            channel.abort()
        else:
            channel.finish()
