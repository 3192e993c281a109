"""An HTTP/1.1 client for one origin: keep-alive pool, TLS with client certificates, bodies as streams of lines."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass


class ConnectionFailed(Exception):
    """The server could not be reached, or went away before its answer was complete. `sent` is whether any byte of the
    request may have reached it."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class RequestTimeout(ConnectionFailed):
    """No complete answer in time."""


@dataclass(slots=True)
class HttpResponse:
    """A complete answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class ResponseStream:
    """The body of an answer as it comes. While nobody reads, the peer is held back (a bounded buffer, then TCP)."""

    status: int
    headers: dict[str, str]

    async def lines(self) -> list[bytes]:
        """All complete lines that have arrived, without their line ends; waits for the first. Empty at the end.
        Raises ConnectionFailed if the connection died before the proper end."""

    async def read(self) -> bytes:
        """The rest of the body."""

    async def aclose(self) -> None:
        """Ends it; an unfinished body costs its connection. Idempotent."""


class HttpClient:
    """Requests to one origin (`https://host:port`). For one event loop; any number of tasks."""

    def __init__(
        self,
        origin: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        server_name: str = "",
        connections: int = 32,
        streams: int = 1024,
        connect_timeout: float = 10.0,
        idle_timeout: float = 60.0,
        user_agent: str = "arktos",
    ) -> None: ...

    async def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 60.0,
        idempotent: bool | None = None,
    ) -> HttpResponse:
        """One request, one complete answer of any status. An idempotent request (GET and HEAD unless said) is sent once
        more if a kept connection died before any answer byte. Raises ConnectionFailed, RequestTimeout."""

    async def stream(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", timeout: float = 60.0
    ) -> ResponseStream:
        """As `request`, returning once the head is there (`timeout` bounds that). Streams have connections of their own,
        so that watches never starve requests."""

    async def aclose(self) -> None: ...
