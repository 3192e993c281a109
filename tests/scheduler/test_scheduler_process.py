"""The scheduler's process against a real API server: nodes are objects only, everything else is real."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap import credentials
from arktos.bootstrap.components import Settings, components
from arktos.client import Client, ConnectionFailed
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError, NotFound

PODS, NODES, EVENTS = (registry.by_resource(name) for name in ("pods", "nodes", "events"))
TENANTS, LEASES = registry.by_resource("tenants"), registry.by_resource("leases.coordination.k8s.io")
ACCOUNTS = registry.by_resource("serviceaccounts")
SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """An installation in a directory: an API server, and schedulers on demand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(str(folder), port=free_port())
        credentials.ensure(self.settings.layout, "127.0.0.1", self.settings.port, "10.96.0.1")
        self.settings.layout.store.parent.mkdir(parents=True, exist_ok=True)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self._spawn(components(self.settings)[0].command, "apiserver")

    def scheduler(self) -> tuple[subprocess.Popen[bytes], int]:
        port = free_port()
        kubeconfig = self.settings.layout.component_kubeconfig("scheduler")
        command = [sys.executable, "-m", "arktos", "scheduler", f"--kubeconfig={kubeconfig}", f"--health-port={port}"]
        return self._spawn(command, f"scheduler-{port}"), port

    def _spawn(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("installation"))
    # The scheduler comes first: it waits for the API server.
    server.scheduler()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(server.settings.layout.admin_kubeconfig) as client:
        await eventually(lambda: client.get(LEASES, "arktos-scheduler", namespace="kube-system"))
        yield client


async def eventually(read: Callable[[], Awaitable[Obj]], holds: Callable[[Obj], bool] = lambda _: True) -> Obj:
    """What `read` answers once it `holds`. Reads until then, with pauses that grow."""
    seen: object = None
    pause = 0.01
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    seen = found = await read()
                    if holds(found):
                        return found
                except (ApiError, ConnectionFailed) as error:
                    seen = error
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 0.25)
    except TimeoutError:
        raise AssertionError(f"never so; last seen: {seen}") from None


async def add_node(client: Client, name: str, cpu: str = "4", **spec: Any) -> None:
    status: Obj = {
        "allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"},
        "capacity": {"cpu": cpu, "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": kind, "status": "True"} for kind in ("ContainerRuntimeReady", "VmRuntimeReady")],
    }
    made = await client.create(NODES, {"metadata": {"name": name, "labels": {"only": name}}, "spec": spec})
    # No controller watches over this node: what a new one is tainted with is taken off by hand.
    made = await client.update(NODES, {**made, "spec": spec})
    await client.update(NODES, {**made, "status": status}, subresource="status")


async def add_pod(client: Client, name: str, node: str, cpu: str, tenant: str = "", **spec: Any) -> None:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    wanted: Obj = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "containers": [container],
            "nodeSelector": {"only": node},
            "automountServiceAccountToken": False,
            **spec,
        },
    }
    try:
        await client.get(ACCOUNTS, "default", namespace="default", tenant=tenant)
    except NotFound:
        await client.create(ACCOUNTS, {"metadata": {"name": "default"}}, namespace="default", tenant=tenant)
    await client.create(PODS, wanted, tenant=tenant)


def condition(pod: Obj) -> Obj:
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one["type"] == "PodScheduled":
            found: Obj = one
            return found
    return {}


def reader(client: Client, name: str, tenant: str = "") -> Callable[[], Awaitable[Obj]]:
    return lambda: client.get(PODS, name, namespace="default", tenant=tenant)


async def events(client: Client, pod: str, reason: str) -> Obj:
    """The events about a pod, as an object with `items`."""
    found = await client.list(EVENTS, namespace="default", field_selector=f"involvedObject.name={pod},reason={reason}")
    return {"items": found.items}


async def test_without_nodes_it_is_small(server: Server, client: Client) -> None:
    await add_pod(client, "early", "bind-a", "1")
    pod = await eventually(reader(client, "early"), lambda pod: bool(condition(pod).get("message")))
    assert condition(pod)["message"] == "no nodes available to schedule pods"
    process = Path(f"/proc/{server.processes[0].pid}")
    assert "numpy" not in (process / "maps").read_text()
    kilobytes = int((process / "status").read_text().partition("VmRSS:")[2].split()[0])
    assert kilobytes < 60 * 1024


async def test_a_virtual_machine_is_placed_where_such_run(client: Client) -> None:
    await add_node(client, "vm-a")
    machine = {"name": "vm", "image": "download.example/cirros.img", "keyPairName": "key"}
    await add_pod(client, "machine", "vm-a", "1", containers=[], virtualMachine=machine)
    await eventually(reader(client, "machine"), lambda pod: pod["spec"].get("nodeName") == "vm-a")


async def test_binds_and_says_so(client: Client) -> None:
    await add_node(client, "bind-a")
    await add_pod(client, "bound", "bind-a", "1")
    pod = await eventually(reader(client, "bound"), lambda pod: bool(pod["spec"].get("nodeName")))
    assert pod["spec"]["nodeName"] == "bind-a"
    assert condition(pod)["status"] == "True"
    told = await eventually(lambda: events(client, "bound", "Scheduled"), lambda found: bool(found["items"]))
    assert told["items"][0]["message"] == "Successfully assigned system/default/bound to bind-a"
    assert told["items"][0]["source"]["component"] == "default-scheduler"


async def test_what_does_not_fit_is_told_once_and_bound_when_there_is_room(client: Client) -> None:
    await add_node(client, "full-a", cpu="1")
    await add_pod(client, "too-big", "full-a", "3")
    pod = await eventually(
        reader(client, "too-big"), lambda pod: "Insufficient cpu" in condition(pod).get("message", "")
    )
    assert condition(pod)["reason"] == "Unschedulable"
    assert "preemption: 0/" in condition(pod)["message"]
    told = await eventually(lambda: events(client, "too-big", "FailedScheduling"), lambda found: bool(found["items"]))
    assert told["items"][0]["type"] == "Warning"
    node = await client.get(NODES, "full-a")
    node["status"]["allocatable"]["cpu"] = "4"
    await client.update(NODES, node, subresource="status")
    await eventually(reader(client, "too-big"), lambda pod: pod["spec"].get("nodeName") == "full-a")


async def test_tenants_share_nodes(client: Client) -> None:
    await add_node(client, "shared-a")
    await client.create(TENANTS, {"metadata": {"name": "acme"}})
    await client.create(registry.by_resource("namespaces"), {"metadata": {"name": "default"}}, tenant="acme")
    await add_pod(client, "ours", "shared-a", "1", tenant="acme")
    pod = await eventually(reader(client, "ours", "acme"), lambda pod: bool(pod["spec"].get("nodeName")))
    assert pod["metadata"]["tenant"] == "acme"


async def test_preemption_sends_victims_away(client: Client) -> None:
    await add_node(client, "pre-a", cpu="1")
    await add_pod(client, "low", "pre-a", "1")
    low = await eventually(reader(client, "low"), lambda pod: bool(pod["spec"].get("nodeName")))
    classes = registry.by_resource("priorityclasses.scheduling.k8s.io")
    await client.create(classes, {"metadata": {"name": "urgent"}, "value": 1000})
    spec: Obj = {"priorityClassName": "urgent", "priority": 1000}
    await add_pod(client, "urgent", "pre-a", "1", **spec)

    async def victim() -> Obj:
        try:
            return await client.get(PODS, "low", namespace="default")
        except NotFound:
            return {"metadata": {"deletionTimestamp": "gone"}}

    gone = await eventually(victim, lambda pod: "deletionTimestamp" in pod["metadata"])
    if gone["metadata"]["deletionTimestamp"] != "gone":
        reasons = [c["reason"] for c in gone["status"]["conditions"] if c["type"] == "DisruptionTarget"]
        assert reasons == ["PreemptionByScheduler"]
        # As a node's agent would, once the containers have ended.
        await client.delete(PODS, "low", namespace="default", uid=low["metadata"]["uid"], grace_period=0)
    await eventually(reader(client, "urgent"), lambda pod: pod["spec"].get("nodeName") == "pre-a")


async def test_one_leads_and_another_takes_over(server: Server, client: Client) -> None:
    leader = server.processes[0]
    successor, port = server.scheduler()
    before = await client.get(LEASES, "arktos-scheduler", namespace="kube-system")

    async def ready() -> Obj:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        status = await reader.readline()
        writer.close()
        return {"status": status.split()[1].decode()}

    async def patient() -> Obj:
        try:
            return await ready()
        except OSError:
            return {"status": "down"}

    await eventually(patient, lambda answer: answer["status"] == "200")
    leader.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(leader.wait, 10) == 0
    await eventually(
        lambda: client.get(LEASES, "arktos-scheduler", namespace="kube-system"),
        lambda lease: lease["spec"]["holderIdentity"] not in ("", before["spec"]["holderIdentity"]),
    )
    await add_node(client, "after-a")
    await add_pod(client, "after", "after-a", "1")
    await eventually(reader(client, "after"), lambda pod: pod["spec"].get("nodeName") == "after-a")
    assert successor.poll() is None
    os.kill(successor.pid, signal.SIGTERM)
    assert await asyncio.to_thread(successor.wait, 10) == 0
