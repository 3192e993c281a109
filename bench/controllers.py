"""Controllers side by side: how fast a ReplicaSet and many Deployments are done with 1, 2 and 4 instances, what each
instance spends, and how long work stands still when one stops or dies.

    bench/controllers.py [--pods 3000] [--deployments 400] [--instances 1,2,4] [--target KUBECONFIG]

Prints a JSON object per line. `cpu_s` and `received_mb` are of each instance, in the order of their start; what is
received includes the answers to their own writes. `handover_ms` is from SIGTERM, `takeover_ms` from SIGKILL until the
whole ring has owners again; of the latter, `lease_ms` is the lease. With --target the same load goes to a Kubernetes
server with controllers of its own: then there are times only. No kubelets run: pods stay Pending.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.client import Client, ConnectionFailed
from arktos.model import registry
from arktos.model.hashranges import held, holes
from arktos.model.status import AlreadyExists, ApiError

DEPLOYMENT = registry.by_resource("deployments.apps")
REPLICASET = registry.by_resource("replicasets.apps")
NAMESPACE = registry.by_resource("namespaces")
ACCOUNT = registry.by_resource("serviceaccounts")
INSTANCE = registry.by_resource("controllerinstances")
NAMESPACES = [f"bench-{n}" for n in range(10)]
LEASE = 5.0
SETTLING = 3.0
"""Seconds in which new instances fill their mirrors."""
TICK = os.sysconf("SC_CLK_TCK")


def workload(kind: str, name: str, namespace: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "pause"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


class Instances:
    """Processes of our own controllers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes: list[subprocess.Popen[bytes]] = []
        self._before: list[tuple[float, int]] = []

    def start(self, count: int) -> None:
        for _ in range(count):
            command = [sys.executable, "-m", "arktos", "controllers", "--health-port=0", f"--ring-lease={LEASE}"]
            command += [f"--kubeconfig={self.root / 'components' / 'controllers.kubeconfig'}"]
            command += ["--controllers=deployment,replicaset"]
            log = (self.root / "controllers.log").open("ab")
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def mark(self) -> None:
        self._before = [self._used(process.pid) for process in self.processes]

    def spent(self) -> dict[str, list[float]]:
        used = [self._used(process.pid) for process in self.processes]
        pairs = list(zip(used, self._before, strict=True))
        return {
            "cpu_s": [round(now[0] - before[0], 2) for now, before in pairs],
            "received_mb": [round((now[1] - before[1]) / 1e6, 2) for now, before in pairs],
        }

    @staticmethod
    def _used(pid: int) -> tuple[float, int]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        read = next(line for line in Path(f"/proc/{pid}/io").read_text().splitlines() if line.startswith("rchar"))
        return (int(fields[11]) + int(fields[12])) / TICK, int(read.split()[1])

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
        self.processes.clear()


async def until(check: Any, seconds: float = 600.0, every: float = 0.02) -> float:
    began = time.perf_counter()
    while True:
        with contextlib.suppress(ApiError, ConnectionFailed):
            if await check():
                return time.perf_counter() - began
        if time.perf_counter() > began + seconds:
            raise TimeoutError
        await asyncio.sleep(every)


async def owned(client: Client, by: int) -> bool:
    """Whether both rings are owned wholly, by this many instances each."""
    instances = (await client.list(INSTANCE)).items
    for type in ("ReplicaSet", "Deployment"):
        places = [p for each in instances if each["controllerType"] == type and (p := held(each)) is not None]
        if len(places) != by or holes(places):
            return False
    return True


async def prepare(client: Client) -> None:
    for name in NAMESPACES:
        with contextlib.suppress(AlreadyExists):
            await client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        with contextlib.suppress(AlreadyExists):
            await client.create(ACCOUNT, account)


async def replicaset(client: Client, pods: int, round: str) -> float:
    """Seconds until a ReplicaSet has all its pods."""
    name = f"big-{round}"
    began = time.perf_counter()
    await client.create(REPLICASET, workload("ReplicaSet", name, NAMESPACES[0], pods))

    async def done() -> bool:
        found = await client.get(REPLICASET, name, namespace=NAMESPACES[0])
        return bool((found.get("status") or {}).get("replicas") == pods)

    await until(done)
    return time.perf_counter() - began


async def deployments(client: Client, count: int, round: str) -> float:
    """Seconds until this many Deployments have the pods that they want, and say so."""
    left = iter(range(count))

    async def create() -> None:
        for n in left:
            await client.create(DEPLOYMENT, workload("Deployment", f"d-{round}-{n}", NAMESPACES[n % 10], 2))

    began = time.perf_counter()
    await asyncio.gather(*(create() for _ in range(16)))

    async def done() -> bool:
        found = 0
        for namespace in NAMESPACES:
            for each in (await client.list(DEPLOYMENT, namespace=namespace)).items:
                mine = each["metadata"]["name"].startswith(f"d-{round}-")
                found += mine and (each.get("status") or {}).get("updatedReplicas") == 2
        return found == count

    await until(done, every=0.1)
    return time.perf_counter() - began


async def elsewhere(kubeconfig: str, args: argparse.Namespace) -> None:
    """The same load on a server with controllers of its own."""
    async with Client.from_kubeconfig(kubeconfig) as client:
        await prepare(client)
        took = await replicaset(client, args.pods, "t")
        show({"row": "replicaset", "pods": args.pods, "seconds": took, "pods_per_s": args.pods / took})
        took = await deployments(client, args.deployments, "t")
        show({"row": "deployments", "count": args.deployments, "seconds": took, "per_s": args.deployments / took})
        for namespace in NAMESPACES:
            await client.delete(NAMESPACE, namespace)


def show(row: dict[str, Any]) -> None:
    print(json.dumps({name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()}))
    sys.stdout.flush()


async def ours(root: Path, args: argparse.Namespace) -> None:
    instances = Instances(root)
    async with Client.from_kubeconfig(root / "admin.kubeconfig") as client:
        await until(lambda: client.request("GET", "/version"))
        await prepare(client)
        try:
            for count in map(int, args.instances.split(",")):
                instances.start(count)
                await until(lambda count=count: owned(client, count))
                instances.mark()
                took = await replicaset(client, args.pods, str(count))
                row = {"row": "replicaset", "instances": count, "pods": args.pods, "seconds": took}
                show({**row, "pods_per_s": args.pods / took, **instances.spent()})
                instances.mark()
                took = await deployments(client, args.deployments, str(count))
                row = {"row": "deployments", "instances": count, "count": args.deployments, "seconds": took}
                show({**row, "per_s": args.deployments / took, **instances.spent()})
                instances.stop()
            await changes(client, instances)
        finally:
            instances.stop()


async def changes(client: Client, instances: Instances) -> None:
    """How long a ring of two has a hole."""
    instances.start(2)
    await until(lambda: owned(client, 2))
    await asyncio.sleep(SETTLING)
    for number, name in ((signal.SIGTERM, "handover_ms"), (signal.SIGKILL, "takeover_ms")):
        leaving = instances.processes.pop(0)
        leaving.send_signal(number)
        took = await until(lambda: owned(client, 1), every=0.002)
        leaving.wait()
        show({"row": name, "ms": took * 1e3, **({"lease_ms": LEASE * 1e3} if number is signal.SIGKILL else {})})
        if number is signal.SIGTERM:
            instances.start(1)
            await until(lambda: owned(client, 2))
            await asyncio.sleep(SETTLING)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=3000)
    parser.add_argument("--deployments", type=int, default=400)
    parser.add_argument("--instances", default="1,2,4")
    parser.add_argument("--target", default="")
    args = parser.parse_args()
    if args.target:
        asyncio.run(elsewhere(args.target, args))
        return
    with tempfile.TemporaryDirectory(prefix="arktos-bench-") as name, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings = Settings(name, port=probe.getsockname()[1])
        probe.close()
        credentials.ensure(settings.layout, settings.address, settings.port, "10.96.0.1")
        Path(settings.layout.store).parent.mkdir(parents=True, exist_ok=True)
        server = subprocess.Popen(components(settings)[0].command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            asyncio.run(ours(Path(name), args))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
