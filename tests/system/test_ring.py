"""Active-active controllers as processes: started, killed, stopped, paused, while users work. All converges, and the
audit log proves that nothing was written under two tenures by turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings
from arktos.client import Client
from arktos.model import hashranges, registry
from arktos.model.hashkey import hash_key
from arktos.model.hashranges import held, holes
from arktos.model.status import ApiError
from arktos.ring.runner import INSTANCE

TENANT = registry.by_resource("tenants")
NAMESPACE = registry.by_resource("namespaces")
DEPLOYMENT = registry.by_resource("deployments.apps")
REPLICASET = registry.by_resource("replicasets.apps")
POD = registry.by_resource("pods")

_POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}
- {level: None}
"""


@dataclass
class Ring:
    """An API server with an audit log, and processes of controllers."""

    system: Any
    client: Client
    lease: float = 2.0
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return Path(self.system.settings.data_dir)

    async def start(self, *names: str) -> None:
        kubeconfig = self.root / "components" / "controllers.kubeconfig"
        for name in names:
            command = [
                sys.executable,
                "-m",
                "arktos",
                "controllers",
                f"--kubeconfig={kubeconfig}",
                "--health-port=0",
                f"--ring-lease={self.lease}",
                "--controllers=tenant,serviceaccount,deployment,replicaset",
            ]
            with (self.root / f"{name}.log").open("ab") as log:
                self.processes[name] = await asyncio.to_thread(subprocess.Popen, command, stdout=log, stderr=log)

    def signal(self, number: int, *names: str) -> None:
        for name in names:
            os.kill(self.processes[name].pid, number)

    async def instances(self, type: str) -> list[dict[str, Any]]:
        return [each for each in (await self.client.list(INSTANCE)).items if each["controllerType"] == type]

    async def shared_by(self, *names: str) -> bool:
        """Whether exactly these own both rings, wholly."""
        pids = {str(self.processes[name].pid) for name in names}
        for type in ("ReplicaSet", "Deployment"):
            owning = [each for each in await self.instances(type) if held(each) is not None]
            found = {each["metadata"]["annotations"]["arktos.io/holder"].rpartition("_")[2] for each in owning}
            if found != pids or holes(place for each in owning if (place := held(each)) is not None):
                return False
        return True

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
async def ring(tmp_path: Path, system_type: Any) -> AsyncIterator[Ring]:
    policy = tmp_path / "policy.yaml"
    policy.write_text(_POLICY)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(str(tmp_path / "data"), port=port, audit_policy_file=str(policy))
    credentials.ensure(settings.layout, settings.address, settings.port, "10.96.0.1")
    settings.save()
    system = system_type(settings, tmp_path)
    await asyncio.to_thread(system.start_server)
    try:
        async with Client.from_kubeconfig(system.settings.layout.admin_kubeconfig) as client:
            ring = Ring(system, client)
            try:
                yield ring
            finally:
                await asyncio.to_thread(ring.end)
    finally:
        await asyncio.to_thread(system.stop_server)


async def until(check: Callable[[], Awaitable[object]], seconds: float = 60.0, what: str = "") -> float:
    """Waits until `check` says so; how long that took."""
    began = time.monotonic()
    while True:
        try:
            if await check():
                return time.monotonic() - began
        except (ApiError, OSError):
            pass
        assert time.monotonic() < began + seconds, f"{what or check} did not come true in {seconds} s"
        await asyncio.sleep(0.02)


def deployment(tenant: str, name: str, replicas: int) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "registry.example/web:1"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    metadata = {"name": name, "namespace": "default", "tenant": tenant}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


async def tenants(ring: Ring, count: int) -> list[str]:
    names = [f"t{n}" for n in range(count)]

    async def one(name: str) -> None:
        body = {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": name}, "spec": {}}
        await ring.client.create(TENANT, body)

        async def ready() -> bool:
            found = await ring.client.get(TENANT, name)
            said = (found.get("status") or {}).get("conditions") or ()
            return any(each["type"] == "Ready" and each["status"] == "True" for each in said)

        await until(ready, what=f"{name} is ready")

    await asyncio.gather(*map(one, names))
    return names


async def deploy(ring: Ring, where: Iterable[str], count: int, replicas: int) -> None:
    gate = asyncio.Semaphore(8)

    async def one(tenant: str, number: int) -> None:
        async with gate:
            await ring.client.create(DEPLOYMENT, deployment(tenant, f"web-{number}", replicas))

    await asyncio.gather(*(one(tenant, number) for tenant in where for number in range(count)))


async def scale(ring: Ring, where: Iterable[str], count: int, replicas: int) -> None:
    gate = asyncio.Semaphore(8)

    async def one(tenant: str, number: int) -> None:
        async with gate:
            body = {"spec": {"replicas": replicas}}
            await ring.client.patch(DEPLOYMENT, f"web-{number}", body, tenant=tenant, namespace="default")

    await asyncio.gather(*(one(tenant, number) for tenant in where for number in range(count)))


async def converged(ring: Ring, count: int, replicas: int) -> bool:
    """Whether all Deployments have one ReplicaSet, with as many pods as they want, and say so."""
    pods = Counter(
        each["metadata"]["ownerReferences"][0]["uid"]
        for each in (await ring.client.list(POD, tenant="all")).items
        if "deletionTimestamp" not in each["metadata"]
    )
    sets = (await ring.client.list(REPLICASET, tenant="all")).items
    if len(sets) != count or any(pods[each["metadata"]["uid"]] != replicas for each in sets):
        return False
    for each in (await ring.client.list(DEPLOYMENT, tenant="all")).items:
        status = each.get("status") or {}
        if status.get("updatedReplicas") != replicas or status["observedGeneration"] != each["metadata"]["generation"]:
            return False
    return True


def audited(ring: Ring) -> Iterator[dict[str, Any]]:
    """All events, oldest first: those of log files that were full, too."""
    newest = Path(ring.system.settings.layout.audit_log)
    for path in [*sorted(newest.parent.glob(f"{newest.stem}-*{newest.suffix}")), newest]:
        with path.open("rb") as lines:
            yield from map(json.loads, lines)


def proof(events: Iterable[dict[str, Any]]) -> tuple[int, int]:
    """That no key was worked on under two tenures by turns, in the order of the store. How many writes and tenures."""
    by_key: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    tenures = set()
    for event in events:
        notes = event.get("annotations") or {}
        if "arktos.io/range" not in notes or event["responseStatus"]["code"] >= 300:
            continue
        tenure = hashranges.parse(notes["arktos.io/range"])
        assert tenure.range.holds(tenure.key)
        who = f"{tenure.uid}/{tenure.epoch}"
        tenures.add(who)
        if "arktos.io/resource-version" in notes:
            by_key[tenure.type, tenure.key].append((int(notes["arktos.io/resource-version"]), who))
    writes = 0
    for key, written in by_key.items():
        over: set[str] = set()
        last = ""
        for _, who in sorted(written):
            assert who not in over, f"{key} was written by turns: {sorted(written)}"
            if who != last:
                over.add(last)
                last = who
        writes += len(written)
    return writes, len(tenures)


def pods_made(events: Iterable[dict[str, Any]]) -> int:
    made = 0
    for event in events:
        about = event.get("objectRef") or {}
        if about.get("resource") == "pods" and not about.get("subresource") and event["responseStatus"]["code"] == 201:
            made += 1
    return made


async def turmoil(ring: Ring, tenant_count: int, per_tenant: int) -> None:
    """One instance, then two, then four; killed, paused beyond the lease, stopped, replaced; users never wait."""
    await ring.start("a")
    where = await tenants(ring, tenant_count)
    count = tenant_count * per_tenant
    deploying = asyncio.create_task(deploy(ring, where, per_tenant, 2))
    await ring.start("b")
    await until(lambda: ring.shared_by("a", "b"), what="two share")
    await ring.start("c", "d")
    await deploying
    await until(lambda: ring.shared_by("a", "b", "c", "d"), what="four share")
    await until(lambda: converged(ring, count, 2), 60 + count / 10, "all have two pods")

    scaling = asyncio.create_task(scale(ring, where, per_tenant, 4))
    ring.signal(signal.SIGKILL, "a")
    ring.signal(signal.SIGSTOP, "b")
    await until(lambda: ring.shared_by("c", "d"), what="the living take all")
    ring.signal(signal.SIGTERM, "c")
    await until(lambda: ring.shared_by("d"), what="one has all")
    ring.signal(signal.SIGCONT, "b")
    await ring.start("e")
    await scaling
    await until(lambda: ring.shared_by("b", "d", "e"), what="three share")
    await until(lambda: converged(ring, count, 4), 60 + count / 10, "all have four pods")
    await asyncio.to_thread(ring.processes["c"].wait, 10)
    assert ring.processes["c"].returncode == 0


async def test_whatever_befalls_the_instances_all_converges_under_one_tenure_each(ring: Ring) -> None:
    await turmoil(ring, tenant_count=4, per_tenant=40)
    assert_proved(ring, 4 * 40 * 4)


def assert_proved(ring: Ring, pods: int) -> None:
    writes, tenures = proof(audited(ring))
    assert writes > pods and tenures > 8
    # Nobody made a pod that another had made already.
    assert pods_made(audited(ring)) == pods
    for name in ring.processes:
        assert "reconcile_bug" not in (ring.root / f"{name}.log").read_text()


@pytest.mark.heavy
async def test_eight_instances_and_five_thousand_deployments(ring: Ring) -> None:
    ring.lease = 5.0
    await turmoil(ring, tenant_count=50, per_tenant=100)
    await ring.start("f", "g", "h", "i", "j")
    await until(lambda: ring.shared_by("b", "d", "e", "f", "g", "h", "i", "j"), 120, what="eight share")
    ring.signal(signal.SIGSTOP, "f", "g")
    where = [f"t{n}" for n in range(50)]
    await scale(ring, where, 100, 1)
    ring.signal(signal.SIGCONT, "f", "g")
    await until(lambda: converged(ring, 5000, 1), 600, what="all have one pod")
    assert_proved(ring, 5000 * 4)


async def test_orphans_are_adopted_wherever_they_stand(ring: Ring) -> None:
    """A pod's own place on the ring has nothing to do with that of the ReplicaSet that selects it."""
    await ring.start("a", "b")
    where = await tenants(ring, 2)
    await until(lambda: ring.shared_by("a", "b"), what="two share")
    for tenant in where:
        for number in range(6):
            wanted = deployment(tenant, f"own-{number}", 4)
            pod = {"apiVersion": "v1", "kind": "Pod", **wanted["spec"]["template"]}
            for n in range(4):
                metadata = {**pod["metadata"], "name": f"own-{number}-{n}", "namespace": "default", "tenant": tenant}
                await ring.client.create(POD, {**pod, "metadata": metadata})
            await ring.client.create(REPLICASET, {**wanted, "kind": "ReplicaSet"})

    async def adopted() -> bool:
        pods = (await ring.client.list(POD, tenant="all")).items
        assert len(pods) == 2 * 6 * 4
        return all(each["metadata"].get("ownerReferences") for each in pods)

    await until(adopted, what="all pods are adopted")
    keys = {
        hash_key(each["metadata"]["uid"]) > 2**62 for each in (await ring.client.list(REPLICASET, tenant="all")).items
    }
    assert keys == {True, False}


async def test_an_outage_of_the_server_costs_no_tenure(ring: Ring) -> None:
    await ring.start("a", "b")
    where = await tenants(ring, 1)
    await until(lambda: ring.shared_by("a", "b"), what="two share")
    before = {each["metadata"]["uid"]: held(each) for each in await ring.instances("ReplicaSet")}
    ring.system.kill_server()
    await asyncio.sleep(ring.lease * 1.5)
    await asyncio.to_thread(ring.system.start_server)
    await deploy(ring, where, 5, 2)
    await until(lambda: converged(ring, 5, 2), what="all have two pods")
    after = {each["metadata"]["uid"]: held(each) for each in await ring.instances("ReplicaSet")}
    assert after == before


async def test_others_take_over_within_the_lease_and_a_second(ring: Ring) -> None:
    await ring.start("a", "b")
    await until(lambda: ring.shared_by("a", "b"), what="two share")
    ring.signal(signal.SIGKILL, "a")
    assert await until(lambda: ring.shared_by("b"), what="the living one has all") < ring.lease + 1
    await ring.start("c")
    await until(lambda: ring.shared_by("b", "c"), what="two share again")
    ring.signal(signal.SIGTERM, "c")
    # A hand-over is a matter of a moment: nobody waits for the lease.
    assert await until(lambda: ring.shared_by("b"), what="the one that stays has all") < ring.lease / 2


@pytest.mark.heavy
async def test_eight_join_at_once_half_of_them_sleep_and_all_die(ring: Ring) -> None:
    names = "abcdefgh"
    await ring.start(*names)
    await until(lambda: ring.shared_by(*names), what="eight share")
    ring.signal(signal.SIGSTOP, *names[:4])
    assert await until(lambda: ring.shared_by(*names[4:]), what="those awake share") < 2 * ring.lease + 1
    ring.signal(signal.SIGCONT, *names[:4])
    await until(lambda: ring.shared_by(*names), what="eight share again")
    ring.signal(signal.SIGKILL, *names)
    await ring.start("z")
    await until(lambda: ring.shared_by("z"), what="the next one has all")
