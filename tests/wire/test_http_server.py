"""The HTTP/1.1 server, by the bytes on the wire."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from arktos.model.status import NotFound, TooManyRequests
from arktos.wire.http import Channel, Handler, Reply, Request, Response, Stream, Upgrade, chunk
from arktos.wire.http_server import Limits, Server, serve


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """Both loops: the server's own is uvloop, which differs in when it calls back."""
    policy: asyncio.AbstractEventLoopPolicy = request.param()
    return policy


GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def echo(request: Request) -> Response:
    seen = {"method": request.method, "path": request.path, "query": request.query, "body": request.body.decode()}
    return Response(200, json.dumps(seen).encode())


class Running:
    """A server and connections to it, closed at the end."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> Pair:
        pair = await asyncio.open_connection("127.0.0.1", self.server.port)
        self._writers.append(pair[1])
        return pair

    async def say(self, data: bytes) -> bytes:
        """Sends `data` and an end, returns all that comes back."""
        reader, writer = await self.connect()
        writer.write(data)
        return await answer_until_eof(reader)

    def drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def running(handler: Handler, limits: Limits | None = None, **options: Any) -> AsyncIterator[Running]:
    server = await serve(handler, limits=limits, **options)
    run = Running(server)
    try:
        yield run
    finally:
        run.drop()
        await server.close(0)


async def answer_until_eof(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.read(-1)


async def answer(reader: asyncio.StreamReader, body: bool = True) -> tuple[int, dict[str, str], bytes]:
    """One complete answer."""
    async with asyncio.timeout(5):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines[1:] if line}
        data = b""
        if body and headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                data += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        elif body:
            data = await reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, data


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (the server tells nobody)
            await asyncio.sleep(0)


def status_of(data: bytes) -> dict[str, Any]:
    """The Status in an answer that ends the connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    status: dict[str, Any] = json.loads(body)
    assert status["kind"] == "Status" and status["status"] == "Failure"
    assert head.startswith(b"HTTP/1.1 %d " % status["code"])
    return status


async def test_keep_alive_and_the_parts_of_a_request() -> None:
    async with running(echo) as run:
        reader, writer = await run.connect()
        writer.write(b"GET /a%20b/c?x=%20y HTTP/1.1\r\nHost: h\r\n\r\n")
        status, headers, body = await answer(reader)
        assert status == 200
        assert json.loads(body) == {"method": "GET", "path": "/a b/c", "query": "x=%20y", "body": ""}
        assert headers["content-type"] == "application/json" and "date" in headers and "connection" not in headers
        writer.write(b"PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        assert json.loads((await answer(reader))[2])["body"] == "abc"
        assert run.server.connections == 1


async def test_headers_are_lower_case_and_joined_and_trailers_are_not_headers() -> None:
    seen: list[dict[str, str]] = []

    def handler(request: Request) -> Response:
        seen.append(request.headers)
        return Response()

    async with running(handler) as run:
        reader, writer = await run.connect()
        writer.write(
            b"POST / HTTP/1.1\r\nHOST: h\r\nX-A: 1\r\nx-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nx\r\n0\r\nAuthorization: Bearer late\r\n\r\n"
        )
        await answer(reader)
        assert seen == [{"host": "h", "x-a": "1, 2", "transfer-encoding": "chunked"}]


async def test_pipelined_requests_are_answered_in_order_even_if_the_first_is_slow() -> None:
    gate = asyncio.Event()

    def handler(request: Request) -> Reply | Awaitable[Reply]:
        async def slow() -> Reply:
            await gate.wait()
            return Response(200, b"slow")

        return slow() if request.path == "/slow" else Response(200, request.path.encode())

    async with running(handler, Limits(pipelined=4)) as run:
        reader, writer = await run.connect()
        paths = ["/slow"] + [f"/{n}" for n in range(100)]
        for path in paths:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        await writer.drain()
        gate.set()
        bodies = [(await answer(reader))[2].decode() for _ in paths]
        assert bodies == ["slow", *paths[1:]]


async def test_chunked_bodies_in_single_bytes() -> None:
    async with running(echo) as run:
        reader, writer = await run.connect()
        for (
            byte
        ) in b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n":
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert json.loads((await answer(reader))[2])["body"] == "abcde"


async def test_expect_100_continue() -> None:
    async with running(echo, Limits(body=10)) as run:
        reader, writer = await run.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert json.loads((await answer(reader))[2])["body"] == "hi"
        refused = await run.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
        assert status_of(refused)["code"] == 413
        odd = await run.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: miracles\r\n\r\n")
        assert status_of(odd)["code"] == 417


async def test_an_invitation_waits_for_its_turn() -> None:
    gate = asyncio.Event()

    async def slow(request: Request) -> Reply:
        if request.path == "/slow":
            await gate.wait()
        return Response(200, request.body or b"first")

    async with running(slow) as run:
        reader, writer = await run.connect()
        writer.write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        await writer.drain()
        gate.set()
        assert (await answer(reader))[2] == b"first"
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await answer(reader))[2] == b"hi"


async def test_head_has_the_length_but_no_body() -> None:
    async with running(lambda request: Response(200, [b"ab", b"cd"])) as run:
        reader, writer = await run.connect()
        writer.write(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + GET)
        assert (await answer(reader, body=False))[1]["content-length"] == "4"
        assert (await answer(reader))[2] == b"abcd"


async def test_http_1_0_and_connection_close() -> None:
    async with running(echo) as run:
        old = await run.say(b"GET / HTTP/1.0\r\n\r\n")
        assert old.startswith(b"HTTP/1.1 200 OK\r\n") and b"Connection: close\r\n" in old
        closed = await run.say(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + GET)
        assert closed.count(b"HTTP/1.1 200") == 1 and b"Connection: close\r\n" in closed
        reader, writer = await run.connect()
        writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await answer(reader))[1]["connection"] == "keep-alive"
        writer.write(GET)
        assert (await answer(reader))[0] == 200


async def test_statuses_without_a_body() -> None:
    async with running(lambda request: Response(204)) as run:
        reader, writer = await run.connect()
        writer.write(GET)
        status, headers, _ = await answer(reader)
        assert status == 204 and "content-length" not in headers


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET nonsense HTTP/1.1\r\nHost: h\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
async def test_malformed_requests_get_a_status_and_the_door(data: bytes) -> None:
    async with running(echo) as run:
        status = status_of(await run.say(data))
        assert status["code"] == 400 and status["reason"] == "BadRequest" and status["message"]


async def test_a_malformed_request_is_answered_after_those_before_it() -> None:
    async def handler(request: Request) -> Reply:
        await asyncio.sleep(0)
        return Response(200, b"first")

    async with running(handler) as run:
        data = await run.say(GET + b"\x00\x00\r\n\r\n" + GET)
        first, second = data.index(b"first"), data.index(b"HTTP/1.1 400")
        assert first < second and data.count(b"HTTP/1.1") == 2


async def test_absolute_targets_and_asterisk() -> None:
    async with running(echo) as run:
        reader, writer = await run.connect()
        writer.write(b"GET http://h:1/x?y HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        assert json.loads((await answer(reader))[2])["path"] == "/x"
        assert json.loads((await answer(reader))[2])["path"] == "*"


async def test_a_head_that_never_ends_is_431() -> None:
    async with running(echo, Limits(head=20_000)) as run:
        endless = b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 2_000_000
        assert status_of(await run.say(endless))["code"] == 431
        long = b"GET /" + b"x" * 2_000_000
        assert status_of(await run.say(long))["code"] == 431


async def test_a_declared_body_of_100_mb_is_refused_at_once_and_the_answer_arrives() -> None:
    async with running(echo) as run:
        reader, writer = await run.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n")
        block = bytes(1_000_000)
        for _ in range(20):
            writer.write(block)
            await asyncio.sleep(0)
        status = status_of(await answer_until_eof(reader))
        assert status["code"] == 413 and status["reason"] == "RequestEntityTooLarge"


async def test_a_chunked_body_is_cut_off_at_the_limit() -> None:
    async with running(echo, Limits(body=1000)) as run:
        head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert status_of(await run.say(head + chunk(bytes(600)) * 3))["code"] == 413
        extensions = b"1;" + b"x" * 1_200_000
        assert status_of(await run.say(head + extensions))["code"] == 413


FAST = Limits(head_timeout=0.04, body_timeout=0.04, idle_timeout=0.04, write_timeout=0.04, linger=0.05)


async def test_slow_peers_are_shown_the_door() -> None:
    async with running(echo, FAST) as run:
        assert await run.say(b"") == b""
        assert status_of(await run.say(b"GET / HT"))["code"] == 504
        assert status_of(await run.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"))["code"] == 504
        idle = await run.say(GET)
        assert idle.startswith(b"HTTP/1.1 200") and idle.count(b"HTTP/1.1") == 1
        await until(lambda: run.server.connections == 0)


async def test_a_peer_that_does_not_read_is_dropped() -> None:
    async with running(lambda request: Response(200, bytes(20_000_000)), FAST) as run:
        _, writer = await run.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET)
        await until(lambda: run.server.connections == 1)
        await until(lambda: run.server.connections == 0)


async def test_answers_do_not_pile_up_for_a_pipelining_peer_that_does_not_read() -> None:
    made = 0

    def handler(request: Request) -> Response:
        nonlocal made
        made += 1
        return Response(200, bytes(500_000))

    async with running(handler) as run:
        reader, writer = await run.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET * 1000)
        await until(lambda: made > 2)
        for _ in range(200):
            await asyncio.sleep(0)
        assert made < 100
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(1000):
            assert len((await answer(reader))[2]) == 500_000
        assert made == 1000


async def test_too_many_connections() -> None:
    async with running(echo, Limits(connections=1)) as run:
        reader, writer = await run.connect()
        writer.write(GET)
        await answer(reader)
        refused = await run.say(b"")
        assert status_of(refused)["code"] == 503 and b"Retry-After: 1\r\n" in refused
        writer.write(GET)
        assert (await answer(reader))[0] == 200


async def test_api_errors_and_unknown_ones(caplog: pytest.LogCaptureFixture) -> None:
    def handler(request: Request) -> Reply | Awaitable[Reply]:
        if request.path == "/bug":
            raise ZeroDivisionError
        if request.path == "/busy":
            raise TooManyRequests("later", retry_after=3)

        async def absent() -> Reply:
            raise NotFound('pods "x" not found')

        return absent()

    async with running(handler) as run:
        reader, writer = await run.connect()
        for path in ("/bug", "/busy", "/absent"):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        with caplog.at_level(logging.ERROR, "arktos.wire"):
            status, _, body = await answer(reader)
        assert (status, json.loads(body)["reason"]) == (500, "InternalError")
        assert len(caplog.records) == 1 and caplog.records[0].exc_info
        status, headers, body = await answer(reader)
        assert (status, headers["retry-after"], json.loads(body)["details"]["retryAfterSeconds"]) == (429, "3", 3)
        status, _, body = await answer(reader)
        assert (status, json.loads(body)["reason"]) == (404, "NotFound")


async def test_a_handler_is_cancelled_when_the_peer_goes_but_what_it_shields_goes_on() -> None:
    began, cancelled, committed, gate = asyncio.Event(), asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def commit() -> None:
        await gate.wait()
        committed.set()

    async def handler(request: Request) -> Reply:
        work = asyncio.ensure_future(commit())
        began.set()
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Response()

    async with running(handler) as run:
        _, writer = await run.connect()
        writer.write(GET)
        await began.wait()
        writer.close()
        async with asyncio.timeout(5):
            await cancelled.wait()
            gate.set()
            await committed.wait()


async def test_large_answers_are_compressed_for_those_who_take_it() -> None:
    big = [b"0123456789" * 1000] * 20
    async with running(lambda request: Response(200, big, headers=[("X-A", "a\r\nb: c")])) as run:
        reader, writer = await run.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: deflate, gzip\r\n\r\n" + GET)
        _, headers, body = await answer(reader)
        assert headers["content-encoding"] == "gzip" and gzip.decompress(body) == b"".join(big)
        assert headers["x-a"] == "a  b: c" and "b" not in headers
        _, headers, body = await answer(reader)
        assert "content-encoding" not in headers and body == b"".join(big)


class Watch:
    """A handler with one stream whose life is recorded."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self.drains = self.closes = 0

    def __call__(self, request: Request) -> Reply:
        if request.path != "/watch":
            return Response(200, b"plain")

        def opened(channel: Channel) -> None:
            self.channel = channel

        def drained() -> None:
            self.drains += 1

        def closed() -> None:
            self.closes += 1

        return Stream(opened, drained, closed, headers=[("X-S", "1")])


WATCH = b"GET /watch HTTP/1.1\r\nHost: h\r\n\r\n"


async def opened(watch: Watch) -> Channel:
    await until(lambda: watch.channel)
    assert watch.channel is not None
    return watch.channel


async def test_a_stream_is_chunked_ends_properly_and_the_connection_goes_on() -> None:
    watch = Watch()
    async with running(watch) as run:
        reader, writer = await run.connect()
        writer.write(WATCH + GET)
        channel = await opened(watch)
        channel.write(chunk(b"one") + chunk(b"two"))
        channel.finish()
        channel.write(chunk(b"late"))
        channel.finish()
        status, headers, body = await answer(reader)
        assert (status, body, headers["x-s"]) == (200, b"onetwo", "1")
        assert (await answer(reader))[2] == b"plain"
        assert watch.closes == 1 and channel.congested


async def test_a_stream_for_http_1_0_has_no_chunks() -> None:
    watch = Watch()
    async with running(watch) as run:
        reader, writer = await run.connect()
        writer.write(b"GET /watch HTTP/1.0\r\n\r\n")
        channel = await opened(watch)
        channel.write(chunk(b"one") + chunk(b"two"))
        channel.finish()
        data = await answer_until_eof(reader)
        assert data.endswith(b"\r\n\r\nonetwo") and b"chunked" not in data


async def test_congestion_and_drain() -> None:
    watch = Watch()
    async with running(watch, Limits(high_water=100_000)) as run:
        reader, writer = await run.connect()
        writer.write(WATCH)
        channel = await opened(watch)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        event, sent = chunk(bytes(50_000)), 0
        while not channel.congested:
            channel.write(event)
            sent += 1
            await asyncio.sleep(0)
        assert watch.drains == 0
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        reading = asyncio.ensure_future(answer(reader))
        await until(lambda: watch.drains)
        assert not channel.congested
        channel.finish()
        assert len((await reading)[2]) == sent * 50_000


async def test_a_peer_that_leaves_closes_its_stream_once() -> None:
    watch = Watch()
    async with running(watch) as run:
        _, writer = await run.connect()
        writer.write(WATCH)
        channel = await opened(watch)
        writer.close()
        await until(lambda: watch.closes)
        channel.write(chunk(b"x"))
        channel.abort()
        assert watch.closes == 1 and channel.congested


async def test_abort_and_a_stream_whose_owner_fails(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()

    def failing(channel: Channel) -> None:
        raise ZeroDivisionError

    async with running(lambda r: watch(r) if r.path == "/watch" else Stream(failing)) as run:
        reader, writer = await run.connect()
        writer.write(WATCH)
        (await opened(watch)).abort()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await answer(reader)
            await reader.readexactly(1)
        assert watch.closes == 1
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            reader, writer = await run.connect()
            writer.write(GET)
            await answer(reader)
        assert "stream failed" in caplog.text


async def test_a_head_request_to_a_stream() -> None:
    watch = Watch()
    async with running(watch) as run:
        reader, writer = await run.connect()
        writer.write(b"HEAD /watch HTTP/1.1\r\nHost: h\r\n\r\n" + GET)
        assert (await answer(reader, body=False))[0] == 200
        assert (await answer(reader))[2] == b"plain"
        assert watch.channel is None and watch.closes == 1


class Raw(asyncio.Protocol):
    """Answers every byte in capitals."""

    def __init__(self, transport: asyncio.Transport, leftover: bytes) -> None:
        self.transport = transport
        self.data_received(leftover)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


def upgrading(request: Request) -> Reply | Awaitable[Reply]:
    def take(transport: object, leftover: bytes) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "set_protocol")
        transport.set_protocol(Raw(transport, leftover))  # type: ignore[arg-type]

    async def later() -> Reply:
        await asyncio.sleep(0)
        return Upgrade(take, [("Upgrade", "SPDY/3.1")])

    if request.path == "/no":
        return Response(403, b"no")
    return later() if request.path == "/later" else Upgrade(take, [("Upgrade", "SPDY/3.1")])


UPGRADE = b"POST %b HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("path", [b"/now", b"/later"])
async def test_an_upgrade_hands_over_the_connection_and_what_came_with_it(path: bytes) -> None:
    async with running(upgrading) as run:
        reader, writer = await run.connect()
        writer.write(b"GET /no HTTP/1.1\r\nHost: h\r\n\r\n" + UPGRADE % path + b"abc")
        assert (await answer(reader))[0] == 403
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"Upgrade: SPDY/3.1\r\n" in head and b"Connection: Upgrade\r\n" in head
        writer.write(b"def")
        assert await reader.readexactly(6) == b"ABCDEF"
        assert run.server.connections == 0
        await run.server.close(1)
        assert await answer_until_eof_or_reset(reader) == b""


async def answer_until_eof_or_reset(reader: asyncio.StreamReader) -> bytes:
    try:
        return await answer_until_eof(reader)
    except ConnectionError:
        return b""


async def test_an_upgrade_that_is_not_granted_leaves_http() -> None:
    async with running(upgrading) as run:
        reader, writer = await run.connect()
        writer.write(UPGRADE % b"/no" + b"GET /no HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await answer(reader))[0] == 403
        assert (await answer(reader))[0] == 403
        writer.write(UPGRADE % b"/now" + b"x")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(1) == b"X"


async def test_close_ends_streams_properly_and_lets_requests_finish() -> None:
    watch, gate = Watch(), asyncio.Event()

    def handler(request: Request) -> Reply | Awaitable[Reply]:
        async def slow() -> Reply:
            await gate.wait()
            return Response(200, b"done")

        return slow() if request.path == "/slow" else watch(request)

    async with running(handler) as run:
        streaming, idle, busy = [await run.connect() for _ in range(3)]
        streaming[1].write(WATCH)
        idle[1].write(GET)
        await answer(idle[0])
        busy[1].write(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        (await opened(watch)).write(chunk(b"event"))
        await until(lambda: run.server.connections == 3)
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(run.server.close(5))
        assert (await answer(streaming[0]))[2] == b"event"
        assert await answer_until_eof(streaming[0]) == b"" and await answer_until_eof(idle[0]) == b""
        assert watch.closes == 1 and not closing.done()
        gate.set()
        _, headers, body = await answer(busy[0])
        assert (body, headers["connection"]) == (b"done", "close")
        await closing
        assert run.server.connections == 0
        with pytest.raises(OSError):
            await run.connect()


async def test_close_cuts_off_what_does_not_end() -> None:
    began = asyncio.Event()

    async def forever(request: Request) -> Reply:
        began.set()
        await asyncio.Event().wait()
        return Response()

    async with running(forever) as run:
        _, writer = await run.connect()
        writer.write(GET)
        await began.wait()
        async with asyncio.timeout(5):
            await run.server.close(0.01)
        await until(lambda: run.server.connections == 0)


async def test_observe_and_the_peer() -> None:
    seen: list[tuple[str, int, int]] = []
    states: list[object] = []

    def observe(request: Request, status: int, seconds: float, size: int) -> None:
        assert 0 <= seconds < 5
        seen.append((request.path, status, size))

    def handler(request: Request) -> Response:
        assert request.peer.address == "127.0.0.1" and request.peer.certificate is None
        states.append(request.peer.state.setdefault("user", object()))
        return Response(201, b"abc")

    async with running(handler, observe=observe) as run:
        reader, writer = await run.connect()
        writer.write(GET + GET)
        await answer(reader)
        await answer(reader)
        assert seen == [("/a", 201, 3)] * 2 and states[0] is states[1]
