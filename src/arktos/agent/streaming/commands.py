"""exec and attach: a client of SPDY is joined to the runtime, one of WebSocket is translated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import cast
from urllib.parse import parse_qsl

from arktos.agent.streaming import channels, upstream
from arktos.agent.streaming.channels import ChannelProtocol, Demultiplexer
from arktos.agent.streaming.sockets import NORMAL, Socket
from arktos.model.status import BadRequest, Forbidden
from arktos.wire import json
from arktos.wire.http import Reply, Request, Upgrade
from arktos.wire.remotecommand import (
    COMMAND_PROTOCOLS,
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    STREAM_TYPE,
    VERSION_HEADER,
    Wanted,
    failure_status,
)
from arktos.wire.spdy import PROTOCOL
from arktos.wire.spdy_connection import SpdyConnection, SpdyError, SpdyStream, StreamReset
from arktos.wire.tunnel import attend
from arktos.wire.websocket import INTERNAL, Piece, accept_headers, is_websocket, offered_protocols

_CHANNEL = {STDOUT: channels.STDOUT, STDERR: channels.STDERR}
_MAX_ERROR = 64 * 1024


def wanted(query: str) -> Wanted:
    """The streams that a query asks for, in kubelet's words. Raises BadRequest if there are none."""
    asked = {name for name, value in parse_qsl(query) if value in ("1", "true")}
    tty = "tty" in asked
    found = Wanted("input" in asked, "output" in asked, "error" in asked and not tty, tty)
    if not (found.stdin or found.stdout or found.stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return found


def require_upgrade(request: Request) -> None:
    """Raises BadRequest for a request that asks for neither of the protocols that streams travel in."""
    if not is_websocket(request) and request.headers.get("upgrade", "").lower() != PROTOCOL.lower():
        raise BadRequest("Upgrade request required")


async def connect(request: Request, url: str, streams: Wanted) -> Reply:
    """The reply that connects the client to the command behind a runtime's URL. Raises BadRequest, Forbidden,
    InternalError."""
    if not is_websocket(request):
        return await upstream.join(url, request.headers.get(VERSION_HEADER.lower(), ""))
    protocol = negotiated(request, channels.COMMANDS)
    headers = accept_headers(request, protocol.name)
    connection = await upstream.connect(url, COMMAND_PROTOCOLS[0])
    try:
        opened = {kind: await connection.open({STREAM_TYPE: kind}) for kind in streams.streams(COMMAND_PROTOCOLS[0])}
    except (StreamReset, SpdyError) as error:
        connection.abort()
        raise BadRequest(f"the runtime's streaming server: {error}") from error
    except BaseException:
        connection.abort()
        raise
    session = _Translation(connection, opened, protocol)
    return Upgrade(lambda transport, leftover: session.take(cast(asyncio.Transport, transport), leftover), headers)


def negotiated(request: Request, served: Sequence[ChannelProtocol]) -> ChannelProtocol:
    """The subprotocol to speak. Raises Forbidden."""
    offered = offered_protocols(request)
    protocol = channels.choose(offered, served)
    if protocol is None:
        raise Forbidden(f"unable to upgrade: none of the WebSocket subprotocols {offered} is served")
    return protocol


class _Translation:
    """One command: channels of a WebSocket on one side, SPDY streams on the other."""

    def __init__(self, connection: SpdyConnection, streams: dict[str, SpdyStream], protocol: ChannelProtocol) -> None:
        self._connection = connection
        self._streams = streams
        self._protocol = protocol
        self._demultiplexer = Demultiplexer(protocol)
        self._socket = Socket(self._received, connection.abort)
        connection.when_room(self._socket.go_on)

    def take(self, transport: asyncio.Transport, leftover: bytes) -> None:
        self._socket.adopt(transport, leftover)
        attend(self._run())

    async def _run(self) -> None:
        first = next((_CHANNEL[kind] for kind in (STDOUT, STDERR) if kind in self._streams), channels.ERROR)
        # Clients take the first message, which may be empty, for the sign that they are connected.
        self._say(first, b"")
        async with asyncio.TaskGroup() as group:
            for kind in (STDOUT, STDERR):
                if kind in self._streams:
                    group.create_task(self._carry(kind))
            reported = group.create_task(self._report())
        status = reported.result()
        code = NORMAL if status else INTERNAL
        status = status or json.encode(failure_status("the runtime ended the connection"))
        if told := channels.report(self._protocol, status):
            self._say(channels.ERROR, told)
        self._connection.abort()
        await self._socket.close(code)

    async def _carry(self, kind: str) -> None:
        stream, channel = self._streams[kind], _CHANNEL[kind]
        # Runtimes end their streams by resetting them.
        with contextlib.suppress(StreamReset, ConnectionResetError):
            while data := await stream.read():
                self._say(channel, data)
                await self._socket.drain()

    async def _report(self) -> bytes:
        """What the runtime says of the command's end; b"" if it ended without a word."""
        found = b""
        with contextlib.suppress(StreamReset):
            while (data := await self._streams[ERROR].read()) and len(found) < _MAX_ERROR:
                found += data
        return found

    def _say(self, channel: int, data: bytes) -> None:
        said, text = channels.message(self._protocol, channel, data)
        self._socket.send(said, text=text)

    def _received(self, piece: Piece) -> None:
        part = self._demultiplexer.take(piece)
        if part is None:
            return
        stream = self._streams.get({channels.STDIN: STDIN, channels.RESIZE: RESIZE}.get(part.channel, ""))
        if stream is None:
            return
        if part.data:
            stream.write_nowait(part.data)
        if part.ended:
            stream.close()
        if self._connection.congested:
            self._socket.hold()
