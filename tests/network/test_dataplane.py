"""What packets do on a node with pods of several tenants, by real packets."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Callable

import pytest

from arktos.network.provider import NetworkFailure, PortMapping
from network.stage import DNS, Node, Pod, Stage

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_tenants_with_equal_names_are_apart_and_each_within_itself_together(stage: Stage) -> None:
    node = stage.node()
    red1, red2 = node.pod("red", "web"), node.pod("red", "db")
    blue1, blue2 = node.pod("blue", "web"), node.pod("blue", "db")
    assert len({pod.address for pod in (red1, red2, blue1, blue2)}) == 4
    assert red1.space.pings(red2.address) and red2.space.pings(red1.address)
    assert blue1.space.pings(blue2.address)
    for one, other in ((red1, blue1), (blue1, red1), (red2, blue2), (blue2, red2)):
        assert not one.space.pings(other.address)
    with red1.space.listen(red1.address, 8080):
        assert red2.space.connects(red1.address, 8080) == red2.address
        # Past ARP, too: by the gateway, as a routed packet.
        _via_gateway(blue1, red1.address)
        assert blue1.space.connects(red1.address, 8080) == ""


def _via_gateway(pod: Pod, address: str) -> None:
    assert pod.space.command("ip", "route", "add", f"{address}/32", "via", pod.attached.gateway).returncode == 0


def test_an_address_that_a_tenant_claims_does_not_become_its_own(stage: Stage) -> None:
    node = stage.node()
    red, blue = node.pod("red", "a"), node.pod("blue", "a")
    node.network.state.addresses = {"red": {blue.address}, "blue": {red.address}}
    node.call(node.network.nft.apply())
    _via_gateway(red, blue.address)
    _via_gateway(blue, red.address)
    assert not red.space.pings(blue.address) and not blue.space.pings(red.address)


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _udp(source_mac: str, target_mac: str, source: str, target: str, port: int, payload: bytes) -> bytes:
    def mac(text: str) -> bytes:
        return bytes.fromhex(text.replace(":", ""))

    udp = struct.pack("!HHHH", 4000, port, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 7, 0, 64, 17, 0)
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    total = _checksum(head + addresses)
    head = head[:10] + struct.pack("!H", total)
    return mac(target_mac) + mac(source_mac) + b"\x08\x00" + head + addresses + udp


def _mac(node: Node, name: str) -> str:
    return str(re.search(r"link/ether (\S+)", node.command("ip", "link", "show", name).stdout)[1])  # type: ignore[index]


def test_spoofed_frames_go_nowhere(stage: Stage) -> None:
    node = stage.node()
    red, mate, blue = node.pod("red", "a"), node.pod("red", "b"), node.pod("blue", "a")
    third = node.pod("red", "c")
    red_bridge = next(name for name in node.links() if name.startswith("ark-") and _is_master(node, name, red))
    gateway = _mac(node, red_bridge)
    with mate.space.udp(mate.address, 5000) as heard, blue.space.udp(blue.address, 5000) as other_heard:
        spoofs = [
            _udp(red.attached.mac, mate.attached.mac, third.address, mate.address, 5000, b"address of a mate"),
            _udp("02:00:00:00:00:77", mate.attached.mac, red.address, mate.address, 5000, b"another mac"),
            _udp(third.attached.mac, mate.attached.mac, third.address, mate.address, 5000, b"all of a mate"),
            _udp(red.attached.mac, gateway, blue.address, blue.address, 5000, b"address of the other tenant"),
            _udp(red.attached.mac, gateway, "192.168.50.99", blue.address, 5000, b"address of the outside"),
            _udp(red.attached.mac, gateway, "127.0.0.1", blue.address, 5000, b"loopback"),
            _udp(red.attached.mac, gateway, node.fixed.gateway, blue.address, 5000, b"the gateway"),
            _udp(red.attached.mac, gateway, red.address, blue.address, 5000, b"own, to the other tenant"),
        ]
        for frame in spoofs:
            red.space.send_frame("eth0", frame)
        # What is true comes through, and nothing that was sent before it.
        red.space.send_frame(
            "eth0", _udp(red.attached.mac, mate.attached.mac, red.address, mate.address, 5000, b"true")
        )
        assert heard.recvfrom(100) == (b"true", (red.address, 4000))
        with node.udp() as host:
            host.sendto(b"probe", (blue.address, 5000))
        assert other_heard.recv(100) == b"probe"


def _is_master(node: Node, bridge: str, pod: Pod) -> bool:
    return pod.attached.host_ifname in node.command("ip", "link", "show", "master", bridge).stdout


def test_arp_cannot_be_poisoned(stage: Stage) -> None:
    node = stage.node()
    red, mate, third = node.pod("red", "a"), node.pod("red", "b"), node.pod("red", "c")
    assert mate.space.pings(third.address)
    claim = bytes.fromhex(red.attached.mac.replace(":", ""))
    body = claim + socket.inet_aton(third.address) + bytes(6) + socket.inet_aton(mate.address)
    red.space.send_frame("eth0", b"\xff" * 6 + claim + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + body)
    assert red.space.pings(mate.address)
    shown = mate.space.command("ip", "neigh", "show", third.address).stdout
    assert third.attached.mac in shown and red.attached.mac not in shown


def test_the_outside_is_reached_by_the_nodes_address_and_link_local_is_refused(stage: Stage) -> None:
    node = stage.node()
    red = node.pod("red", "a")
    with stage.outside.listen("192.168.50.99", 80) as listener:
        assert red.space.connects("192.168.50.99", 80) == red.address
        listener.settimeout(5)
        assert listener.accept()[1][0] == node.address
        stage.outside.command("ip", "addr", "add", "169.254.169.254/32", "dev", "lo")
        with stage.outside.listen("169.254.169.254", 80):
            assert node.connects("169.254.169.254", 80)
            assert red.space.connects("169.254.169.254", 80) == ""


def test_the_node_reaches_pods_but_pods_reach_little_of_the_node(stage: Stage) -> None:
    node = stage.node()
    red = node.pod("red", "a")
    with red.space.listen(red.address, 8080):
        assert node.connects(red.address, 8080) == node.fixed.gateway
    node.network.state.api_servers = {(node.address, 6443)}
    node.call(node.network.nft.apply())
    with node.listen("0.0.0.0", 6443), node.listen("0.0.0.0", 10250):
        assert red.space.connects(node.address, 6443) == red.address
        for address in (node.address, red.attached.gateway):
            assert red.space.connects(address, 10250) == ""
        assert red.space.connects(red.attached.gateway, 6443) == ""
    assert red.space.pings(node.address)
    node.command("ip", "addr", "add", f"{DNS}/32", "dev", "lo")
    with node.udp(DNS, 53) as server, red.space.udp(red.address) as asker:
        asker.sendto(b"?", (DNS, 53))
        assert server.recvfrom(10)[1][0] == red.address
    with node.listen(DNS, 54):
        assert red.space.connects(DNS, 54) == ""


def test_a_service_address_without_a_service_is_refused_and_does_not_leave(stage: Stage) -> None:
    node = stage.node()
    red = node.pod("red", "a")
    stage.outside.command("ip", "addr", "add", "10.96.7.7/32", "dev", "lo")
    with stage.outside.listen("10.96.7.7", 80):
        assert red.space.connects("10.96.7.7", 80) == ""


def test_host_ports_from_everywhere(stage: Stage) -> None:
    node = stage.node()
    ports = (PortMapping(18080, 8080), PortMapping(18081, 8080, "tcp", "192.168.50.1"))
    web, mate, blue = node.pod("red", "web", ports), node.pod("red", "a"), node.pod("blue", "a")
    with web.space.listen(web.address, 8080) as listener:
        listener.settimeout(5)
        assert stage.outside.connects(node.address, 18080) and stage.outside.connects(node.address, 18081)
        assert listener.accept()[1][0] == "192.168.50.99"
        assert node.connects("127.0.0.1", 18080) and not node.connects("127.0.0.1", 18081)
        assert node.connects(node.address, 18080)
        assert mate.space.connects(node.address, 18080)
        assert web.space.connects(node.address, 18080), "hairpin"
        assert not blue.space.connects(node.address, 18080)
        with pytest.raises(NetworkFailure, match=r"host port 18080/tcp is in use by red/default/web"):
            node.pod("blue", "thief", (PortMapping(18080, 80),))
        node.detach(web)
        assert not stage.outside.connects(node.address, 18080)
    node.pod("blue", "next", (PortMapping(18080, 80),))


def test_two_nodes(stage: Stage) -> None:
    one, two = stage.node(), stage.node()
    red1, red2 = one.pod("red", "a"), two.pod("red", "b")
    blue1, blue2 = one.pod("blue", "a"), two.pod("blue", "b")
    stage.acquaint()
    with red2.space.listen(red2.address, 8080) as listener:
        listener.settimeout(5)
        assert red1.space.connects(red2.address, 8080) == red1.address
        assert listener.accept()[1][0] == red1.address, "not translated between pods"
        assert not blue1.space.connects(red2.address, 8080)
        # The other node: probes and proxies.
        assert one.connects(red2.address, 8080)
    assert not red1.space.pings(blue2.address) and not blue2.space.pings(red1.address)
    with two.listen(two.address, 10250), two.listen(two.address, 30080):
        assert not red1.space.connects(two.address, 10250)
        assert red1.space.connects(two.address, 30080)
    # The same node is not trusted to keep its tenants apart: here it believes that blue's pod is red's.
    one.network.state.addresses["red"].add(blue2.address)
    one.call(one.network.nft.apply())
    assert not red1.space.pings(blue2.address)
    one.call(_peers(one, {}))
    assert not red1.space.pings(red2.address)


def _peers(node: Node, routes: dict[str, str]):  # type: ignore[no-untyped-def]
    import asyncio

    return asyncio.to_thread(node.network.plumbing.peers, routes)


def test_a_node_out_of_reach_is_said(stage: Stage) -> None:
    node = stage.node()
    failed = node.call(_peers(node, {"10.244.9.0/24": "172.31.0.9"}))
    assert list(failed) == ["10.244.9.0/24"] and "unreachable" in failed["10.244.9.0/24"]


@pytest.mark.parametrize("probe", ["ingress", "egress"])
def test_bandwidth(stage: Stage, probe: str) -> None:
    node = stage.node()
    pod = node.pod("red", "a", **{probe: "8M"})
    where: Callable[..., object]
    where, name = (node.command, pod.attached.host_ifname) if probe == "ingress" else (pod.space.command, "eth0")
    assert "rate 8Mbit" in where("tc", "qdisc", "show", "dev", name).stdout  # type: ignore[attr-defined]
    assert pod.space.pings(pod.attached.gateway)
    with pytest.raises(NetworkFailure, match="is not between 1k and 1P"):
        node.pod("red", "b", **{probe: "1"})
