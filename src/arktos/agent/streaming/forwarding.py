"""Port-forward: a client of SPDY is joined to the runtime; SPDY within a WebSocket is unwrapped; channels of a
WebSocket, two for each port, are translated."""

from __future__ import annotations

import asyncio
from typing import cast
from urllib.parse import parse_qsl

from arktos.agent.streaming import channels, upstream
from arktos.agent.streaming.channels import PORT_FORWARD, ChannelProtocol, Demultiplexer
from arktos.agent.streaming.commands import negotiated
from arktos.agent.streaming.sockets import Socket
from arktos.model.status import BadRequest
from arktos.wire.http import Reply, Request, Upgrade
from arktos.wire.remotecommand import DATA, ERROR, PORT_FORWARD_PROTOCOL, STREAM_TYPE, VERSION_HEADER
from arktos.wire.spdy_connection import SpdyConnection, SpdyError, SpdyStream, StreamReset
from arktos.wire.tunnel import Link, attend
from arktos.wire.websocket import Piece, accept_headers, is_websocket, offered_protocols

TUNNEL = f"SPDY/3.1+{PORT_FORWARD_PROTOCOL}"
"""The subprotocol whose messages are SPDY's bytes (KEP-4006)."""
_MAX_PORTS = 64


def ports_of(query: str) -> list[int]:
    """The ports that a query names. Raises BadRequest."""
    texts = [text for name, value in parse_qsl(query) if name == "port" for text in value.split(",") if text]
    if len(texts) > _MAX_PORTS or any(not text.isdecimal() or not 0 < int(text[:6]) < 65536 for text in texts):
        raise BadRequest("query parameter 'port' does not name ports")
    return [int(text) for text in texts]


async def connect(request: Request, url: str) -> Reply:
    """The reply that connects the client to the ports behind a runtime's URL. Raises BadRequest, Forbidden,
    InternalError."""
    if not is_websocket(request):
        return await upstream.join(url, request.headers.get(VERSION_HEADER.lower(), PORT_FORWARD_PROTOCOL))
    if TUNNEL in offered_protocols(request):
        return await _tunnel(request, url)
    protocol = negotiated(request, PORT_FORWARD)
    headers = accept_headers(request, protocol.name)
    ports = ports_of(request.query)
    if not ports:
        raise BadRequest("query parameter 'port' is required")
    connection = await upstream.connect(url, PORT_FORWARD_PROTOCOL)
    try:
        streams = [stream for n, port in enumerate(ports) for stream in await _pair(connection, n, port)]
    except (StreamReset, SpdyError) as error:
        connection.abort()
        raise BadRequest(f"the runtime's streaming server: {error}") from error
    except BaseException:
        connection.abort()
        raise
    session = _Translation(connection, streams, ports, protocol)
    return Upgrade(lambda transport, leftover: session.take(cast(asyncio.Transport, transport), leftover), headers)


async def _pair(connection: SpdyConnection, number: int, port: int) -> tuple[SpdyStream, SpdyStream]:
    """The streams of a port: for data, and for what goes wrong."""
    named = {"port": str(port), "requestID": str(number)}
    error = await connection.open({**named, STREAM_TYPE: ERROR})
    error.close()
    return await connection.open({**named, STREAM_TYPE: DATA}), error


async def _tunnel(request: Request, url: str) -> Reply:
    headers = accept_headers(request, TUNNEL)
    there = await upstream.raw(url, PORT_FORWARD_PROTOCOL)

    def take(transport: object, leftover: bytes) -> None:
        link = Link(lambda data: socket.send(data))

        def from_client(piece: Piece) -> None:
            link.write(piece.data)
            if link.congested:
                socket.hold()

        def from_runtime(data: bytes) -> None:
            socket.send(data)
            if socket.congested:
                link.hold()

        socket = Socket(from_client, link.close)
        link.receive = from_runtime
        link.lost = lambda error: _farewell(socket)
        link.on_room = socket.go_on
        socket.when_room(link.go_on)
        link.transport = there[0]
        socket.adopt(cast(asyncio.Transport, transport), leftover)
        link.adopt(*there)

    return Upgrade(take, headers)


def _farewell(socket: Socket) -> None:
    attend(socket.close())


class _Translation:
    """Some ports: channel 2n carries the data of port n, channel 2n + 1 what goes wrong with it. Each begins with the
    port's number, in two bytes, the lower one first."""

    def __init__(
        self, connection: SpdyConnection, streams: list[SpdyStream], ports: list[int], protocol: ChannelProtocol
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._ports = ports
        self._protocol = protocol
        self._demultiplexer = Demultiplexer(protocol)
        self._socket = Socket(self._received, connection.abort)
        connection.when_room(self._socket.go_on)

    def take(self, transport: asyncio.Transport, leftover: bytes) -> None:
        self._socket.adopt(transport, leftover)
        attend(self._run())

    async def _run(self) -> None:
        for number, port in enumerate(self._ports):
            for channel in (2 * number, 2 * number + 1):
                self._say(channel, port.to_bytes(2, "little"))
        try:
            async with asyncio.TaskGroup() as group:
                for channel in range(len(self._streams)):
                    group.create_task(self._carry(channel))
        except* (StreamReset, ConnectionResetError):
            pass
        self._connection.abort()
        await self._socket.close()

    async def _carry(self, channel: int) -> None:
        try:
            while data := await self._streams[channel].read():
                self._say(channel, data)
                await self._socket.drain()
        except StreamReset:
            # One port that is closed ends none of the others.
            if self._connection.closed:
                raise

    def _say(self, channel: int, data: bytes) -> None:
        said, text = channels.message(self._protocol, channel, data)
        self._socket.send(said, text=text)

    def _received(self, piece: Piece) -> None:
        part = self._demultiplexer.take(piece)
        if part is None or part.channel % 2 or part.channel >= len(self._streams):
            return
        self._streams[part.channel].write_nowait(part.data)
        if self._connection.congested:
            self._socket.hold()
