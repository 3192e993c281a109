"""How a server connection answers: from a handler's reply to bytes on the transport.

A request whose handler answers at once costs no task, no timer and no object but itself. An awaitable runs in a task of
the connection, one at a time; when the peer goes away the task is cancelled, which the handler notices at its next
`await`. What must not be torn there, such as a commit under way, the handler shields (`asyncio.shield`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from time import perf_counter
from typing import cast

from arktos.model.status import ApiError, InternalError
from arktos.wire import answers
from arktos.wire.http import Handler, Later, Reply, Request, Response, Stream, Upgrade
from arktos.wire.request_reader import RequestReader
from arktos.wire.server_owner import Owner
from arktos.wire.server_stream import StreamChannel

log = logging.getLogger("arktos.wire")

_JOINED = 64 * 1024
"""Bodies up to this many bytes are sent in one piece with their head; above, copying costs more than a second piece."""
_SLICE = 1 << 15
_VARIES = b"Vary: Accept-Encoding\r\n"
_BODILESS = frozenset({204, 304})
_COMPLETE = (Response, Stream, Upgrade)


class Answering(RequestReader):
    """The answering half of a connection. Subclasses say whose turn is next."""

    __slots__ = (
        "_busy",
        "_channel",
        "_gone",
        "_keep_alive",
        "_later",
        "_leftover",
        "_old",
        "_owner",
        "_paused",
        "_reading",
        "_request",
        "_started",
        "_task",
        "_work",
        "transport",
    )

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner.limits)
        self._owner = owner
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._busy = self._paused = self._gone = False
        self._reading = self._keep_alive = True
        self._old = False
        self._request: Request | None = None
        self._channel: StreamChannel | None = None
        self._task: asyncio.Task[None] | None = None
        self._later: Later | None = None
        self._work: asyncio.Future[bytes] | None = None
        self._leftover: bytearray | None = None
        self._started = 0.0

    # What subclasses say.

    @property
    def has_more(self) -> bool:
        """Whether requests wait for their turn."""
        raise AssertionError("overridden")

    def _forget(self) -> None:
        """Nobody who waits will have a turn any more."""

    def _handed_over(self) -> None:
        """The transport speaks another protocol now."""

    def _next(self) -> None:
        """Lets those who wait have their turn."""

    def _settle(self) -> None:
        """Nobody waits and nothing is being sent: reads on."""

    def data_received(self, data: bytes) -> None:
        """The transport's call."""

    # Answering

    def _run(self, request: Request, keep_alive: bool, old: bool) -> None:
        self._keep_alive = keep_alive and not self._owner.closing
        self._old = old
        self._request = request
        if self._owner.observe is not None:
            self._started = perf_counter()
        self._make(request, self._owner.handler)

    def _make(self, request: Request, handler: Handler) -> None:
        """Has the reply made, now or later."""
        try:
            reply = handler(request)
        except ApiError as error:
            reply = answers.of_error(error)
        except Exception as error:
            reply = self._failed(request, error)
        if type(reply) is Response:
            self._answer(reply)
        elif isinstance(reply, _COMPLETE):
            self._reply(reply)
        elif isinstance(reply, Later):
            self._busy = True
            self._later = reply
            reply.deliver = self._its_turn
        else:
            self._busy = True
            self._task = self._owner.loop.create_task(self._await(request, reply))

    def _its_turn(self, handler: Handler) -> None:
        self._later = None
        if self._request is not None:
            self._make(self._request, handler)

    async def _await(self, request: Request, awaitable: Awaitable[Reply]) -> None:
        try:
            reply = await awaitable
        except ApiError as error:
            reply = answers.of_error(error)
        except Exception as error:
            reply = self._failed(request, error)
        self._task = None
        if not self._gone:
            self._reply(reply)
        elif isinstance(reply, Stream):
            StreamChannel(self, reply, self._old).lost()

    def _failed(self, request: Request, error: Exception) -> Response:
        # The one place where an unknown error becomes an answer. Handlers raise ApiError for what they foresee.
        log.error("request failed: %s %s", request.method, request.path, exc_info=error)
        return answers.of_error(InternalError("an internal error occurred; the server's log has more"))

    def _reply(self, reply: Reply) -> None:
        if isinstance(reply, Response):
            self._answer(reply)
        elif isinstance(reply, Stream):
            self._begin_stream(reply)
        else:
            self._hand_over(reply)

    def _answer(self, response: Response) -> None:
        body = response.body
        size = len(body) if isinstance(body, bytes) else sum(map(len, body))
        limit = self._limits.compress_over
        if limit and size > limit and self._compressible(response):
            self._busy = True
            self._work = self._owner.compress(lambda: answers.gzipped(body))
            self._work.add_done_callback(lambda done: self._compressed(response, done))
            return
        self._send(response, body, size, _VARIES if limit and size > limit else b"")

    def _compressible(self, response: Response) -> bool:
        request = self._request
        return (
            request is not None
            and "gzip" in request.headers.get("accept-encoding", "")
            and not any(name.lower() == "content-encoding" for name, _ in response.headers)
        )

    def _compressed(self, response: Response, done: asyncio.Future[bytes]) -> None:
        self._work = None
        if self._gone or done.cancelled():
            return
        body = done.result()
        self._send(response, body, len(body), b"Content-Encoding: gzip\r\n" + _VARIES)

    def _send(self, response: Response, body: object, size: int, more: bytes) -> None:
        """Writes a complete answer and ends the exchange."""
        status, request = response.status, self._request
        head = self._head(response, size, more)
        if status in _BODILESS or (request is not None and request.method == "HEAD"):
            self.transport.write(head)
        elif size <= _JOINED:
            self.transport.write(head + (body if type(body) is bytes else b"".join(cast("Sequence[bytes]", body))))
        else:
            self.transport.write(head)
            self._write_large((body,) if type(body) is bytes else cast("Sequence[bytes]", body))
        self._finish(status, size)

    def _write_large(self, parts: Sequence[bytes]) -> None:
        """Writes in slices: TLS buffers a write whole, and large fresh buffers cost more than encrypting into them."""
        for part in parts:
            if len(part) <= 2 * _SLICE:
                self.transport.write(part)
                continue
            view = memoryview(part)
            for start in range(0, len(view), _SLICE):
                self.transport.write(view[start : start + _SLICE])

    def _head(self, response: Response, size: int, more: bytes) -> bytes:
        status = response.status
        request = self._request
        extra = request.extra if request is not None else b""
        if not response.headers and not more and self._keep_alive and not self._old and status not in _BODILESS:
            # Nearly all answers: one piece made at once.
            return b"%b%bContent-Length: %d\r\n\r\n" % (answers.start(status, response.content_type), extra, size)
        head = answers.start(status, response.content_type) + more
        if response.headers:
            head += answers.fields(response.headers)
        head += extra
        if not self._keep_alive:
            head += b"Connection: close\r\n"
        elif self._old:
            head += b"Connection: keep-alive\r\n"
        return head + (b"\r\n" if status in _BODILESS else b"Content-Length: %d\r\n\r\n" % size)

    def _finish(self, status: int, size: int) -> None:
        """The exchange is over; the next one begins, or the connection ends."""
        observe, request = self._owner.observe, self._request
        self._busy = False
        self._request = None
        if observe is not None and request is not None:
            observe(request, status, perf_counter() - self._started, size)
        if not self._keep_alive:
            self._forget()
            self._refused = True
            self.transport.close()
        elif self.has_more:
            self._owner.loop.call_soon(self._next)
        elif self._leftover is not None:
            self._go_on_after_upgrade()
        elif not self._paused:
            self._settle()

    def _write_error(self, error: ApiError) -> None:
        self._keep_alive = False
        self._request = None
        response = answers.of_error(error)
        self.transport.write(self._head(response, len(response.body), b"") + cast(bytes, response.body))

    # Streams

    def _begin_stream(self, stream: Stream) -> None:
        self._busy = True
        self._keep_alive = self._keep_alive and not self._old
        head = answers.start(stream.status, stream.content_type)
        if stream.headers:
            head += answers.fields(stream.headers)
        if self._request is not None:
            head += self._request.extra
        if not self._keep_alive:
            head += b"Connection: close\r\n"
        self.transport.write(head + (b"\r\n" if self._old else b"Transfer-Encoding: chunked\r\n\r\n"))
        channel = StreamChannel(self, stream, self._old)
        if self._request is not None and self._request.method == "HEAD":
            channel.lost()
            self._finish(stream.status, 0)
            return
        self._channel = channel
        channel.begin()

    def stream_finished(self, status: int, size: int) -> None:
        self._channel = None
        self._finish(status, size)

    @property
    def congested(self) -> bool:
        return self._paused or self._gone

    def abort(self) -> None:
        """Ends the connection at once, whatever it is doing."""
        if not self._gone:
            self.transport.abort()

    # Upgrades

    def _after_upgrade(self, rest: bytes) -> None:
        """What follows a request to upgrade is not ours to read before we know the answer."""
        self._leftover = bytearray(rest)
        if not self._busy:
            self._next()

    def _go_on_after_upgrade(self) -> None:
        """The answer was none of an upgrade: HTTP goes on."""
        rest, self._leftover = self._leftover, None
        self._settle()
        if rest:
            self._owner.loop.call_soon(self._feed_again, bytes(rest))

    def _feed_again(self, data: bytes) -> None:
        if not self._gone:
            self.data_received(data)

    def _hand_over(self, upgrade: Upgrade) -> None:
        head = answers.start(101, "") + answers.fields(upgrade.headers)
        if not any(name.lower() == "connection" for name, _ in upgrade.headers):
            head += b"Connection: Upgrade\r\n"
        transport, request = self.transport, self._request
        if request is not None:
            head += request.extra
        if not self._reading:
            self._reading = True
            transport.resume_reading()
        transport.write(head + b"\r\n")
        self._gone = self._refused = True
        self._request = None
        del self._parser
        leftover, self._leftover = bytes(self._leftover or b""), None
        self._handed_over()
        if self._owner.observe is not None and request is not None:
            self._owner.observe(request, 101, perf_counter() - self._started, 0)
        try:
            upgrade.take(transport, leftover)
        except Exception:
            log.exception("upgrade failed")
            transport.abort()
