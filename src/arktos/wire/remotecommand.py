"""The server's side of exec, attach and port-forward over SPDY/3.1, for runtimes: what CRI's Exec, Attach and
PortForward give the URL of.

    async def shell(terminal: Terminal) -> int:                  # returns the exit code
        async for data in terminal.stdin:                        # ends at the client's half-close
            await terminal.stdout(data)                          # waits while the client is slow
        return 0

    async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(pod_ip, port)

    def handler(request: Request) -> Reply:                      # of arktos.wire.http_server.serve, on loopback
        if request.path.startswith("/portforward/"):
            return serve_port_forward(request, dial)
        return serve_command(request, shell, Wanted(stdin=True, stdout=True, stderr=False, tty=True))

A command is cancelled when its client goes away, and `terminal.resizes` are the sizes of its window. A command that
fails raises `CommandFailed`, whose text the client is shown. Nothing is buffered without bound.

Streams and statuses are those of Kubernetes' protocols `v4.channel.k8s.io` (exit codes as a Status) and before, and
`portforward.k8s.io`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from arktos.model.status import ApiError, BadRequest, Forbidden
from arktos.wire import json
from arktos.wire.http import Request, Upgrade
from arktos.wire.spdy import PROTOCOL
from arktos.wire.spdy_connection import SpdyConnection, SpdyStream, StreamReset
from arktos.wire.tunnel import attend

log = logging.getLogger("arktos.wire")

STREAM_TYPE = "streamType"
ERROR, STDIN, STDOUT, STDERR, RESIZE, DATA = "error", "stdin", "stdout", "stderr", "resize", "data"
VERSION_HEADER = "X-Stream-Protocol-Version"
COMMAND_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
"""What a client of commands may choose from over SPDY, best first."""
PORT_FORWARD_PROTOCOL = "portforward.k8s.io"
_STREAMS_WITHIN = 30.0
"""Seconds for a client to open the streams of a command, or the second of a pair."""
_MAX_PAIRS = 512
_PIECE = 64 * 1024


class CommandFailed(Exception):
    """A command that could not be run, or whose end is not known. The client sees the text."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a command has. With a terminal, stderr is part of stdout."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    def streams(self, protocol: str) -> list[str]:
        """The types of the streams that a client opens, in the order in which Kubernetes' does."""
        found = [ERROR]
        found += [STDIN] if self.stdin else []
        found += [STDOUT] if self.stdout else []
        found += [STDERR] if self.stderr and not self.tty else []
        found += [RESIZE] if self.tty and protocol in COMMAND_PROTOCOLS[:2] else []
        return found


@dataclass(frozen=True, slots=True)
class Size:
    """Of a terminal's window, in characters."""

    width: int
    height: int


Output = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Terminal:
    """What a command sees of its client. Streams that were not wanted are empty, or swallow what they are given."""

    stdin: AsyncIterator[bytes]
    stdout: Output
    stderr: Output
    resizes: AsyncIterator[Size]
    tty: bool


Command = Callable[[Terminal], Awaitable[int]]
Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Connects to a port of the pod. Raises OSError, whose text the client is shown."""


def exit_status(code: int) -> dict[str, Any]:
    """The Status that ends a command of v4 and later."""
    if not code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure_status(message: str) -> dict[str, Any]:
    """The Status of a command that failed for another reason than its exit code."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


def parse_size(line: bytes) -> Size | None:
    """A message of the resize stream; None if it is none."""
    try:
        found = json.decode(line)
        return Size(min(int(found["Width"]), 0xFFFF), min(int(found["Height"]), 0xFFFF))
    except (ApiError, ValueError, KeyError, TypeError, OverflowError):
        return None


def choose_protocol(request: Request, served: tuple[str, ...]) -> str:
    """The first of the client's protocols that is served; without any offer the oldest. Raises Forbidden."""
    offered = [name.strip() for name in request.headers.get(VERSION_HEADER.lower(), "").split(",") if name.strip()]
    if not offered:
        return served[-1]
    for name in offered:
        if name in served:
            return name
    raise Forbidden(f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server {served}")


def serve_command(request: Request, command: Command, wanted: Wanted) -> Upgrade:
    """Runs `command` for the client that sent `request`. Raises BadRequest, Forbidden."""
    _check_upgrade(request)
    protocol = choose_protocol(request, COMMAND_PROTOCOLS)

    def take(transport: object, leftover: bytes) -> None:
        streams = _Arriving(wanted.streams(protocol))
        connection = SpdyConnection(client=False, on_stream=streams.arrived)
        connection.adopt(cast(asyncio.Transport, transport), leftover)
        attend(_command(connection, streams, command, wanted, protocol))

    return Upgrade(take, (("Upgrade", PROTOCOL), (VERSION_HEADER, protocol)))


def serve_port_forward(request: Request, dial: Dial) -> Upgrade:
    """Forwards ports for the client that sent `request`. Raises BadRequest, Forbidden."""
    _check_upgrade(request)
    protocol = choose_protocol(request, (PORT_FORWARD_PROTOCOL,))

    def take(transport: object, leftover: bytes) -> None:
        forwarder = _Forwarder(dial)
        forwarder.connection.adopt(cast(asyncio.Transport, transport), leftover)
        attend(forwarder.run())

    return Upgrade(take, (("Upgrade", PROTOCOL), (VERSION_HEADER, protocol)))


def _check_upgrade(request: Request) -> None:
    if request.headers.get("upgrade", "").lower() != PROTOCOL.lower():
        raise BadRequest(f"Upgrade request required: {PROTOCOL}")


class _Arriving:
    """The streams of a command, until all are there."""

    def __init__(self, awaited: list[str]) -> None:
        self.found: dict[str, SpdyStream] = {}
        self._awaited = frozenset(awaited)
        self._complete = asyncio.Event()

    def arrived(self, stream: SpdyStream) -> None:
        kind = stream.headers.get(STREAM_TYPE.lower(), "")
        if kind not in self._awaited or kind in self.found:
            raise ValueError(f"stream of type {kind!r}")
        self.found[kind] = stream
        if len(self.found) == len(self._awaited):
            self._complete.set()

    async def complete(self) -> None:
        async with asyncio.timeout(_STREAMS_WITHIN):
            await self._complete.wait()


async def _command(
    connection: SpdyConnection, streams: _Arriving, command: Command, wanted: Wanted, protocol: str
) -> None:
    running = asyncio.ensure_future(_outcome(streams, command, wanted))
    gone = asyncio.ensure_future(connection.wait_closed())
    try:
        await asyncio.wait({running, gone}, return_when=asyncio.FIRST_COMPLETED)
        if running.done() and not connection.closed:
            await _report(streams.found, running.result(), protocol)
    except StreamReset:
        pass
    finally:
        for each in (running, gone):
            each.cancel()
        await asyncio.gather(running, gone, return_exceptions=True)
        await connection.close()


async def _outcome(streams: _Arriving, command: Command, wanted: Wanted) -> dict[str, Any]:
    """Runs the command; the Status that its end comes to."""
    try:
        await streams.complete()
    except TimeoutError:
        return failure_status("timed out waiting for client to create streams")
    found = streams.found
    terminal = Terminal(
        _pieces(found.get(STDIN)),
        _output(found.get(STDOUT)),
        _output(found.get(STDERR)),
        _sizes(found.get(RESIZE)),
        wanted.tty,
    )
    try:
        return exit_status(await command(terminal))
    except CommandFailed as error:
        return failure_status(str(error))
    except StreamReset:
        raise
    except Exception as error:
        log.exception("a command failed")
        return failure_status(f"{type(error).__name__}: {error}")


async def _report(found: dict[str, SpdyStream], status: dict[str, Any], protocol: str) -> None:
    for kind in (STDOUT, STDERR):
        if kind in found:
            found[kind].close()
    error = found.get(ERROR)
    if error is not None:
        if protocol == COMMAND_PROTOCOLS[0]:
            await error.write(json.encode(status))
        elif status["status"] != "Success":
            await error.write(str(status["message"]).encode())
        error.close()


async def _pieces(stream: SpdyStream | None) -> AsyncIterator[bytes]:
    while stream is not None and (data := await stream.read()):
        yield data


def _output(stream: SpdyStream | None) -> Output:
    async def swallow(data: bytes) -> None:
        return

    return stream.write if stream is not None else swallow


async def _sizes(stream: SpdyStream | None) -> AsyncIterator[Size]:
    """Sizes come as JSON objects one after the other, with or without line ends."""
    rest = b""
    async for data in _pieces(stream):
        *whole, rest = (rest + data).replace(b"\n", b"").split(b"}")
        rest = rest[:1024]
        for line in whole:
            if size := parse_size(line + b"}"):
                yield size


class _Forwarder:
    """Pairs the streams of a port-forward connection: one for data, one for what goes wrong."""

    def __init__(self, dial: Dial) -> None:
        self.connection = SpdyConnection(client=False, on_stream=self._arrived)
        self._dial = dial
        self._waiting: dict[str, SpdyStream] = {}
        self._pairs: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            await self.connection.wait_closed()
        finally:
            for task in self._pairs:
                task.cancel()
            await asyncio.gather(*self._pairs, return_exceptions=True)

    def _arrived(self, stream: SpdyStream) -> None:
        kind = stream.headers.get(STREAM_TYPE.lower(), "")
        port = stream.headers.get("port", "")
        if kind not in (DATA, ERROR) or not port.isdecimal() or not 0 < int(port[:6]) < 65536:
            raise ValueError(f"stream of type {kind!r} for port {port!r}")
        # Clients of old name no request: an error stream and the data stream after it belong together.
        request = stream.headers.get("requestid", "")
        partner = self._waiting.pop(request, None)
        if partner is None:
            if len(self._waiting) + len(self._pairs) >= _MAX_PAIRS:
                raise ValueError("too many streams")
            self._waiting[request] = stream
            return
        data, error = (stream, partner) if kind == DATA else (partner, stream)
        if data.headers.get(STREAM_TYPE.lower()) == error.headers.get(STREAM_TYPE.lower()):
            raise ValueError("two streams of one type")
        task = asyncio.get_running_loop().create_task(self._forward(int(port), data, error))
        self._pairs.add(task)
        task.add_done_callback(self._pairs.discard)

    async def _forward(self, port: int, data: SpdyStream, error: SpdyStream) -> None:
        try:
            try:
                reader, writer = await self._dial(port)
            except OSError as failure:
                await error.write(f"error forwarding port {port}: {failure}".encode())
                data.reset()
                return
            try:
                await _both_ways(data, reader, writer)
            finally:
                writer.transport.abort()
        except StreamReset:
            pass
        except OSError as failure:
            with contextlib.suppress(StreamReset):
                await error.write(f"error forwarding port {port}: {failure}".encode())
            data.reset()
        finally:
            data.close()
            error.close()


async def _both_ways(data: SpdyStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carries bytes until the pod's side has ended; the client's half-close is passed on, and ends nothing."""

    async def upwards() -> None:
        while piece := await data.read():
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def downwards() -> None:
        while piece := await reader.read(_PIECE):
            await data.write(piece)

    up, down = asyncio.ensure_future(upwards()), asyncio.ensure_future(downwards())
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if up.done():
            up.result()
        await down
    finally:
        for each in (up, down):
            each.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
