"""SPDY/3.1: the framer by itself, and against bytes that nobody should send."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.wire.spdy import (
    FLOW_CONTROL_ERROR,
    INTERNAL_ERROR,
    REFUSED_STREAM,
    Data,
    Event,
    GoneAway,
    Opened,
    Pong,
    Replied,
    Reset,
    Room,
    Session,
    SpdyError,
)
from arktos.wire.spdy_headers import DICTIONARY, LARGEST_BLOCK, HeaderPacker, HeaderUnpacker


def pair(flow_control: bool = False) -> tuple[Session, Session]:
    return Session(client=True, flow_control=flow_control), Session(client=False, flow_control=flow_control)


def pass_on(sender: Session, receiver: Session, pieces: int = 0) -> list[Event]:
    """What the receiver makes of everything that the sender has to say, cut into pieces of so many bytes."""
    data = b"".join(sender.outgoing())
    cuts = range(0, len(data), pieces or max(len(data), 1))
    return [event for at in cuts for event in receiver.receive(data[at : at + (pieces or len(data))])]


def whole(events: Sequence[Event], stream: int) -> tuple[bytes, bool]:
    """The data of a stream, and whether it has ended."""
    found = [event for event in events if isinstance(event, Data) and event.stream == stream]
    return b"".join(event.data for event in found), any(event.ended for event in found)


def frame(kind: int, body: bytes, flags: int = 0, version: int = 3) -> bytes:
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(body)) + body


def test_the_dictionary_is_the_drafts() -> None:
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@pytest.mark.parametrize("pieces", [0, 1, 3, 7])
def test_a_stream_goes_from_opening_to_its_end(pieces: int) -> None:
    client, server = pair()
    number = client.open({"streamType": "stdin", "Port": "80"})
    assert pass_on(client, server, pieces) == [Opened(1, {"streamtype": "stdin", "port": "80"})]
    server.reply(number)
    server.send(number, b"x" * 100_000)
    client.send(number, b"hello", ended=True)
    assert whole(pass_on(client, server, pieces), number) == (b"hello", True)
    server.send(number, b"end", ended=True)
    events = pass_on(server, client, pieces)
    assert events[0] == Replied(number, {})
    assert whole(events, number) == (b"x" * 100_000 + b"end", True)
    server.send(number, b"more")
    assert server.outgoing() == []


def test_streams_are_numbered_by_role_and_compression_spans_them() -> None:
    client, server = pair()
    assert [client.open({"a": str(n)}) for n in range(3)] == [1, 3, 5]
    assert [server.open({"b": "c"}) for _ in range(2)] == [2, 4]
    assert [event.headers["a"] for event in pass_on(client, server) if isinstance(event, Opened)] == ["0", "1", "2"]
    assert [event.stream for event in pass_on(server, client) if isinstance(event, Opened)] == [2, 4]


def test_a_reset_ends_both_ways_and_late_data_is_dropped() -> None:
    client, server = pair()
    number = client.open({})
    pass_on(client, server)
    server.reset(number, INTERNAL_ERROR)
    client.send(number, b"on its way already")
    assert pass_on(server, client) == [Reset(number, INTERNAL_ERROR)]
    assert pass_on(client, server) == []
    client.send(number, b"no more")
    assert client.outgoing() == []


def test_pings_are_answered_and_ours_come_back() -> None:
    client, server = pair()
    number = client.ping()
    assert pass_on(client, server) == []
    assert pass_on(server, client) == [Pong(number)]


def test_after_going_away_no_streams_are_opened() -> None:
    client, server = pair()
    server.go_away()
    assert pass_on(server, client) == [GoneAway(0, 0)]
    with pytest.raises(SpdyError):
        client.open({})


def test_flow_control_bounds_what_is_sent_until_it_is_used() -> None:
    client, server = pair(flow_control=True)
    number = client.open({})
    pass_on(client, server)
    assert client.room(number) == 65536
    client.send(number, b"x" * 65536)
    assert client.room(number) == 0
    with pytest.raises(SpdyError):
        client.send(number, b"y")
    pass_on(client, server)
    server.consumed(number, 1000)
    assert pass_on(server, client) == [Room(number)]
    assert client.room(number) == 1000


def test_who_sends_beyond_the_window_is_reset() -> None:
    client, server = Session(client=True), Session(client=False, flow_control=True)
    number = client.open({})
    client.send(number, b"x" * 65537)
    assert pass_on(client, server)[-1] == Reset(number, FLOW_CONTROL_ERROR)


def test_settings_change_the_window_of_open_streams() -> None:
    client, _ = pair(flow_control=True)
    number = client.open({})
    client.send(number, b"x" * 65536)
    assert client.receive(frame(4, struct.pack(">III", 1, 7, 65536 + 10))) == [Room(number)]
    assert client.room(number) == 10


def test_too_many_streams_are_refused() -> None:
    client, server = pair()
    for _ in range(1025):
        client.open({})
    events = pass_on(client, server)
    assert len(events) == 1024
    assert pass_on(server, client) == [Reset(2049, REFUSED_STREAM)]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", None),
        (frame(1, b"", version=2), "version 2"),
        (frame(1, b"\0\0\0\1"), "too short"),
        (struct.pack(">HHI", 0x8003, 1, 1 << 20), "control frame"),
        (frame(1, struct.pack(">IIBB", 1, 0, 0, 0) + b"garbage"), "unpacked"),
        (frame(4, struct.pack(">I", 100)), "settings"),
        (frame(1, struct.pack(">IIBB", 2, 0, 0, 0) + HeaderPacker().pack({})), "not the peer's"),
    ],
)
def test_what_is_no_spdy_is_one_error(data: bytes, why: str | None) -> None:
    session = Session(client=False)
    if why is None:
        assert session.receive(data) == []  # a DATA frame of no stream, still on its way
        return
    with pytest.raises(SpdyError, match=why):
        session.receive(data)


def test_a_header_block_that_unpacks_to_much_is_refused() -> None:
    bomb = HeaderPacker().pack({"a": "x" * (LARGEST_BLOCK + 1)})
    assert len(bomb) < 1000
    with pytest.raises(SpdyError, match="too large"):
        HeaderUnpacker().unpack(bomb)


frames = st.builds(
    lambda kind, body, flags: frame(kind, body, flags), st.integers(0, 10), st.binary(max_size=64), st.integers(0, 255)
)


@settings(deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=200), frames), max_size=20), st.booleans())
def test_garbage_raises_nothing_but_the_protocols_error(pieces: list[bytes], flow_control: bool) -> None:
    session = Session(client=False, flow_control=flow_control)
    try:
        for piece in pieces:
            for event in session.receive(piece):
                assert not isinstance(event, Data) or len(event.data) <= 200
    except SpdyError:
        pass
    assert len(session._incoming) <= LARGEST_BLOCK + 512


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=300)), max_size=30),
    st.integers(1, 50),
)
def test_data_arrives_as_sent_however_it_is_cut(writes: list[tuple[int, bytes]], pieces: int) -> None:
    client, server = pair()
    numbers = [client.open({"n": str(n)}) for n in range(3)]
    for at, data in writes:
        client.send(numbers[at], data)
    for number in numbers:
        client.send(number, b"", ended=True)
    events = pass_on(client, server, pieces)
    for at, number in enumerate(numbers):
        assert whole(events, number) == (b"".join(data for n, data in writes if n == at), True)
