"""Services and DNS on a node, in a network namespace of its own: prints JSON. Needs root and nft.

sudo .venv/bin/python bench/network.py [services] [endpoints per service]
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import statistics
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import dns.message

from arktos.client import Cached
from arktos.hostnet import netns
from arktos.hostnet.links import Links
from arktos.model import registry
from arktos.network.dns.server import DnsServer, zone
from arktos.network.services.routing import ServiceRouting
from arktos.network.services.rules import Fixed

SERVICES = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
ENDPOINTS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
CHANGES, QUESTIONS = 50, 20_000
SERVICE, SLICE, POD = (registry.by_resource(name) for name in ("services", "endpointslices.discovery.k8s.io", "pods"))


class Mirror:
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


class Mirrors:
    def __init__(self) -> None:
        self.services, self.slices, self.pods, self.nodes = Mirror(), Mirror(), Mirror(), Mirror()


def cached(kind: Any, name: str, labels: dict[str, str], body: dict[str, Any]) -> Cached:
    meta = {"name": name, "namespace": "default", "tenant": "acme", "uid": name, "resourceVersion": "1"}
    return Cached.from_raw(kind, json.dumps({"metadata": {**meta, "labels": labels}, **body}).encode())


def service(number: int) -> Cached:
    address = f"10.100.{number // 250}.{number % 250 + 1}"
    return cached(SERVICE, f"s{number}", {}, {"spec": {"clusterIP": address, "ports": [{"port": 80}]}})


def slice_(number: int, count: int) -> Cached:
    base = number * 16
    endpoints = [{"addresses": [f"10.244.{(base + i) // 250 % 250}.{(base + i) % 250 + 1}"]} for i in range(count)]
    body = {"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8080, "name": ""}]}
    return cached(SLICE, f"s{number}", {"kubernetes.io/service-name": f"s{number}"}, body)


def pod(address: str) -> Cached:
    return cached(POD, f"at-{address}", {}, {"status": {"podIP": address, "phase": "Running"}})


def mirrors() -> Mirrors:
    made = Mirrors()
    addresses = set()
    for number in range(SERVICES):
        made.services.put(service(number))
        made.slices.put(slice_(number, ENDPOINTS))
        # One endpoint more, for what is measured later.
        listed = slice_(number, ENDPOINTS + 1).obj()["endpoints"]
        addresses |= {address for endpoint in listed for address in endpoint["addresses"]}
    for address in sorted(addresses):
        made.pods.put(pod(address))
    return made


async def applied(routing: ServiceRouting, more_than: int) -> None:
    while routing.applied <= more_than or routing.unready() or routing._table.waiting:  # noqa: ASYNC110
        await asyncio.sleep(0.0002)


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def services() -> dict[str, Any]:
    world = mirrors()
    fixed = Fixed("10.244.0.0/16", "10.96.0.0/12", "10.96.0.10")
    routing = ServiceRouting(world, "n1", fixed, lambda: True)
    began = time.perf_counter()
    task = asyncio.create_task(routing.run())
    await applied(routing, 0)
    loaded = time.perf_counter() - began
    spent = []
    busy = time.process_time() + children()
    for number in range(CHANGES):
        before, began = routing.applied, time.perf_counter()
        world.slices.put(slice_(number, ENDPOINTS + 1))
        await applied(routing, before)
        spent.append(time.perf_counter() - began)
    busy = time.process_time() + children() - busy
    task.cancel()
    await asyncio.wait([task])
    again = ServiceRouting(world, "n1", fixed, lambda: True)
    began = time.perf_counter()
    task = asyncio.create_task(again.run())
    while again.unready():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    restarted = time.perf_counter() - began
    task.cancel()
    await asyncio.wait([task])
    return {
        "services": SERVICES,
        "endpoints": SERVICES * ENDPOINTS,
        "load_s": round(loaded, 3),
        "change_ms_median": round(statistics.median(spent) * 1e3, 1),
        "change_ms_max": round(max(spent) * 1e3, 1),
        "change_cpu_ms": round(busy / CHANGES * 1e3, 1),
        "restart_s": round(restarted, 3),
        "restart_transactions": again.applied,
    }


def ask(wires: list[bytes], spent: list[float], space: Path) -> None:
    """One client: a question at a time."""

    def open_() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    with netns.run_in(space, open_) as asking:
        asking.bind(("10.244.0.11", 0))
        asking.connect(("10.96.0.10", 53))
        asking.settimeout(5)
        for wire in wires:
            began = time.perf_counter()
            asking.send(wire)
            asking.recv(4096)
            spent.append(time.perf_counter() - began)


async def resolving(space: Path, clients: int, different: int) -> dict[str, Any]:
    with Links() as links:
        links.address("lo", "10.244.0.11/32")
    world = mirrors()
    with tempfile.NamedTemporaryFile() as empty:
        where = zone("cluster.local", "10.96.0.10", "10.244.0.0/16", "10.96.0.0/12")
        server = DnsServer(world, lambda source: "acme", where, Path(empty.name))
        task = asyncio.create_task(server.run())
        while server.unready():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        names = [f"s{number % SERVICES}.default.svc.cluster.local" for number in range(different)]
        # More names than services: names that nobody has, and never the same bytes twice.
        if different > SERVICES:
            names = [f"x{index}.{name}" for index, name in enumerate(names)]
        questions = [dns.message.make_query(name, "A") for name in names]
        wires = [each.to_wire() for each in questions]
        each_one = [wires[i % len(wires)] for i in range(QUESTIONS // clients)]
        spent: list[float] = []
        began, busy = time.perf_counter(), time.process_time()
        threads = [threading.Thread(target=ask, args=(each_one, spent, space)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
        elapsed = time.perf_counter() - began
        busy = time.process_time() - busy
        task.cancel()
        await asyncio.wait([task])
    spent.sort()
    return {
        "clients": clients,
        "questions_per_s": round(len(spent) / elapsed),
        "p50_ms": round(spent[len(spent) // 2] * 1e3, 2),
        "p99_ms": round(spent[int(len(spent) * 0.99)] * 1e3, 2),
        "cpu_us_clients_included": round(busy / len(spent) * 1e6),
    }


async def main(space: Path) -> None:
    rows = {
        "services": await services(),
        "dns_from_memory": await resolving(space, 4, min(SERVICES, 100)),
        "dns_computed": await resolving(space, 4, QUESTIONS // 4),
    }
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("needs root")
    path = netns.create(f"arkbench-{uuid.uuid4().hex[:6]}")
    try:
        netns.run_in(path, lambda: asyncio.run(main(path)))
    finally:
        netns.remove(path)
