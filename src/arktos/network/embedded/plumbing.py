"""Bridges, veth pairs and routes of pods. Blocks; call it in threads, from several at once if you like.

Every call makes things so, whatever is there already: half of it, all of it, or none.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network

from arktos.hostnet import netns
from arktos.hostnet.links import LinkError, Links
from arktos.network.embedded.records import Record, short
from arktos.network.embedded.rules import BRIDGE_PREFIX, PORT_PREFIX, bridge_name

ROUTES = 171
"""The protocol number that marks our routes (`ip route show proto 171`)."""
_USUAL_MTU = 1500


class Plumbing:
    """The links of one node, in the namespace of the caller."""

    def __init__(self, network: IPv4Network, mtu: int) -> None:
        self.mtu = mtu
        self._gateway = str(network.network_address + 1)
        self._length = network.prefixlen
        self._links = Links()

    def close(self) -> None:
        self._links.close()

    def bridge(self, tenant: str) -> int:
        """The tenant's bridge, made if need be; its index."""
        name = bridge_name(tenant)
        found = self._links.get(name)
        if found is not None and found.up:
            return found.index
        index = self._links.bridge(name, f"{self._gateway}/32", mtu=self.mtu, mac=_mac("bridge", tenant))
        # So that what the node itself sends to 127.0.0.1:hostPort can be led to a pod.
        self._links.sysctl(f"net/ipv4/conf/{name}/route_localnet", "1")
        with suppress(LinkError):
            self._links.sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")
        return index

    def remove_bridge(self, name: str) -> None:
        self._links.remove(name)

    def attach(self, record: Record) -> None:
        """Everything of one interface, the tenant's bridge too. Raises LinkError, netns.NoNamespace."""
        self._links.together(lambda: self._attach(record))

    def _attach(self, record: Record) -> None:
        bridge = bridge_name(record.pod.tenant)
        index = self.bridge(record.pod.tenant)
        self._links.remove(record.host_ifname)
        self._links.veth(
            record.host_ifname,
            record.ifname,
            record.netns,
            mtu=self.mtu,
            peer_mac=record.mac,
            master=index,
        )
        try:
            self._links.port(record.host_ifname, hairpin=True)
            with suppress(LinkError):
                self._links.sysctl(f"net/ipv6/conf/{record.host_ifname}/disable_ipv6", "1")
            self._links.up(record.host_ifname)
            self._inside(record)
            self._links.route(f"{record.address}/32", device=bridge, source=self._gateway, protocol=ROUTES)
        except BaseException:
            with suppress(LinkError):
                self._links.remove(record.host_ifname)
            raise

    def _inside(self, record: Record) -> None:
        with Links(record.netns) as inside:
            inside.together(lambda: self._furnish(record, inside))

    def _furnish(self, record: Record, inside: Links) -> None:
        # The address may have been another's: whoever still knows that one's MAC is told.
        inside.sysctl(f"net/ipv4/conf/{record.ifname}/arp_notify", "1")
        inside.up("lo")
        inside.address(record.ifname, f"{record.address}/{self._length}")
        inside.up(record.ifname)
        inside.route("0.0.0.0/0", gateway=self._gateway, device=record.ifname)

    def detach(self, record: Record) -> None:
        """Takes it away, whatever of it is there. Raises LinkError."""
        self._links.together(lambda: self._detach(record))

    def _detach(self, record: Record) -> None:
        bridge = bridge_name(record.pod.tenant)
        self._links.remove_route(f"{record.address}/32", device=bridge)
        self._links.remove(record.host_ifname)
        with suppress(LinkError):
            self._links.remove_neighbour(bridge, record.address)

    def flaws(self, record: Record) -> list[str]:
        """What is not as `attach` left it."""
        found: list[str] = []
        bridge = self._links.get(bridge_name(record.pod.tenant))
        port = self._links.get(record.host_ifname)
        if bridge is None or not bridge.up:
            found.append(f"the tenant's bridge {bridge_name(record.pod.tenant)} is not up")
        if port is None or not port.up:
            found.append(f"the host's end {record.host_ifname} is not up")
        elif bridge is not None and port.master != bridge.index:
            found.append(f"{record.host_ifname} is not on {bridge.name}")
        if not any(route.destination == f"{record.address}/32" for route in self._links.routes(ROUTES)):
            found.append(f"there is no route to {record.address}")
        try:
            with Links(record.netns) as inside:
                own = inside.get(record.ifname)
                if own is None or not own.up:
                    found.append(f"{record.ifname} is not up in the sandbox")
                elif own.mac != record.mac:
                    found.append(f"{record.ifname} has another MAC, {own.mac}")
                elif f"{record.address}/{self._length}" not in inside.addresses(record.ifname):
                    found.append(f"{record.ifname} does not have {record.address}/{self._length}")
                elif not any(route.gateway == self._gateway for route in inside.routes()):
                    found.append(f"the sandbox has no route by {self._gateway}")
        except netns.NoNamespace as error:
            found.append(str(error))
        return found

    def alive(self, record: Record) -> bool:
        """Whether the sandbox and its port are there."""
        return netns.exists(record.netns) and self._links.get(record.host_ifname) is not None

    def restore(self, records: Iterable[Record]) -> None:
        """After a restart: bridges, ports and routes of these records, and none else that is ours."""
        records = list(records)
        wanted = {bridge_name(record.pod.tenant) for record in records} | {record.host_ifname for record in records}
        for link in self._links.all():
            ours = link.kind == "bridge" and link.name.startswith(BRIDGE_PREFIX)
            ours = ours or (link.kind == "veth" and link.name.startswith(PORT_PREFIX))
            if ours and link.name not in wanted:
                self._links.remove(link.name)
        bridges = {record.pod.tenant: self.bridge(record.pod.tenant) for record in records}
        for record in records:
            port = self._links.get(record.host_ifname)
            if port is not None and (port.master != bridges[record.pod.tenant] or not port.up):
                self._links.change(record.host_ifname, master=bridges[record.pod.tenant], state="up")
        self._restore_routes(records)

    def _restore_routes(self, records: list[Record]) -> None:
        wanted = {f"{record.address}/32": bridge_name(record.pod.tenant) for record in records}
        present = {
            route.destination: route.device for route in self._links.routes(ROUTES) if route.destination.endswith("/32")
        }
        for destination, device in present.items():
            if wanted.get(destination) != device:
                self._links.remove_route(destination, device=device)
        for destination, device in wanted.items():
            if present.get(destination) != device:
                self._links.route(destination, device=device, source=self._gateway, protocol=ROUTES)

    def peers(self, wanted: dict[str, str]) -> dict[str, str]:
        """Sets the routes to other nodes' pods, network to the node's address, and removes those that nobody wants.
        Gives the networks that could not be reached, and why."""
        present = {
            route.destination: route.gateway
            for route in self._links.routes(ROUTES)
            if route.gateway and not route.destination.endswith("/32")
        }
        for destination in present.keys() - wanted.keys():
            self._links.remove_route(destination)
        failed: dict[str, str] = {}
        for destination, gateway in wanted.items():
            if present.get(destination) == gateway:
                continue
            try:
                self._links.route(destination, gateway=gateway, protocol=ROUTES)
            except LinkError as error:
                # The old way leads to whoever has that address now.
                self._links.remove_route(destination)
                failed[destination] = error.strerror or str(error)
        return failed

    def shape(self, record: Record, ingress: int, egress: int) -> None:
        """Bits per second to and from the pod; 0 is no limit."""
        if ingress:
            self._links.shape(record.host_ifname, ingress, _burst(ingress))
        if egress:
            with Links(record.netns) as inside:
                inside.shape(record.ifname, egress, _burst(egress))


def uplink_mtu(node_ip: str) -> int:
    """The MTU of the link that has the node's address."""
    with Links() as links:
        for link in links.all():
            if link.name != "lo" and any(found.partition("/")[0] == node_ip for found in links.addresses(link.name)):
                return link.mtu
    return _USUAL_MTU


def port_name(container_id: str, ifname: str) -> str:
    return PORT_PREFIX + short(container_id, ifname, length=11)


def _burst(bits: int) -> int:
    """A tenth of a second's worth, for timers that are not exact; enough for one large segment at least."""
    return max(bits // 80, 1 << 16)


def _mac(*parts: str) -> str:
    digits = short(*parts, length=10)
    return "02:" + ":".join(digits[at : at + 2] for at in range(0, 10, 2))
