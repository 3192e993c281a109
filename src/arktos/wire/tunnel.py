"""Raw bytes over a connection that has left HTTP: a link for one end, and a splice of two.

Every link holds its peer back when the other side is slow: no byte is read that has no place to go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, cast

log = logging.getLogger("arktos.wire")

_HIGH_WATER = 512 * 1024
"""Bytes waiting to be sent at which a link is congested."""
_attended: set[asyncio.Task[None]] = set()


class Link(asyncio.Protocol):
    """One end of a raw connection. `receive` gets every piece; `lost` is called once, when the connection has gone.

    Both may be set until `adopt`. Call from the event loop only.
    """

    __slots__ = ("_closed", "_congested", "_drained", "_held", "lost", "on_room", "receive", "transport")

    def __init__(
        self,
        receive: Callable[[bytes], None] = lambda data: None,
        lost: Callable[[Exception | None], None] = lambda error: None,
    ) -> None:
        self.receive = receive
        self.lost = lost
        self.on_room: Callable[[], None] = lambda: None
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._closed = False
        self._congested = False
        self._held = False
        self._drained: asyncio.Future[None] | None = None

    def adopt(self, transport: asyncio.Transport, leftover: bytes = b"") -> None:
        """Takes a connection over, with what its peer has said already."""
        self.transport = transport
        transport.set_protocol(self)
        transport.set_write_buffer_limits(_HIGH_WATER)
        if transport.is_closing():
            asyncio.get_running_loop().call_soon(self.connection_lost, None)
            return
        if leftover:
            self.receive(leftover)
        if not self._held and not transport.is_closing() and not transport.is_reading():
            transport.resume_reading()

    @property
    def closed(self) -> bool:
        return self._closed or self.transport is None or self.transport.is_closing()

    @property
    def congested(self) -> bool:
        return self._congested

    def write(self, data: bytes) -> None:
        """Sends; dropped after the end. Look at `congested`, or `await drain()`."""
        if not self.closed:
            self.transport.write(data)

    def writelines(self, parts: list[bytes]) -> None:
        if not self.closed:
            self.transport.writelines(parts)

    async def drain(self) -> None:
        """Waits until there is room. Raises ConnectionResetError once the connection has gone."""
        if self._closed:
            raise ConnectionResetError("the connection is closed")
        if not self._congested:
            return
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._drained)

    def hold(self) -> None:
        """Reads no more for now."""
        if not self._held:
            self._held = True
            if self.transport is not None and not self.closed:
                self.transport.pause_reading()

    def go_on(self) -> None:
        if self._held:
            self._held = False
            if self.transport is not None and not self.closed:
                self.transport.resume_reading()

    def close(self) -> None:
        """Ends the connection when everything is sent."""
        if self.transport is not None:
            self.transport.close()
            # A closing transport that does not read would never see that its peer has gone, too.

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self.receive(data)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None
        self.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._congested = False
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_exception(ConnectionResetError("the connection is closed"))
                self._drained.exception()
            self._drained = None
        self.lost(exc)


def splice(
    one: tuple[asyncio.Transport, bytes],
    other: tuple[asyncio.Transport, bytes],
    *,
    linger: float = 10.0,
    ended: Callable[[], None] = lambda: None,
) -> None:
    """Joins two connections, each given with what was read from it already. Bytes pass unchanged, both ways, as fast as
    the slower side takes them; when one ends, the other is ended once it has taken what there was, in `linger` seconds
    at most. `ended` is called when both have gone."""
    left, right = Link(), Link()
    _carry(left, right)
    _carry(right, left)
    loop = asyncio.get_running_loop()
    open_ends = 2

    def gone(peer: Link) -> None:
        nonlocal open_ends
        open_ends -= 1
        if not open_ends:
            ended()
        elif not peer.closed:
            peer.close()
            loop.call_later(linger, peer.abort)

    left.lost = lambda error: gone(right)
    right.lost = lambda error: gone(left)
    left.transport, right.transport = one[0], other[0]
    left.adopt(*one)
    right.adopt(*other)


def _carry(source: Link, sink: Link) -> None:
    def receive(data: bytes) -> None:
        sink.write(data)
        if sink.congested:
            source.hold()

    source.receive = receive
    sink.on_room = source.go_on


def attend(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Runs what a connection that has left HTTP takes for as long as it lasts. The task must end with its connection;
    what it fails of is logged."""
    task = asyncio.get_running_loop().create_task(work)
    _attended.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[None]) -> None:
    _attended.discard(task)
    if not task.cancelled() and task.exception() is not None:
        log.error("the server of a connection failed", exc_info=task.exception())
