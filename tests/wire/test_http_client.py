"""The HTTP client against a server that plays transcripts: every answer, and every way of dying."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from arktos.wire.client_connection import ClientConnection, WholeAnswer
from arktos.wire.http_client import ConnectionFailed, HttpClient, RequestTimeout


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    return uvloop.EventLoopPolicy() if request.param == "uvloop" else asyncio.DefaultEventLoopPolicy()


pytestmark = pytest.mark.filterwarnings("ignore:Overriding the")

Play = Callable[["Wire"], Awaitable[None]]


class Wire:
    """One connection of the playing server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> tuple[str, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (h.partition(": ") for h in rest)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return line, headers, body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes, status: str = "200 OK", extra: str = "") -> None:
        await self.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body)

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))


class Player:
    """Plays one script per connection; the last one repeats."""

    def __init__(self, *scripts: Play) -> None:
        self.scripts = list(scripts)
        self.connections = 0
        self.connected = asyncio.Event()
        self.over: list[asyncio.Future[None]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        self.connected.set()
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over.append(over)
        try:
            await script(Wire(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            over.set_result(None)


@asynccontextmanager
async def playing(*scripts: Play, **options: float) -> AsyncIterator[tuple[Player, HttpClient]]:
    player = Player(*scripts)
    server = await asyncio.start_server(player, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = HttpClient(f"http://127.0.0.1:{port}", **options)  # type: ignore[arg-type]
    try:
        yield player, client
    finally:
        await client.aclose()
        server.close()
        await asyncio.gather(*player.over)


async def echo(wire: Wire) -> None:
    while True:
        line, headers, body = await wire.request()
        await wire.answer(f"{line}|{headers.get('x-test', '')}|".encode() + body)


async def drop(wire: Wire) -> None:
    await wire.request()


async def test_keeps_one_connection_for_requests_in_turn() -> None:
    async with playing(echo) as (player, client):
        for n in range(5):
            answer = await client.request("POST", f"/a/{n}", headers={"X-Test": "y"}, body=b"b" * n)
            assert (answer.status, answer.body) == (200, f"POST /a/{n} HTTP/1.1|y|".encode() + b"b" * n)
        assert player.connections == 1


async def test_the_pool_is_bounded_and_serves_those_who_wait() -> None:
    async with playing(echo, connections=2) as (player, client):
        answers = await asyncio.gather(*(client.request("GET", f"/{n}") for n in range(20)))
        assert [a.body for a in answers] == [f"GET /{n} HTTP/1.1||".encode() for n in range(20)]
        assert player.connections == 2


async def test_a_burst_opens_connections_one_after_the_other() -> None:
    """Answers that are quick go over the first connection; ones that are not have more opened."""
    async with playing(echo, connections=32) as (player, client):
        await asyncio.gather(*(client.request("GET", f"/{n}") for n in range(64)))
        assert player.connections < 32
    going = asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.request()
        await going.wait()
        await wire.answer(b"")

    async with playing(slow, connections=4) as (player, client):
        asking = [asyncio.create_task(client.request("GET", f"/{n}")) for n in range(4)]
        async with asyncio.timeout(20):
            while player.connections < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        going.set()
        assert [answer.status for answer in await asyncio.gather(*asking)] == [200] * 4


async def test_those_who_wait_are_not_overtaken() -> None:
    async with playing(echo, connections=1) as (_, client):
        served: list[int] = []

        async def greedy(who: int, times: int) -> None:
            for _ in range(times):
                await client.request("GET", "/")
                served.append(who)

        await asyncio.gather(greedy(1, 20), greedy(2, 20), greedy(3, 20))
        assert all(set(served[n : n + 3]) == {1, 2, 3} for n in range(0, 60, 3))


async def test_a_connection_handed_to_a_cancelled_request_goes_to_the_next() -> None:
    release = asyncio.Event()

    async def slow_then_echo(wire: Wire) -> None:
        await wire.request()
        await release.wait()
        await wire.answer(b"first")
        await echo(wire)

    async with playing(slow_then_echo, connections=1) as (player, client):
        requests = [asyncio.create_task(client.request("GET", f"/{n}")) for n in range(4)]
        await player.connected.wait()
        requests[1].cancel()
        release.set()
        await requests[0]
        requests[2].cancel()
        assert (await requests[3]).status == 200
        assert player.connections <= 2


async def test_closing_the_client_ends_those_who_wait() -> None:
    async with playing(drop_never, connections=1) as (player, client):
        requests = [asyncio.create_task(client.request("GET", "/")) for _ in range(3)]
        await player.connected.wait()
        await client.aclose()
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        assert all(isinstance(outcome, ConnectionFailed) for outcome in outcomes)


async def test_answers_of_every_framing() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await wire.chunk(b"one ")
        await wire.chunk(b"two")
        await wire.chunk(b"")
        await wire.request()
        await wire.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await wire.request()
        await wire.send(b"HTTP/1.1 404 Not Found\r\nX-Y: z\r\n\r\nuntil the end")

    async with playing(script) as (player, client):
        assert (await client.request("GET", "/")).body == b"one two"
        assert (await client.request("GET", "/")).status == 204
        last = await client.request("GET", "/")
        assert (last.status, last.headers, last.body) == (404, {"x-y": "z"}, b"until the end")
        assert player.connections == 1


async def test_connection_close_is_honoured() -> None:
    async def once(wire: Wire) -> None:
        await wire.request()
        await wire.answer(b"x", extra="Connection: close\r\n")
        await wire.reader.read()

    async with playing(once) as (player, client):
        for _ in range(3):
            assert (await client.request("GET", "/")).body == b"x"
        assert player.connections == 3


async def test_a_get_survives_a_connection_that_died_before_any_answer() -> None:
    async with playing(drop, echo) as (player, client):
        assert (await client.request("GET", "/again")).body.startswith(b"GET /again")
        assert player.connections == 2


async def test_a_get_is_tried_twice_and_no_more() -> None:
    async with playing(drop) as (player, client):
        with pytest.raises(ConnectionFailed, match="without an answer"):
            await client.request("GET", "/")
        assert player.connections == 2


async def test_a_write_is_never_repeated() -> None:
    async with playing(drop, echo) as (player, client):
        with pytest.raises(ConnectionFailed) as failure:
            await client.request("POST", "/", body=b"once")
        assert failure.value.sent
        assert player.connections == 1


async def test_an_answer_cut_short_is_an_error_and_not_repeated() -> None:
    async def cut(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    async with playing(cut, echo) as (player, client):
        with pytest.raises(ConnectionFailed, match="before its answer was complete"):
            await client.request("GET", "/")
        assert player.connections == 1


async def test_a_slow_server_times_out_and_its_connection_is_not_used_again() -> None:
    async def slow(wire: Wire) -> None:
        await wire.request()
        await wire.reader.read()

    async with playing(slow, echo) as (player, client):
        with pytest.raises(RequestTimeout):
            await client.request("GET", "/", timeout=0.05)
        assert (await client.request("GET", "/")).status == 200
        assert player.connections == 2


async def test_waiting_for_a_connection_times_out_too() -> None:
    async def slow(wire: Wire) -> None:
        await wire.request()
        await wire.reader.read()

    async with playing(slow, connections=1) as (player, client):
        first = asyncio.create_task(client.request("GET", "/", timeout=5))
        await player.connected.wait()
        with pytest.raises(RequestTimeout) as failure:
            await client.request("GET", "/", timeout=0.05)
        assert not failure.value.sent
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_a_cancelled_request_costs_its_connection_only() -> None:
    async with playing(drop_never, echo, connections=1) as (player, client):
        request = asyncio.create_task(client.request("GET", "/"))
        await player.connected.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert (await client.request("GET", "/")).status == 200


async def drop_never(wire: Wire) -> None:
    await wire.reader.read()


class Unsent:
    """A transport that goes nowhere."""

    def write(self, data: bytes) -> None: ...

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> None: ...

    def abort(self) -> None:
        raise AssertionError("a connection in use was ended")


async def test_giving_up_a_request_too_late_does_not_touch_the_next_one() -> None:
    loop = asyncio.get_running_loop()
    free: list[ClientConnection] = []
    connection = ClientConnection(free.append, lambda _: None)
    connection.connection_made(Unsent())  # type: ignore[arg-type]
    first, second = WholeAnswer(loop), WholeAnswer(loop)
    connection.send(b"one", first)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
    assert free == [connection]
    connection.send(b"two", second)
    connection.abandon(first, ConnectionFailed("too late"))
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")
    assert (first.body, second.body) == (b"1", b"2")
    await first.done
    await second.done


async def test_no_server_at_all() -> None:
    client = HttpClient("http://127.0.0.1:1")
    with pytest.raises(ConnectionFailed, match="cannot connect") as failure:
        await client.request("GET", "/")
    assert not failure.value.sent
    await client.aclose()


async def test_what_is_not_http_is_an_error() -> None:
    async def nonsense(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"SSH-2.0-OpenSSH\r\n\r\n")

    async with playing(nonsense) as (_, client):
        with pytest.raises(ConnectionFailed, match="not HTTP"):
            await client.request("GET", "/")


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "", "/ä"])
async def test_targets_cannot_carry_anything_else(target: str) -> None:
    client = HttpClient("http://127.0.0.1:1")
    with pytest.raises(ValueError, match="target"):
        await client.request("GET", target)


async def test_header_values_cannot_carry_line_ends() -> None:
    client = HttpClient("http://127.0.0.1:1")
    with pytest.raises(ValueError, match="line end"):
        await client.request("GET", "/", headers={"A": "b\r\nC: d"})


async def test_idle_connections_are_closed() -> None:
    closed = asyncio.Event()

    async def watchful(wire: Wire) -> None:
        await wire.request()
        await wire.answer(b"x")
        await wire.reader.read()
        closed.set()

    async with playing(watchful, idle_timeout=0.02) as (_, client):
        await client.request("GET", "/")
        await asyncio.wait_for(closed.wait(), 5)


async def test_a_closed_client_refuses() -> None:
    async with playing(echo) as (_, client):
        await client.request("GET", "/")
        await client.aclose()
        with pytest.raises(ConnectionFailed, match="closed"):
            await client.request("GET", "/")


# streams


def streaming(*chunks: bytes, end: bool = True) -> Play:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for data in chunks:
            await wire.chunk(data)
        if end:
            await wire.chunk(b"")
            await wire.reader.read()

    return script


async def collect(client: HttpClient) -> list[bytes]:
    stream = await client.stream("GET", "/")
    found: list[bytes] = []
    while lines := await stream.lines():
        found += lines
    return found


async def test_lines_do_not_care_for_chunks() -> None:
    async with playing(streaming(b'{"a', b'":1}\n{"b":', b"2}\n\n", b'{"c":3}')) as (_, client):
        assert await collect(client) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


async def test_a_cut_stream_gives_its_whole_lines_then_fails() -> None:
    async with playing(streaming(b"one\ntwo\nthr", end=False)) as (_, client):
        stream = await client.stream("GET", "/")
        found: list[bytes] = []
        with pytest.raises(ConnectionFailed):
            while lines := await stream.lines():
                found += lines
        assert found == [b"one", b"two"]


async def test_an_error_answer_to_a_stream_is_read_whole() -> None:
    async def gone(wire: Wire) -> None:
        await wire.request()
        await wire.answer(b'{"code":410}', "410 Gone")

    async with playing(gone) as (_, client):
        stream = await client.stream("GET", "/")
        assert (stream.status, await stream.read()) == (410, b'{"code":410}')


async def test_a_reader_that_is_slow_holds_the_server_back() -> None:
    sent = 0
    line = b"x" * 10_000 + b"\n"
    total = 3_000

    async def firehose(wire: Wire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(total):
            await wire.chunk(line)
            sent += 1
        await wire.chunk(b"")

    async with playing(firehose) as (_, client):
        stream = await client.stream("GET", "/")
        before = -1
        while sent != before:
            before = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < total
        got = 0
        while lines := await stream.lines():
            got += len(lines)
        assert got == total


async def test_closing_a_stream_tells_the_server() -> None:
    gone = asyncio.Event()

    async def endless(wire: Wire) -> None:
        await streaming(b"one\n", end=False)(wire)
        await wire.reader.read()
        gone.set()

    async with playing(endless) as (_, client):
        stream = await client.stream("GET", "/")
        assert await stream.lines() == [b"one"]
        await stream.aclose()
        await stream.aclose()
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_forgotten_stream_closes_itself() -> None:
    gone = asyncio.Event()

    async def endless(wire: Wire) -> None:
        await streaming(b"one\n", end=False)(wire)
        await wire.reader.read()
        gone.set()

    async with playing(endless) as (_, client):
        stream = await client.stream("GET", "/")
        assert await stream.lines() == [b"one"]
        del stream
        gc.collect()
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_stream_ends_with_its_lifetime() -> None:
    async def endless(wire: Wire) -> None:
        await streaming(b"one\n", end=False)(wire)
        await wire.reader.read()

    async with playing(endless) as (_, client):
        stream = await client.stream("GET", "/", lifetime=0.05)
        assert await stream.lines() == [b"one"]
        with pytest.raises(RequestTimeout, match="outlived"):
            await stream.lines()


async def test_streams_never_starve_requests() -> None:
    async def either(wire: Wire) -> None:
        line, _, _ = await wire.request()
        if "watch" in line:
            await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await wire.reader.read()
        else:
            await wire.answer(b"here")

    async with playing(either, connections=1) as (_, client):
        streams = [await client.stream("GET", "/watch") for _ in range(5)]
        assert (await client.request("GET", "/")).body == b"here"
        for stream in streams:
            await stream.aclose()
