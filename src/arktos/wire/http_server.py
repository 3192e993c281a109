"""The HTTP/1.1 server: accepts connections, looks after their time, ends them in good order.

    server = await serve(handler, port=6443, ssl_context=tls.server_context(...))
    ...
    await server.close(grace=10)

The connections themselves are in `server_connection`, the parsing in `request_reader`. There is one timer per server,
not per connection: every few seconds it looks which connections have passed their deadline.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from arktos.wire.http import Handler
from arktos.wire.limits import Limits
from arktos.wire.server_connection import ServerConnection
from arktos.wire.server_owner import Observer

__all__ = ["Limits", "Observer", "Server", "serve"]

_BACKLOG = 1024
_FAREWELL = 0.5
"""Seconds that an ending server waits for idle peers to say goodbye, as TLS has it; silent ones are hung up on."""


class Server:
    """A server that runs. Made by `serve`."""

    def __init__(self, handler: Handler, limits: Limits, observe: Observer | None) -> None:
        self.handler = handler
        self.limits = limits
        self.observe = observe
        self.loop = asyncio.get_running_loop()
        self.tick = 0
        self.idle_ticks = limits.ticks(limits.idle_timeout)
        self.closing = False
        self._connections: set[ServerConnection] = set()
        self._peers: dict[str, int] = {}
        self._upgraded: set[asyncio.Transport] = set()
        self._listener: asyncio.Server | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self._timer = self.loop.call_later(limits.tick, self._look)

    async def listen(self, host: str | None, port: int, ssl_context: ssl.SSLContext | None, reuse_port: bool) -> None:
        self._listener = await self.loop.create_server(
            lambda: ServerConnection(self),
            host,
            port,
            ssl=ssl_context,
            backlog=_BACKLOG,
            reuse_port=reuse_port or None,
            ssl_handshake_timeout=self.limits.handshake_timeout if ssl_context else None,
            ssl_shutdown_timeout=5.0 if ssl_context else None,
        )

    @property
    def port(self) -> int:
        """The port that is listened on; with port 0, the one the system chose."""
        if self._listener is None or not self._listener.sockets:
            return 0
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Connections that are open, upgraded ones apart."""
        return len(self._connections)

    async def close(self, grace: float = 10.0) -> None:
        """Stops accepting, ends idle connections and streams properly, lets requests under way finish for `grace`
        seconds, then cuts off what is left, upgraded connections included. Idempotent."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.shut()
        began = self.loop.time()
        if not await self._emptied(min(grace, _FAREWELL)):
            for connection in list(self._connections):
                if _has_said_all(connection):
                    connection.abort()
            if not await self._emptied(grace - (self.loop.time() - began)):
                for connection in list(self._connections):
                    connection.abort()
        for transport in self._upgraded:
            transport.abort()
        self._upgraded.clear()
        self._timer.cancel()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _emptied(self, seconds: float) -> bool:
        """Whether all connections end within `seconds`."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._empty.wait()
        except TimeoutError:
            return not self._connections
        return True

    # For connections

    def opened(self, connection: ServerConnection) -> bool:
        """Notes a new connection; False when it is one too many."""
        self._connections.add(connection)
        self._empty.clear()
        address, most = connection.address, self.limits.per_peer
        held = self._peers[address] = self._peers.get(address, 0) + 1
        if most and held > most:
            return False
        return len(self._connections) <= self.limits.connections and not self.closing

    def closed(self, connection: ServerConnection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            left = self._peers.get(connection.address, 0) - 1
            if left > 0:
                self._peers[connection.address] = left
            else:
                self._peers.pop(connection.address, None)
        if not self._connections:
            self._empty.set()

    def upgraded(self, connection: ServerConnection, transport: asyncio.Transport) -> None:
        """The connection speaks another protocol now; only the end of the server concerns it."""
        self.closed(connection)
        self._upgraded.add(transport)

    def compress(self, work: Callable[[], bytes]) -> asyncio.Future[bytes]:
        """Runs `work` in a thread."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, "http-compress")
        return self.loop.run_in_executor(self._threads, work)

    def _look(self) -> None:
        self.tick += 1
        now = self.tick
        for connection in [c for c in self._connections if 0 < c.deadline <= now]:
            connection.expire()
        if self._upgraded:
            self._upgraded = {transport for transport in self._upgraded if not transport.is_closing()}
        self._timer = self.loop.call_later(self.limits.tick, self._look)


def _has_said_all(connection: ServerConnection) -> bool:
    """Whether it only waits for its peer's end."""
    transport = connection.transport
    return transport.is_closing() and not transport.get_write_buffer_size()


async def serve(
    handler: Handler,
    *,
    host: str | None = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    observe: Observer | None = None,
    reuse_port: bool = False,
) -> Server:
    """Serves `handler` until `Server.close`. Raises OSError when the address cannot be had.

    `observe(request, status, seconds, bytes)` is called after every answer, streams and upgrades included, and must be
    cheap. `reuse_port` lets several processes listen on one port.
    """
    server = Server(handler, limits or Limits(), observe)
    try:
        await server.listen(host, port, ssl_context, reuse_port)
    except BaseException:
        await server.close(0)
        raise
    return server
