"""Checks against real servers, and how verdicts come from them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.agent.probes.checks import Target, check, port_number
from arktos.agent.probes.judging import Found, Judge, Probe
from arktos.agent.probes.running import Probed, Probes


@given(
    st.lists(st.sampled_from(list(Found)), max_size=30),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_verdicts_need_as_many_in_a_row_as_their_threshold(found: list[Found], success: int, failure: int) -> None:
    judge = Judge(Probe({}, success_threshold=success, failure_threshold=failure))
    counted: list[bool] = []
    expected: bool | None = None
    for each in found:
        judge.take(each)
        if each is not Found.UNKNOWN:
            counted.append(each is not Found.FAILURE)
        if counted[-success:] == [True] * success:
            expected = True
        if counted[-failure:] == [False] * failure:
            expected = False
        assert judge.verdict == expected


def target(**container: Any) -> Target:
    return Target(None, "id", "127.0.0.1", {"name": "c", **container})  # type: ignore[arg-type]


async def served(answer: bytes, asked: list[bytes]) -> asyncio.Server:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answer", "found", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nfine", Found.SUCCESS, "fine"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", Found.SUCCESS, ""),
        (b"HTTP/1.1 500 No\r\n\r\n", Found.FAILURE, "HTTP probe failed with statuscode: 500"),
        (b"rubbish\r\n\r\n", Found.FAILURE, "malformed HTTP response"),
    ],
)
async def test_http(answer: bytes, found: Found, said: str) -> None:
    asked: list[bytes] = []
    async with await served(answer, asked) as server:
        port = server.sockets[0].getsockname()[1]
        headers = [{"name": "host", "value": "me"}, {"name": "X-A", "value": "b"}]
        action = {"path": "/p?q=1", "port": "web", "httpHeaders": headers}
        got = await check({"httpGet": action}, target(ports=[{"name": "web", "containerPort": port}]), 5)
    assert got[0] is found
    assert said in got[1]
    assert asked[0].startswith(b"GET /p?q=1 HTTP/1.1\r\n")
    assert b"host: me\r\n" in asked[0]
    assert b"X-A: b\r\n" in asked[0]
    assert asked[0].lower().count(b"\r\nhost:") == 1


async def test_nobody_listens() -> None:
    async with await served(b"", []) as server:
        port = server.sockets[0].getsockname()[1]
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert await check({"tcpSocket": {"port": port}}, target(), 5) == (Found.FAILURE, refused)
    url = f'Get "http://127.0.0.1:{port}/": {refused}'
    assert await check({"httpGet": {"port": port}}, target(), 5) == (Found.FAILURE, url)


async def test_too_slow() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found, said = await check({"httpGet": {"port": port}}, target(), 0.1)
    assert found is Found.FAILURE
    assert "context deadline exceeded" in said


async def test_grpc_health() -> None:
    asked: list[bytes] = []

    async def answer(question: bytes, context: Any) -> bytes:
        asked.append(question)
        return b"\x08\x01" if question == b"\x0a\x02ok" else b"\x08\x02"

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        assert await check({"grpc": {"port": port, "service": "ok"}}, target(), 5) == (Found.SUCCESS, "service healthy")
        found, said = await check({"grpc": {"port": port}}, target(), 5)
        assert (found, said) == (Found.FAILURE, 'service unhealthy (responded with "NOT_SERVING")')
    finally:
        await server.stop(None)
    assert asked == [b"\x0a\x02ok", b""]


def test_ports() -> None:
    container = {"ports": [{"name": "web", "containerPort": 81}]}
    assert [port_number(port, container) for port in (80, "web", "82")] == [80, 81, 82]
    for wrong in ("none", 0, 70000):
        with pytest.raises(ValueError, match="port"):
            port_number(wrong, container)


async def test_startup_comes_before_readiness() -> None:
    asked: list[bytes] = []
    changed: list[str] = []
    async with await served(b"HTTP/1.1 200 OK\r\n\r\n", asked) as server:
        port = server.sockets[0].getsockname()[1]
        probe = {"periodSeconds": 0.02, "timeoutSeconds": 5}
        container = {
            "name": "c",
            "startupProbe": {"httpGet": {"port": port, "path": "/startup"}, "successThreshold": 3, **probe},
            "readinessProbe": {"httpGet": {"port": port, "path": "/ready"}, **probe},
        }
        probes = Probes(changed.append, lambda *_: None)
        followed = Target(None, "id", "127.0.0.1", container)  # type: ignore[arg-type]
        probes.follow("u", [Probed("u", followed, time.time())])
        async with asyncio.timeout(5):
            while len(changed) < 2:  # noqa: ASYNC110 - what is waited for has no bell
                await asyncio.sleep(0.01)
        await probes.aclose()
    paths = [line.split(b" ")[1] for line in asked]
    assert paths[:4] == [b"/startup"] * 3 + [b"/ready"]
    assert dict(probes.verdicts) == {("id", "startupProbe"): True, ("id", "readinessProbe"): True}
    probes.forget("u")
    assert dict(probes.verdicts) == {}


async def test_adopted_containers_keep_their_verdicts() -> None:
    probes = Probes(lambda _: None, lambda *_: None)
    container = {"name": "c", "startupProbe": {"exec": {}}, "readinessProbe": {"exec": {}}}
    followed = Target(None, "id", "127.0.0.1", container)  # type: ignore[arg-type]
    probes.follow("u", [Probed("u", followed, 0.0, True, False)])
    assert dict(probes.verdicts) == {("id", "startupProbe"): True, ("id", "readinessProbe"): False}
    await probes.aclose()
