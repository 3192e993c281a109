"""A rolling update at scale: many Deployments on hollow nodes, made, updated and deleted.

    bench/rollout.py [--deployments 100] [--replicas 100] [--nodes 1000] [--instances 1]

Prints a JSON object per phase: `create` until all pods are available, `update` (another image everywhere) until every
Deployment has new pods only, all of them available, and `delete` until no pod is left. `requests_per_pod` counts writes
that the API server answered, by who is known to send them: verb and resource. `cpu_s` is of each process. All
controllers run that such pods need; latencies of pods are the hollow nodes' own, short ones.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.client import Client
from arktos.model import registry
from controllers import DEPLOYMENT, NAMESPACES, TICK, prepare, show, until, workload

PODS = registry.by_resource("pods")
CONTROLLERS = "deployment,replicaset,garbagecollector,nodelifecycle"
_SAMPLE = re.compile(r"apiserver_request_total\{(.*)\} (\S+)")
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Rig:
    """The processes."""

    def __init__(self, root: Path, settings: Settings, args: argparse.Namespace) -> None:
        self.root = root
        self.server = f"https://127.0.0.1:{settings.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._start("apiserver", components(settings)[0].command)
        component = root / "components"
        for number in range(args.instances):
            config = f"--kubeconfig={component / 'controllers.kubeconfig'}"
            self._arktos(
                f"controllers-{number}", "controllers", "--health-port=0", config, f"--controllers={CONTROLLERS}"
            )
        self._arktos("scheduler", "scheduler", "--health-port=0", f"--kubeconfig={component / 'scheduler.kubeconfig'}")
        fleet = ["hollow", "--health-port=0", f"--nodes={args.nodes}", f"--kubeconfig={root / 'admin.kubeconfig'}"]
        latencies = ["--start-latency", "0.2", "0.1", "--stop-latency", "0.1", "0.05"]
        self._arktos("hollow", *fleet, *latencies)

    def _arktos(self, name: str, *arguments: str) -> None:
        self._start(name, [sys.executable, "-m", "arktos", *arguments])

    def _start(self, name: str, command: Any) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def cpu(self) -> dict[str, float]:
        return {name: cpu(process.pid) for name, process in self.processes.items()}

    def writes(self) -> Counter[str]:
        """Writes that were answered so far, but heartbeats."""
        command = ["kubectl", f"--kubeconfig={self.root / 'admin.kubeconfig'}", "get", "--raw", "/metrics"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found: Counter[str] = Counter()
        for labels, value in _SAMPLE.findall(text):
            named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            verb, resource = named["verb"], named["resource"]
            if named.get("subresource"):
                resource += f"/{named['subresource']}"
            if verb in _WRITES and resource.split("/")[0] not in ("leases", "nodes", "controllerinstances"):
                found[f"{verb} {resource}"] += int(float(value))
        return found

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
            process.wait()


async def run(rig: Rig, args: argparse.Namespace) -> None:
    async with Client.from_kubeconfig(rig.root / "admin.kubeconfig") as client:
        await until(lambda: client.request("GET", "/version"))
        await prepare(client)
        nodes = registry.by_resource("nodes")

        async def registered() -> bool:
            return len((await client.list_raw(nodes, metadata_only=True)).items) == args.nodes

        await until(registered)
        names = [(NAMESPACES[n % len(NAMESPACES)], f"d-{n}") for n in range(args.deployments)]

        async def create(namespace: str, name: str) -> None:
            await client.create(DEPLOYMENT, workload("Deployment", name, namespace, args.replicas))

        async def update(namespace: str, name: str) -> None:
            template = {"spec": {"containers": [{"name": "c", "image": "pause:2"}]}}
            change = {"spec": {"template": template}}
            await client.patch(DEPLOYMENT, name, change, type="strategic", namespace=namespace)

        async def delete(namespace: str, name: str) -> None:
            await client.delete(DEPLOYMENT, name, namespace=namespace, propagation="Background")

        async def settled() -> bool:
            found = 0
            for namespace in NAMESPACES:
                for each in (await client.list(DEPLOYMENT, namespace=namespace)).items:
                    status = each.get("status") or {}
                    counts = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
                    seen = status.get("observedGeneration") == each["metadata"]["generation"]
                    found += seen and counts == [args.replicas] * 3
            return found == args.deployments

        async def empty() -> bool:
            return not (await client.list_raw(PODS, tenant="all", limit=1, metadata_only=True)).items

        for phase, act, done in (("create", create, settled), ("update", update, settled), ("delete", delete, empty)):
            await _phase(rig, args, phase, [act(*name) for name in names], done)


async def _phase(rig: Rig, args: argparse.Namespace, phase: str, acts: list[Any], done: Any) -> None:
    pods = args.deployments * args.replicas
    before, spent, began = rig.writes(), rig.cpu(), time.perf_counter()
    left = iter(acts)

    async def work() -> None:
        for act in left:
            await act

    await asyncio.gather(*(work() for _ in range(8)))
    await until(done, seconds=3600.0, every=0.5)
    took = time.perf_counter() - began
    writes = rig.writes() - before
    row = {"row": phase, "deployments": args.deployments, "pods": pods, "seconds": took, "pods_per_s": pods / took}
    row["requests_per_pod"] = {name: round(count / pods, 2) for name, count in writes.most_common(8)}
    show({**row, "cpu_s": {name: round(now - spent[name], 1) for name, now in rig.cpu().items()}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=100)
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="arktos-bench-") as name, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings = Settings(name, port=probe.getsockname()[1])
        probe.close()
        credentials.ensure(settings.layout, settings.address, settings.port, "10.96.0.1")
        Path(settings.layout.store).parent.mkdir(parents=True, exist_ok=True)
        rig = Rig(Path(name), settings, args)
        try:
            asyncio.run(run(rig, args))
        finally:
            rig.stop()


if __name__ == "__main__":
    main()
