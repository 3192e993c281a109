"""A WebSocket on a connection that has left HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arktos.wire.tunnel import Link
from arktos.wire.websocket import GOING_AWAY, NORMAL, Closed, Piece, WebSocket, WebSocketError

_PING_EVERY = 30.0
"""Seconds. Whoever stands between us and an idle client shall not take the connection for dead."""
_LINGER = 5.0
"""Seconds that a peer has to confirm a close."""


class Socket:
    """The server's end. `receive` is given the pieces of messages and may raise WebSocketError; `ended` is called once,
    when nothing more will come."""

    def __init__(self, receive: Callable[[Piece], None], ended: Callable[[], None]) -> None:
        self._peer = WebSocket(client=False)
        self._receive = receive
        self._ended = ended
        self._told = False
        self._link = Link(self._received, self._lost)
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None

    def adopt(self, transport: asyncio.Transport, leftover: bytes) -> None:
        self._link.transport = transport
        self._timer = asyncio.get_running_loop().call_later(_PING_EVERY, self._ping)
        self._link.adopt(transport, leftover)

    @property
    def congested(self) -> bool:
        return self._link.congested

    def hold(self) -> None:
        """Reads no more for now."""
        self._link.hold()

    def go_on(self) -> None:
        self._link.go_on()

    def when_room(self, call: Callable[[], None]) -> None:
        """Calls this each time that a congested connection has room again."""
        self._link.on_room = call

    def send(self, data: bytes, *, text: bool = False) -> None:
        self._peer.send(data, text=text)
        self._flush()

    async def drain(self) -> None:
        """Waits until there is room. Raises ConnectionResetError."""
        await self._link.drain()

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Says goodbye, and waits for the peer to do so."""
        self._peer.close(code, reason)
        self._flush()
        self._link.go_on()
        if self._peer.closed:
            self._link.close()
        try:
            async with asyncio.timeout(_LINGER):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self._link.abort()

    def abort(self) -> None:
        self._link.abort()

    def _received(self, data: bytes) -> None:
        try:
            for event in self._peer.receive(data):
                if isinstance(event, Piece):
                    if not self._peer.closing:
                        self._receive(event)
                elif isinstance(event, Closed):
                    self._tell()
        except WebSocketError as error:
            self._peer.close(error.code, str(error))
            self._flush()
            self._link.close()
            self._tell()
            return
        self._flush()
        if self._peer.closed and self._peer.closing:
            self._link.close()

    def _lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._gone.done():
            self._gone.set_result(None)
        self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            self._ended()

    def _ping(self) -> None:
        self._peer.ping()
        self._flush()
        self._timer = asyncio.get_running_loop().call_later(_PING_EVERY, self._ping)

    def _flush(self) -> None:
        parts = self._peer.outgoing()
        if len(parts) == 1:
            self._link.write(parts[0])
        elif parts:
            self._link.writelines(parts)


__all__ = ["GOING_AWAY", "NORMAL", "Socket"]
