"""Links, addresses, routes and neighbours of one network namespace, by netlink: no program is started.

    with Links() as links:              # of the caller's namespace
        links.bridge("br0", "10.0.0.1/32")
    with Links("/run/netns/pod") as links:
        links.address("eth0", "10.0.0.2/24")

What is there already is left as it is, what shall go may be gone: all calls can be repeated. A call blocks for less
than a millisecond as a rule; use a thread.

pyroute2 opens a socket anew in each thread that calls it, in whichever namespace that thread is. So every instance
has one thread of its own, which stays in its namespace, and nothing is ever asked from another.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from arktos.hostnet import netns

T = TypeVar("T")

_IPV4 = 2
_MAIN_TABLE = 254
_LINK_SCOPE = 253


class LinkError(OSError):
    """The kernel refused; `errno` says how, the text what was wanted."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link as it is now. `master` is the index of its bridge, or 0; `peer` the index of a veth's other end in
    whichever namespace that is, or 0."""

    index: int
    name: str
    mac: str
    mtu: int
    up: bool
    kind: str
    master: int
    peer: int


@dataclass(frozen=True, slots=True)
class Route:
    """One IPv4 route of the main table. `destination` is in CIDR form, 0.0.0.0/0 for the default route; `gateway` and
    `source` are empty where there is none. `protocol` says who set it, as in /etc/iproute2/rt_protos."""

    destination: str
    gateway: str
    device: str
    protocol: int
    source: str = ""


class Links:
    """A netlink socket in one namespace: the caller's, or the one at a path. Raises `netns.NoNamespace` for a path
    with none; every method raises LinkError."""

    def __init__(self, namespace: str | Path | None = None) -> None:
        self._ip = _Confined(namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._ip.close()

    def get(self, name: str) -> Link | None:
        with _refusals(f"look up {name}"):
            try:
                return _link(self._ip.link("get", ifname=name)[0])
            except NetlinkError as error:
                if error.code == errno.ENODEV:
                    return None
                raise

    def all(self) -> list[Link]:
        with _refusals("list links"):
            return [_link(message) for message in self._ip.get_links()]

    def up(self, name: str) -> None:
        self.change(name, state="up")

    def change(self, name: str, **settings: Any) -> None:
        """Sets attributes in pyroute2's words: `state`, `mtu`, `address`, `master` (an index), `net_ns_fd`, ..."""
        with _refusals(f"change {name}"):
            self._ip.link("set", index=self.index(name), **settings)

    def index(self, name: str) -> int:
        try:
            # One system call, where netlink would tell all about the link.
            return int(self._ip.inside(lambda: socket.if_nametoindex(name)))
        except OSError as error:
            raise LinkError(errno.ENODEV, f"there is no link {name}") from error

    def together(self, function: Callable[[], T]) -> T:
        """What a function gives; within it, calls of this object cost no change of threads."""
        return self._ip.inside(function)

    def remove(self, name: str) -> bool:
        """Takes a link away; false if there was none. The other end of a veth goes with it."""
        try:
            index = self.index(name)
        except LinkError:
            return False
        with _refusals(f"remove {name}"):
            return _gone(lambda: self._ip.link("del", index=index))

    def bridge(self, name: str, *addresses: str, mtu: int = 1500, mac: str = "") -> int:
        """A bridge that is up and has these addresses at least; gives its index. Without spanning tree: it must not
        hold packets back when a port comes. With `mac` its address stays when ports come and go."""
        if self.get(name) is None:
            more = {"address": mac} if mac else {}
            with _refusals(f"add bridge {name}"):
                _fresh(lambda: self._ip.link("add", ifname=name, kind="bridge", br_stp_state=0, mtu=mtu, **more))
        index = self.index(name)
        for address in addresses:
            self.address(name, address)
        self.up(name)
        return index

    def veth(
        self, name: str, peer: str, peer_namespace: str | Path, *, mtu: int, peer_mac: str, master: int = 0
    ) -> None:
        """A veth pair: `name` here, on the bridge whose index is `master`; `peer`, with the MAC address, born in the
        other namespace. Both are down. EEXIST if either name is taken; netns.NoNamespace."""
        with netns.opened(peer_namespace) as other, _refusals(f"add veth {name} with {peer} in {peer_namespace}"):
            self._ip.link(
                "add",
                ifname=name,
                kind="veth",
                mtu=mtu,
                **({"master": master} if master else {}),
                peer={"ifname": peer, "mtu": mtu, "address": peer_mac, "net_ns_fd": other},
            )

    def port(self, name: str, *, hairpin: bool = False, isolated: bool = False, learning: bool = True) -> None:
        """How a bridge treats its port `name`."""
        with _refusals(f"change bridge port {name}"):
            self._ip.brport(
                "set", index=self.index(name), mode=int(hairpin), isolated=int(isolated), learning=int(learning)
            )

    def move(self, name: str, namespace: str | Path, new_name: str = "") -> None:
        """Moves a link to another namespace, where it is down and without addresses."""
        with netns.opened(namespace) as other:
            more = {"ifname": new_name} if new_name else {}
            self.change(name, net_ns_fd=other, **more)

    def address(self, name: str, address: str) -> None:
        """Adds `10.0.0.2/24` to a link."""
        local, _, length = address.partition("/")
        index = self.index(name)
        with _refusals(f"add {address} to {name}"):
            _fresh(lambda: self._ip.addr("add", index=index, address=local, prefixlen=int(length or 32)))

    def addresses(self, name: str) -> list[str]:
        """The IPv4 addresses of a link, `10.0.0.2/24`."""
        index = self.index(name)
        with _refusals(f"list addresses of {name}"):
            messages = self._ip.get_addr(family=_IPV4, index=index)
            return [f"{message.get('local') or message.get('address')}/{message['prefixlen']}" for message in messages]

    def route(
        self,
        destination: str,
        *,
        gateway: str = "",
        device: str = "",
        source: str = "",
        protocol: int = 4,
        onlink: bool = False,
    ) -> None:
        """Sets the route to `10.1.0.0/24`, instead of one that was there. `protocol` marks whose it is (4: static);
        with `onlink` the gateway need not be in a network of the device. ENETUNREACH if the gateway is unknown."""
        with _refusals(f"set the route to {destination}"):
            self._ip.route("replace", **self._route(destination, gateway, device, source, protocol, onlink))

    def remove_route(self, destination: str, *, device: str = "") -> bool:
        """False if there was none."""
        try:
            settings = self._route(destination, "", device, "", None, False)
        except LinkError:
            return False
        with _refusals(f"remove the route to {destination}"):
            return _gone(lambda: self._ip.route("del", **settings))

    def routes(self, protocol: int | None = None) -> list[Route]:
        """The IPv4 routes of the main table, those with a protocol number only if it is given."""
        names = {link.index: link.name for link in self.all()}
        more = {} if protocol is None else {"proto": protocol}
        with _refusals("list routes"):
            messages = list(self._ip.get_routes(family=_IPV4, table=_MAIN_TABLE, **more))
        return [_route(message, names) for message in messages]

    def neighbour(self, name: str, address: str, mac: str) -> None:
        """A permanent neighbour entry."""
        index = self.index(name)
        with _refusals(f"set neighbour {address} on {name}"):
            self._ip.neigh("replace", ifindex=index, dst=address, lladdr=mac, nud="permanent")

    def remove_neighbour(self, name: str, address: str) -> bool:
        index = self.index(name)
        with _refusals(f"remove neighbour {address} from {name}"):
            return _gone(lambda: self._ip.neigh("del", ifindex=index, dst=address))

    def shape(self, name: str, bits_per_second: int, burst_bytes: int) -> None:
        """Holds what leaves through the link to a rate, by a token bucket that replaces the link's queue."""
        index = self.index(name)
        with _refusals(f"shape {name}"):
            self._ip.tc("replace", "tbf", index, 0x10000, rate=bits_per_second // 8, burst=burst_bytes, latency="25ms")

    def sysctl(self, name: str, value: str) -> str:
        """Sets `net/ipv4/ip_forward` in the namespace, if it differs, and gives what it was. LinkError where the kernel
        has no such setting, ENOENT, or does not take the value."""
        return str(self._ip.inside(lambda: _set_sysctl(name, value)))

    def _route(
        self, destination: str, gateway: str, device: str, source: str, protocol: int | None, onlink: bool
    ) -> dict[str, Any]:
        wanted: dict[str, Any] = {"dst": destination, "family": _IPV4, "table": _MAIN_TABLE}
        if device:
            wanted["oif"] = self.index(device)
        if gateway:
            wanted["gateway"] = gateway
        elif device:
            wanted["scope"] = _LINK_SCOPE
        if source:
            wanted["prefsrc"] = source
        if protocol is not None:
            wanted["proto"] = protocol
        if onlink:
            wanted["flags"] = ["onlink"]
        return wanted


class _Confined:
    """IPRoute whose every call is made in one thread, which is in the namespace and never leaves it."""

    def __init__(self, namespace: str | Path | None) -> None:
        self._thread = ThreadPoolExecutor(1, "netlink")
        try:
            if namespace is not None:
                self._thread.submit(netns.enter, namespace).result()
            self._ident = self._thread.submit(threading.get_ident).result()
            self._route: Any = self._thread.submit(IPRoute).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def __getattr__(self, name: str) -> Callable[..., list[Any]]:
        method = getattr(self._route, name)
        return lambda *positional, **named: self.inside(lambda: list(method(*positional, **named) or ()))

    def inside(self, function: Callable[[], T]) -> T:
        """What a function gives when called in the thread."""
        if threading.get_ident() == self._ident:
            return function()
        return self._thread.submit(function).result()

    def close(self) -> None:
        self._thread.submit(self._route.close).result()
        self._thread.shutdown()


def _set_sysctl(name: str, value: str) -> str:
    path = Path("/proc/sys") / name
    try:
        before = path.read_text().strip()
        if before != value:
            path.write_text(value)
    except OSError as error:
        raise LinkError(error.errno, f"cannot set {name} to {value}: {error.strerror}") from error
    return before


def _link(message: Any) -> Link:
    info = message.get("linkinfo")
    return Link(
        index=message["index"],
        name=message.get("ifname"),
        mac=message.get("address") or "",
        mtu=message.get("mtu") or 0,
        up=message.get("state") == "up",
        kind=(info.get("kind") if info else "") or "",
        master=message.get("master") or 0,
        peer=message.get("link") or 0,
    )


def _route(message: Any, names: dict[int, str]) -> Route:
    destination = message.get("dst") or "0.0.0.0"
    return Route(
        f"{destination}/{message['dst_len']}",
        message.get("gateway") or "",
        names.get(message.get("oif") or 0, ""),
        message["proto"],
        message.get("prefsrc") or "",
    )


@contextmanager
def _refusals(wanted: str) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        raise LinkError(error.code, f"cannot {wanted}: {error.args[1] if len(error.args) > 1 else error}") from error


def _fresh(change: Callable[[], Iterable[Any]]) -> None:
    """Adds what may be there already."""
    try:
        change()
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise


def _gone(change: Callable[[], Iterable[Any]]) -> bool:
    """Removes what may be gone already."""
    try:
        change()
    except NetlinkError as error:
        if error.code in (errno.ENODEV, errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL):
            return False
        raise
    return True
