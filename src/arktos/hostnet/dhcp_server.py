"""The DHCP responder of one tap: hears only the guest behind it, and answers only that guest."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct

from arktos.hostnet import netns
from arktos.hostnet.dhcp import Lease, answer

_ETH_P_ALL = 0x0003
_SO_ATTACH_FILTER = 26
_LARGEST_FRAME = 2048
_AT_ONCE = 16

# Classic BPF: frames that come in (packet type below 4), IPv4, UDP, no fragment, to port 67. Without it every frame of
# the guest would wake this process.
_FILTER = (
    (0x20, 0, 0, 0xFFFFF004),
    (0x15, 9, 0, 4),
    (0x28, 0, 0, 12),
    (0x15, 0, 7, 0x0800),
    (0x30, 0, 0, 23),
    (0x15, 0, 5, 17),
    (0x28, 0, 0, 20),
    (0x45, 3, 0, 0x3FFF),
    (0xB1, 0, 0, 14),
    (0x48, 0, 0, 16),
    (0x15, 1, 0, 67),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, _LARGEST_FRAME),
)


def _attach_filter(listener: socket.socket) -> None:
    program = b"".join(struct.pack("HBBI", *step) for step in _FILTER)
    kept = ctypes.create_string_buffer(program)
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_FILTER), ctypes.addressof(kept)))


def _listener(interface: str) -> socket.socket:
    # ETH_P_ALL: frames of a device whose ingress is redirected by tc are shown to nobody else. The protocol is 0 until
    # the filter is there, so that nothing slips in before.
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        listener.setblocking(False)
        _attach_filter(listener)
        listener.bind((interface, _ETH_P_ALL))
    except BaseException:
        listener.close()
        raise
    return listener


class DhcpResponder:
    """Answers on one interface of one network namespace while it is open. `answered` counts the frames sent."""

    def __init__(self, lease: Lease, listener: socket.socket) -> None:
        self.lease = lease
        self.answered = 0
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(listener.fileno(), self._heard)

    @classmethod
    async def open(cls, netns_path: str, interface: str, lease: Lease) -> DhcpResponder:
        """Raises OSError where the namespace or the interface is not there."""
        return cls(lease, await asyncio.to_thread(netns.run_in, netns_path, lambda: _listener(interface)))

    def close(self) -> None:
        """Idempotent."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()

    def _heard(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                frame = self._listener.recv(_LARGEST_FRAME)
            except BlockingIOError:
                return
            except OSError:
                # The interface went away or down; a later one gets a responder of its own.
                self.close()
                return
            said = answer(self.lease, frame)
            if said is None:
                continue
            try:
                self._listener.send(said)
                self.answered += 1
            except OSError:
                return
