"""Hollow nodes: what a fleet costs when idle, how fast its nodes register, and how fast its pods get to Running.

    bench/hollow.py [--nodes 1000,10000] [--pods 10000] [--idle 20]

Prints a JSON object per line. `machine` is the pure part alone, in this process: microseconds per pod for what the
watch tells of it (three events), its timers and its two statuses, without any connection. `fleet` rows are of a real
process on a real API server: nodes registered per second, memory, and CPU while nothing happens but heartbeats.
`pods` binds pods to the nodes of the last fleet and counts how many a second become Running; `cpu_us` is CPU time per
pod of the fleet's process and of the API server, `fleet_pods_per_cpu_s` how many a core of the former would carry.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.client import Client, ConnectionFailed
from arktos.hollow import statuses, view
from arktos.hollow.machine import Machine
from arktos.hollow.options import Behaviour, Fleet
from arktos.model import registry
from arktos.model.status import AlreadyExists, ApiError

PODS = registry.by_resource("pods")
ACCOUNTS = registry.by_resource("serviceaccounts")
TICK = os.sysconf("SC_CLK_TCK")


def show(row: dict[str, Any]) -> None:
    print(json.dumps({name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}))
    sys.stdout.flush()


def pod(number: int, node: str) -> dict[str, Any]:
    container = {"name": "main", "image": "registry.example/web:1", "resources": {"requests": {"cpu": "100m"}}}
    meta = {"name": f"pod-{number}", "namespace": "default", "labels": {"app": "web"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], "nodeName": node}}


def machine(count: int) -> None:
    fleet = Fleet(1000)
    made = Machine(fleet, Behaviour(), random.Random(1))
    raws = []
    for number in range(count):
        bound = pod(number, fleet.name(number % 1000))
        bound["metadata"] |= {"uid": f"{number:032x}", "tenant": "system", "generation": 1}
        raws.append(msgspec.json.encode(bound))
    now, began = time.time(), time.perf_counter()
    for step in (0.0, 2.0):
        for raw in raws:
            made.seen(view.decode(raw), now + step)
        made.due(now + step)
        while made.outbox:
            record = made.outbox.popleft()
            version = record.version
            statuses.patch(record, made.host_ip(record), 110)
            made.wrote(record, version)
    for raw in raws:
        made.seen(view.decode(raw), now)
    took = time.perf_counter() - began
    show({"row": "machine", "pods": count, "us_per_pod": took / count * 1e6})


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


class Process:
    """A fleet's process."""

    def __init__(self, root: Path, nodes: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "arktos", "hollow", f"--nodes={nodes}", f"--health-port={self.port}"]
        command += [f"--kubeconfig={root / 'admin.kubeconfig'}", f"--name-prefix=n{nodes}"]
        log = (root / "hollow.log").open("ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.pid = self.process.pid

    async def until(self, done: Any, seconds: float = 900.0) -> float:
        began = time.perf_counter()
        while not await asyncio.to_thread(done):
            if time.perf_counter() > began + seconds:
                raise TimeoutError
            await asyncio.sleep(0.05)
        return time.perf_counter() - began

    def ready(self) -> bool:
        try:
            self._get("readyz")
        except OSError:
            return False
        return True

    def metric(self, name: str) -> float:
        lines = self._get("metrics").splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=30) as answer:
            text: str = answer.read().decode()
            return text

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


async def idle(root: Path, server: int, nodes: int, seconds: float) -> Process:
    """A fleet that has nothing to do."""
    before, spent = time.perf_counter(), cpu(server)
    fleet = Process(root, nodes)
    await fleet.until(fleet.ready)
    took, spent = time.perf_counter() - before, cpu(server) - spent
    marks = cpu(fleet.pid), cpu(server), time.perf_counter()
    renewed = fleet.metric("arktos_hollow_lease_renewals_total")
    await asyncio.sleep(seconds)
    passed = time.perf_counter() - marks[2]
    show(
        {
            "row": "fleet",
            "nodes": nodes,
            "nodes_per_s": nodes / took,
            "apiserver_us_per_node": spent / nodes * 1e6,
            "rss_mib": rss(fleet.pid),
            "renewals_per_s": (fleet.metric("arktos_hollow_lease_renewals_total") - renewed) / passed,
            "idle_cpu_percent": (cpu(fleet.pid) - marks[0]) / passed * 100,
            "apiserver_cpu_percent": (cpu(server) - marks[1]) / passed * 100,
        }
    )
    return fleet


async def running(client: Client, fleet: Process, server: int, nodes: int, pods: int) -> None:
    """Pods that are bound already, from the first to the last that is Running."""
    names = Fleet(nodes, prefix=f"n{nodes}")
    left = iter(range(pods))
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    with contextlib.suppress(AlreadyExists):
        await client.create(ACCOUNTS, account)
    os.kill(fleet.pid, signal.SIGSTOP)  # Pods wait for it: not their maker is measured.

    async def create() -> None:
        for number in left:
            await client.create(PODS, pod(number, names.name(number % nodes)))

    await asyncio.gather(*(create() for _ in range(16)))
    marks = cpu(fleet.pid), cpu(server)
    os.kill(fleet.pid, signal.SIGCONT)
    counter = "arktos_hollow_pod_start_duration_seconds_count"
    took = await fleet.until(lambda: fleet.metric(counter) >= pods)
    own, servers = cpu(fleet.pid) - marks[0], cpu(server) - marks[1]
    show(
        {
            "row": "pods",
            "pods": pods,
            "nodes": nodes,
            "pods_per_s": pods / took,
            "writes_per_pod": fleet.metric("arktos_hollow_pod_status_writes_total") / pods,
            "cpu_us": {"fleet": round(own / pods * 1e6), "apiserver": round(servers / pods * 1e6)},
            "fleet_pods_per_cpu_s": pods / own,
            "rss_mib": rss(fleet.pid),
        }
    )


async def with_server(root: Path, server: int, args: argparse.Namespace) -> None:
    async with Client.from_kubeconfig(root / "admin.kubeconfig") as client:
        while True:
            try:
                await client.request("GET", "/version")
                break
            except (ApiError, ConnectionFailed):
                await asyncio.sleep(0.05)
        fleet = None
        sizes = [int(size) for size in args.nodes.split(",")]
        try:
            for nodes in sizes:
                if fleet is not None:
                    fleet.stop()
                fleet = await idle(root, server, nodes, args.idle)
            assert fleet is not None
            await running(client, fleet, server, sizes[-1], args.pods)
        finally:
            if fleet is not None:
                fleet.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="1000,10000")
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--idle", type=float, default=20.0)
    args = parser.parse_args()
    machine(20_000)
    with tempfile.TemporaryDirectory(prefix="arktos-bench-") as name, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings = Settings(name, port=probe.getsockname()[1])
        probe.close()
        credentials.ensure(settings.layout, settings.address, settings.port, "10.96.0.1")
        Path(settings.layout.store).parent.mkdir(parents=True, exist_ok=True)
        server = subprocess.Popen(components(settings)[0].command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            asyncio.run(with_server(Path(name), server.pid, args))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
