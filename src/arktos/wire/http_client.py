"""An HTTP/1.1 client for one origin: a bounded keep-alive pool, TLS with client certificates, bodies as streams of
lines.

For API calls: small requests, answers in one piece or as endless lines, a few tens of microseconds each on uvloop.
Not here: redirects, cookies, compression, proxies, HEAD.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from arktos.wire.client_connection import (
    ClientConnection,
    ConnectionFailed,
    RequestTimeout,
    Sink,
    StreamedAnswer,
    WholeAnswer,
)

__all__ = ["ConnectionFailed", "HttpClient", "HttpResponse", "RequestTimeout", "ResponseStream"]

_TARGET = re.compile(r"[!-~]+").fullmatch
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


@dataclass(slots=True)
class HttpResponse:
    """A complete answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class ResponseStream:
    """The body of an answer as it comes. While nobody reads, the peer is held back (a bounded buffer, then TCP)."""

    __slots__ = ("_answer", "_connection", "_timer", "headers", "status")

    def __init__(
        self, answer: StreamedAnswer, connection: ClientConnection, timer: asyncio.TimerHandle | None = None
    ) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._answer = answer
        self._connection = connection
        self._timer = timer

    async def lines(self) -> list[bytes]:
        """All complete lines that have arrived, without their line ends; waits for the first. Empty at the end.
        Raises ConnectionFailed if the connection died before the proper end."""
        while True:
            await self._answer.wait()
            lines = self._answer.take()
            if lines or self._answer.ended:
                return lines

    async def read(self) -> bytes:
        """The rest of the body."""
        return await self._answer.rest()

    async def aclose(self) -> None:
        """Ends it; an unfinished body costs its connection. Idempotent."""
        self._end()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._answer.ended:
            self._connection.fail(ConnectionFailed("the stream was closed"))

    def __del__(self) -> None:
        # A reader that was dropped midway must not leave a connection behind.
        if not self._answer.ended:
            self._end()


OPENING_PAUSE = 0.05
"""Seconds after which another connection is opened although the last one is not open yet."""


class HttpClient:
    """Requests to one origin (`https://host:port`, no path). For one event loop; any number of tasks.

    At most `connections` carry requests, further requests wait for one, first come, first served; at most `streams`
    carry streams. A connection that was idle for `idle_timeout` seconds is closed. Connections are opened one after the
    other: in a burst most requests find one that has become free sooner than the handshake of their own would end, and
    dozens of handshakes at once do not hold up the loop. `authority` is what the `Host` header says, if not the origin;
    an answer of more than `max_body` bytes (0: any number) is a failed connection.
    """

    def __init__(
        self,
        origin: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        server_name: str = "",
        connections: int = 32,
        streams: int = 1024,
        connect_timeout: float = 10.0,
        idle_timeout: float = 60.0,
        user_agent: str = "arktos",
        authority: str = "",
        max_body: int = 0,
    ) -> None:
        url = urlsplit(origin)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"not an http or https URL: {origin!r}")
        self._host = url.hostname
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._ssl = (ssl_context or ssl.create_default_context()) if url.scheme == "https" else None
        self._server_name = (server_name or self._host) if self._ssl else None
        self._fixed = _headers({"Host": authority or url.netloc.rpartition("@")[2], "User-Agent": user_agent})
        self._max_body = max_body
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._free_slots = connections
        self._opening: asyncio.TimerHandle | None = None
        self._line: deque[asyncio.Future[ClientConnection | None]] = deque()
        self._stream_slots = asyncio.Semaphore(streams)
        self._pooled: set[ClientConnection] = set()
        self._idle: deque[ClientConnection] = deque()
        self._streaming: set[ClientConnection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 60.0,  # noqa: ASYNC109 (queueing for a connection counts, too)
        idempotent: bool | None = None,
    ) -> HttpResponse:
        """One request, one complete answer of any status. An idempotent request (a GET, unless said) is sent once
        more if its connection died before any answer byte. Raises ConnectionFailed, RequestTimeout."""
        message = self._message(method, target, headers, body)
        may_repeat = method == "GET" if idempotent is None else idempotent
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        connection = await self._acquire(deadline)
        try:
            return await self._exchange(connection, message, deadline)
        except RequestTimeout:
            raise
        except ConnectionFailed:
            if connection.answered or not may_repeat:
                raise
        self._close_idle()
        return await self._exchange(await self._acquire(deadline), message, deadline)

    async def stream(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 60.0,  # noqa: ASYNC109 (queueing for a connection counts, too)
        lifetime: float = 0.0,
    ) -> ResponseStream:
        """As `request`, returning once the head is there (`timeout` bounds that); never repeated. After `lifetime`
        seconds (0 = unbounded) the stream fails with RequestTimeout. Streams have connections of their own, so that
        watches never starve requests."""
        message = self._message(method, target, headers, body)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        await self._stream_slots.acquire()
        connection = ClientConnection(lambda _: None, self._stream_closed)
        self._streaming.add(connection)
        await self._connect(connection, deadline)
        answer = StreamedAnswer(loop, connection)
        await self._send(connection, message, answer, answer.started, deadline)
        timer = None
        if lifetime:
            timer = loop.call_later(lifetime, connection.fail, RequestTimeout(f"the stream outlived {lifetime:g} s"))
        return ResponseStream(answer, connection, timer)

    async def aclose(self) -> None:
        """Closes all connections; what is under way fails with ConnectionFailed."""
        self._closed = True
        for timer in (self._sweeper, self._opening):
            if timer is not None:
                timer.cancel()
        self._close_idle()
        for connection in [*self._pooled, *self._streaming]:
            connection.fail(ConnectionFailed("the client was closed"))
        while (waiter := self._next_in_line()) is not None:
            waiter.set_exception(ConnectionFailed("the client was closed", sent=False))

    def _message(self, method: str, target: str, headers: Mapping[str, str] | None, body: bytes) -> bytes:
        if _TARGET(target) is None:
            raise ValueError(f"not a request target: {target!r}")
        head = f"{method} {target} HTTP/1.1\r\n{self._fixed}"
        if headers:
            head += _headers(headers)
        if body or method in _BODY_METHODS:
            head += f"Content-Length: {len(body)}\r\n"
        return (head + "\r\n").encode("latin-1") + body

    async def _exchange(self, connection: ClientConnection, message: bytes, deadline: float) -> HttpResponse:
        answer = WholeAnswer(asyncio.get_running_loop(), self._max_body)
        await self._send(connection, message, answer, answer.done, deadline)
        return HttpResponse(answer.status, answer.headers, answer.body)

    async def _send(
        self, connection: ClientConnection, message: bytes, sink: Sink, until: asyncio.Future[None], deadline: float
    ) -> None:
        timer = asyncio.get_running_loop().call_at(
            deadline, connection.abandon, sink, RequestTimeout("the server did not answer in time")
        )
        try:
            connection.send(message, sink)
            await until
        except BaseException:
            connection.abandon(sink, ConnectionFailed("the request was given up"))
            raise
        finally:
            timer.cancel()

    # the pool

    async def _acquire(self, deadline: float) -> ClientConnection:
        while True:
            if self._closed:
                raise ConnectionFailed("the client is closed", sent=False)
            while self._idle:
                connection = self._idle.pop()
                if connection.usable:
                    return connection
            if self._free_slots and self._opening is None:
                self._open_next()
            else:
                handed = await self._wait_in_line(deadline)
                if handed is not None:
                    if handed.usable:
                        return handed
                    continue
            connection = ClientConnection(self._freed, self._pooled_closed)
            self._pooled.add(connection)
            try:
                await self._connect(connection, deadline)
            finally:
                self._opened()
            return connection

    def _open_next(self) -> None:
        """Takes a slot for a connection that is opened now."""
        self._free_slots -= 1
        self._opening = asyncio.get_running_loop().call_later(OPENING_PAUSE, self._opened)

    def _opened(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        self._let_open()

    def _let_open(self) -> None:
        """Lets the next in line open a connection, if it may."""
        if self._free_slots and self._opening is None and not self._closed:
            waiter = self._next_in_line()
            if waiter is not None:
                self._open_next()
                waiter.set_result(None)

    async def _wait_in_line(self, deadline: float) -> ClientConnection | None:
        """Waits for a connection that another request has done with, or for leave (None) to open one. Either is
        handed over: whoever comes later cannot snatch it."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[ClientConnection | None] = loop.create_future()
        self._line.append(waiter)
        timer = loop.call_at(deadline, _expire, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                handed = waiter.result()
                if handed is None:
                    self._give_slot()
                    self._opened()
                elif handed.usable:
                    self._freed(handed)
            raise
        finally:
            timer.cancel()

    def _next_in_line(self) -> asyncio.Future[ClientConnection | None] | None:
        while self._line:
            waiter = self._line.popleft()
            if not waiter.done():
                return waiter
        return None

    async def _connect(self, connection: ClientConnection, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        where = f"{self._host}:{self._port}"
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + self._connect_timeout)):
                await loop.create_connection(
                    lambda: connection, self._host, self._port, ssl=self._ssl, server_hostname=self._server_name
                )
            if self._closed:
                raise ConnectionFailed("the client is closed", sent=False)
        except TimeoutError as error:
            connection.give_up()
            raise RequestTimeout(f"cannot connect to {where}: timed out", sent=False) from error
        except (OSError, ssl.CertificateError) as error:
            connection.give_up()
            raise ConnectionFailed(f"cannot connect to {where}: {error}", sent=False) from error
        except BaseException:
            connection.give_up()
            raise

    def _freed(self, connection: ClientConnection) -> None:
        waiter = self._next_in_line()
        if waiter is not None:
            waiter.set_result(connection)
            return
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        if self._sweeper is None and not self._closed:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle_timeout, self._sweep)

    def _pooled_closed(self, connection: ClientConnection) -> None:
        if connection in self._pooled:
            self._pooled.discard(connection)
            self._give_slot()

    def _stream_closed(self, connection: ClientConnection) -> None:
        if connection in self._streaming:
            self._streaming.discard(connection)
            self._stream_slots.release()

    def _give_slot(self) -> None:
        self._free_slots += 1
        self._let_open()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _sweep(self) -> None:
        self._sweeper = None
        loop = asyncio.get_running_loop()
        oldest_allowed = loop.time() - self._idle_timeout
        while self._idle and (self._idle[0].idle_since <= oldest_allowed or not self._idle[0].usable):
            self._idle.popleft().close()
        if self._idle and not self._closed:
            self._sweeper = loop.call_at(self._idle[0].idle_since + self._idle_timeout, self._sweep)


def _expire(waiter: asyncio.Future[ClientConnection | None]) -> None:
    if not waiter.done():
        waiter.set_exception(RequestTimeout("no connection became free in time", sent=False))


def _headers(headers: Mapping[str, str]) -> str:
    text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError("a header value holds a line end")
    return text
