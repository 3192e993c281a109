"""Which addresses images may come from."""

from __future__ import annotations

import socket

import pytest

from arktos.vmruntime.images import guard
from arktos.vmruntime.images.faults import Unfit, Unreachable


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "224.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b::a9fe:a9fe"),
    ],
)
def test_refused(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    assert guard.refusal(family, (address, 80) if family == socket.AF_INET else (address, 80, 0, 0))


@pytest.mark.parametrize("address", ["192.0.2.7", "8.8.8.8", "10.200.255.7"])
def test_taken(address: str) -> None:
    assert guard.refusal(socket.AF_INET, (address, 80)) == ""


def test_own_addresses_are_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.7", 9))
        except OSError:
            pytest.skip("this machine has no route, hence no address of its own")
        own = probe.getsockname()[0]
    assert "address of this node" in guard.refusal(socket.AF_INET, (own, 80))


def test_the_address_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves to a public address first, then to loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answers = iter([["127.0.0.1"], ["192.0.2.1", "127.0.0.1"]])
        asked = []

        def resolve(host: str, port: int, **_: object) -> list[object]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in next(answers)]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(guard, "CONNECT_WITHIN", 0.05)
        with pytest.raises(Unfit, match=r"loopback.*--allow-local-images"):
            guard.connect("rebinding.example", port, anywhere=False)
        with pytest.raises(Unreachable):
            guard.connect("rebinding.example", port, anywhere=False)
        assert asked == ["rebinding.example"] * 2
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
