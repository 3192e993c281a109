"""One client connection: bytes in, one answer at a time out. The pool and the public face are in `http_client`.

An answer goes to a sink: `WholeAnswer` collects it, `StreamedAnswer` passes lines on and holds the peer back while
nobody reads them. Both are told once, and only once, how the answer ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Protocol, cast

import httptools

HIGH_WATER = 256 * 1024
"""Bytes of unread lines at which a stream stops reading from its socket."""
MAX_LINE = 64 * 1024 * 1024
"""A line longer than this ends the stream: no object of a store is that large."""


class ConnectionFailed(Exception):
    """The server could not be reached, or went away before its answer was complete. `sent` is whether any byte of the
    request may have reached it: if not, even a write may be sent again."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class RequestTimeout(ConnectionFailed):
    """No complete answer in time."""


class Sink(Protocol):
    """Where an answer goes."""

    def head(self, status: int, headers: dict[str, str]) -> None: ...

    def data(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def fail(self, error: ConnectionFailed) -> None: ...


class WholeAnswer:
    """Collects an answer; `done` is set when it is complete, or to what went wrong: among that, more than `limit` bytes
    (0: any number)."""

    __slots__ = ("_left", "_parts", "done", "headers", "status")

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int = 0) -> None:
        self._left = limit or MAX_LINE * 1024
        self.done: asyncio.Future[None] = loop.create_future()
        self.status = 0
        self.headers: dict[str, str] = {}
        self._parts: list[bytes] = []

    @property
    def body(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers

    def data(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left >= 0:
            self._parts.append(data)
        else:
            self._parts.clear()
            self.fail(ConnectionFailed("the answer is too large"))

    def end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: ConnectionFailed) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class StreamedAnswer:
    """Buffers an answer by lines. `started` is set at the head; `take` gives lines, `wait` says when there are
    more."""

    __slots__ = (
        "_connection",
        "_error",
        "_loop",
        "_paused",
        "_size",
        "_tail",
        "_waiter",
        "_whole_line",
        "ended",
        "headers",
        "started",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: ClientConnection) -> None:
        self.started: asyncio.Future[None] = loop.create_future()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = False
        self._loop = loop
        self._connection = connection
        self._tail: list[bytes] = []
        self._size = 0
        self._whole_line = False
        self._paused = False
        self._error: ConnectionFailed | None = None
        self._waiter: asyncio.Future[None] | None = None

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        if not self.started.done():
            self.started.set_result(None)

    def data(self, data: bytes) -> None:
        self._tail.append(data)
        self._size += len(data)
        if b"\n" in data:
            self._whole_line = True
            self._wake()
        if self._whole_line:
            if self._size > HIGH_WATER and not self._paused:
                self._paused = True
                self._connection.hold()
        elif self._size > MAX_LINE:
            self._connection.fail(ConnectionFailed(f"the server sent a line of more than {MAX_LINE} bytes"))

    def end(self) -> None:
        self.ended = True
        self._wake()

    def fail(self, error: ConnectionFailed) -> None:
        self._error = error
        self.ended = True
        if not self.started.done():
            self.started.set_exception(error)
        self._wake()

    def take(self) -> list[bytes]:
        """The complete lines so far; at the proper end also a last one without line end."""
        if not (self._whole_line or self.ended):
            return []
        blob = b"".join(self._tail)
        *lines, rest = blob.split(b"\n")
        if self.ended and self._error is None and rest:
            lines.append(rest)
            rest = b""
        self._tail = [rest] if rest else []
        self._size = len(rest)
        self._whole_line = False
        if self._paused:
            self._paused = False
            self._connection.go_on()
        return [line for line in lines if line]

    async def wait(self) -> None:
        """Returns when `take` has something, or at the end. Raises what ended the answer improperly, once all
        complete lines were taken."""
        while not self._whole_line:
            if self._error is not None:
                raise self._error
            if self.ended:
                return
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def rest(self) -> bytes:
        """Everything that is still to come."""
        parts: list[bytes] = []
        while True:
            parts += self._tail
            self._tail, self._size, self._whole_line = [], 0, False
            if self._paused:
                self._paused = False
                self._connection.go_on()
            if self._error is not None:
                raise self._error
            if self.ended:
                return b"".join(parts)
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ClientConnection(asyncio.Protocol):
    """A connection that carries one exchange at a time. `on_closed` is called once, when it has gone; `on_free`
    each time an exchange ended and another may be sent."""

    def __init__(
        self, on_free: Callable[[ClientConnection], None], on_closed: Callable[[ClientConnection], None]
    ) -> None:
        self._on_free = on_free
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._sink: Sink | None = None
        self._headers: dict[str, str] = {}
        self._keep = False
        self._in_body = False
        self._framed = False
        self._lost = False
        self.answered = False
        """Whether any byte of the current answer has arrived."""
        self.idle_since = 0.0

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing() and self._sink is None

    def send(self, message: bytes, sink: Sink) -> None:
        """Sends a complete request, whose answer goes to `sink`."""
        if self._transport is None or self._transport.is_closing():
            sink.fail(ConnectionFailed("the server closed the connection", sent=False))
            return
        self._sink = sink
        self.answered = False
        self._transport.write(message)

    def fail(self, error: ConnectionFailed) -> None:
        """Ends the current exchange with `error`, and the connection."""
        sink, self._sink = self._sink, None
        if self._transport is not None:
            self._transport.abort()
        if sink is not None:
            sink.fail(error)

    def abandon(self, sink: Sink, error: ConnectionFailed) -> None:
        """Ends the exchange of `sink` with `error`, if it is still under way; a later exchange is not touched."""
        if self._sink is sink:
            self.fail(error)

    def give_up(self) -> None:
        """Ends a connection that may not have come to be."""
        if self._transport is not None:
            self._transport.abort()
        else:
            self._gone()

    def hold(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Closes an idle connection, properly."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        keep_alive(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        if self._sink is None:
            # Nothing was asked: whatever the server says now (a 408 mostly), it is about to close.
            self.close()
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(ConnectionFailed("the server switched protocols unasked"))
        except httptools.HttpParserError as error:
            self.fail(ConnectionFailed(f"the server's answer is not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        sink, self._sink = self._sink, None
        self._transport = None
        if sink is not None:
            if self._in_body and not self._framed and exc is None:
                sink.end()
            else:
                why = f": {exc}" if exc else ""
                when = "before its answer was complete" if self.answered else "without an answer"
                sink.fail(ConnectionFailed(f"the server closed the connection {when}{why}"))
        self._gone()

    def _gone(self) -> None:
        if not self._lost:
            self._lost = True
            self._on_closed(self)

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._headers = {}
        self._in_body = False
        self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        self._headers[key] = value.decode("latin-1")
        if key in ("content-length", "transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._keep = self._parser.should_keep_alive()
        self._in_body = True
        if self._sink is not None and status >= 200:
            self._sink.head(status, self._headers)

    def on_body(self, data: bytes) -> None:
        if self._sink is not None:
            self._sink.data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            return
        sink, self._sink = self._sink, None
        self._in_body = False
        if sink is None:
            return
        if not self._keep:
            self.close()
        sink.end()
        if self._keep:
            self._on_free(self)


def keep_alive(sock: socket.socket | None) -> None:
    """A peer that has vanished is noticed within half a minute, by a watch that waits and a request that is not
    acked."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", 15),
            ("TCP_KEEPINTVL", 5),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", 30_000),
        ):
            if option := getattr(socket, name, None):
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
