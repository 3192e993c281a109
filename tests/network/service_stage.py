"""A node, pods and an outside client as network namespaces, with services routed by the real thing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from arktos.client import Cached
from arktos.hostnet import netns
from arktos.model import registry
from arktos.network.services.routing import ServiceRouting
from arktos.network.services.rules import Fixed

Obj = dict[str, Any]
SERVICE, SLICE, POD, NODE = (
    registry.by_resource(name) for name in ("services", "endpointslices.discovery.k8s.io", "pods", "nodes")
)
FIXED = Fixed("10.244.0.0/16", "10.96.0.0/12", "10.96.0.10")
NODE_IP, OUTSIDE = "192.0.2.1", "192.0.2.9"


class Mirror:
    """Objects as a mirror tells them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Cached] = {}
        self.handlers: list[Any] = []

    def add_handler(self, on_change: Any) -> None:
        for each in self.objects.values():
            on_change(None, each)
        self.handlers.append(on_change)

    def put(self, cached: Cached) -> None:
        old = self.objects.get(cached.key)
        self.objects[cached.key] = cached
        for handler in self.handlers:
            handler(old, cached)

    def remove(self, cached: Cached) -> None:
        old = self.objects.pop(cached.key)
        for handler in self.handlers:
            handler(old, None)

    def get(self, tenant: str, namespace: str, name: str) -> Cached | None:
        return self.objects.get((tenant, namespace, name))

    def items(self) -> list[Cached]:
        return list(self.objects.values())


class Slices(Mirror):
    """Slices as the controller writes them: each endpoint is a pod of the slice's tenant, unless it is another's."""

    def __init__(self, pods: Mirror) -> None:
        super().__init__()
        self._pods = pods

    def put(self, cached: Cached) -> None:
        super().put(cached)
        taken = {each.obj()["status"]["podIP"] for each in self._pods.items()}
        for each in cached.obj()["endpoints"]:
            for address in set(each["addresses"]) - taken:
                self._pods.put(pod(f"at-{address}", address, cached.tenant))


class Mirrors:
    def __init__(self) -> None:
        self.services, self.pods, self.nodes = Mirror(), Mirror(), Mirror()
        self.slices = Slices(self.pods)


def cached(kind: Any, name: str, tenant: str = "acme", labels: Obj | None = None, **body: Any) -> Cached:
    meta = {"name": name, "namespace": "default", "tenant": tenant, "uid": f"{tenant}-{name}", "resourceVersion": "1"}
    return Cached.from_raw(kind, json.dumps({"metadata": {**meta, "labels": labels or {}}, **body}).encode())


def service(name: str = "web", address: str = "10.96.0.7", tenant: str = "acme", **spec: Any) -> Cached:
    ports = [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "name": "udp"}]
    return cached(SERVICE, name, tenant, spec={"clusterIP": address, "ports": ports} | spec)


def pod(name: str, address: str, tenant: str = "acme") -> Cached:
    return cached(POD, name, tenant, status={"podIP": address, "phase": "Running"})


def endpoint(address: str, node: str = "n1", **conditions: bool) -> Obj:
    return {"addresses": [address], "nodeName": node, "conditions": {"ready": True} | conditions}


def slice_(*endpoints: Obj, name: str = "web", tenant: str = "acme", port: int = 8080) -> Cached:
    ports = [{"port": port, "protocol": "TCP", "name": ""}, {"port": port, "protocol": "UDP", "name": "udp"}]
    labels = {"kubernetes.io/service-name": name}
    body = {"addressType": "IPv4", "endpoints": list(endpoints), "ports": ports}
    return cached(SLICE, f"{name}-1", tenant, labels, **body)


def run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)


class Stage:
    """Namespaces `node`, `out` and one for each pod; the node routes between them."""

    def __init__(self) -> None:
        self.prefix = f"arks{uuid.uuid4().hex[:6]}"
        self.node = netns.create(f"{self.prefix}-node")
        self.spaces: dict[str, Path] = {"node": self.node}
        self.stops: list[Callable[[], None]] = []
        self._shell("sysctl -qw net.ipv4.ip_forward=1")
        self._shell("sysctl -qw net.ipv4.conf.all.rp_filter=0")
        self.join("out", OUTSIDE, gateway=NODE_IP)
        self._shell(f"ip address add {NODE_IP}/32 dev to-out")
        self._shell("ip route add default via 192.0.2.9 dev to-out onlink")

    def _shell(self, command: str, space: str = "node") -> None:
        run(f"ip netns exec {self.spaces[space].name} {command}")

    def join(self, name: str, address: str, gateway: str = "169.254.1.1") -> None:
        self.spaces[name] = netns.create(f"{self.prefix}-{name}")
        peer = self.spaces[name].name
        # A name of one letter would be read as a keyword.
        device = f"to-{name}"
        self._shell(f"ip link add {device} type veth peer name eth0 netns {peer}")
        self._shell(f"ip link set {device} up")
        self._shell(f"sysctl -qw net.ipv4.conf.{device}.proxy_arp=1")
        self._shell(f"ip route add {address}/32 dev {device}")
        self._shell("ip link set eth0 up", name)
        self._shell(f"ip address add {address}/32 dev eth0", name)
        self._shell(f"ip route add {gateway}/32 dev eth0", name)
        self._shell(f"ip route add default via {gateway} dev eth0", name)

    def pod(self, name: str, address: str, port: int = 8080) -> None:
        """A pod that answers with its name and who asked."""
        self.join(name, address)
        self.serve(name, port)

    def serve(self, name: str, port: int) -> None:
        tcp, udp = netns.run_in(self.spaces[name], lambda: (_socket(socket.SOCK_STREAM), _socket(socket.SOCK_DGRAM)))
        tcp.bind(("0.0.0.0", port))
        tcp.listen(128)
        udp.bind(("0.0.0.0", port))

        def tcp_body() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, peer = tcp.accept()
                    with connection:
                        connection.sendall(f"{name} {peer[0]}".encode())

        def udp_body() -> None:
            with contextlib.suppress(OSError):
                while True:
                    _, peer = udp.recvfrom(64)
                    if peer is None:
                        return
                    udp.sendto(f"{name} {peer[0]}".encode(), peer)

        for body in (tcp_body, udp_body):
            threading.Thread(target=body, daemon=True).start()
        self.stops += [lambda: _shut(tcp), lambda: _shut(udp)]

    def ask(self, space: str, address: str, port: int = 80) -> str:
        """Who answers a TCP connection, and whom it saw; or what went wrong."""

        def body() -> str:
            with _socket(socket.SOCK_STREAM) as asking:
                asking.settimeout(2)
                try:
                    asking.connect((address, port))
                    return asking.recv(64).decode()
                except OSError as error:
                    return type(error).__name__

        return netns.run_in(self.spaces[space], body)

    def opened(self, space: str) -> socket.socket:
        """A UDP socket in a namespace."""
        return netns.run_in(self.spaces[space], lambda: _socket(socket.SOCK_DGRAM))

    def close(self) -> None:
        for stop in self.stops:
            stop()
        for path in self.spaces.values():
            netns.remove(path)

    def on_node(self, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs a coroutine with the node's network."""
        netns.run_in(self.node, lambda: asyncio.run(body()))


def say(asking: socket.socket, address: str, port: int = 53) -> str:
    asking.settimeout(2)
    try:
        asking.sendto(b"?", (address, port))
        return asking.recv(64).decode()
    except OSError as error:
        return type(error).__name__


def _socket(kind: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextlib.asynccontextmanager
async def routed(mirrors: Mirrors, node: str = "n1") -> Any:
    """Services routed while it is open; gives the routing once it has brought the kernel to what is wanted."""
    routing = ServiceRouting(mirrors, node, FIXED, lambda: True)
    task = asyncio.create_task(routing.run())
    try:
        await settled(routing)
        yield routing
    finally:
        task.cancel()
        await asyncio.wait([task])


async def settled(routing: ServiceRouting) -> None:
    deadline = time.monotonic() + 30
    while routing.unready() or routing._dirty or routing._table.waiting or routing._wake.is_set():
        assert time.monotonic() < deadline, routing.unready()
        await asyncio.sleep(0.01)
    # What is under way ends before the next wait.
    before = -1
    while before != routing.applied:
        before = routing.applied
        await asyncio.sleep(0.05)
