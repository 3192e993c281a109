"""The HTTP/1.1 server against peers that mean no good: bounds, and bytes of any kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.model.status import NotFound
from arktos.wire.http import Handler, Later, Reply, Request, Response
from arktos.wire.http_server import Limits, Server, serve

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


def echo(request: Request) -> Response:
    if request.path == "/none":
        raise NotFound("nothing here")
    return Response(200, request.method.encode() + b" " + request.path.encode("utf-8", "replace") + request.body)


async def say(server: Server, data: bytes, seconds: float = 5.0, end: bool = True) -> bytes:
    """All that is answered until the server ends the connection, or `seconds` have passed since the last byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data)
        if end and writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(seconds):
            return await reader.read(-1)
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (the server tells nobody)
            await asyncio.sleep(0)


def code_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def served(handler: Handler = echo, **limits: float) -> Server:
    return await serve(handler, limits=Limits(linger=0.05, **limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414, "RequestURITooLong"),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\n" + b"a: b\r\n" * 1100 + b"\r\n",
            431,
            "RequestHeaderFieldsTooLarge",
        ),
        (b"GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 404, "NotFound"),
    ],
)
async def test_bounds_of_a_head(data: bytes, code: int, reason: str) -> None:
    server = await served()
    try:
        answer = await say(server, data, end=False)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert (code_of(answer), json.loads(body)["reason"]) == (code, reason)
        assert b"x-content-type-options: nosniff" in head.lower()
    finally:
        await server.close(0)


async def test_a_body_in_drops_is_not_waited_for_for_ever() -> None:
    server = await served(request_timeout=0.5, body_timeout=0.2, head_timeout=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.get_running_loop().create_task(drip())
        async with asyncio.timeout(5):
            answer = await reader.read(-1)
        dripping.cancel()
        assert code_of(answer) == 504
    finally:
        writer.transport.abort()
        await server.close(0)


async def test_one_address_does_not_take_every_connection() -> None:
    server = await served(per_peer=3)
    pairs = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    try:
        assert code_of(await say(server, GET, end=False)) == 503
        pairs.pop()[1].transport.abort()
        await until(lambda: server.connections <= 2)
        assert code_of(await say(server, GET)) == 200
    finally:
        for _, writer in pairs:
            writer.transport.abort()
        await server.close(0)


async def test_what_could_be_compressed_says_so() -> None:
    server = await served(lambda request: Response(200, b"x" * 200_000))
    try:
        assert b"\r\nVary: Accept-Encoding\r\n" in await say(server, GET)
    finally:
        await server.close(0)


async def test_replies_that_are_made_later() -> None:
    waiting: list[Later] = []

    def handler(request: Request) -> Reply | Later:
        if request.path != "/later":
            return echo(request)
        waiting.append(Later(echo if not waiting else _refusing))
        return waiting[-1]

    server = await served(handler)
    later = b"GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(later + GET + later)
        async with asyncio.timeout(5):
            await until(lambda: waiting)
            waiting[0].run()
            waiting[0].run()
            await until(lambda: len(waiting) == 2)
            answer = await reader.readuntil(b"GET /a")
            assert answer.index(b"GET /later") < answer.index(b"GET /a")
            waiting[1].run()
            assert b" 404 " in await reader.readuntil(b"\r\n")
            writer.write(later)
            await until(lambda: len(waiting) == 3)
            writer.transport.abort()
            await until(lambda: not waiting[2].wanted)
        waiting[2].run()
    finally:
        writer.transport.abort()
        await server.close(0)


def _refusing(request: Request) -> Response:
    raise NotFound("nothing here")


_PARTS = [
    b"GET ",
    b"POST ",
    b"/a",
    b"/%zz",
    b"*",
    b"http://h/x",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b" HTTP/9.9",
    b"\r\n",
    b"\n",
    b"\r",
    b"Host: h\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Expect: the unexpected\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Connection: close\r\n",
    b": novalue\r\n",
    b" folded\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"\r\n\r\n",
    b"abc",
    b"\x00",
    b"\xff\xfe",
    GET,
]
_LOOP = uvloop.new_event_loop


@given(st.lists(st.one_of(st.sampled_from(_PARTS), st.binary(max_size=12)), max_size=20), st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_answered_or_hung_up_on(parts: list[bytes], cut: int) -> None:
    """No 5xx but for time, no hang; and whoever comes next is served."""
    data = b"".join(parts)

    async def talk() -> None:
        server = await served(head_timeout=0.05, body_timeout=0.05, idle_timeout=0.05, write_timeout=0.5)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for start in range(0, len(data), cut):
                writer.write(data[start : start + cut])
                await asyncio.sleep(0)
            async with asyncio.timeout(5):
                answer = await _read(reader)
            writer.transport.abort()
            codes = [int(line[9:12]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
            assert not answer or answer.startswith(b"HTTP/1.1 ")
            assert all(code < 500 or code == 504 for code in codes), answer
            assert code_of(await say(server, GET)) == 200
        finally:
            await server.close(0)

    with asyncio.Runner(loop_factory=_LOOP) as runner:
        runner.run(talk())


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(-1)
    except ConnectionError:
        return b""
