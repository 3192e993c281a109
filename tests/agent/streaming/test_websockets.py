"""Clients of WebSocket that are not kubectl: every subprotocol, through API server and agent, to containers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from arktos.client import kubeconfig
from arktos.client.credentials import ssl_context
from arktos.wire import exchange
from arktos.wire.websocket import Closed, Piece, WebSocket

POD = "/api/v1/namespaces/default/pods/sockets"


def running(pod: Any) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return pod["status"].get("phase") == "Running" and bool(statuses) and all(each["ready"] for each in statuses)


@pytest.fixture(scope="module")
def node(shared_node: Any) -> Any:
    shared_node.run("sockets", "sleep 100000", "httpd -f -p 8080 -h /www")
    shared_node.until("sockets", running, 60)
    return shared_node


class Client:
    """A client's end: whole messages in, whole messages out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: str) -> None:
        self._reader, self._writer = reader, writer
        self.protocol = protocol
        self._peer = WebSocket(client=True)
        self.messages: list[bytes] = []
        self.closed: Closed | None = None

    def say(self, data: bytes, text: bool = False) -> None:
        self._peer.send(data, text=text)
        self._writer.writelines(self._peer.outgoing())

    async def until(self, look: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not look():
                data = await self._reader.read(65536)
                assert data, f"ended with {self.messages}"
                for event in self._peer.receive(data):
                    if isinstance(event, Closed):
                        self.closed = event
                    elif isinstance(event, Piece):
                        if event.first:
                            self.messages.append(b"")
                        self.messages[-1] += event.data
                self._writer.writelines(self._peer.outgoing())

    def of(self, channel: int) -> bytes:
        """All that came on a channel."""
        if "base64" in self.protocol:
            digit = str(channel).encode()
            return b"".join(base64.b64decode(m[1:]) for m in self.messages if m[:1] == digit)
        return b"".join(m[1:] for m in self.messages if m[:1] == bytes((channel,)))


@asynccontextmanager
async def connected(node: Any, target: str, *protocols: str) -> AsyncIterator[Client]:
    config = kubeconfig.load(node.admin.kubeconfig)
    headers = [
        ("Host", "api"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", base64.b64encode(b"0123456789abcdef").decode()),
        *([("Sec-WebSocket-Protocol", ", ".join(protocols))] if protocols else []),
    ]
    port = node.system.settings.port
    answer = await exchange.begin("127.0.0.1", port, "GET", target, headers, ssl_context=ssl_context(config))
    assert answer.status == 101, await answer.read(1000)
    transport, leftover = answer.take()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport.set_protocol(protocol)
    reader.set_transport(transport)
    reader.feed_data(leftover)
    transport.resume_reading()
    writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
    try:
        yield Client(reader, writer, answer.header("sec-websocket-protocol"))
    finally:
        transport.abort()


def command(script: str, **more: str) -> str:
    query = {"container": "c0", "stdout": "true", "stderr": "true", **more}
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{POD}/exec?{asked}&command=sh&command=-c&command={script.replace(' ', '%20').replace(';', '%3B')}"


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_the_end_of_a_command_is_a_status(node: Any, protocol: str) -> None:
    async with connected(node, command("echo out; echo err 1>%262; exit 7"), protocol) as client:
        assert client.protocol == protocol
        await client.until(lambda: client.closed)
        assert client.closed == Closed(1000, "")
        assert (client.of(1), client.of(2)) == (b"out\n", b"err\n")
        status = json.loads(client.of(3))
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


@pytest.mark.parametrize(
    "protocol", ["v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", ""]
)
async def test_older_protocols_tell_failures_in_words(node: Any, protocol: str) -> None:
    names = [protocol] if protocol else []
    async with connected(node, command("echo out; exit 7"), *names) as client:
        await client.until(lambda: client.closed)
        assert client.of(1) == b"out\n"
        assert b"exit" in client.of(3) and not client.of(3).startswith(b"{")
    async with connected(node, command("echo out"), *names) as client:
        await client.until(lambda: client.closed)
        assert (client.of(1), client.of(3)) == (b"out\n", b"")


async def test_v5_ends_the_input(node: Any) -> None:
    async with connected(node, command("cat", stdin="true"), "v5.channel.k8s.io") as client:
        client.say(b"\0some input")
        client.say(b"\xff\0")
        await client.until(lambda: client.closed)
        assert client.of(1) == b"some input"
        assert json.loads(client.of(3))["status"] == "Success"


async def test_a_terminal_learns_its_size(node: Any) -> None:
    target = command("until stty size %7C grep 91; do sleep 0.1; done", stdin="true", tty="true")
    async with connected(node, target, "v4.channel.k8s.io") as client:
        client.say(b'\4{"Width":91,"Height":17}')
        await client.until(lambda: client.closed)
        assert b"17 91" in client.of(1)


async def test_breaking_the_protocol_ends_the_connection(node: Any) -> None:
    async with connected(node, command("sleep 1000"), "v4.channel.k8s.io") as client:
        client._writer.write(b"\xff\xff\xff")
        await client.until(lambda: client.closed)
        assert client.closed is not None and client.closed.code == 1002


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_ports_have_two_channels_each(node: Any, protocol: str) -> None:
    async with connected(node, f"{POD}/portforward?ports=8080&ports=1", protocol) as client:
        asked = b"GET / HTTP/1.0\r\n\r\n"
        text = "base64" in protocol
        client.say(b"0" + base64.b64encode(asked) if text else b"\0" + asked, text)
        client.say(b"2" + base64.b64encode(b"x") if text else b"\2x", text)
        await client.until(lambda: b"hello" in client.of(0))
        await client.until(lambda: len(client.of(3)) > 2)
        assert client.of(0)[:2] == client.of(1)[:2] == (8080).to_bytes(2, "little")
        assert client.of(3)[:2] == b"\x01\x00"
        assert b"refused" in client.of(3)
