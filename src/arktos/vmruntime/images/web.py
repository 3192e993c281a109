"""GET over HTTP for images: bounded redirects, every hop guarded, credentials for the first server alone. Blocks."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urljoin, urlsplit

from arktos.vmruntime.images.faults import Absent, Denied, Unfit, Unreachable
from arktos.vmruntime.images.guard import connect

MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BROKEN = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What CRI's AuthConfig says; all empty is nobody."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @property
    def header(self) -> dict[str, str]:
        """As an Authorization header."""
        if self.registry_token:
            return {"Authorization": f"Bearer {self.registry_token}"}
        if self.username:
            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}


class Cancelled(Exception):
    """The transfer was called off from the event loop."""


@dataclass
class Lifeline:
    """Ends a transfer that runs in a thread: `cut` may be called from any other."""

    _cut: threading.Event = field(default_factory=threading.Event)
    _socket: socket.socket | None = None

    def cut(self) -> None:
        self._cut.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Raises Cancelled once it was cut."""
        if self._cut.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Sleeps. Raises Cancelled as soon as it is cut."""
        self._cut.wait(seconds)
        self.check()

    def hold(self, link: socket.socket) -> None:
        self._socket = link
        self.check()


class _Guarded(http.client.HTTPConnection):
    """`tls` None is plain HTTP."""

    def __init__(self, url: SplitResult, anywhere: bool, tls: ssl.SSLContext | None, lifeline: Lifeline) -> None:
        self.name = url.hostname or ""
        super().__init__(self.name, url.port or (443 if tls else 80))
        self._anywhere, self._tls, self._lifeline = anywhere, tls, lifeline

    def connect(self) -> None:
        link = connect(self.name, self.port, anywhere=self._anywhere)
        try:
            self._lifeline.hold(link)
            self.sock = self._tls.wrap_socket(link, server_hostname=self.name) if self._tls else link
        except BaseException:
            link.close()
            raise
        self._lifeline.hold(self.sock)


@dataclass
class Answer:
    """The head of an answer; the body is read from `response`. To be closed."""

    url: str
    status: int
    response: http.client.HTTPResponse
    _connection: http.client.HTTPConnection

    def header(self, name: str) -> str:
        return self.response.getheader(name) or ""

    def read(self, most: int) -> bytes:
        """The whole body, if it is no longer than `most`. Raises Unreachable, Unfit."""
        try:
            body = self.response.read(most + 1)
        except _BROKEN as error:
            raise Unreachable(f"{authority(self.url)} broke off: {error!r}") from None
        if len(body) > most:
            raise Unfit(f"{authority(self.url)} answered more than {most} bytes")
        return body

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Web:
    """`allow_local` lifts the guard for all servers, `trusted` of `get` for the first one of a chain of redirects."""

    allow_local: bool
    lifeline: Lifeline
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def get(self, url: str, headers: Mapping[str, str], secret: Mapping[str, str], *, trusted: bool = False) -> Answer:
        """The answer after redirects, of any status. `secret` headers go to the server that was named, no other.
        Raises Unreachable, Unfit, Cancelled."""
        first = authority(url)
        for _ in range(MOST_REDIRECTS + 1):
            self.lifeline.check()
            mine = authority(url) == first
            answer = self._ask(url, {**headers, **(secret if mine else {})}, self.allow_local or (trusted and mine))
            if answer.status not in _REDIRECTS:
                return answer
            onward = answer.header("Location")
            answer.close()
            url = self._onward(url, onward)
        raise Unfit(f"{first} redirects more than {MOST_REDIRECTS} times")

    def _onward(self, url: str, location: str) -> str:
        onward = urljoin(url, location)
        scheme = urlsplit(onward).scheme
        if not location or scheme not in ("http", "https"):
            raise Unfit(f"{authority(url)} redirects to {location[:100]!r}")
        if url.startswith("https:") and scheme == "http":
            raise Unfit(f"{authority(url)} redirects from https to plain http")
        return onward

    def _ask(self, url: str, headers: Mapping[str, str], anywhere: bool) -> Answer:
        try:
            parts = urlsplit(url)
            connection = _Guarded(parts, anywhere, self.tls if parts.scheme == "https" else None, self.lifeline)
        except ValueError as error:
            raise Unfit(f"malformed URL {url[:200]!r}: {error}") from None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("GET", target, headers={"User-Agent": "arktos-vmruntime", **headers})
            response = connection.getresponse()
        except ssl.SSLError as error:
            connection.close()
            raise Unreachable(f"{parts.netloc}: TLS: {error.reason or error}") from None
        except _BROKEN as error:
            connection.close()
            self.lifeline.check()
            raise Unreachable(f"{parts.netloc} did not answer: {error!r}") from None
        except BaseException:
            connection.close()
            raise
        return Answer(url, response.status, response, connection)


def authority(url: str) -> str:
    """Scheme, host and port: the server."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def refuse(answer: Answer, what: str) -> None:
    """Raises what a status of failure means; does nothing for success."""
    status, server = answer.status, authority(answer.url)
    if status < 400:
        return
    if status in (404, 410):
        raise Absent(f"{server} has no {what}")
    if status in (401, 403):
        raise Denied(f"{server} refuses {what}: {status} {answer.response.reason}")
    if status == 429 or status >= 500:
        raise Unreachable(f"{server} answered {status} {answer.response.reason} for {what}")
    raise Unfit(f"{server} answered {status} {answer.response.reason} for {what}")
