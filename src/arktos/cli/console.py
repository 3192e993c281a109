"""A terminal on the serial console of a virtual machine: `pods/attach` over WebSocket (v5.channel.k8s.io)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import click

from arktos.client.credentials import BearerToken, ssl_context
from arktos.client.kubeconfig import ClientConfig
from arktos.client.paths import Paths, query
from arktos.model import registry
from arktos.wire import exchange
from arktos.wire.tunnel import Link
from arktos.wire.websocket import Closed, Piece, WebSocket, WebSocketError, accept_key

ESCAPE = b"\x1d"
"""Ctrl-]."""

_PROTOCOL = "v5.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE = range(5)
_PODS = registry.by_resource("pods")
_CHUNK = 4096


async def attach(config: ClientConfig, tenant: str, namespace: str, pod: str) -> None:
    """Until the escape is typed, input ends, or the machine's console does. Raises click.ClickException where it cannot
    be had, ConnectionFailed."""
    link, socket, leftover = await _connect(config, tenant, namespace, pod)
    session = _Session(link, socket)
    if sys.stdin.isatty():
        click.echo(f"Console of {pod}; Ctrl-] leaves it.\r", err=True)
    with _raw_terminal(), _input(session):
        session.begin(*leftover)
        session.resize()
        failure = await session.ended
    if sys.stdin.isatty():
        click.echo("\r", err=True)
    if failure:
        raise click.ClickException(failure)


async def _connect(
    config: ClientConfig, tenant: str, namespace: str, pod: str
) -> tuple[Link, WebSocket, tuple[asyncio.Transport, bytes]]:
    url = urlsplit(config.server)
    path = Paths(config.server, config.tenant).object(
        _PODS, pod, tenant=tenant, namespace=namespace, subresource="attach"
    )
    target = query(path, {"stdin": "true", "stdout": "true", "tty": "true"})
    key = base64.b64encode(os.urandom(16)).decode()
    headers = {
        "Host": url.netloc,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Protocol": _PROTOCOL,
        **BearerToken(config).header(asyncio.get_running_loop().time()),
    }
    answer = await exchange.begin(
        url.hostname or "",
        url.port or (443 if url.scheme == "https" else 80),
        "GET",
        target,
        list(headers.items()),
        ssl_context=ssl_context(config),
        server_name=config.tls_server_name or url.hostname or "",
        head_timeout=config.timeout,
    )
    if answer.status != 101 or answer.header("sec-websocket-accept") != accept_key(key):
        body = await answer.read(1 << 20)
        answer.abort()
        raise click.ClickException(_message(body) or f"the server answered {answer.status}")
    return Link(), WebSocket(client=True), answer.take()


class _Session:
    """The two streams between the terminal and the WebSocket. `ended` becomes what went wrong, "" for nothing."""

    def __init__(self, link: Link, socket: WebSocket) -> None:
        self._link, self._socket = link, socket
        self._channel = -1
        self._report = b""
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def begin(self, transport: asyncio.Transport, leftover: bytes) -> None:
        self._link.receive = self._received
        self._link.lost = lambda error: self._end("the connection was lost")
        self._link.adopt(transport, leftover)

    def type(self, data: bytes) -> None:
        """What was typed; nothing is the end of the input."""
        before, escape, _ = data.partition(ESCAPE)
        if before:
            self._say(_STDIN, before)
        if escape or not data:
            self._socket.close()
            self._link.writelines(self._socket.outgoing())
            self._end("")

    def resize(self) -> None:
        size = shutil.get_terminal_size()
        self._say(_RESIZE, json.dumps({"Width": size.columns, "Height": size.lines}).encode())

    def _say(self, channel: int, data: bytes) -> None:
        self._socket.send(bytes([channel]) + data)
        self._link.writelines(self._socket.outgoing())

    def _received(self, data: bytes) -> None:
        try:
            events = self._socket.receive(data)
        except WebSocketError as error:
            self._end(f"the server breaks the protocol: {error}")
            return
        self._link.writelines(self._socket.outgoing())
        for event in events:
            if isinstance(event, Piece):
                self._heard(event)
            elif isinstance(event, Closed):
                self._end(_failure(self._report))

    def _heard(self, piece: Piece) -> None:
        data = piece.data
        if piece.first and data:
            self._channel, data = data[0], data[1:]
        if self._channel in (_STDOUT, _STDERR) and data:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        elif self._channel == _ERROR:
            self._report += data

    def _end(self, failure: str) -> None:
        if not self.ended.done():
            self.ended.set_result(failure)


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the guest, Ctrl-C too."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin.fileno())
    tty.setraw(sys.stdin.fileno())
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)


@contextmanager
def _input(session: _Session) -> Iterator[None]:
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()
    loop.add_reader(descriptor, lambda: session.type(os.read(descriptor, _CHUNK)))
    loop.add_signal_handler(signal.SIGWINCH, session.resize)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        loop.remove_signal_handler(signal.SIGWINCH)


def _failure(report: bytes) -> str:
    """What the Status that ends a session says, if it is none of success."""
    try:
        status = json.loads(report)
    except ValueError:
        return ""
    if not isinstance(status, dict) or status.get("status") == "Success":
        return ""
    return str(status.get("message") or "the console has ended")


def _message(body: bytes) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        return body.decode(errors="replace").strip()
    return str(found.get("message") or "") if isinstance(found, dict) else ""
