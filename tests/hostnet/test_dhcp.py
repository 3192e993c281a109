"""DHCP: what a guest asks, what it is told; and the responder behind a real tap."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import struct
import subprocess
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.hostnet import netns, tap
from arktos.hostnet.dhcp import SERVER_ADDRESS, Kind, Lease, answer, parse
from arktos.hostnet.dhcp_server import DhcpResponder

MAC = "02:00:00:00:00:07"
LEASE = Lease(
    MAC,
    ipaddress.IPv4Interface("10.1.2.3/24"),
    ipaddress.IPv4Address("10.1.2.1"),
    (ipaddress.IPv4Address("10.96.0.10"),),
    ("default.svc.cluster.local", "cluster.local"),
    1400,
    "web",
)


def question(kind: Kind, mac: str = MAC, *, wanted: str = "", server: str = "", client: str = "0.0.0.0") -> bytes:
    hardware = bytes.fromhex(mac.replace(":", ""))
    options = bytes([53, 1, kind])
    options += bytes([50, 4]) + socket.inet_aton(wanted) if wanted else b""
    options += bytes([54, 4]) + socket.inet_aton(server) if server else b""
    body = struct.pack(
        ">BBBB4sHH4s4s4s4s16s192s",
        1,
        1,
        6,
        0,
        b"xid!",
        0,
        0x8000,
        socket.inet_aton(client),
        b"",
        b"",
        b"",
        hardware,
        b"",
    )
    body += b"\x63\x82\x53\x63" + options + b"\xff"
    segment = struct.pack(">HHHH", 68, 67, 8 + len(body), 0) + body
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    return b"\xff" * 6 + hardware + b"\x08\x00" + header + segment


def told(frame: bytes | None) -> dict[int, bytes]:
    """The options of an answer; it is an answer to our question."""
    assert frame is not None
    assert frame[42] == 2 and frame[46:50] == b"xid!" and frame[34:38] == struct.pack(">HH", 67, 68)
    assert sum(struct.unpack(">10H", frame[14:34])) % 0xFFFF == 0
    options, at = {}, 42 + 240
    while frame[at] != 255:
        options[frame[at]] = options.get(frame[at], b"") + frame[at + 2 : at + 2 + frame[at + 1]]
        at += 2 + frame[at + 1]
    return options


def test_a_guest_gets_what_its_sandbox_has() -> None:
    offer = answer(LEASE, question(Kind.DISCOVER))
    options = told(offer)
    assert offer is not None and offer[58:62] == socket.inet_aton("10.1.2.3")
    assert options[53] == bytes([Kind.OFFER])
    assert options[1] == socket.inet_aton("255.255.255.0")
    assert options[3] == socket.inet_aton("10.1.2.1")
    assert options[6] == socket.inet_aton("10.96.0.10")
    assert options[26] == struct.pack(">H", 1400)
    assert (options[12], options[15]) == (b"web", b"default.svc.cluster.local")
    assert options[119] == b"\x07default\x03svc\x07cluster\x05local\x00\x07cluster\x05local\x00"
    assert 121 not in options
    acknowledged = told(answer(LEASE, question(Kind.REQUEST, wanted="10.1.2.3", server=str(SERVER_ADDRESS))))
    assert acknowledged[53] == bytes([Kind.ACK])
    assert told(answer(LEASE, question(Kind.REQUEST, client="10.1.2.3")))[53] == bytes([Kind.ACK])


def test_a_gateway_off_the_link_is_reached_by_a_route() -> None:
    lease = Lease(MAC, ipaddress.IPv4Interface("10.1.2.3/32"), ipaddress.IPv4Address("169.254.1.1"))
    routes = told(answer(lease, question(Kind.DISCOVER)))[121]
    gateway = socket.inet_aton("169.254.1.1")
    assert routes == b"\x20" + gateway + bytes(4) + b"\x00" + gateway


def test_another_address_is_refused_and_others_are_left_alone() -> None:
    refused = told(answer(LEASE, question(Kind.REQUEST, wanted="10.1.2.99")))
    assert refused[53] == bytes([Kind.NAK]) and set(refused) == {53, 54}
    assert answer(LEASE, question(Kind.DISCOVER, "02:00:00:00:00:08")) is None
    assert answer(LEASE, question(Kind.REQUEST, wanted="10.1.2.3", server="10.1.2.254")) is None
    assert answer(LEASE, question(Kind.RELEASE)) is None
    informed = answer(LEASE, question(Kind.INFORM, client="10.1.2.3"))
    assert 51 not in told(informed) and informed is not None and informed[58:62] == bytes(4)


@given(st.binary(max_size=400), st.integers(0, 330), st.binary(max_size=8))
def test_rubbish_is_no_question(noise: bytes, place: int, patch: bytes) -> None:
    parse(noise)
    frame = question(Kind.DISCOVER)
    answer(LEASE, frame[:place] + patch + frame[place + len(patch) :])
    answer(LEASE, frame[:place])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces and taps")
async def test_a_guest_behind_a_tap() -> None:
    """In the guest's place a tap's own descriptor: it is answered, its question goes nowhere else, other frames pass
    both ways."""
    name = f"dhcptest-{os.getpid()}-{os.urandom(3).hex()}"
    outer, path = f"v{os.urandom(4).hex()}", netns.create(name)
    try:
        await asyncio.to_thread(_connect, outer, name)
        nic = await asyncio.to_thread(tap.join, path, "eth0", "tap0")
        assert await asyncio.to_thread(tap.join, path, "eth0", "tap0") == nic == tap.Nic("tap0", MAC, 1400)
        assert "10.1.2.3" not in await asyncio.to_thread(_ip, "-n", name, "addr", "show", "eth0")
        guest = tap.open_tap(path, "tap0")
        os.set_blocking(guest, False)
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        wire.bind((outer, 3))
        wire.setblocking(False)
        responder = await DhcpResponder.open(str(path), "tap0", LEASE)
        try:
            prefix = bytes(10)  # The virtio header of a tap with IFF_VNET_HDR.
            os.write(guest, prefix + question(Kind.DISCOVER))
            assert told(await _next(guest, lambda frame: frame[36:38] == b"\x00\x44", 10))[53] == bytes([Kind.OFFER])
            assert responder.answered == 1
            hello = b"\xff" * 6 + bytes.fromhex("020000000007") + b"\x88\xb5" + b"hello".ljust(46, b"\0")
            os.write(guest, prefix + hello)
            heard = []
            async with asyncio.timeout(10):
                while hello not in heard:
                    with suppress(BlockingIOError):
                        heard.append(wire.recv(2048))
                    await asyncio.sleep(0)
            assert not any(parse(frame) for frame in heard)
            wire.send(hello)
            assert await _next(guest, lambda frame: frame == hello, 10) == hello
            assert responder.answered == 1
        finally:
            responder.close()
            responder.close()
            wire.close()
            os.close(guest)
    finally:
        netns.remove(path)
    assert not netns.exists(path)


async def _next(descriptor: int, wanted: object, seconds: float) -> bytes:
    assert callable(wanted)
    async with asyncio.timeout(seconds):
        while True:
            with suppress(BlockingIOError):
                frame = os.read(descriptor, 4096)[10:]
                if wanted(frame):
                    return frame
            await asyncio.sleep(0)


def _connect(outer: str, name: str) -> None:
    """A pair of interfaces as a CNI plugin leaves it: one here, one with an address in the namespace."""
    _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("link", "set", outer, "up")
    _ip("-n", name, "link", "set", "eth0", "address", MAC, "mtu", "1400", "up")
    _ip("-n", name, "addr", "add", "10.1.2.3/24", "dev", "eth0")


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
