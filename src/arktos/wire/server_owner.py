"""What server connections need of the server that owns them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from arktos.wire.http import Handler, Request
from arktos.wire.limits import Limits

if TYPE_CHECKING:
    from arktos.wire.server_connection import ServerConnection

Observer = Callable[[Request, int, float, int], None]
"""Called after an answer: request, status, seconds, bytes of its body."""


class Owner(Protocol):
    """What a connection needs of its server."""

    handler: Handler
    limits: Limits
    observe: Observer | None
    loop: asyncio.AbstractEventLoop
    tick: int
    idle_ticks: int
    closing: bool

    def opened(self, connection: ServerConnection) -> bool: ...

    def closed(self, connection: ServerConnection) -> None: ...

    def upgraded(self, connection: ServerConnection, transport: asyncio.Transport) -> None: ...

    def compress(self, work: Callable[[], bytes]) -> asyncio.Future[bytes]: ...
