"""Bytes to complete requests: the reading half of a server connection, without I/O, on httptools' parser (RFC 9112).

Subclasses say what happens with a request (`accept`), with one that is refused (`refuse`, after which nothing more is
read), and when the peer waits for a go-ahead (`invite`). Everything that a peer can make grow is bounded: the head in
bytes and pieces, the body, the framing around a chunked body.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import httptools

from arktos.model.status import ApiError, BadRequest, RequestEntityTooLarge
from arktos.wire.http import Peer, Request
from arktos.wire.limits import Limits

IDLE, HEAD, BODY = range(3)
"""Where in a request the connection stands: between two, in its head, in its body."""

MAX_PIECES = 2048
"""Reads that a head may be spread over: its parts are joined at every read."""
_FRAMING = 8
"""A chunked body may take this many times the body's limit on the wire."""

_METHODS: dict[bytes, str] = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
}
_names: dict[bytes, str] = {}
"""Lower-case names of headers seen, so that equal names are one string. Bounded."""


class HeadersTooLarge(ApiError):
    code, reason = 431, "RequestHeaderFieldsTooLarge"


class TargetTooLong(ApiError):
    code, reason = 414, "RequestURITooLong"


class ExpectationFailed(ApiError):
    code, reason = 417, "ExpectationFailed"


def _name(raw: bytes) -> str:
    name = raw.decode("latin-1").lower()
    if len(_names) < 512 and len(raw) < 64:
        _names[raw] = name
    return name


class RequestReader:
    """See the module. Feed it with `feed`; it answers through the methods that subclasses override."""

    __slots__ = (
        "_body",
        "_count",
        "_expects",
        "_head_size",
        "_headers",
        "_limits",
        "_parser",
        "_phase",
        "_pieces",
        "_refused",
        "_target",
        "_upgrade",
        "_wire_size",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._phase = IDLE
        self._refused = False
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: bytes | bytearray = b""
        self._expects = self._upgrade = False
        self._head_size = self._pieces = self._wire_size = self._count = 0
        self._parser = httptools.HttpRequestParser(self)

    # What subclasses say.

    def peer(self) -> Peer:
        """The connection as requests name it."""
        raise AssertionError("overridden")

    def accept(self, request: Request, keep_alive: bool, old: bool, upgrade: bool) -> None:
        """A complete request. `keep_alive`: another may follow; `old`: the client speaks HTTP/1.0; `upgrade`: it asks
        for another protocol, and nothing is parsed beyond it."""

    def refuse(self, error: ApiError) -> None:
        """What came is not to be served; answer `error` in its turn and close. Called once."""

    def invite(self) -> None:
        """The client waits for `100 Continue` before it sends its body."""

    # Feeding.

    def feed(self, data: bytes) -> bytes | None:
        """Takes bytes as they came. Returns what follows a request to upgrade (maybe nothing), None otherwise."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            if not self._refused:
                # A callback failed: ours, not the peer's fault.
                raise error.__context__ or error from None
        except httptools.HttpParserError as error:
            self._refuse(BadRequest(f"malformed HTTP request: {error}"))
        if self._phase != IDLE and not self._refused:
            self._measure(len(data))
        return None

    def _measure(self, size: int) -> None:
        """Bounds what an unfinished request has taken so far."""
        if self._phase == HEAD:
            self._head_size += size
            self._pieces += 1
            if self._head_size > self._limits.head or self._pieces > MAX_PIECES:
                self._refuse(HeadersTooLarge("the request's line and headers are too large"))
        else:
            self._wire_size += size
            if self._wire_size > _FRAMING * self._limits.body + self._limits.head:
                self._refuse(self._too_large())

    def _refuse(self, error: ApiError) -> None:
        if not self._refused:
            self._refused = True
            self.refuse(error)

    def _too_large(self) -> ApiError:
        return RequestEntityTooLarge(f"Request entity too large: limit is {self._limits.body}")

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        self._phase = HEAD
        self._target = b""
        self._headers = {}
        self._body = b""
        self._expects = self._upgrade = False
        self._head_size = self._pieces = self._wire_size = self._count = 0

    def on_url(self, url: bytes) -> None:
        self._target = self._target + url if self._target else url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase != HEAD:
            return  # a trailer: allowed, of no use, and never to be taken for a header
        self._count += 1
        if self._count > self._limits.headers:
            self._refuse(HeadersTooLarge("the request has too many headers"))
            return
        key = _names.get(name) or _name(name)
        text = value.decode("latin-1")
        headers = self._headers
        if key in headers:
            if key == "host" or key == "content-type":
                self._refuse(BadRequest(f"more than one {name.decode('latin-1')} header"))
            text = f"{headers[key]}, {text}"
        headers[key] = text

    def on_headers_complete(self) -> None:
        self._phase = BODY
        headers = self._headers
        if len(self._target) > self._limits.target:
            self._refuse(TargetTooLong(f"the request's target is longer than {self._limits.target} bytes"))
        if "upgrade" in headers:
            self._upgrade = self._parser.should_upgrade()
        if "content-length" in headers:
            length = headers["content-length"]
            if not length.isdecimal() or int(length) > self._limits.body:
                self._refuse(self._too_large())
        if "expect" in headers and not self._refused:
            self._on_expect(headers["expect"])

    def _on_expect(self, expectation: str) -> None:
        if expectation.lower() != "100-continue":
            self._refuse(ExpectationFailed(f"the expectation {expectation!r} is not supported"))
        elif self._parser.get_http_version() != "1.0":
            self._expects = True
            if not self._upgrade:
                self.invite()

    def on_body(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._body:
            self._body = data
        elif isinstance(self._body, bytearray):
            self._body += data
        else:
            self._body = bytearray(self._body)
            self._body += data
        if len(self._body) > self._limits.body:
            self._body = b""
            self._refuse(self._too_large())

    def on_message_complete(self) -> None:
        self._phase = IDLE
        if self._refused:
            return
        parser, headers, target = self._parser, self._headers, self._target
        keep_alive = parser.should_keep_alive()
        old, upgrade = False, self._upgrade
        if not keep_alive or "connection" in headers or "host" not in headers:
            version = parser.get_http_version()
            old = version < "1.1"
            if "host" not in headers and version == "1.1":
                self._refuse(BadRequest("the Host header is missing"))
                return
            if upgrade and (headers.get("content-length", "0") != "0" or "transfer-encoding" in headers):
                self._refuse(BadRequest("a request to upgrade cannot have a body"))
                return
        raw = parser.get_method()
        method = _METHODS.get(raw) or raw.decode("latin-1")
        try:
            text, path, query = split_target(target)
        except ValueError as error:
            self._refuse(BadRequest(f"malformed request target: {error}"))
            return
        body = self._body
        if type(body) is not bytes:
            body = bytes(body)
        self._body = b""
        self.accept(Request(method, text, path, query, headers, body, self.peer()), keep_alive, old, upgrade)


def split_target(raw: bytes) -> tuple[str, str, str]:
    """The request target as text, its percent-decoded path and its raw query. Raises ValueError."""
    text = raw.decode("ascii")
    path, _, query = text.partition("?")
    if "%" in path:
        path = _decoded(path)
    if path[:1] != "/" and path != "*":
        scheme, found, rest = path.partition("://")
        if not found or scheme.lower() not in ("http", "https"):
            raise ValueError("neither a path nor a URL")
        _, _, path = rest.partition("/")
        path = "/" + path
    return text, path, query


def _decoded(path: str) -> str:
    for piece in path.split("%")[1:]:
        if len(piece) < 2 or not all(c in "0123456789abcdefABCDEF" for c in piece[:2]):
            raise ValueError("invalid percent-encoding")
    return unquote_to_bytes(path).decode()
