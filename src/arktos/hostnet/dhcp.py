"""DHCP for one client whose address is known beforehand: frames in, frames out. Pure.

RFC 2131 and 2132 (the protocol and its options), RFC 3397 (search list), RFC 3442 (classless routes), RFC 2132 3.3.
The server's own address is link-local, so that nothing in the guest's network is mistaken for it.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from enum import IntEnum

SERVER_ADDRESS = ipaddress.IPv4Address("169.254.254.2")
SERVER_MAC = bytes.fromhex("020000fefe02")

_MAGIC = b"\x63\x82\x53\x63"
_ETHERTYPE_IPV4, _UDP = 0x0800, 17
_SERVER_PORT, _CLIENT_PORT = 67, 68
_BROADCAST_FLAG = 0x8000
_FOREVER = 0xFFFFFFFF
_SMALLEST_BODY = 300
"""BOOTP's; some clients drop shorter answers."""
_OPTION_LIMIT = 255


class Kind(IntEnum):
    """Message types (option 53)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


@dataclass(frozen=True, slots=True)
class Lease:
    """What the client is told. `address` with its prefix; a gateway outside of it is reached by a route to itself."""

    mac: str
    address: ipaddress.IPv4Interface
    gateway: ipaddress.IPv4Address | None = None
    dns: tuple[ipaddress.IPv4Address, ...] = ()
    search: tuple[str, ...] = ()
    mtu: int = 0
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A client's message, as far as we read it."""

    kind: int
    transaction: bytes
    flags: int
    client_address: bytes
    hardware: bytes
    options: dict[int, bytes]


def parse(frame: bytes) -> Question | None:
    """The question in an Ethernet frame; None for whatever is not a well-formed one. Never raises."""
    if len(frame) < 14 + 20 + 8 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4 or frame[23] != _UDP:
        return None
    header = (frame[14] & 0x0F) * 4
    fragment = int.from_bytes(frame[20:22], "big") & 0x3FFF
    udp = 14 + header
    if header < 20 or fragment or frame[udp + 2 : udp + 4] != struct.pack(">H", _SERVER_PORT):
        return None
    body = frame[udp + 8 :]
    if len(body) < 240 or body[0] != 1 or body[1] != 1 or body[2] != 6 or body[236:240] != _MAGIC:
        return None
    options = _options(body[240:])
    if options is None or len(options.get(53, b"")) != 1:
        return None
    return Question(options[53][0], body[4:8], int.from_bytes(body[10:12], "big"), body[12:16], body[28:34], options)


def _options(data: bytes) -> dict[int, bytes] | None:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        if at + 1 >= len(data) or at + 2 + data[at + 1] > len(data):
            return None
        found[data[at]] = found.get(data[at], b"") + data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


def answer(lease: Lease, frame: bytes) -> bytes | None:
    """The frame to send back, None where there is nothing to say: another client's, another server's, or a notice."""
    question = parse(frame)
    if question is None or question.hardware != _mac(lease.mac):
        return None
    ours = question.options.get(54, SERVER_ADDRESS.packed) == SERVER_ADDRESS.packed
    if question.kind == Kind.DISCOVER:
        return _frame(lease, question, Kind.OFFER)
    if question.kind == Kind.REQUEST and ours:
        wanted = question.options.get(50) or question.client_address
        agreed = wanted == lease.address.ip.packed
        return _frame(lease, question, Kind.ACK if agreed else Kind.NAK)
    if question.kind == Kind.INFORM:
        return _frame(lease, question, Kind.ACK)
    return None


def _frame(lease: Lease, question: Question, kind: Kind) -> bytes:
    assigned = kind in (Kind.OFFER, Kind.ACK) and question.kind != Kind.INFORM
    yours = lease.address.ip.packed if assigned else bytes(4)
    given = _option(53, bytes([kind])) + _option(54, SERVER_ADDRESS.packed)
    if kind != Kind.NAK:
        given += _leased(lease, with_time=assigned)
    head = struct.pack(
        ">BBBB4sHH4s4s4s4s16s",
        2, 1, 6, 0, question.transaction, 0, question.flags & _BROADCAST_FLAG,
        question.client_address if question.kind == Kind.INFORM else bytes(4),
        yours, SERVER_ADDRESS.packed, bytes(4), question.hardware + bytes(10),
    )  # fmt: skip
    body = (head + bytes(192) + _MAGIC + given + b"\xff").ljust(_SMALLEST_BODY, b"\0")
    segment = struct.pack(">HHHH", _SERVER_PORT, _CLIENT_PORT, 8 + len(body), 0) + body
    # A client that has its address already may listen on that alone (RFC 2131, 4.1).
    target = question.client_address if any(question.client_address) and kind == Kind.ACK else b"\xff" * 4
    return question.hardware + SERVER_MAC + b"\x08\x00" + _ip_header(len(segment), target) + segment


def _leased(lease: Lease, *, with_time: bool) -> bytes:
    given = _option(51, struct.pack(">I", _FOREVER)) if with_time else b""
    given += _option(1, lease.address.netmask.packed)
    routes = _routes(lease)
    given += _option(121, routes) if routes else b""
    given += _option(3, lease.gateway.packed) if lease.gateway else b""
    given += _option(6, b"".join(server.packed for server in lease.dns)) if lease.dns else b""
    given += _option(26, struct.pack(">H", lease.mtu)) if lease.mtu else b""
    given += _option(12, lease.hostname.encode("ascii", "ignore")) if lease.hostname else b""
    if lease.search:
        given += _option(15, lease.search[0].encode("ascii", "ignore"))
        given += _option(119, b"".join(_labels(name) for name in lease.search))
    return given


def _routes(lease: Lease) -> bytes:
    """Option 121, only where the gateway is off-link. Who takes it ignores option 3, so it has the default, too."""
    if lease.gateway is None or lease.gateway in lease.address.network:
        return b""
    return b"\x20" + lease.gateway.packed + bytes(4) + b"\x00" + lease.gateway.packed


def _labels(name: str) -> bytes:
    parts = [part.encode("ascii", "ignore")[:63] for part in name.strip(".").split(".") if part]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def _option(code: int, value: bytes) -> bytes:
    """One option; a value that is too long for one is split into several of its code (RFC 3396)."""
    pieces = [value[at : at + _OPTION_LIMIT] for at in range(0, len(value), _OPTION_LIMIT)] or [b""]
    return b"".join(bytes([code, len(piece)]) + piece for piece in pieces)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ip_header(length: int, target: bytes) -> bytes:
    without = struct.pack(">BBHHHBBH4s4s", 0x45, 0x10, 20 + length, 0, 0, 64, _UDP, 0, SERVER_ADDRESS.packed, target)
    total = sum(struct.unpack(">10H", without))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return without[:10] + struct.pack(">H", total) + without[12:]
