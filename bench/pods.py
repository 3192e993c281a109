"""How fast pods start on a node, what of it is the runtime's own time, and what the node's processes weigh.

    sudo .venv/bin/python bench/pods.py [--seconds-idle N] [--vms N] [--profile DIR]

Prints one JSON object. A start is from the request that creates the pod until a watch shows it Running and Ready. The
runtime's own time of each pod is what containerd logs of it: RunPodSandbox (with the CNI call in it), CreateContainer,
StartContainer; `above_runtime` is the rest. With --profile, py-spy records agent, network and API server at 10 pods/s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import lab

from arktos.client import Cached, Client, Informer
from arktos.hostnet import netns
from arktos.model import registry
from arktos.model.kinds import Obj

PODS = registry.by_resource("pods")
TENANT = "bench"
PROCESSES = ("agent", "network", "vmruntime", "apiserver", "controllers", "scheduler", "containerd")
PROFILED = ("agent", "network", "apiserver")
GUEST_MIB = 192
_PATIENCE = 120.0
_LINE = re.compile(r'time="(?P<time>[^"]+)" level=info msg="(?P<text>(?:[^"\\]|\\.)*)"')
_CALLS = (
    ("sandbox", re.compile(r"^RunPodSandbox for &PodSandboxMetadata\{Name:(?P<name>[^,]+),")),
    ("create", re.compile(r'^CreateContainer within sandbox "(?P<id>\w+)"')),
    ("start", re.compile(r'^StartContainer for "(?P<id>\w+)"')),
)
_RETURNS = re.compile(r'returns? (?:sandbox id|container id|successfully)(?: "(?P<id>\w+)")?')


def container_pod(name: str) -> Obj:
    container = {"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "1000000"]}
    return _pod(name, {"containers": [container]})


def vm_pod(name: str, image: str) -> Obj:
    # Several have to fit on a small machine.
    resources = {"limits": {"cpu": "1", "memory": f"{GUEST_MIB}Mi"}, "requests": {"cpu": "100m"}}
    image, key = f"https://images.example.com/{image}", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBench bench"
    return _pod(name, {"virtualMachine": {"name": "vm", "image": image, "publicKey": key, "resources": resources}})


def _pod(name: str, spec: Obj) -> Obj:
    meta = {"name": name, "namespace": "default"}
    spec = {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": True, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


class Starts:
    """Sees pods come to run, and go."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informer = Informer(client, PODS, tenant=TENANT)
        self._informer.add_handler(self._changed)
        self._moved = asyncio.Condition()
        self.created: dict[str, float] = {}
        self.ready: dict[str, float] = {}
        self.writes: dict[str, int] = defaultdict(int)

    async def run(self) -> None:
        await self._informer.run()

    def _changed(self, old: Cached | None, new: Cached | None) -> None:
        now = time.perf_counter()
        if new is None:
            return
        pod = new.obj()
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        if name not in self.ready:
            self.writes[name] += 1
            ready = {each["type"]: each["status"] for each in status.get("conditions") or ()}.get("Ready")
            if status.get("phase") == "Running" and ready == "True":
                self.ready[name] = now

    async def start(self, pods: list[Obj], per_second: float) -> list[str]:
        """Creates pods at a rate, and waits until all run."""

        async def create(pod: Obj, after: float) -> str:
            await asyncio.sleep(after)
            name = str(pod["metadata"]["name"])
            self.created[name] = time.perf_counter()
            await self._client.create(PODS, pod, tenant=TENANT)
            return name

        names = await asyncio.gather(*(create(pod, n / per_second) for n, pod in enumerate(pods)))
        await _until(lambda: all(name in self.ready for name in names), "pods that run")
        return list(names)

    async def end(self, names: list[str]) -> None:
        for name in names:
            await self._client.delete(PODS, name, namespace="default", tenant=TENANT)
        await _until(lambda: not any(self._informer.get(TENANT, "default", name) for name in names), "pods that go")

    def seconds(self, names: list[str]) -> dict[str, float]:
        return {name: self.ready[name] - self.created[name] for name in names}


async def _until(look: Callable[[], bool], what: str) -> None:
    """Raises TimeoutError, which says what was waited for."""
    try:
        async with asyncio.timeout(_PATIENCE):
            while not look():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"no {what} within {_PATIENCE:g} s") from None


def runtime_seconds(log: str) -> dict[str, dict[str, float]]:
    """By pod, the seconds of each call, as containerd logged their beginnings and ends."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    began: dict[tuple[str, str], float] = {}
    pod_of: dict[str, str] = {}
    for line in _LINE.finditer(log):
        text = line["text"].replace('\\"', '"')
        for call, pattern in _CALLS:
            head = pattern.match(text)
            if head is None:
                continue
            key = head.groupdict().get("name") or head.groupdict()["id"]
            name = key if call == "sandbox" else pod_of.get(key, "")
            at = datetime.fromisoformat(_microseconds(line["time"])).timestamp()
            end = _RETURNS.search(text)
            if end is None:
                began[call, key] = at
            elif (call, key) in began:
                found[name][call] = at - began.pop((call, key))
                if end["id"]:
                    pod_of[end["id"]] = name
    return found


def _microseconds(stamp: str) -> str:
    """RFC 3339 with nanoseconds, as Python's parser takes it."""
    return re.sub(r"\.(\d{1,6})\d*", r".\1", stamp).replace("Z", "+00:00")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counts as of a moment: what processes have used, API requests, calls to runtimes, and CNI ADDs."""

    uses: dict[str, lab.Use]
    requests: Counter[str]
    operations: Counter[str]
    adds: tuple[float, float]


class Bench:
    def __init__(self, system: Any, client: Client, idle_seconds: float, profile: Path | None) -> None:
        self._system = system
        self._client = client
        self._idle_seconds = idle_seconds
        self._profile = profile
        self._starts = Starts(client)
        self._made = 0

    async def run(self, vms: int) -> dict[str, Any]:
        watching = asyncio.create_task(self._starts.run())
        try:
            await self._client.create(
                registry.by_resource("tenants"),
                {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": TENANT}},
            )
            await self._first()
            idle = {"0": await self._idle()}
            slow, _ = await self._rate(3, 30, keep=False)
            fast, one = await self._rate(10, 50, keep=True)
            idle["50"] = await self._idle()
            again, two = await self._rate(10, 50, keep=True)
            idle["100"] = await self._idle()
            await self._starts.end([*one, *two])
            machines = await self._machines(vms) if vms else {}
            for per_second, count in ((3, 6), (10, 8)) if vms else ():
                machines[f"{per_second}_per_s"] = await self._machines_at(per_second, count)
            return {
                "load": os.getloadavg()[0],
                "containers": {"3_per_s": slow, "10_per_s": fast, "10_per_s_beside_50": again},
                "machines": machines,
                "idle": idle,
            }
        finally:
            watching.cancel()

    async def _first(self) -> None:
        """The images are pulled, and the tenant's namespace and service account are there."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                try:
                    await self._client.get(
                        registry.by_resource("serviceaccounts"), "default", namespace="default", tenant=TENANT
                    )
                    break
                except Exception:
                    await asyncio.sleep(0.1)
        await self._starts.end(await self._starts.start([container_pod("first")], 1))

    async def _rate(self, per_second: float, count: int, *, keep: bool) -> tuple[dict[str, Any], list[str]]:
        pods = [container_pod(f"p{self._made + n}") for n in range(count)]
        self._made += count
        before, load = await self._snapshot(), os.getloadavg()[0]
        profilers = self._record(count / per_second) if self._profile and per_second >= 10 else []
        names = await self._starts.start(pods, per_second)
        for each in profilers:
            await asyncio.to_thread(each.wait)
        after = await self._snapshot()
        seconds = self._starts.seconds(names)
        own = runtime_seconds(self._system.settings.layout.log("containerd").read_text())
        sums = {name: sum(own[name].values()) for name in names}
        row = {
            "load": round(load, 2),
            "pods": count,
            "start_ms": lab.milliseconds(list(seconds.values())),
            "runtime_ms": lab.milliseconds(list(sums.values())),
            "above_runtime_ms": lab.milliseconds([seconds[name] - sums[name] for name in names]),
            "runtime_calls_ms": {
                call: lab.milliseconds([own[name][call] for name in names if call in own[name]])
                for call in ("sandbox", "create", "start")
            },
            "pod_writes_seen": round(sum(self._starts.writes[name] for name in names) / count, 2),
            "cpu_ms_per_pod": {
                name: round((after.uses[name].seconds - before.uses[name].seconds) / count * 1e3, 1)
                for name in PROCESSES
            },
            "api_requests_per_pod": _per(after.requests - before.requests, count),
            "runtime_calls_per_pod": _per(after.operations - before.operations, count),
            "cni_add_ms": _mean(before.adds, after.adds),
        }
        if not keep:
            await self._starts.end(names)
        return row, names

    def _record(self, seconds: float) -> list[subprocess.Popen[bytes]]:
        assert self._profile is not None
        made = []
        for name in PROFILED:
            target = self._profile / f"{name}-{self._made}.txt"
            command = [
                str(Path(sys.executable).with_name("py-spy")),
                "record",
                "-p",
                str(self._system.pid(name)),
                "-d",
                str(int(seconds)),
                "-r",
                "200",
            ]
            made.append(subprocess.Popen([*command, "-f", "raw", "-t", "-o", str(target)], stdout=subprocess.DEVNULL))
        return made

    async def _snapshot(self) -> Snapshot:
        uses = {name: lab.used(self._system.pid(name)) for name in PROCESSES}
        settings = self._system.settings
        api = await asyncio.to_thread(self._system.admin, "get", "--raw", "/metrics")
        network = await asyncio.to_thread(_scrape, settings.node.health_port)
        agent = await asyncio.to_thread(_scrape, settings.node.health_port + 2)
        return Snapshot(uses, _requests(api), _operations(agent), _adds(network))

    async def _idle(self) -> dict[str, Any]:
        before = {name: lab.used(self._system.pid(name)) for name in PROCESSES}
        await asyncio.sleep(self._idle_seconds)
        found: dict[str, Any] = {"load": round(os.getloadavg()[0], 2)}
        for name in PROCESSES:
            after = lab.used(self._system.pid(name))
            percent = (after.seconds - before[name].seconds) / self._idle_seconds * 100
            found[name] = {"resident_mib": round(after.resident / 2**20, 1), "cpu_percent": round(percent, 2)}
        return found

    async def _machines(self, count: int) -> dict[str, Any]:
        """One after the other: a guest that boots takes a whole processor."""
        port, starts, own, overheads, names = self._system.settings.node.health_port + 2, [], [], [], []
        image = self._system.images["machine"].rpartition("/")[2]
        for number in range(count):
            pod = vm_pod(f"vm{number}", image)
            before = _runtime_sum(await asyncio.to_thread(_scrape, port))
            name = (await self._starts.start([pod], 1))[0]
            spent = _runtime_sum(await asyncio.to_thread(_scrape, port)) - before
            names.append(name)
            # The first one is also fetched.
            if number or count == 1:
                starts.append(self._starts.seconds([name])[name])
                own.append(spent)
        logs = self._system.settings.layout.pod_logs
        await _until(lambda: all(_booted(logs, name) for name in names), "guests that serve")
        for pid in _guests(self._system.settings.layout.root):
            overheads.append(await asyncio.to_thread(lab.guest_overhead, pid, GUEST_MIB))
        await self._starts.end(names)
        above = [whole - part for whole, part in zip(starts, own, strict=True)]
        return {
            "machines": count,
            "start_ms": lab.milliseconds(starts),
            "runtime_ms": lab.milliseconds(own),
            "above_runtime_ms": lab.milliseconds(above),
            "overhead_mib": overheads,
        }

    async def _machines_at(self, per_second: float, count: int) -> dict[str, Any]:
        """Several at once. The runtime's own time is known of all together, so what is above it is a mean."""
        port = self._system.settings.node.health_port + 2
        image = self._system.images["machine"].rpartition("/")[2]
        pods = [vm_pod(f"vm{per_second}-{number}", image) for number in range(count)]
        before, load = _runtime_sum(await asyncio.to_thread(_scrape, port)), os.getloadavg()[0]
        names = await self._starts.start(pods, per_second)
        own = (_runtime_sum(await asyncio.to_thread(_scrape, port)) - before) / count
        seconds = list(self._starts.seconds(names).values())
        await self._starts.end(names)
        return {
            "load": round(load, 2),
            "machines": count,
            "start_ms": lab.milliseconds(seconds),
            "runtime_mean_ms": round(own * 1e3, 1),
            "above_runtime_mean_ms": round((sum(seconds) / count - own) * 1e3, 1),
        }


def _booted(logs: Path, name: str) -> bool:
    return any(
        "GUEST-READY" in log.read_text(errors="replace") for log in logs.glob(f"{TENANT}_default_{name}_*/*/*.log")
    )


def _scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def _samples(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    found = []
    for line in text.splitlines():
        if line.startswith((f"{name}{{", f"{name} ")):
            labels, _, value = line.removeprefix(name).rpartition(" ")
            found.append((dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)))
    return found


def _requests(text: str) -> Counter[str]:
    counted: Counter[str] = Counter()
    for labels, value in _samples(text, "apiserver_request_total"):
        what = "/".join(filter(None, (labels.get("resource"), labels.get("subresource"))))
        counted[f"{labels.get('verb')} {what}"] += int(value)
    return counted


def _operations(text: str) -> Counter[str]:
    found = _samples(text, "kubelet_runtime_operations_total")
    return Counter({labels["operation_type"]: int(value) for labels, value in found})


def _per(counted: Counter[str], count: int) -> dict[str, float]:
    """The most frequent, of each of so many."""
    return {what: round(number / count, 2) for what, number in counted.most_common(12)}


def _adds(text: str) -> tuple[float, float]:
    """Seconds and number of CNI ADDs."""
    names = ("arktos_network_cni_seconds_sum", "arktos_network_cni_seconds_count")
    return tuple(  # type: ignore[return-value]
        sum(value for labels, value in _samples(text, name) if labels["command"] == "ADD") for name in names
    )


def _mean(before: tuple[float, float], after: tuple[float, float]) -> float:
    return round((after[0] - before[0]) / max(1.0, after[1] - before[1]) * 1e3, 1)


def _runtime_sum(text: str) -> float:
    """Seconds of the calls that make and start something."""
    calls = ("run_podsandbox", "create_container", "start_container", "set_power")
    found = _samples(text, "kubelet_runtime_operations_duration_seconds_sum")
    return sum(value for labels, value in found if labels["operation_type"] in calls)


def _guests(root: Path) -> list[int]:
    """The QEMU processes of an installation, each of which is in its machine's folder."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            name, where = (folder / "comm").read_text(), os.readlink(folder / "cwd")
        except OSError:
            continue
        if name.startswith("qemu-system") and where.startswith(f"{root}/"):
            found.append(int(folder.name))
    return found


async def main(system: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    async with Client.from_kubeconfig(system.settings.layout.admin_kubeconfig) as client:
        return await Bench(system, client, arguments.seconds_idle, arguments.profile).run(arguments.vms)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("needs root")
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds-idle", type=float, default=30.0)
    parser.add_argument("--vms", type=int, default=4)
    parser.add_argument("--profile", type=Path)
    chosen = parser.parse_args()
    with lab.node() as running:
        place = Path("/run/netns") / running.here.name
        print(json.dumps(netns.run_in(place, lambda: asyncio.run(main(running, chosen))), indent=1))
