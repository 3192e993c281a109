"""Kubernetes' channel protocols over WebSocket: which message belongs to which stream. Pure.

The first byte of a message is its channel: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize; in the base64 variants it is
a digit, and the rest is base64. In v5 a message `255, n` says that the sender is done with channel n.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple

from arktos.wire import json
from arktos.wire.websocket import INVALID_DATA, Piece, WebSocketError

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_CLOSE = 255
_MAX_ENCODED = 1 << 20
"""Bytes of a base64 message, which must be whole to be read."""
_TOO_BIG = 1009


class ChannelProtocol(NamedTuple):
    """A subprotocol. `closes` where a channel can be half-closed, `reports` where the end of a command is a Status,
    `resizes` where a terminal's size is told."""

    name: str
    base64: bool = False
    closes: bool = False
    reports: bool = False
    resizes: bool = False


COMMANDS: Sequence[ChannelProtocol] = (
    ChannelProtocol("v5.channel.k8s.io", closes=True, reports=True, resizes=True),
    ChannelProtocol("v4.channel.k8s.io", reports=True, resizes=True),
    ChannelProtocol("v4.base64.channel.k8s.io", base64=True, reports=True, resizes=True),
    ChannelProtocol("v3.channel.k8s.io", resizes=True),
    ChannelProtocol("v2.channel.k8s.io"),
    ChannelProtocol("channel.k8s.io", resizes=True),
    ChannelProtocol("base64.channel.k8s.io", base64=True, resizes=True),
    ChannelProtocol("", resizes=True),
)
"""For exec and attach. The last is for clients that offer none."""

PORT_FORWARD: Sequence[ChannelProtocol] = (
    ChannelProtocol("v4.channel.k8s.io"),
    ChannelProtocol("v4.base64.channel.k8s.io", base64=True),
    ChannelProtocol(""),
)


def choose(offered: Sequence[str], served: Sequence[ChannelProtocol]) -> ChannelProtocol | None:
    """The first protocol of the client's list that is served."""
    by_name = {protocol.name: protocol for protocol in served}
    if not offered:
        return by_name.get("")
    return next((by_name[name] for name in offered if name in by_name), None)


class Part(NamedTuple):
    """Some bytes of a channel; `ended` when no more will come on it."""

    channel: int
    data: bytes
    ended: bool = False


class Demultiplexer:
    """From pieces of messages to parts of channels. Raises WebSocketError for what is neither."""

    def __init__(self, protocol: ChannelProtocol) -> None:
        self._protocol = protocol
        self._channel = -1
        self._encoded = b""

    def take(self, piece: Piece) -> Part | None:
        """None where there is nothing to pass on (yet)."""
        if self._protocol.base64:
            return self._decoded(piece)
        data = piece.data
        if piece.first:
            self._channel = -1
        if self._channel < 0:
            if not data:
                return None
            self._channel, data = data[0], data[1:]
        if self._channel == _CLOSE and self._protocol.closes:
            return Part(data[0], b"", True) if data else None
        return Part(self._channel, data) if data else None

    def _decoded(self, piece: Piece) -> Part | None:
        self._encoded = piece.data if piece.first else self._encoded + piece.data
        if len(self._encoded) > _MAX_ENCODED:
            raise WebSocketError("a base64 message is too long", _TOO_BIG)
        if not piece.last or not self._encoded:
            return None
        digit, encoded = self._encoded[:1], self._encoded[1:]
        try:
            channel, data = int(digit), base64.b64decode(encoded)
        except (ValueError, binascii.Error) as error:
            raise WebSocketError("a message is not a channel's digit and base64", INVALID_DATA) from error
        return Part(channel, data) if data else None


def message(protocol: ChannelProtocol, channel: int, data: bytes) -> tuple[bytes, bool]:
    """A message of a channel, and whether it is text."""
    if protocol.base64:
        return str(channel).encode() + base64.b64encode(data), True
    return bytes((channel,)) + data, False


def report(protocol: ChannelProtocol, status: bytes) -> bytes:
    """How a command's end is told on the error channel: its Status where the protocol has it, else the failure's text,
    and nothing of a success."""
    if protocol.reports or not status:
        return status
    found: Any
    try:
        found = json.decode(status)
    except Exception:
        return status
    if not isinstance(found, dict) or found.get("status") == "Success":
        return b""
    return str(found.get("message") or "").encode()
