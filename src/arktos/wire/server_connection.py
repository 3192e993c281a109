"""One server connection: requests in, answers out in their order, on an asyncio transport.

Further requests of a pipelining peer wait in a bounded queue while an answer is made, streamed, or not being read. How
an answer is made and sent is in `server_answering`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from time import perf_counter
from typing import cast

from arktos.model.status import ApiError, InternalError, ServiceUnavailable, Timeout
from arktos.wire import answers
from arktos.wire.client_connection import keep_alive
from arktos.wire.http import Peer, Request
from arktos.wire.request_reader import BODY, HEAD, IDLE
from arktos.wire.server_answering import Answering
from arktos.wire.server_owner import Owner

_TURN = 32
"""Requests of one peer that are answered before others get their turn."""
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


class ServerConnection(Answering, asyncio.Protocol):
    """See the module. It is also the `Peer` of its requests."""

    __slots__ = (
        "_address",
        "_body_due",
        "_certificate",
        "_lingering",
        "_state",
        "_stuck",
        "_turns",
        "_waiting",
        "deadline",
    )

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._waiting: deque[_Waiting] | None = None
        self._turns = _TURN
        self._body_due = 0
        self._lingering: asyncio.TimerHandle | None = None
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
            self._expect_more()
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

    def _expect_more(self) -> None:
        """Within the time of a piece of a body, and all of it within that of a request."""
        if not self._body_due:
            self._body_due = self._owner.tick + self._limits.ticks(self._limits.request_timeout)
        self.deadline = min(self._owner.tick + self._limits.ticks(self._limits.body_timeout), self._body_due)

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
        self._body_due = 0
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

    @property
    def has_more(self) -> bool:
        return bool(self._waiting)

    def _forget(self) -> None:
        self._waiting = None

    def _handed_over(self) -> None:
        self._owner.upgraded(self, self.transport)

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

    # Shutdown

    def shut(self) -> None:
        """The server closes: idle connections end now, streams end properly, others after the answer under way."""
        self._keep_alive = False
        if self._channel is not None:
            self._channel.finish()
        elif not self._busy and not self._waiting and self._phase == IDLE and not self._refused:
            self._refused = True
            self.transport.close()
