"""One HTTP/1.1 exchange on a connection of its own: for proxies, endless bodies and upgrades.

`HttpClient` is for many small questions. Here a request goes out as it is, the answer's head comes back with every
header in its order, and the body is taken in pieces, at the taker's pace; or, after a 101, the raw connection is.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import cast

import httptools

from arktos.wire.client_connection import ConnectionFailed, RequestTimeout, keep_alive

__all__ = ["ConnectionFailed", "Exchange", "RequestTimeout", "begin", "request_head"]

_HIGH_WATER = 256 * 1024
"""Bytes of an untaken body at which the peer is held back."""
_MAX_HEAD = 256 * 1024

Headers = Sequence[tuple[str, str]]


class Exchange(asyncio.Protocol):
    """An answer that is under way. Made by `begin`; ended by taking the body to its end, by `take` or by `abort`."""

    def __init__(self, head_only: bool) -> None:
        self.status = 0
        self.reason = ""
        self.headers: list[tuple[str, str]] = []
        self._head_only = head_only
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._head_size = 0
        self._paused = False
        self._ended = False
        self._framed = False
        self._error: ConnectionFailed | None = None
        self._leftover = b""
        self._head_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiter: asyncio.Future[None] | None = None

    def header(self, name: str) -> str:
        """The first header of this lower-case name, "" without one."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    async def piece(self) -> bytes:
        """The next bytes of the body, b"" at its end. Raises ConnectionFailed if it broke off."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        joined = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
        self._pieces.clear()
        self._size = 0
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return joined

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._all()

    async def _all(self) -> AsyncIterator[bytes]:
        while piece := await self.piece():
            yield piece

    async def read(self, limit: int) -> bytes:
        """The body up to `limit` bytes; what is longer is cut off, and the connection with it."""
        found = bytearray()
        while len(found) < limit and (piece := await self.piece()):
            found += piece
        if not self._ended:
            self.abort()
        return bytes(found[:limit])

    def take(self) -> tuple[asyncio.Transport, bytes]:
        """After a 101: the connection, and what the peer has said on it already. The caller sets a protocol."""
        transport, self._transport = self._transport, None
        if transport is None or self.status != 101:
            raise ConnectionFailed("the connection is gone")
        return transport, self._leftover

    def abort(self) -> None:
        """Ends the connection at once. Idempotent; without effect after `take`."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        keep_alive(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        if self.status == 101 and self._head_done.done():
            self._leftover += data
            return
        if not self._head_done.done():
            self._head_size += len(data)
            if self._head_size > _MAX_HEAD:
                self._fail(ConnectionFailed("the answer's head is too large"))
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switched(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._fail(ConnectionFailed(f"the answer is not HTTP: {error}"))

    def _switched(self, leftover: bytes) -> None:
        if self.status != 101:
            self._fail(ConnectionFailed("the server switched protocols unasked"))
            return
        self._leftover = leftover
        if self._transport is not None:
            # Whoever takes the connection reads on.
            self._transport.pause_reading()
        if not self._head_done.done():
            self._head_done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._ended:
            return
        if self._head_done.done() and self.status != 101 and not self._framed and exc is None:
            self._end()
            return
        why = f": {exc}" if exc else ""
        self._fail(ConnectionFailed(f"the server closed the connection before its answer was complete{why}"))

    # httptools

    def on_message_begin(self) -> None:
        self.headers = []
        self._framed = False

    def on_status(self, status: bytes) -> None:
        self.reason = status.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1")
        self.headers.append((key, value.decode("latin-1")))
        if key.lower() in ("content-length", "transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            if self._head_only:
                self._end()
            if not self._head_done.done():
                self._head_done.set_result(None)

    def on_body(self, data: bytes) -> None:
        if self._ended:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self._end()

    def _end(self) -> None:
        self._ended = True
        if self._transport is not None:
            self._transport.close()
        self._wake()

    def _fail(self, error: ConnectionFailed) -> None:
        if self._error is None:
            self._error = error
        if not self._head_done.done():
            self._head_done.set_exception(self._error)
        self.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _begin(self, message: bytes) -> None:
        assert self._transport is not None
        self._transport.write(message)
        await self._head_done


def request_head(method: str, target: str, headers: Headers) -> bytes:
    """The head of a request. Raises ValueError for what would break out of its line."""
    if any(not "!" <= c <= "~" for c in target) or not target:
        raise ValueError(f"not a request target: {target!r}")
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds a line end")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


async def begin(
    host: str,
    port: int,
    method: str,
    target: str,
    headers: Headers,
    body: bytes = b"",
    *,
    ssl_context: ssl.SSLContext | None = None,
    server_name: str = "",
    connect_timeout: float = 10.0,
    head_timeout: float = 0.0,
) -> Exchange:
    """Sends a request (`headers` are complete but for Content-Length) and returns once the answer's head is there, in
    `head_timeout` seconds (0 = any time). Raises ConnectionFailed, RequestTimeout, ValueError; leaves nothing open
    then, or when cancelled."""
    sized = [*headers]
    if body or method in ("POST", "PUT", "PATCH"):
        sized.append(("Content-Length", str(len(body))))
    message = request_head(method, target, sized) + body
    exchange = Exchange(method == "HEAD")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_timeout):
            await loop.create_connection(
                lambda: exchange,
                host,
                port,
                ssl=ssl_context,
                server_hostname=(server_name or host) if ssl_context is not None else None,
            )
    except TimeoutError as error:
        exchange.abort()
        raise RequestTimeout(f"no connection to {host}:{port} in {connect_timeout:g} s", sent=False) from error
    except (OSError, ssl.CertificateError) as error:
        exchange.abort()
        raise ConnectionFailed(f"cannot connect to {host}:{port}: {error}", sent=False) from error
    except BaseException:
        exchange.abort()
        raise
    try:
        async with asyncio.timeout(head_timeout or None):
            await exchange._begin(message)
    except TimeoutError as error:
        exchange.abort()
        raise RequestTimeout(f"{host}:{port} did not answer in {head_timeout:g} s") from error
    except BaseException:
        exchange.abort()
        raise
    return exchange
