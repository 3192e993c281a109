"""Nodes, pods and an outside, each a network namespace, joined by a bridge as by a switch."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from arktos.hostnet import netns
from arktos.hostnet.links import Links
from arktos.network.embedded import host
from arktos.network.embedded.network import EmbeddedNetwork
from arktos.network.embedded.rules import Fixed
from arktos.network.provider import Attached, PodIdentity, PortMapping, Wish

T = TypeVar("T")
CLUSTER, SERVICES, DNS = "10.244.0.0/16", "10.96.0.0/12", "10.96.0.10"


class Space:
    """A network namespace."""

    def __init__(self) -> None:
        self.path = netns.create(f"arkt-{secrets.token_hex(5)}")

    def command(self, *command: str, input: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--net={self.path}", *command], input=input, capture_output=True, text=True, timeout=60
        )

    def pings(self, address: str) -> bool:
        return self.command("ping", "-c1", "-W1", address).returncode == 0

    def inside(self, function: Callable[[], T]) -> T:
        return netns.run_in(self.path, function)

    def listen(self, address: str, port: int) -> socket.socket:
        return self.inside(lambda: socket.create_server((address, port)))

    def udp(self, address: str = "", port: int = 0) -> socket.socket:
        made = self.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.settimeout(5)
        made.bind((address, port))
        return made

    def connects(self, address: str, port: int, seconds: float = 1.0) -> str:
        """The source address that the other end would see; "" if there is no way."""
        made = self.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        with made:
            made.settimeout(seconds)
            try:
                made.connect((address, port))
            except OSError:
                return ""
            return str(made.getsockname()[0])

    def send_frame(self, ifname: str, frame: bytes) -> None:
        with self.inside(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)) as raw:
            raw.bind((ifname, 0))
            raw.send(frame)

    def nft(self) -> str:
        return self.command("nft", "list", "ruleset").stdout

    def close(self) -> None:
        netns.remove(self.path)


@dataclass
class Pod:
    space: Space
    wish: Wish
    attached: Attached

    @property
    def address(self) -> str:
        return self.attached.address.partition("/")[0]


class Node(Space):
    """A node with the embedded network, whose loop runs in a thread that is in the namespace."""

    def __init__(self, folder: Path, network: str, address: str) -> None:
        super().__init__()
        self.folder, self.address = folder, address
        self.fixed = Fixed(network, CLUSTER, SERVICES, DNS, network.replace(".0/24", ".1"))
        self.pods: list[Pod] = []
        self.wishes: list[Wish] = []
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()
        self.call(asyncio.to_thread(host.prepare))
        self.network = self.fresh()

    def _live(self) -> None:
        netns.enter(self.path)
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def fresh(self) -> EmbeddedNetwork:
        """The provider as after a start of its process."""

        async def make() -> EmbeddedNetwork:
            return EmbeddedNetwork(self.fixed, self.folder, mtu=1500)

        return self.call(make())

    def start(self) -> None:
        self.call(self.network.start())

    def restart(self) -> None:
        """As after kill -9: nothing is said to the old one but that its sockets close."""
        state = self.network.state
        self.network.close()
        self.network = self.fresh()
        self.network.state.addresses = state.addresses
        self.network.state.nodes = state.nodes
        self.network.state.api_servers = state.api_servers
        self.start()

    def wish(self, tenant: str, name: str, ports: tuple[PortMapping, ...] = (), **annotations: str) -> Wish:
        space = Space()
        container = secrets.token_hex(16)
        identity = PodIdentity(f"{tenant}-{name}-{container[:6]}", tenant, "default", name)
        marks = {f"kubernetes.io/{key}-bandwidth": text for key, text in annotations.items()}
        self.wishes.append(Wish(identity, container, str(space.path), "eth0", ports, marks))
        return self.wishes[-1]

    def pod(self, tenant: str, name: str, ports: tuple[PortMapping, ...] = (), **annotations: str) -> Pod:
        wish = self.wish(tenant, name, ports, **annotations)
        space = Space.__new__(Space)
        space.path = Path(wish.netns)
        made = Pod(space, wish, self.call(self.network.attach(wish)))
        self.pods.append(made)
        return made

    def detach(self, pod: Pod) -> None:
        self.call(self.network.detach(pod.wish.container_id, pod.wish.ifname))

    def links(self) -> list[str]:
        with Links(self.path) as links:
            return sorted(link.name for link in links.all() if link.name.startswith("ark"))

    def close(self) -> None:
        async def tidy() -> None:
            await asyncio.get_running_loop().shutdown_default_executor()

        self.network.close()
        self.call(tidy())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        for wish in self.wishes:
            netns.remove(wish.netns)
        super().close()


class Stage:
    """A switch with nodes 192.168.50.1, .2, and an outside, .99. Nodes know each other when `acquainted` was called."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="arkt-"))
        self.switch = Space()
        self.outside = Space()
        self.nodes: list[Node] = []
        self.links = Links(self.switch.path)
        self.bridge = self.links.bridge("switch")
        # The switch is a wire, whatever this kernel does with packets that cross a bridge.
        self.links.sysctl("net/bridge/bridge-nf-call-iptables", "0")
        self._plug(self.outside, "192.168.50.99")

    def node(self, *, start: bool = True) -> Node:
        number = len(self.nodes) + 1
        node = Node(self.folder / f"node{number}", f"10.244.{number}.0/24", f"192.168.50.{number}")
        self.nodes.append(node)
        self._plug(node, node.address)
        with Links(node.path) as links:
            links.route("0.0.0.0/0", gateway="192.168.50.99")
        if start:
            node.start()
        return node

    def acquaint(self) -> None:
        """What the watches would tell each node."""
        addresses: dict[str, set[str]] = {}
        for node in self.nodes:
            for pod in node.pods:
                addresses.setdefault(pod.wish.pod.tenant, set()).add(pod.address)
        for node in self.nodes:
            others = [other for other in self.nodes if other is not node]
            state = node.network.state
            state.addresses = {tenant: set(found) for tenant, found in addresses.items()}
            state.nodes = {other.address for other in others}
            node.call(node.network.nft.apply())
            routes = {other.fixed.pod_network: other.address for other in others}
            assert node.call(asyncio.to_thread(node.network.plumbing.peers, routes)) == {}

    def _plug(self, space: Space, address: str) -> None:
        name = f"p{secrets.token_hex(4)}"
        mac = "02:" + secrets.token_bytes(5).hex(":")
        self.links.veth(name, "uplink", space.path, mtu=1500, peer_mac=mac, master=self.bridge)
        self.links.up(name)
        with Links(space.path) as links:
            links.address("uplink", f"{address}/24")
            links.up("uplink")

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self.links.close()
        self.outside.close()
        self.switch.close()
        shutil.rmtree(self.folder)
