"""The scheduler: decisions per second of the pure core, and pods bound per second through a real API server.

    bench/scheduler.py [nodes in the core] [nodes behind the API] [pods behind the API]

Prints one JSON object. Core rows have `pods_per_s` for 5,000 nodes; `api` creates the nodes and pods first, then starts
the scheduler and counts bindings from the first to the last as a watcher sees them. `peer_pods_per_s` is Kubernetes
1.36 on the same rig (1,000 nodes, 5,000 pods). `cpu_us` is CPU time per pod of the scheduler and of the API server.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.client import Client
from arktos.model import registry
from arktos.model.status import ApiError
from arktos.scheduler.harness import Harness

CORE_NODES, API_NODES, API_PODS = (int(n) for n in (sys.argv[1:] + ["5000", "1000", "5000"][len(sys.argv) - 1 :]))
PORT = 18743
TICK = os.sysconf("SC_CLK_TCK")
ANTI = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "kubernetes.io/hostname"}
        ]
    }
}
SPREAD = [
    {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "x"}},
    }
]


def core(pods: int, **spec: Any) -> dict[str, float]:
    """Decisions about equal pods, each booked before the next."""
    harness = Harness()
    for number in range(CORE_NODES):
        harness.node(f"n{number}", cpu="32", memory="256Gi", labels={"zone": f"z{number % 3}"})
    for number in range(pods):
        harness.pod(f"p{number}", cpu="100m", memory="200Mi", labels={"app": "x"}, **spec)
    started = time.perf_counter()
    bound = harness.run(confirm=False)
    took = time.perf_counter() - started
    assert len(bound) == pods
    return {"pods_per_s": round(pods / took), "us_per_pod": round(took / pods * 1e6, 1)}


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def in_parallel(items: list[Any], work: Any, width: int = 24) -> None:
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(worker())


def node(number: int) -> dict[str, Any]:
    status = {
        "allocatable": {"cpu": "32", "memory": "256Gi", "pods": "110"},
        "capacity": {"cpu": "32", "memory": "256Gi", "pods": "110"},
        "conditions": [
            {"type": kind, "status": "True"} for kind in ("Ready", "ContainerRuntimeReady", "VmRuntimeReady")
        ],
    }
    name = f"node-{number}"
    labels = {"kubernetes.io/hostname": name, "zone": f"z{number % 3}"}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def pod(number: int, **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": "100m", "memory": "200Mi"}}
    container = {"name": "main", "image": "registry.example/web:1", "resources": resources}
    meta = {"name": f"pod-{number}", "namespace": "default", "labels": {"app": "x"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}}


def started(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def through_api(folder: Path, pods: int, **spec: Any) -> dict[str, Any]:
    settings = Settings(str(folder), port=PORT)
    credentials.ensure(settings.layout, "127.0.0.1", PORT, "10.96.0.1")
    settings.layout.store.parent.mkdir(parents=True, exist_ok=True)
    server = started(components(settings)[0].command)
    scheduler = None
    try:
        async with Client.from_kubeconfig(settings.layout.admin_kubeconfig) as client:
            await _create(client, pods, spec)
            command = [sys.executable, "-m", "arktos", "scheduler", "--health-port", str(PORT + 2), "--kubeconfig"]
            busy = cpu(server.pid)
            scheduler = started([*command, str(settings.layout.component_kubeconfig("scheduler"))])
            begun = time.perf_counter()
            first, last = await _count(client, pods)
            return {
                "nodes": API_NODES,
                "pods": pods,
                "pods_per_s": round(pods / (last - first)),
                "until_first_s": round(first - begun, 2),
                "cpu_us": {
                    "scheduler": round(cpu(scheduler.pid) / pods * 1e6),
                    "apiserver": round((cpu(server.pid) - busy) / pods * 1e6),
                },
                "scheduler_rss_mb": _rss(scheduler.pid),
                "peer_pods_per_s": "640-676",
            }
    finally:
        for process in (scheduler, server):
            if process is not None:
                process.terminate()
                process.wait(10)


def _rss(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


async def _create(client: Client, count: int, spec: dict[str, Any]) -> None:
    nodes, pods = registry.by_resource("nodes"), registry.by_resource("pods")
    service_accounts = registry.by_resource("serviceaccounts")
    for _ in range(200):
        try:
            await client.create(service_accounts, {"metadata": {"name": "default", "namespace": "default"}})
            break
        except (ApiError, OSError):
            await asyncio.sleep(0.05)
        except Exception as error:
            if type(error).__name__ != "ConnectionFailed":
                raise
            await asyncio.sleep(0.05)

    async def make_node(number: int) -> None:
        wanted = node(number)
        made = await client.create(nodes, wanted)
        made = await client.update(nodes, {**made, "spec": {}})  # off with the taint of new nodes
        await client.update(nodes, {**made, "status": wanted["status"]}, subresource="status")

    await in_parallel(list(range(API_NODES)), make_node)
    await in_parallel(list(range(count)), lambda number: client.create(pods, pod(number, **spec)))


async def _count(client: Client, count: int) -> tuple[float, float]:
    """When the first and the last pod got its node."""
    pods = registry.by_resource("pods")
    bound: set[str] = set()
    first = 0.0
    async with client.watch(pods, namespace="default", resource_version="0") as events:
        while batch := await events.batch():
            for event in batch:
                if b'"nodeName":"' in event.raw:
                    first = first or time.perf_counter()
                    bound.add(event.header.metadata.name)
            if len(bound) == count:
                return first, time.perf_counter()
    raise RuntimeError(f"the watch ended at {len(bound)} pods")


async def main() -> None:
    rows: dict[str, Any] = {
        "core_plain": core(10_000),
        "core_anti_affinity": core(min(2_000, CORE_NODES), affinity=ANTI),
        "core_spread": core(5_000, topologySpreadConstraints=SPREAD),
    }
    for name, pods, spec in (
        ("api_plain", API_PODS, {}),
        ("api_anti_affinity", min(API_PODS, API_NODES), {"affinity": ANTI}),
        ("api_spread", API_PODS, {"topologySpreadConstraints": SPREAD}),
    ):
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = await through_api(Path(folder), pods, **spec)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
