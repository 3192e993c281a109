"""HTTP messages as values: what the server's protocol hands to a handler and takes back. No I/O.

A handler is called once a request is complete. It returns a `Response` at once (the hot path: no task is made), a
`Stream` or `Upgrade` for what lives longer, or an awaitable of one of these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Peer(Protocol):
    """The connection as a handler may see it."""

    @property
    def address(self) -> str: ...

    @property
    def certificate(self) -> bytes | None:
        """DER of the verified client certificate, None without one."""
        ...

    @property
    def state(self) -> dict[str, object]:
        """Scratch space that lives as long as the connection (an authenticated user is cached here)."""
        ...


class Request:
    """A complete request. `path` is percent-decoded, `query` raw (without `?`); header names are lower case.
    The rest is the handler's: `mark` and `about` are what it wants to be told of the request again when the answer has
    been sent, `id` is what it calls the request, `extra` are lines (each with its end) for the head of the answer."""

    __slots__ = ("about", "body", "extra", "headers", "id", "mark", "method", "path", "peer", "query", "target")

    def __init__(
        self, method: str, target: str, path: str, query: str, headers: dict[str, str], body: bytes, peer: Peer
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer
        self.mark: tuple[str, ...] = ()
        self.about: object = None
        self.id = ""
        self.extra = b""


@dataclass(slots=True)
class Response:
    """A complete answer. `body` may be parts, which are sent without being joined by the caller.
    `headers` are extra (name, value) pairs; Content-Length, Date and Connection are the protocol's."""

    status: int = 200
    body: bytes | Sequence[bytes] = b""
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()


class Channel(Protocol):
    """The sending side of a `Stream`. `write` takes one or more complete HTTP chunks made by `chunk()`, so that bytes
    framed once are shared by many channels. Never blocks; look at `congested`."""

    def write(self, framed: bytes) -> None: ...

    def finish(self) -> None:
        """Ends the body properly; the connection stays usable."""
        ...

    def abort(self) -> None: ...

    @property
    def congested(self) -> bool:
        """The peer reads more slowly than we write: stop writing until `on_drain`."""
        ...


@dataclass(slots=True)
class Stream:
    """An answer whose body is written over time. `open(channel)` is called when the head has been sent; `on_drain` when
    a congested channel has room again; `on_close` once, when the peer has gone or the body was finished."""

    open: Callable[[Channel], None]
    on_drain: Callable[[], None] = lambda: None
    on_close: Callable[[], None] = lambda: None
    status: int = 200
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Upgrade:
    """Hands the raw connection over: after the 101 and `headers`, `take(transport, leftover)` owns the bytes."""

    take: Callable[[object, bytes], None]
    headers: Sequence[tuple[str, str]] = field(default_factory=tuple)


Reply = Response | Stream | Upgrade


class Later:
    """A reply that is made when it is its turn: the handler keeps it and calls `run`. Nothing happens then if the peer
    has gone (`wanted`)."""

    __slots__ = ("call", "deliver")

    def __init__(self, call: Handler) -> None:
        self.call = call
        self.deliver: Callable[[Handler], None] | None = None

    @property
    def wanted(self) -> bool:
        return self.deliver is not None

    def run(self) -> None:
        deliver, self.deliver = self.deliver, None
        if deliver is not None:
            deliver(self.call)


Handler = Callable[[Request], Reply | Later | Awaitable[Reply]]


def chunk(data: bytes) -> bytes:
    """One HTTP/1.1 chunk (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
