"""WebSocket (RFC 6455), either role. No I/O.

    peer = WebSocket(client=False)
    for event in peer.receive(bytes_from_the_transport): ...
    peer.send(b"data")
    transport.writelines(peer.outgoing())

Messages are handed on in pieces as they arrive, whatever their length, so that a peer holds at most one control frame.
Pings are answered and a close is confirmed here. No extensions: none of Kubernetes' protocols uses them.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from arktos.model.status import BadRequest
from arktos.wire.http import Request

NORMAL, GOING_AWAY, PROTOCOL_ERROR, NO_STATUS, INVALID_DATA, INTERNAL = 1000, 1001, 1002, 1005, 1007, 1011
"""Codes of a close (RFC 6455, 7.4.1). `NO_STATUS` is never sent."""

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_DATA_OPCODES = frozenset({_CONTINUATION, _TEXT, _BINARY})
_CONTROL_OPCODES = frozenset({_CLOSE, _PING, _PONG})
_FIN, _RESERVED, _MASKED = 0x80, 0x70, 0x80
_LARGEST_CONTROL = 125
_MAX_WAITING_PONGS = 64
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SENDABLE = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


class WebSocketError(Exception):
    """The peer breaks the protocol; `code` is what to close with."""

    def __init__(self, message: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a message: `first` and `last` tell where in it. Pieces but the first may be empty."""

    data: bytes
    text: bool
    first: bool
    last: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer closed: it says no more, and takes no more. Confirmed already."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping of ours."""

    data: bytes


Event = Piece | Closed | Pong


class WebSocket:
    """One end of a connection after the handshake. After a WebSocketError: `close` with its code, send `outgoing`."""

    def __init__(self, *, client: bool) -> None:
        self._client = client
        self._incoming = bytearray()
        self._outgoing: list[bytes] = []
        self._left = -1
        """Bytes that are still to come of the data frame under way; -1 between frames."""
        self._mask = b""
        self._taken = 0
        self._final = False
        self._in_message = False
        self._text = False
        self._first = False
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self.closing = False
        """Whether we have sent a close: nothing more can be said."""
        self.closed = False
        """Whether the peer has closed: nothing more will be heard."""

    # What we say

    def outgoing(self) -> list[bytes]:
        """What is to be sent now; empties it."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def send(self, data: bytes, *, text: bool = False) -> None:
        """A whole message. Dropped after a close."""
        if not self.closing:
            self._frame(_TEXT if text else _BINARY, data)

    def ping(self, data: bytes = b"") -> None:
        if not self.closing:
            self._frame(_PING, data[:_LARGEST_CONTROL])

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Says that no more will be said. Idempotent."""
        if not self.closing:
            text = reason.encode()[: _LARGEST_CONTROL - 2].decode("utf-8", "ignore").encode()
            self._frame(_CLOSE, struct.pack(">H", code) + text)
            self.closing = True

    def _frame(self, opcode: int, data: bytes) -> None:
        size = len(data)
        mask = _MASKED if self._client else 0
        if size < 126:
            head = bytes((_FIN | opcode, mask | size))
        elif size < 1 << 16:
            head = struct.pack(">BBH", _FIN | opcode, mask | 126, size)
        else:
            head = struct.pack(">BBQ", _FIN | opcode, mask | 127, size)
        if self._client:
            key = os.urandom(4)
            self._outgoing.append(head + key + masked(data, key, 0))
        elif size < 4096:
            self._outgoing.append(head + data)
        else:
            self._outgoing += (head, data)

    # What the peer says

    def receive(self, data: bytes) -> list[Event]:
        """The events in these bytes. Raises WebSocketError; nothing is to be given it after that."""
        events: list[Event] = []
        incoming = self._incoming
        if self._left > 0 and not incoming and not self.closed:
            taken = data[: self._left]
            self._take(taken, events)
            data = data[len(taken) :]
        incoming += data
        at = 0
        while not self.closed:
            used = self._one(at, events)
            if not used:
                break
            at += used
        if self.closed:
            incoming.clear()
        else:
            del incoming[:at]
        return events

    def _one(self, at: int, events: list[Event]) -> int:
        """Reads a frame's head or control frame, or what there is of a data frame; how many bytes, 0 for too few."""
        incoming = self._incoming
        if self._left >= 0:
            taken = bytes(incoming[at : at + self._left])
            if taken:
                self._take(taken, events)
            return len(taken)
        if len(incoming) - at < 2:
            return 0
        first, second = incoming[at], incoming[at + 1]
        opcode, size = first & 0x0F, second & 0x7F
        self._check_head(first, second)
        wide = {126: 2, 127: 8}.get(size, 0)
        head = 2 + wide + (4 if second & _MASKED else 0)
        if len(incoming) - at < head:
            return 0
        if wide:
            size = int.from_bytes(incoming[at + 2 : at + 2 + wide], "big")
            if size >> 63 or size < 126 or (wide == 8 and size < 1 << 16):
                raise WebSocketError("a length is not written as it must be")
        mask = bytes(incoming[at + head - 4 : at + head]) if second & _MASKED else b""
        if opcode in _CONTROL_OPCODES:
            if len(incoming) - at < head + size:
                return 0
            body = bytes(incoming[at + head : at + head + size])
            self._on_control(opcode, masked(body, mask, 0) if mask else body, events)
            return head + size
        self._begin(opcode, bool(first & _FIN), size, mask, events)
        return head

    def _check_head(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & _RESERVED:
            raise WebSocketError("a reserved bit is set")
        if bool(second & _MASKED) == self._client:
            raise WebSocketError("a client must mask what it sends, a server must not")
        if opcode in _CONTROL_OPCODES:
            if not first & _FIN or second & 0x7F > _LARGEST_CONTROL:
                raise WebSocketError("a control frame is in parts or too long")
        elif opcode not in _DATA_OPCODES:
            raise WebSocketError(f"unknown opcode {opcode:#x}")
        elif (opcode == _CONTINUATION) != self._in_message:
            raise WebSocketError("a message begins within another, or goes on without having begun")

    def _begin(self, opcode: int, final: bool, size: int, mask: bytes, events: list[Event]) -> None:
        if opcode != _CONTINUATION:
            self._text = opcode == _TEXT
            self._first = True
            self._utf8.reset()
        self._in_message = not final
        self._final, self._left, self._mask, self._taken = final, size, mask, 0
        if not size:
            self._take(b"", events)

    def _take(self, data: bytes, events: list[Event]) -> None:
        if self._mask:
            data = masked(data, self._mask, self._taken)
        self._taken += len(data)
        self._left -= len(data)
        last = self._final and not self._left
        if self._text:
            try:
                self._utf8.decode(data, last)
            except UnicodeDecodeError as error:
                raise WebSocketError("a text message is not UTF-8", INVALID_DATA) from error
        if data or last:
            events.append(Piece(data, self._text, self._first, last))
            self._first = False
        if not self._left:
            self._left = -1

    def _on_control(self, opcode: int, body: bytes, events: list[Event]) -> None:
        if opcode == _PING:
            # A peer that asks faster than it listens is not answered each time.
            if not self.closing and len(self._outgoing) < _MAX_WAITING_PONGS:
                self._frame(_PONG, body)
        elif opcode == _PONG:
            events.append(Pong(body))
        else:
            self.closed = True
            events.append(self._closed(body))

    def _closed(self, body: bytes) -> Closed:
        if not body:
            self.close(NORMAL)
            return Closed(NO_STATUS, "")
        code = int.from_bytes(body[:2], "big")
        if len(body) < 2 or not (code in _SENDABLE or 3000 <= code < 5000):
            raise WebSocketError("a close has a code that cannot be sent")
        try:
            reason = body[2:].decode("utf-8")
        except UnicodeDecodeError as error:
            raise WebSocketError("the reason of a close is not UTF-8", INVALID_DATA) from error
        self.close(code)
        return Closed(code, reason)


def masked(data: bytes, key: bytes, offset: int) -> bytes:
    """`data`, which lies `offset` bytes into its frame, masked or unmasked with a key of four bytes."""
    size = len(data)
    if not size:
        return b""
    turn = offset & 3
    pattern = (key[turn:] + key[:turn]) * ((size + 3) // 4)
    return (int.from_bytes(data, "little") ^ int.from_bytes(pattern[:size], "little")).to_bytes(size, "little")


def is_websocket(request: Request) -> bool:
    """Whether a request asks for this protocol."""
    return request.headers.get("upgrade", "").lower() == "websocket"


def offered_protocols(request: Request) -> list[str]:
    """The subprotocols that a client can speak, best first."""
    header = request.headers.get("sec-websocket-protocol", "")
    return [name for name in (part.strip() for part in header.split(",")) if name]


def accept_headers(request: Request, protocol: str) -> Sequence[tuple[str, str]]:
    """The headers of the 101 that takes a client on, speaking `protocol` ("" for none). Raises BadRequest."""
    key = request.headers.get("sec-websocket-key", "")
    try:
        nonce = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if request.method != "GET" or len(nonce) != 16 or request.headers.get("sec-websocket-version") != "13":
        raise BadRequest("not a WebSocket handshake of version 13")
    found = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", accept_key(key))]
    if protocol:
        found.append(("Sec-WebSocket-Protocol", protocol))
    return found


def accept_key(key: str) -> str:
    """What a server answers to a client's `Sec-WebSocket-Key`."""
    return base64.b64encode(hashlib.sha1(key.encode("latin-1", "replace") + _GUID).digest()).decode()
