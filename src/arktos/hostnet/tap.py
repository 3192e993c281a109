"""A guest in the place of a container: a tap in the pod's network namespace, joined to the interface that CNI made.

Every frame that reaches the interface is handed to the tap and the other way round (tc redirection at both ingresses),
so the guest has the interface's MAC, and the address that moved to it is the guest's alone. DHCP of the guest ends at
the tap. Taps are persistent: they stay, with the redirection, while machines come and go, and end with the namespace.

Everything here blocks for milliseconds; call it in a thread.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from arktos.hostnet import netns

_TUN = "/dev/net/tun"
_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_INGRESS = 0xFFFF0000
_ETH_P_ALL = 0x0003
_NO_CLASS = 0x10000
_EVERY_FRAME = ("0x0/0x0+0",)
_DHCP_QUESTIONS = ("0x45/0xff+0", "0x11/0xff+9", "0x43/0xffff+22")
"""IPv4 without options, UDP, to port 67. A question with options in its IP header may be heard elsewhere, too."""
_BEFORE, _REST = 10, 20
"""Priorities of filters: the lower is asked first."""


@dataclass(frozen=True, slots=True)
class Nic:
    """What a guest needs to know of its interface."""

    tap: str
    mac: str
    mtu: int


def open_tap(netns_path: str | Path, name: str) -> int:
    """A descriptor of the tap, made if it is not there, for a QEMU to inherit. Raises OSError; EBUSY while another
    process has it open."""

    def opened() -> int:
        descriptor = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
        try:
            flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
            fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    return netns.run_in(netns_path, opened)


def join(netns_path: str | Path, interface: str, tap: str) -> Nic:
    """Joins an interface and a tap, both ways, and takes the interface's addresses from it. Idempotent.

    Raises OSError, which a missing interface is, too.
    """
    os.close(open_tap(netns_path, tap))
    try:
        return netns.run_in(netns_path, lambda: _join(interface, tap))
    except NetlinkError as error:
        raise OSError(error.code, f"joining {tap} to {interface}: {os.strerror(error.code)}") from error


def _join(interface: str, tap: str) -> Nic:
    _keep_quiet(interface)
    _keep_quiet(tap)
    with IPRoute() as ip:
        outer, inner = _index(ip, interface), _index(ip, tap)
        link = ip.get_links(outer)[0]
        mac, mtu = str(link.get_attr("IFLA_ADDRESS")), int(link.get_attr("IFLA_MTU"))
        ip.flush_addr(index=outer)
        ip.link("set", index=inner, mtu=mtu)
        for index in (outer, inner):
            ip.link("set", index=index, state="up")
            _fresh_ingress(ip, index)
        # To the loopback device, where nobody listens: not every kernel has an action that drops.
        _redirect(ip, inner, _index(ip, "lo"), keys=_DHCP_QUESTIONS, prio=_BEFORE)
        _redirect(ip, outer, inner)
        _redirect(ip, inner, outer)
    return Nic(tap, mac, mtu)


def _keep_quiet(interface: str) -> None:
    """Without it the kernel would announce link-local IPv6 addresses of its own on the guest's segment."""
    try:
        Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6").write_text("1")
    except FileNotFoundError:
        return


def _index(ip: IPRoute, name: str) -> int:
    found = ip.link_lookup(ifname=name)
    if not found:
        raise OSError(errno.ENODEV, f"there is no interface {name}")
    return int(found[0])


def _fresh_ingress(ip: IPRoute, index: int) -> None:
    try:
        ip.tc("del", "ingress", index, _INGRESS)
    except NetlinkError as error:
        if error.code not in (errno.ENOENT, errno.EINVAL):
            raise
    ip.tc("add", "ingress", index, _INGRESS)


def _redirect(ip: IPRoute, source: int, target: int, *, keys: Sequence[str] = _EVERY_FRAME, prio: int = _REST) -> None:
    ip.tc(
        "add-filter",
        "u32",
        source,
        parent=_INGRESS,
        prio=prio,
        protocol=_ETH_P_ALL,
        target=_NO_CLASS,
        keys=list(keys),
        action={"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": target},
    )
