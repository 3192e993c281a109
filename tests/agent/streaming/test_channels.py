"""Channels of a WebSocket: which message is of which stream."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.agent.streaming.channels import COMMANDS, Demultiplexer, Part, choose, message, report
from arktos.agent.streaming.paths import Target, rights, target
from arktos.wire import json
from arktos.wire.remotecommand import exit_status
from arktos.wire.websocket import Piece, WebSocketError

BY_NAME = {protocol.name: protocol for protocol in COMMANDS}
V5, V4, BASE64 = BY_NAME["v5.channel.k8s.io"], BY_NAME["v4.channel.k8s.io"], BY_NAME["base64.channel.k8s.io"]


def pieces(data: bytes, cut: int) -> list[Piece]:
    parts = [data[at : at + cut] for at in range(0, len(data), cut)] or [b""]
    return [Piece(part, False, n == 0, n == len(parts) - 1) for n, part in enumerate(parts)]


@given(st.binary(max_size=100), st.integers(1, 20), st.integers(0, 4))
def test_a_message_is_of_one_channel_however_it_is_cut(data: bytes, cut: int, channel: int) -> None:
    for protocol in (V5, V4, BASE64):
        sent, text = message(protocol, channel, data)
        assert text == protocol.base64
        demultiplexer = Demultiplexer(protocol)
        found = [part for piece in pieces(sent, cut) if (part := demultiplexer.take(piece))]
        assert b"".join(part.data for part in found) == data
        assert {part.channel for part in found} <= {channel}


@pytest.mark.parametrize("cut", [1, 2])
def test_v5_closes_a_channel_and_v4_does_not(cut: int) -> None:
    def found(protocol: object) -> list[Part]:
        demultiplexer = Demultiplexer(protocol)  # type: ignore[arg-type]
        return [part for piece in pieces(b"\xff\x00", cut) if (part := demultiplexer.take(piece))]

    assert found(V5) == [Part(0, b"", True)]
    assert not any(part.ended for part in found(V4))


def test_base64_that_is_none_is_refused() -> None:
    for wrong in (b"x" + base64.b64encode(b"a"), b"0abc"):
        with pytest.raises(WebSocketError):
            Demultiplexer(BASE64).take(Piece(wrong, True, True, True))
    with pytest.raises(WebSocketError):
        Demultiplexer(BASE64).take(Piece(b"0" + b"A" * (2 << 20), True, True, False))


def test_the_clients_order_decides() -> None:
    assert choose(["v9", "v4.channel.k8s.io", "v5.channel.k8s.io"], COMMANDS) == V4
    assert choose(["v9"], COMMANDS) is None
    assert choose([], COMMANDS) == BY_NAME[""]


def test_the_end_is_told_as_the_protocol_tells_it() -> None:
    success, failure = json.encode(exit_status(0)), json.encode(exit_status(7))
    assert report(V4, failure) == failure
    assert report(BASE64, success) == b""
    assert b"exit status 7" in report(BASE64, failure)


def test_paths_have_a_tenant_or_mean_system() -> None:
    assert target("/exec/acme/ns/p/c") == Target("exec", "acme", "ns", "p", "c")
    assert target("/exec/ns/p/c") == Target("exec", "system", "ns", "p", "c")
    assert target("/portForward/ns/p") == Target("portForward", "system", "ns", "p")
    for none in ("/exec/ns/p", "/exec//p/c", "/portForward/a/b/c/d", "/pods", "/", "/exec"):
        assert target(none) is None


def test_rights_are_kubelets_but_a_command_is_no_reading() -> None:
    assert rights("GET", "/exec/ns/p/c") == ("create", ("proxy",))
    assert rights("GET", "/containerLogs/ns/p/c") == ("get", ("proxy",))
    assert rights("GET", "/stats/summary") == ("get", ("stats",))
    assert rights("GET", "/metrics/resource") == ("get", ("metrics",))
    assert rights("GET", "/healthz") == ("get", ("healthz", "proxy"))
