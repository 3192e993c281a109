"""The server's side of exec, attach and port-forward, with a client of our own over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from arktos.wire import exchange
from arktos.wire.http import Reply, Request
from arktos.wire.http_server import Server, serve
from arktos.wire.remotecommand import (
    COMMAND_PROTOCOLS,
    Command,
    CommandFailed,
    Dial,
    Terminal,
    Wanted,
    serve_command,
    serve_port_forward,
)
from arktos.wire.spdy_connection import SpdyConnection, SpdyStream, StreamReset

ALL = Wanted(stdin=True, stdout=True, stderr=True)


@asynccontextmanager
async def serving(command: Command | None = None, wanted: Wanted = ALL, dial: Dial | None = None) -> AsyncIterator[int]:
    def handler(request: Request) -> Reply:
        if dial is not None:
            return serve_port_forward(request, dial)
        assert command is not None
        return serve_command(request, command, wanted)

    server: Server = await serve(handler)
    try:
        yield server.port
    finally:
        await server.close(0)


@asynccontextmanager
async def connected(port: int, protocol: str = COMMAND_PROTOCOLS[0]) -> AsyncIterator[SpdyConnection]:
    headers = [
        ("Host", "h"),
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", protocol),
    ]
    answer = await exchange.begin("127.0.0.1", port, "POST", "/exec/token", headers)
    assert answer.status == 101
    assert answer.header("x-stream-protocol-version") == protocol
    connection = SpdyConnection(client=True)
    connection.adopt(*answer.take())
    try:
        yield connection
    finally:
        connection.abort()
        await connection.wait_closed()


async def open_all(connection: SpdyConnection, *kinds: str) -> list[SpdyStream]:
    return [await connection.open({"streamType": kind}) for kind in kinds]


async def all_of(stream: SpdyStream) -> bytes:
    found = b""
    while data := await stream.read():
        found += data
    return found


async def shout(terminal: Terminal) -> int:
    async for data in terminal.stdin:
        await terminal.stdout(data.upper())
    await terminal.stderr(b"done")
    return 7


async def test_a_command_reads_writes_and_ends_with_its_code() -> None:
    async with serving(shout) as port, connected(port) as connection:
        error, stdin, stdout, stderr = await open_all(connection, "error", "stdin", "stdout", "stderr")
        await stdin.write(b"hello ")
        await stdin.write(b"world")
        stdin.close()
        assert await all_of(stdout) == b"HELLO WORLD"
        assert await all_of(stderr) == b"done"
        status = json.loads(await all_of(error))
        assert status["reason"] == "NonZeroExitCode"
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
        await connection.wait_closed()


async def test_success_is_a_status_in_v4_and_nothing_before() -> None:
    async def nothing(terminal: Terminal) -> int:
        return 0

    async with serving(nothing, Wanted(stdout=True)) as port:
        for protocol, expected in ((COMMAND_PROTOCOLS[0], b'"Success"'), (COMMAND_PROTOCOLS[2], b"")):
            async with connected(port, protocol) as connection:
                error, _ = await open_all(connection, "error", "stdout")
                said = await all_of(error)
                assert expected in said
                assert bool(said) == bool(expected)


async def test_a_failure_is_told() -> None:
    async def fails(terminal: Terminal) -> int:
        raise CommandFailed("the guest has no agent")

    async with serving(fails, Wanted(stdout=True)) as port, connected(port) as connection:
        error, _ = await open_all(connection, "error", "stdout")
        assert "the guest has no agent" in json.loads(await all_of(error))["message"]


async def test_sizes_of_the_window_arrive() -> None:
    async def sized(terminal: Terminal) -> int:
        async for size in terminal.resizes:
            await terminal.stdout(f"{size.width}x{size.height} ".encode())
            if size.width == 1:
                break
        return 0

    async with serving(sized, Wanted(stdout=True, tty=True)) as port, connected(port) as connection:
        _, stdout, resize = await open_all(connection, "error", "stdout", "resize")
        await resize.write(b'{"Width":80,"Height":24}\n{"Width":')
        await resize.write(b'132,"Height":50}{"nonsense":1}{"Width":1,"Height":1}')
        assert await all_of(stdout) == b"80x24 132x50 1x1 "


async def test_a_command_is_cancelled_when_its_client_goes_away() -> None:
    cancelled = asyncio.Event()

    async def waits(terminal: Terminal) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return 0

    async with serving(waits, Wanted(stdout=True)) as port:
        async with connected(port) as connection:
            await open_all(connection, "error", "stdout")
        async with asyncio.timeout(10):
            await cancelled.wait()


async def test_a_slow_client_holds_the_command_back() -> None:
    written = 0
    stalled, resumed = asyncio.Event(), asyncio.Event()

    async def floods(terminal: Terminal) -> int:
        nonlocal written
        while True:
            writing = asyncio.ensure_future(terminal.stdout(b"x" * 65536))
            done, _ = await asyncio.wait({writing}, timeout=1)
            if not done:
                stalled.set()
                await writing
                resumed.set()
            written += 65536

    async with serving(floods, Wanted(stdout=True)) as port, connected(port) as connection:
        _, stdout = await open_all(connection, "error", "stdout")
        async with asyncio.timeout(30):
            await stalled.wait()
            assert 0 < written < 32 << 20
            while not resumed.is_set():
                await stdout.read()


async def test_streams_that_nobody_asked_for_are_refused() -> None:
    async with serving(shout) as port, connected(port) as connection:
        with pytest.raises(StreamReset):
            await connection.open({"streamType": "resize"})


async def test_what_is_no_upgrade_is_answered() -> None:
    async with serving(shout) as port:
        answer = await exchange.begin("127.0.0.1", port, "GET", "/", [("Host", "h")])
        assert answer.status == 400
        assert b"Upgrade request required" in await answer.read(4096)
        headers = [
            ("Host", "h"),
            ("Connection", "Upgrade"),
            ("Upgrade", "SPDY/3.1"),
            ("X-Stream-Protocol-Version", "v9"),
        ]
        answer = await exchange.begin("127.0.0.1", port, "POST", "/", headers)
        assert answer.status == 403
        answer.abort()


async def test_ports_are_forwarded_side_by_side() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    pod = await asyncio.start_server(echo, "127.0.0.1", 0)
    pod_port = pod.sockets[0].getsockname()[1]

    async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if port != 8080:
            raise ConnectionRefusedError("connection refused")
        return await asyncio.open_connection("127.0.0.1", pod_port)

    async def forwarded(connection: SpdyConnection, request: int, port: int) -> tuple[SpdyStream, SpdyStream]:
        headers = {"port": str(port), "requestID": str(request)}
        error = await connection.open({**headers, "streamType": "error"})
        return error, await connection.open({**headers, "streamType": "data"})

    async def one(connection: SpdyConnection, request: int) -> None:
        error, data = await forwarded(connection, request, 8080)
        sent = bytes([request]) * 300_000

        async def send() -> None:
            await data.write(sent)
            data.close()

        _, received = await asyncio.gather(send(), all_of(data))
        assert received == sent
        assert await all_of(error) == b""

    async with serving(dial=dial) as port, connected(port, "portforward.k8s.io") as connection:
        await asyncio.gather(*(one(connection, request) for request in range(10)))
        error, data = await forwarded(connection, 99, 9)
        assert b"error forwarding port 9: connection refused" in await all_of(error)
        with pytest.raises(StreamReset):
            await data.read()
    pod.close()
