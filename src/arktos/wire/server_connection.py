"""One server connection: requests in, answers out in their order, on an asyncio transport.

A request whose handler answers at once costs no task, no timer and no object but itself. An awaitable runs in a task of
the connection, one at a time; when the peer goes away the task is cancelled, which the handler notices at its next
`await`. What must not be torn there, such as a commit under way, the handler shields (`asyncio.shield`).

Further requests of a pipelining peer wait in a bounded queue while an answer is made, streamed, or not being read.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Sequence
from time import perf_counter
from typing import cast

from arktos.model.status import ApiError, InternalError, ServiceUnavailable, Timeout
from arktos.wire import answers
from arktos.wire.client_connection import keep_alive
from arktos.wire.http import Handler, Later, Peer, Reply, Request, Response, Stream, Upgrade
from arktos.wire.request_reader import BODY, HEAD, IDLE, RequestReader
from arktos.wire.server_owner import Owner
from arktos.wire.server_stream import StreamChannel

log = logging.getLogger("arktos.wire")

_JOINED = 64 * 1024
_SLICE = 1 << 15
"""Bodies up to this many bytes are sent in one piece with their head; above, copying costs more than a second piece."""
_TURN = 32
"""Requests of one peer that are answered before others get their turn."""
_BODILESS = frozenset({204, 304})
_HUNG_UP = 499
"""Status under which a request is counted whose peer has gone before the answer; nginx's."""


class _Waiting:
    """A request that has not had its turn, or the error that ends the connection in its place."""

    __slots__ = ("error", "keep_alive", "old", "request")

    def __init__(self, request: Request | None, keep_alive: bool, old: bool, error: ApiError | None = None) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.old = old
        self.error = error


class ServerConnection(RequestReader, asyncio.Protocol):
    """See the module. It is also the `Peer` of its requests."""

    __slots__ = (
        "_address",
        "_busy",
        "_certificate",
        "_channel",
        "_gone",
        "_keep_alive",
        "_later",
        "_leftover",
        "_lingering",
        "_old",
        "_owner",
        "_paused",
        "_reading",
        "_request",
        "_started",
        "_state",
        "_stuck",
        "_task",
        "_turns",
        "_waiting",
        "_work",
        "deadline",
        "transport",
    )

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner.limits)
        self._owner = owner
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._waiting: deque[_Waiting] | None = None
        self._busy = self._paused = self._gone = False
        self._reading = self._keep_alive = True
        self._old = False
        self._turns = _TURN
        self._request: Request | None = None
        self._channel: StreamChannel | None = None
        self._task: asyncio.Task[None] | None = None
        self._later: Later | None = None
        self._work: asyncio.Future[bytes] | None = None
        self._leftover: bytearray | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._started = 0.0
        self._stuck = 0
        self._address: str | None = None
        self._certificate: bytes | bool | None = False
        self._state: dict[str, object] | None = None
        self.deadline = 0
        """The server's tick at which `expire` is due; 0 for never."""

    # Peer

    def peer(self) -> Peer:
        return self

    @property
    def address(self) -> str:
        if self._address is None:
            name = self.transport.get_extra_info("peername")
            self._address = str(name[0]) if isinstance(name, tuple) else ""
        return self._address

    @property
    def certificate(self) -> bytes | None:
        if isinstance(self._certificate, bool):
            tls: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
            self._certificate = tls.getpeercert(True) if tls is not None else None
        return self._certificate

    @property
    def state(self) -> dict[str, object]:
        if self._state is None:
            self._state = {}
        return self._state

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(self._limits.high_water)
        keep_alive(self.transport.get_extra_info("socket"))
        self._expect_within(self._limits.head_timeout)
        if not self._owner.opened(self):
            self._refused = True
            self._write_error(ServiceUnavailable("too many connections", retry_after=1))
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._leftover is not None:
            self._leftover += data
            if len(self._leftover) > self._limits.high_water:
                self._pause_reading()
            return
        self._turns = _TURN
        rest = self.feed(data)
        if rest is not None and not self._refused:
            self._after_upgrade(rest)
        elif self._phase == BODY:
            self._expect_within(self._limits.body_timeout)
        elif self._phase == HEAD and self._pieces == 1:
            self._expect_within(self._limits.head_timeout)

    def eof_received(self) -> bool:
        return False  # a peer that sends no more has gone, as for Go's server; what is written is still flushed

    def connection_lost(self, exc: Exception | None) -> None:
        if self._gone:
            return
        self._gone = True
        self._waiting = None
        self._owner.closed(self)
        if self._task is not None:
            self._task.cancel()
        if self._later is not None:
            self._later.deliver = None
        if self._work is not None:
            self._work.cancel()
        if self._lingering is not None:
            self._lingering.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.lost()
        request, self._request = self._request, None
        if request is not None and self._owner.observe is not None:
            status = _HUNG_UP if channel is None else channel.status
            self._owner.observe(request, status, perf_counter() - self._started, 0)
        del self._parser  # breaks the cycle of parser and connection

    def pause_writing(self) -> None:
        self._paused = True
        self._stuck = -1
        self._expect_within(self._limits.write_timeout)

    def resume_writing(self) -> None:
        self._paused = False
        self.deadline = 0
        if self._channel is not None:
            self._channel.drained()
        elif not self._busy:
            self._next()

    # Time

    def _expect_within(self, seconds: float) -> None:
        self.deadline = self._owner.tick + self._limits.ticks(seconds)

    def expire(self) -> None:
        """The deadline has passed: nothing came, or nothing was taken, for too long."""
        waiting = self.transport.get_write_buffer_size() if not self._gone else 0
        if self._paused and waiting != self._stuck:
            self._stuck = waiting
            self._expect_within(self._limits.write_timeout)
        elif self._phase != IDLE and not self._paused and not self._refused:
            self._refuse(Timeout("the request did not arrive in time"))
        elif self._paused:
            self.transport.abort()
        else:
            self.transport.close()

    # What the reader found

    def accept(self, request: Request, keep_alive: bool, old: bool, upgrade: bool) -> None:
        if not self._paused:
            self.deadline = 0
        # What follows a request to upgrade is known only when the parser has returned.
        if self._busy or self._paused or self._waiting or self._turns <= 0 or upgrade:
            self._wait(_Waiting(request, keep_alive, old))
        else:
            self._turns -= 1
            self._run(request, keep_alive, old)

    def refuse(self, error: ApiError) -> None:
        self._refused = True
        self.deadline = 0
        if self._busy or self._waiting:
            self._wait(_Waiting(None, False, False, error))
        else:
            self._close_with(error)

    def invite(self) -> None:
        if not self._busy and not self._waiting:
            self.transport.write(answers.CONTINUE)
            self._expects = False

    # Turns

    def _wait(self, item: _Waiting) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(item)
        if len(self._waiting) >= self._limits.pipelined:
            self._pause_reading()
        if not self._busy and len(self._waiting) == 1:
            self._owner.loop.call_soon(self._next)

    def _next(self) -> None:
        """Lets those who wait have their turn, and reads on when the queue is short again."""
        turns = _TURN
        while self._waiting and not (self._busy or self._paused or self._gone):
            if not turns:
                self._owner.loop.call_soon(self._next)
                return
            turns -= 1
            item = self._waiting.popleft()
            if item.request is None:
                self._close_with(item.error or InternalError("refused"))
                return
            self._run(item.request, item.keep_alive, item.old)
        if not (self._gone or self._busy or self._refused or self._paused):
            self._settle()

    def _settle(self) -> None:
        """Nobody waits and nothing is being sent: reads on."""
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        if self._expects and self._phase == BODY:
            self.invite()
        if self._phase == IDLE:
            self.deadline = self._owner.tick + self._owner.idle_ticks

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pause_reading()

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
        elif isinstance(reply, Response | Stream | Upgrade):
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
        self._send(response, body, size, b"")

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
        self._send(response, body, len(body), b"Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n")

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
        head = answers.start(status, response.content_type) + more
        if response.headers:
            head += answers.fields(response.headers)
        if self._request is not None:
            head += self._request.extra
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
            self._waiting = None
            self._refused = True
            self.transport.close()
            return
        if self._waiting:
            self._owner.loop.call_soon(self._next)
        elif self._leftover is not None:
            self._go_on_after_upgrade()
        elif not self._paused:
            self._settle()

    def _close_with(self, error: ApiError) -> None:
        """Answers and closes, so that a peer that is still sending can read the answer: its bytes are thrown away for a
        while, for closing upon unread bytes would reset the connection and the answer with it."""
        self._waiting = None
        self._write_error(error)
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._lingering = self._owner.loop.call_later(self._limits.linger, self.abort)

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
        self._owner.upgraded(self, transport)
        if self._owner.observe is not None and request is not None:
            self._owner.observe(request, 101, perf_counter() - self._started, 0)
        try:
            upgrade.take(transport, leftover)
        except Exception:
            log.exception("upgrade failed")
            transport.abort()

    # Shutdown

    def shut(self) -> None:
        """The server closes: idle connections end now, streams end properly, others after the answer under way."""
        self._keep_alive = False
        if self._channel is not None:
            self._channel.finish()
        elif not self._busy and not self._waiting and self._phase == IDLE and not self._refused:
            self._refused = True
            self.transport.close()
