"""A client at a machine's console, over what CRI's Attach gives the URL of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from arktos.rpc import cri
from arktos.rpc.protos import cri_pb2 as pb
from arktos.wire import exchange
from arktos.wire.remotecommand import COMMAND_PROTOCOLS
from arktos.wire.spdy_connection import SpdyConnection, SpdyStream
from vmruntime.harness import RuntimeClient


@asynccontextmanager
async def upgraded(url: str, protocol: str = COMMAND_PROTOCOLS[0]) -> AsyncIterator[SpdyConnection]:
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    headers = [("Host", "h"), ("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    headers.append(("X-Stream-Protocol-Version", protocol))
    answer = await exchange.begin(parts.hostname, parts.port, "POST", parts.path, headers)
    assert answer.status == 101, answer.status
    connection = SpdyConnection(client=True)
    connection.adopt(*answer.take())
    try:
        yield connection
    finally:
        connection.abort()
        await connection.wait_closed()


class Terminal:
    def __init__(self, stdin: SpdyStream, stdout: SpdyStream) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self.seen = b""

    async def type(self, text: str) -> None:
        await self._stdin.write(text.encode())

    async def until(self, text: str, seconds: float = 60) -> None:
        """Reads until the text has been seen, and forgets what was up to it."""
        async with asyncio.timeout(seconds):
            while text.encode() not in self.seen:
                data = await self._stdout.read()
                assert data, f"the console ended; last: {self.seen[-500:]!r}"
                self.seen += data
        self.seen = self.seen.partition(text.encode())[2]

    async def end(self, seconds: float = 60) -> None:
        """Reads to the end."""
        async with asyncio.timeout(seconds):
            while await self._stdout.read():
                pass


@asynccontextmanager
async def attached(client: RuntimeClient, container: str) -> AsyncIterator[Terminal]:
    question = pb.AttachRequest(container_id=container, stdin=True, stdout=True, tty=True)
    url = (await client(cri.ATTACH, question)).url
    async with upgraded(url) as connection:
        streams = [await connection.open({"streamType": kind}) for kind in ("error", "stdin", "stdout", "resize")]
        yield Terminal(streams[1], streams[2])


async def log_in(terminal: Terminal) -> None:
    """The guest's getty drops what is typed before it reads, so it is asked until it answers."""
    for _ in range(20):
        await terminal.type("\n")
        try:
            await terminal.until("login: ", 5)
            await terminal.type("guest\n")
            await terminal.until("assword: ", 5)
            await terminal.type("guest\n")
            await terminal.until("$ ", 10)
            return
        except TimeoutError:
            continue
    raise AssertionError(f"could not log in; last: {terminal.seen[-500:]!r}")


async def run(terminal: Terminal, command: str, seconds: float = 60) -> None:
    """Runs a command and waits until it has succeeded."""
    await terminal.type(f"{command} && echo do''ne\n")
    await terminal.until("done\r\n", seconds)
