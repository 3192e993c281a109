"""WebSocket frames, both roles, and what must be refused (RFC 6455)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.model.status import BadRequest
from arktos.wire.http import Request
from arktos.wire.websocket import (
    Closed,
    Event,
    Piece,
    Pong,
    WebSocket,
    WebSocketError,
    accept_headers,
    accept_key,
    masked,
)


def said(peer: WebSocket) -> bytes:
    return b"".join(peer.outgoing())


def messages(events: list[Event]) -> list[bytes]:
    """Whole messages, from their pieces."""
    found: list[bytes] = []
    for event in events:
        if isinstance(event, Piece):
            if event.first:
                found.append(b"")
            found[-1] += event.data
    return found


def test_the_key_of_the_rfcs_example() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_frames_of_the_rfcs_examples() -> None:
    hello = bytes.fromhex("818537fa213d7f9f4d5158")
    assert WebSocket(client=False).receive(hello) == [Piece(b"Hello", True, True, True)]
    server = WebSocket(client=False)
    server.send(b"Hello", text=True)
    assert said(server) == b"\x81\x05Hello"
    parts = WebSocket(client=True).receive(b"\x01\x03Hel\x80\x02lo")
    assert parts == [Piece(b"Hel", True, True, False), Piece(b"lo", True, False, True)]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=70_000), max_size=4), st.integers(1, 70_000), st.booleans())
def test_messages_arrive_as_sent_however_they_are_cut(sent: list[bytes], cut: int, from_client: bool) -> None:
    one, other = WebSocket(client=from_client), WebSocket(client=not from_client)
    for message in sent:
        one.send(message)
    data = said(one)
    step = max(cut, len(data) // 200 + 1)
    events = [event for at in range(0, len(data), step) for event in other.receive(data[at : at + step])]
    assert messages(events) == sent


@given(st.binary(max_size=200), st.binary(min_size=4, max_size=4), st.integers(0, 9))
def test_masking_twice_changes_nothing(data: bytes, key: bytes, offset: int) -> None:
    assert masked(masked(data, key, offset), key, offset) == data
    assert masked(data, key, offset) == bytes(b ^ key[(offset + n) % 4] for n, b in enumerate(data))


def test_pings_are_answered_between_the_parts_of_a_message() -> None:
    server, client = WebSocket(client=False), WebSocket(client=True)
    client.ping(b"there?")
    ping = said(client)
    part, rest = b"\x02\x81\0\0\0\0a", b"\x80\x81\0\0\0\0b"
    assert messages(server.receive(part + ping + rest)) == [b"ab"]
    assert client.receive(said(server)) == [Pong(b"there?")]


def test_a_close_is_confirmed_and_nothing_is_said_after_it() -> None:
    server, client = WebSocket(client=False), WebSocket(client=True)
    client.close(1001, "leaving")
    client.send(b"more")
    assert server.receive(said(client) + b"\x82\x80\0\0\0\0") == [Closed(1001, "leaving")]
    server.send(b"more")
    assert client.receive(said(server)) == [Closed(1001, "")]
    assert client.closed and client.closing and server.closed and server.closing


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc2\x80\0\0\0\0", 1002),  # a reserved bit
        (b"\x82\x01a", 1002),  # not masked
        (b"\x83\x80\0\0\0\0", 1002),  # an opcode that is not in use
        (b"\x09\x80\0\0\0\0", 1002),  # a ping in parts
        (b"\x89\xfe\0\x7e\0\0\0\0", 1002),  # a ping too long
        (b"\x80\x80\0\0\0\0", 1002),  # nothing to continue
        (b"\x02\x80\0\0\0\0\x82\x80\0\0\0\0", 1002),  # a message within a message
        (b"\x82\xfe\0\x01\0\0\0\0", 1002),  # a length with too many bytes
        (b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 1002),  # a length beyond 63 bits
        (b"\x88\x81\0\0\0\0\0", 1002),  # a close with half a code
        (b"\x88\x82\0\0\0\0\x03\xed", 1002),  # 1005 is never sent
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", 1007),  # a reason that is not text
        (b"\x81\x81\0\0\0\0\xff", 1007),  # text that is not UTF-8
        (b"\x81\x81\0\0\0\0\xc3", 1007),  # text that ends within a character
    ],
)
def test_what_breaks_the_protocol_is_refused(data: bytes, code: int) -> None:
    with pytest.raises(WebSocketError) as refused:
        WebSocket(client=False).receive(data)
    assert refused.value.code == code


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=20), st.booleans())
def test_garbage_raises_nothing_but_the_protocols_error(pieces: list[bytes], client: bool) -> None:
    peer = WebSocket(client=client)
    try:
        for piece in pieces:
            peer.receive(piece)
            assert len(peer._incoming) <= 512
    except WebSocketError:
        pass


def request(**headers: str) -> Request:
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/", "/", "", found, b"", None)  # type: ignore[arg-type]


def test_a_handshake_is_checked() -> None:
    good = {"sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==", "sec_websocket_version": "13"}
    assert ("Sec-WebSocket-Protocol", "p") in accept_headers(request(**good), "p")
    for name, value in (("sec_websocket_key", "short"), ("sec_websocket_key", "==="), ("sec_websocket_version", "8")):
        with pytest.raises(BadRequest):
            accept_headers(request(**{**good, name: value}), "")
