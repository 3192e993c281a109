"""SPDY/3.1 as Kubernetes speaks it for exec, attach and port-forward: many streams on one connection. No I/O.

    session = Session(client=True)
    stdin = session.open({"streamType": "stdin"})
    for event in session.receive(bytes_from_the_peer): ...
    transport.writelines(session.outgoing())

A session turns bytes into events and calls into bytes, either role. What arrives of a DATA frame is handed on at once,
whole frame or not, so the session holds at most one control frame; pings are answered here.

Flow control (draft 3.1, 2.6.8) is off unless asked for: Kubernetes' own implementation neither sends nor heeds
WINDOW_UPDATE, and would be waited for in vain. Slow readers are then held back by TCP, which is the shell's business.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from arktos.wire.spdy_headers import LARGEST_BLOCK, HeaderPacker, HeaderUnpacker, SpdyError

__all__ = ["Data", "GoneAway", "Opened", "Pong", "Replied", "Reset", "Room", "Session", "SpdyError"]

PROTOCOL = "SPDY/3.1"
"""The value of the Upgrade header."""

PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, UNSUPPORTED_VERSION, CANCEL, INTERNAL_ERROR = range(1, 7)
FLOW_CONTROL_ERROR, STREAM_IN_USE, STREAM_ALREADY_CLOSED = range(7, 10)
"""Status codes of RST_STREAM."""

_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
_FIN, _UNIDIRECTIONAL = 1, 2
_LARGEST_CONTROL = LARGEST_BLOCK + 64
_LARGEST_DATA = (1 << 24) - 1
_MAX_STREAMS = 1024
"""Streams that the peer may have open at a time; more are refused."""
_WINDOW = 64 * 1024
_LARGEST_WINDOW = (1 << 31) - 1
_INITIAL_WINDOW_SIZE = 7
_ID = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer opened a stream. To be answered with `reply` or `reset`."""

    stream: int
    headers: Mapping[str, str]
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Replied:
    """The peer took a stream of ours."""

    stream: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a stream; `ended` with its last one, which may be empty."""

    stream: int
    data: bytes
    ended: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer ended a stream, both ways."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Room:
    """The peer takes more of a stream again (flow control)."""

    stream: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping of ours."""

    number: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The peer opens no more streams and takes none."""

    last_stream: int
    status: int


Event = Opened | Replied | Data | Reset | Room | Pong | GoneAway


class _Stream:
    """What a session knows of a stream that is open at least one way."""

    __slots__ = ("credit", "receiving", "sending", "unread")

    def __init__(self, sending: bool, receiving: bool, credit: int) -> None:
        self.sending = sending
        self.receiving = receiving
        self.credit = credit
        self.unread = 0


class Session:
    """One end of a connection. After a SpdyError, say `go_away`, send `outgoing` and close."""

    def __init__(self, *, client: bool, flow_control: bool = False) -> None:
        self._flow_control = flow_control
        self._next = 1 if client else 2
        self._parity = self._next & 1
        self._last = 0
        """The largest stream of the peer's."""
        self._streams: dict[int, _Stream] = {}
        self._initial_credit = _WINDOW
        self._packer = HeaderPacker()
        self._unpacker = HeaderUnpacker()
        self._incoming = bytearray()
        self._data_left = 0
        self._data_stream = 0
        self._data_ends = False
        self._outgoing: list[bytes] = []
        self._pings = self._next
        self._gone = False

    # What we say

    def outgoing(self) -> list[bytes]:
        """What is to be sent now, in this order; empties it."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def open(self, headers: Mapping[str, str], *, ended: bool = False) -> int:
        """Opens a stream, `ended` if nothing will be sent on it. SpdyError after the peer went away."""
        if self._gone or self._next > _ID:
            raise SpdyError("the peer takes no more streams")
        stream, self._next = self._next, self._next + 2
        self._streams[stream] = _Stream(not ended, True, self._initial_credit)
        body = struct.pack(">IIBB", stream, 0, 0, 0) + self._packer.pack(headers)
        self._control(_SYN_STREAM, _FIN if ended else 0, body)
        return stream

    def reply(self, stream: int, headers: Mapping[str, str] | None = None) -> None:
        """Takes a stream that the peer opened."""
        if stream in self._streams:
            self._control(_SYN_REPLY, 0, stream.to_bytes(4, "big") + self._packer.pack(headers or {}))

    def send(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        """Sends a piece, the last one if `ended`; dropped if the stream is closed this way. With flow control, no more
        than `room` may be given: SpdyError."""
        state = self._streams.get(stream)
        if state is None or not state.sending:
            return
        if self._flow_control:
            if len(data) > state.credit:
                raise SpdyError("more data than the peer has room for")
            state.credit -= len(data)
        while len(data) > _LARGEST_DATA:
            self._outgoing += (struct.pack(">II", stream, _LARGEST_DATA), data[:_LARGEST_DATA])
            data = data[_LARGEST_DATA:]
        if data or ended:
            head = struct.pack(">II", stream, (_FIN << 24 if ended else 0) | len(data))
            if data:
                self._outgoing += (head, data)
            else:
                self._outgoing.append(head)
        if ended:
            state.sending = False
            self._forget_if_closed(stream, state)

    def room(self, stream: int) -> int:
        """Bytes that the peer takes on a stream now; without flow control, what fits a frame."""
        state = self._streams.get(stream)
        if state is None or not state.sending:
            return 0
        return max(state.credit, 0) if self._flow_control else _LARGEST_DATA

    def consumed(self, stream: int, size: int) -> None:
        """With flow control: so many bytes of a stream have been used, the peer may send more."""
        state = self._streams.get(stream)
        if not self._flow_control or state is None or not state.receiving:
            return
        state.unread -= size
        self._control(_WINDOW_UPDATE, 0, struct.pack(">II", stream, size))

    def reset(self, stream: int, status: int = CANCEL) -> None:
        """Ends a stream both ways, at once."""
        if self._streams.pop(stream, None) is not None:
            self._control(_RST_STREAM, 0, struct.pack(">II", stream, status))

    def ping(self) -> int:
        """Asks for a sign of life, which comes as `Pong` with this number."""
        number, self._pings = self._pings, (self._pings + 2) & 0xFFFFFFFF
        self._control(_PING, 0, number.to_bytes(4, "big"))
        return number

    def go_away(self, status: int = 0) -> None:
        """Opens and takes no more streams. 0: all is well, 1: protocol error, 2: internal error."""
        self._gone = True
        self._control(_GOAWAY, 0, struct.pack(">II", self._last, status))

    def _control(self, kind: int, flags: int, body: bytes) -> None:
        self._outgoing.append(struct.pack(">HHI", 0x8000 | _VERSION, kind, flags << 24 | len(body)) + body)

    # What the peer says

    def receive(self, data: bytes) -> list[Event]:
        """The events in these bytes, in their order. Raises SpdyError; nothing is to be given it after that."""
        events: list[Event] = []
        incoming = self._incoming
        if self._data_left and not incoming:
            # The usual case of a large frame: no copy through the buffer.
            taken = data[: self._data_left]
            self._take_data(taken, events)
            data = data[len(taken) :]
        incoming += data
        at = 0
        view = memoryview(incoming)
        try:
            while True:
                used = self._one(view[at:], events)
                if not used:
                    break
                at += used
        finally:
            view.release()
        del incoming[:at]
        return events

    def _one(self, view: memoryview, events: list[Event]) -> int:
        """Reads one frame, or a part of a DATA frame; says how many bytes that were, 0 if more must come first."""
        if self._data_left:
            taken = bytes(view[: self._data_left])
            if taken:
                self._take_data(taken, events)
            return len(taken)
        if len(view) < 8:
            return 0
        first, second = int.from_bytes(view[:4], "big"), int.from_bytes(view[4:8], "big")
        flags, size = second >> 24, second & 0xFFFFFF
        if not first & 0x80000000:
            self._begin_data(first, flags, size, events)
            return 8
        if first >> 16 & 0x7FFF != _VERSION:
            raise SpdyError(f"version {first >> 16 & 0x7FFF} of SPDY, not {_VERSION}")
        if size > _LARGEST_CONTROL:
            raise SpdyError(f"a control frame of {size} bytes")
        if len(view) < 8 + size:
            return 0
        self._take_control(first & 0xFFFF, flags, bytes(view[8 : 8 + size]), events)
        return 8 + size

    def _begin_data(self, stream: int, flags: int, size: int, events: list[Event]) -> None:
        self._data_stream, self._data_left, self._data_ends = stream, size, bool(flags & _FIN)
        if not size:
            self._take_data(b"", events)

    def _take_data(self, data: bytes, events: list[Event]) -> None:
        self._data_left -= len(data)
        stream = self._data_stream
        state = self._streams.get(stream)
        if state is None or not state.receiving:
            # Of a stream that has been reset, or that was refused: its sender does not know yet.
            return
        ended = self._data_ends and not self._data_left
        if self._flow_control:
            state.unread += len(data)
            if state.unread > _WINDOW:
                self.reset(stream, FLOW_CONTROL_ERROR)
                events.append(Reset(stream, FLOW_CONTROL_ERROR))
                return
        if data or ended:
            events.append(Data(stream, data, ended))
        if ended:
            state.receiving = False
            self._forget_if_closed(stream, state)

    def _take_control(self, kind: int, flags: int, body: bytes, events: list[Event]) -> None:
        handler = _HANDLERS.get(kind)
        if handler is not None:
            try:
                handler(self, flags, body, events)
            except struct.error as error:
                raise SpdyError(f"a frame of type {kind} is too short") from error

    def _on_syn_stream(self, flags: int, body: bytes, events: list[Event]) -> None:
        stream, _associated, _priority, _slot = struct.unpack_from(">IIBB", body)
        stream &= _ID
        headers = self._unpacker.unpack(body[10:])
        if stream & 1 == self._parity or stream <= self._last:
            raise SpdyError(f"stream {stream} is not the peer's to open")
        self._last = stream
        if self._gone:
            return
        ended, one_way = bool(flags & _FIN), bool(flags & _UNIDIRECTIONAL)
        state = self._streams[stream] = _Stream(not one_way, not ended, self._initial_credit)
        if len(self._streams) > _MAX_STREAMS:
            self.reset(stream, REFUSED_STREAM)
            return
        events.append(Opened(stream, headers, ended))
        self._forget_if_closed(stream, state)

    def _on_syn_reply(self, flags: int, body: bytes, events: list[Event]) -> None:
        (stream,) = struct.unpack_from(">I", body)
        stream &= _ID
        headers = self._unpacker.unpack(body[4:])
        state = self._streams.get(stream)
        if state is None or stream & 1 != self._parity:
            return
        events.append(Replied(stream, headers))
        if flags & _FIN:
            self._data_stream, self._data_ends = stream, True
            self._take_data(b"", events)

    def _on_rst_stream(self, flags: int, body: bytes, events: list[Event]) -> None:
        stream, status = struct.unpack_from(">II", body)
        if self._streams.pop(stream & _ID, None) is not None:
            events.append(Reset(stream & _ID, status))

    def _on_settings(self, flags: int, body: bytes, events: list[Event]) -> None:
        (count,) = struct.unpack_from(">I", body)
        if count * 8 + 4 != len(body):
            raise SpdyError("settings of another length than they say")
        for at in range(4, len(body), 8):
            name, value = struct.unpack_from(">II", body, at)
            if name & 0xFFFFFF == _INITIAL_WINDOW_SIZE:
                if value > _LARGEST_WINDOW:
                    raise SpdyError("a window of more than 2 GiB")
                change, self._initial_credit = value - self._initial_credit, value
                for stream, state in self._streams.items():
                    state.credit += change
                    if self._flow_control and state.sending and 0 < state.credit <= change:
                        events.append(Room(stream))

    def _on_ping(self, flags: int, body: bytes, events: list[Event]) -> None:
        (number,) = struct.unpack_from(">I", body)
        if number & 1 == self._parity:
            events.append(Pong(number))
        elif len(self._outgoing) < _MAX_STREAMS:
            # Whoever asks faster than it listens is not answered each time.
            self._control(_PING, 0, number.to_bytes(4, "big"))

    def _on_goaway(self, flags: int, body: bytes, events: list[Event]) -> None:
        last, status = struct.unpack_from(">II", body)
        self._gone = True
        events.append(GoneAway(last & _ID, status))

    def _on_headers(self, flags: int, body: bytes, events: list[Event]) -> None:
        (stream,) = struct.unpack_from(">I", body)
        self._unpacker.unpack(body[4:])
        if flags & _FIN:
            self._data_stream, self._data_ends = stream & _ID, True
            self._take_data(b"", events)

    def _on_window_update(self, flags: int, body: bytes, events: list[Event]) -> None:
        stream, size = struct.unpack_from(">II", body)
        stream, size = stream & _ID, size & _ID
        state = self._streams.get(stream)
        if not self._flow_control or state is None:
            return
        state.credit += size
        if state.credit > _LARGEST_WINDOW:
            self.reset(stream, FLOW_CONTROL_ERROR)
            events.append(Reset(stream, FLOW_CONTROL_ERROR))
        elif size and state.sending:
            events.append(Room(stream))

    def _forget_if_closed(self, stream: int, state: _Stream) -> None:
        if not state.sending and not state.receiving:
            self._streams.pop(stream, None)


_HANDLERS: dict[int, Callable[[Session, int, bytes, list[Event]], None]] = {
    _SYN_STREAM: Session._on_syn_stream,
    _SYN_REPLY: Session._on_syn_reply,
    _RST_STREAM: Session._on_rst_stream,
    _SETTINGS: Session._on_settings,
    _PING: Session._on_ping,
    _GOAWAY: Session._on_goaway,
    _HEADERS: Session._on_headers,
    _WINDOW_UPDATE: Session._on_window_update,
}
