"""The whole of it: a node that registers, beats, changes its mind, and comes back when it is deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from arktos.agent.node import machine
from arktos.agent.node.agent import NodeAgent
from arktos.agent.node.heartbeat import LEASES, NAMESPACE
from arktos.agent.node.options import NodeOptions
from arktos.agent.node.registration import NODES
from arktos.agent.pods.table import Pods
from arktos.agent.runtimes import Runtimes
from arktos.client import Client, Recorder
from arktos.model import registry
from arktos.model.dates import parse
from arktos.model.kinds import Obj
from arktos.model.status import NotFound

EVENTS = registry.by_resource("events")


@pytest.fixture
async def client(shared_apiserver: Any) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(shared_apiserver.admin.kubeconfig) as made:
        yield made


def options(folder: Path, name: str, **more: Any) -> NodeOptions:
    (folder / "data").mkdir(exist_ok=True)
    quick = {"status_frequency": 0.2, "status_report_frequency": 60.0, "lease_renewal": 0.3, **more}
    return NodeOptions(name, "127.0.0.1", folder / "data", folder / "logs", **quick)


async def nobody(uid: str, reason: str, message: str) -> None:
    raise AssertionError(f"{uid} was evicted: {message}")


@asynccontextmanager
async def running(
    client: Client, wanted: NodeOptions, runtimes: Runtimes, bound: Any = None
) -> AsyncIterator[NodeAgent]:
    async with Recorder(client, "kubelet", wanted.node_name) as recorder:
        agent = NodeAgent(wanted, client, runtimes, Pods(), recorder, nobody, lambda: True, bound)
        task = asyncio.create_task(agent.run())
        try:
            yield agent
        finally:
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=20)
            assert done
            if not task.cancelled():
                task.result()


async def node_with(client: Client, name: str, seconds: float = 60, **conditions: str) -> Obj:
    """The node, once it has these conditions."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                node = await client.get(NODES, name)
            except NotFound:
                node = {}
            found = {c["type"]: c["status"] for c in (node.get("status") or {}).get("conditions") or ()}
            if node and found.items() >= conditions.items():
                return node
            await asyncio.sleep(0.05)


def condition(node: Obj, name: str) -> Obj:
    found: Obj = next(c for c in node["status"]["conditions"] if c["type"] == name)
    return found


async def test_a_node_registers_and_beats(
    client: Client, containerd: Any, runtimes: Runtimes, tmp_path: Path, until: Any
) -> None:
    containerd.network(True)
    wanted = options(tmp_path, "beats", labels={"zone": "a"}, taints=({"key": "k", "effect": "NoSchedule"},))
    async with running(client, wanted, runtimes) as agent:
        node = await node_with(client, "beats", Ready="True", ContainerRuntimeReady="True", VmRuntimeReady="False")
        assert node["metadata"]["labels"]["zone"] == "a"
        assert {"key": "k", "effect": "NoSchedule"} in node["spec"]["taints"]
        status = node["status"]
        assert status["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://1.")
        assert set(status["capacity"]) >= {"cpu", "memory", "pods", "ephemeral-storage"}
        assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
        first = await lease_of(client, "beats", node["metadata"]["uid"])
        assert first["spec"]["leaseDurationSeconds"] == 40 and first["spec"]["holderIdentity"] == "beats"
        later = await renewed(client, first, until)
        assert parse(later["spec"]["renewTime"]) > parse(first["spec"]["renewTime"])
        assert agent.registered and agent.node is not None and agent.pressures == frozenset()
        # A heartbeat alone is no reason to write.
        settled = await client.get(NODES, "beats")
        for _ in range(4):
            later = await renewed(client, later, until)
        assert (await client.get(NODES, "beats"))["metadata"]["resourceVersion"] == settled["metadata"][
            "resourceVersion"
        ]
    found = await client.list(EVENTS, namespace="default", tenant="system")
    reasons = {event["reason"] for event in found.items if event["involvedObject"]["name"] == "beats"}
    assert {"Starting", "NodeReady"} <= reasons


async def renewed(client: Client, before: Obj, until: Any) -> Obj:
    """The Lease after its next renewal."""

    async def look() -> Obj | None:
        lease = await client.get(LEASES, before["metadata"]["name"], namespace=NAMESPACE, tenant="system")
        return lease if lease["spec"]["renewTime"] != before["spec"]["renewTime"] else None

    found: Obj = await until(look)
    return found


async def lease_of(client: Client, name: str, uid: str) -> Obj:
    """The Lease once it belongs to this node object."""
    async with asyncio.timeout(30):
        while True:
            try:
                lease = await client.get(LEASES, name, namespace=NAMESPACE, tenant="system")
            except NotFound:
                lease = {"metadata": {}}
            owners = lease["metadata"].get("ownerReferences") or [{}]
            if owners[0].get("uid") == uid:
                return lease
            await asyncio.sleep(0.05)


async def test_a_node_says_when_its_runtime_cannot_and_can_again(
    client: Client, containerd: Any, runtimes: Runtimes, tmp_path: Path, until: Any
) -> None:
    """Between two reports, however long that is."""
    containerd.network(True)
    async with running(client, options(tmp_path, "changes", status_frequency=3600.0), runtimes) as agent:
        before = await node_with(client, "changes", Ready="True")
        containerd.network(False)
        node = await node_with(client, "changes", Ready="False", ContainerRuntimeReady="False")
        assert "cni plugin not initialized" in condition(node, "Ready")["message"]
        assert "cni plugin not initialized" in str(agent.unready())
        assert condition(node, "Ready")["reason"] == "KubeletNotReady"
        same = "MemoryPressure"
        assert condition(node, same)["lastTransitionTime"] == condition(before, same)["lastTransitionTime"]
        containerd.network(True)
        await node_with(client, "changes", Ready="True")
        await until(agent_ready(agent))


def agent_ready(agent: NodeAgent) -> Any:
    async def look() -> bool:
        return agent.unready() is None

    return look


async def test_all_pods_together_are_bounded_by_what_is_not_reserved(
    client: Client, containerd: Any, runtimes: Runtimes, tmp_path: Path, until: Any
) -> None:
    bounds: list[tuple[int, int]] = []

    async def bound(milli_cpu: int, memory: int) -> None:
        bounds.append((milli_cpu, memory))

    wanted = options(tmp_path, "bounds", reserved={"cpu": 500, "memory": 1 << 30})
    async with running(client, wanted, runtimes, bound):
        await node_with(client, "bounds")

        async def told() -> bool:
            found = await client.list(EVENTS, namespace="default", tenant="system")
            return ("NodeAllocatableEnforced", "bounds") in {
                (event["reason"], event["involvedObject"]["name"]) for event in found.items
            }

        await until(told)
    found = machine.read()
    assert bounds == [(found.cpus * 1000 - 500, found.memory - (1 << 30))]


async def test_a_deleted_node_registers_again(
    client: Client, containerd: Any, runtimes: Runtimes, tmp_path: Path, until: Any
) -> None:
    containerd.network(True)
    async with running(client, options(tmp_path, "again", status_frequency=30.0), runtimes):
        before = await node_with(client, "again", Ready="True")
        await client.delete(NODES, "again")

        async def another() -> Obj | None:
            node = await node_with(client, "again")
            return node if node["metadata"]["uid"] != before["metadata"]["uid"] else None

        node = await until(another, 20)
        await lease_of(client, "again", node["metadata"]["uid"])


async def test_an_agent_that_comes_back_adopts_its_node(
    client: Client, containerd: Any, runtimes: Runtimes, tmp_path: Path, until: Any
) -> None:
    containerd.network(True)
    async with running(client, options(tmp_path, "adopts"), runtimes):
        before = await node_with(client, "adopts", Ready="True")
    mine = {"metadata": {"labels": {"team": "blue"}}, "spec": {"unschedulable": True}}
    await client.patch(NODES, "adopts", mine)
    async with running(client, options(tmp_path, "adopts", labels={"zone": "b"}, port=12345), runtimes):

        async def adopted() -> Obj | None:
            node = await client.get(NODES, "adopts")
            return node if node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 12345 else None

        node = await until(adopted)
        assert node["metadata"]["uid"] == before["metadata"]["uid"]
        assert node["metadata"]["labels"].items() >= {"team": "blue", "zone": "b"}.items()
        assert node["spec"]["unschedulable"] is True
        ready = "Ready"
        assert condition(node, ready)["lastTransitionTime"] == condition(before, ready)["lastTransitionTime"]


async def test_it_waits_for_a_server_that_is_away(tmp_path: Path, runtimes: Runtimes, containerd: Any) -> None:
    from arktos.client import ClientConfig

    async with (
        Client(ClientConfig(server="http://127.0.0.1:1")) as away,
        running(away, options(tmp_path, "alone"), runtimes) as agent,
    ):
        assert (await agent.stats.usage()).startswith(b"{")
        assert not agent.registered
