"""SPDY streams for asyncio: a `Session` on a connection that has left HTTP.

    connection = SpdyConnection(client=True)
    connection.adopt(transport, leftover)
    stdout = await connection.open({"streamType": "stdout"})
    while data := await stdout.read(): ...

What is unread, over all streams, is bounded: beyond that the peer is held back, as in Kubernetes' own implementation.
So whoever uses several streams reads all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from arktos.wire.spdy import CANCEL, REFUSED_STREAM, Data, GoneAway, Opened, Replied, Reset, Session, SpdyError
from arktos.wire.tunnel import Link

__all__ = ["SpdyConnection", "SpdyError", "SpdyStream", "StreamReset"]

_UNREAD = 1 << 20
"""Bytes, over all streams of a connection, at which it is not read from."""
_PIECE = 64 * 1024
"""Bytes of a DATA frame: large ones keep other streams waiting."""


class StreamReset(ConnectionError):
    """The stream ended improperly: reset by the peer, or gone with its connection."""


class SpdyStream:
    """One stream. `headers` are those that it was opened with, names in lower case."""

    __slots__ = ("_closed", "_connection", "_ended", "_error", "_pieces", "_replied", "_waiter", "headers", "number")

    def __init__(self, connection: SpdyConnection, number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self._connection = connection
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self._closed = False
        self._error: StreamReset | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._replied: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """What has come, b"" at the proper end. Raises StreamReset."""
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
        data = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
        self._pieces.clear()
        self._connection._used(len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Sends, and waits until the connection has room. Raises StreamReset."""
        for at in range(0, len(data), _PIECE):
            if self._error is not None:
                raise self._error
            self._connection._send(self.number, data[at : at + _PIECE] if len(data) > _PIECE else data, False)
            await self._connection._drain()

    def write_nowait(self, data: bytes) -> None:
        """Sends without waiting; look at the connection's `congested`. Dropped after the end."""
        if self._error is None:
            self._connection._send(self.number, data, False)

    def close(self) -> None:
        """Says that no more will be sent. Idempotent, never fails."""
        if not self._closed:
            self._closed = True
            self._connection._send(self.number, b"", True)
            self._connection._settle(self)

    def reset(self, status: int = CANCEL) -> None:
        """Ends it both ways at once."""
        self._connection._reset(self, status)

    def _take(self, data: bytes, ended: bool) -> None:
        if data:
            self._pieces.append(data)
        self._ended = self._ended or ended
        self._wake()

    def _fail(self, error: StreamReset) -> None:
        if self._error is None:
            self._error = error
        if self._replied is not None and not self._replied.done():
            self._replied.set_exception(error)
            self._replied.exception()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class SpdyConnection:
    """A connection in either role. `on_stream` is given each stream that the peer opens, and must not write to it yet;
    without it, or where it raises ValueError, streams are refused. Call from the event loop only."""

    def __init__(self, *, client: bool, on_stream: Callable[[SpdyStream], None] | None = None) -> None:
        self._session = Session(client=client)
        self._on_stream = on_stream
        self._link = Link(self._received, self._lost)
        self._streams: dict[int, SpdyStream] = {}
        self._unread = 0
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def adopt(self, transport: asyncio.Transport, leftover: bytes = b"") -> None:
        """Takes a connection over, with what its peer has said already."""
        self._link.transport = transport
        self._link.adopt(transport, leftover)

    async def open(self, headers: Mapping[str, str]) -> SpdyStream:
        """A stream that the peer has taken. Raises StreamReset, SpdyError."""
        if self._link.closed:
            raise StreamReset("the connection is closed")
        stream = SpdyStream(self, self._session.open(headers), headers)
        stream._replied = asyncio.get_running_loop().create_future()
        self._streams[stream.number] = stream
        self._flush()
        await stream._replied
        return stream

    async def wait_closed(self) -> None:
        """Returns when the connection has gone, for whatever reason."""
        await asyncio.shield(self._gone)

    @property
    def closed(self) -> bool:
        return self._gone.done()

    @property
    def congested(self) -> bool:
        return self._link.congested

    def when_room(self, call: Callable[[], None]) -> None:
        """Calls this each time that a congested connection has room again."""
        self._link.on_room = call

    async def close(self, linger: float = 5.0) -> None:
        """Says goodbye and ends the connection once all is sent, in `linger` seconds at most."""
        if not self._link.closed:
            self._session.go_away()
            self._flush()
            self._link.close()
        try:
            async with asyncio.timeout(linger):
                await self.wait_closed()
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        self._link.abort()

    def _received(self, data: bytes) -> None:
        try:
            for event in self._session.receive(data):
                self._on_event(event)
        except SpdyError as error:
            self._fail_all(StreamReset(str(error)))
            self._session.go_away(1)
            self._flush()
            self._link.close()
            return
        self._flush()

    def _on_event(self, event: object) -> None:
        if isinstance(event, Data):
            stream = self._streams.get(event.stream)
            if stream is not None:
                self._unread += len(event.data)
                if self._unread > _UNREAD:
                    self._link.hold()
                stream._take(event.data, event.ended)
                self._settle(stream)
        elif isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, Replied):
            stream = self._streams.get(event.stream)
            if stream is not None and stream._replied is not None and not stream._replied.done():
                stream._replied.set_result(None)
        elif isinstance(event, Reset):
            stream = self._streams.pop(event.stream, None)
            if stream is not None:
                stream._fail(StreamReset(f"the peer reset the stream (status {event.status})"))
        elif isinstance(event, GoneAway) and not self._streams:
            self._link.close()

    def _opened(self, event: Opened) -> None:
        stream = SpdyStream(self, event.stream, event.headers)
        stream._ended = event.ended
        self._streams[event.stream] = stream
        try:
            if self._on_stream is None:
                raise ValueError("no streams are taken")
            self._on_stream(stream)
        except ValueError:
            self._session.reset(event.stream, REFUSED_STREAM)
            del self._streams[event.stream]
        else:
            # Before any data: Kubernetes' implementation drops that of streams that are not replied to.
            self._session.reply(event.stream)

    def _lost(self, error: Exception | None) -> None:
        self._fail_all(StreamReset(f"the connection ended{f': {error}' if error else ''}"))
        if not self._gone.done():
            self._gone.set_result(None)

    def _fail_all(self, error: StreamReset) -> None:
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            if not stream._ended:
                stream._fail(error)

    # For streams

    def _used(self, size: int) -> None:
        self._unread -= size
        if self._unread <= _UNREAD // 2:
            self._link.go_on()

    def _settle(self, stream: SpdyStream) -> None:
        """Forgets a stream that has ended both ways; what is unread of it can still be read."""
        if stream._ended and stream._closed:
            self._streams.pop(stream.number, None)

    def _send(self, number: int, data: bytes, ended: bool) -> None:
        self._session.send(number, data, ended=ended)
        self._flush()

    async def _drain(self) -> None:
        try:
            await self._link.drain()
        except ConnectionResetError as error:
            raise StreamReset(str(error)) from error

    def _reset(self, stream: SpdyStream, status: int) -> None:
        if self._streams.pop(stream.number, None) is not None:
            self._session.reset(stream.number, status)
            self._flush()
            self._unread -= sum(map(len, stream._pieces))
            stream._pieces.clear()
            stream._fail(StreamReset("the stream was reset"))
            self._used(0)

    def _flush(self) -> None:
        parts = self._session.outgoing()
        if not parts:
            return
        if len(parts) == 1:
            self._link.write(parts[0])
        else:
            self._link.writelines(parts)
