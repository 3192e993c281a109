"""Endpoints, their slices and the nodes' blocks against a real API server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from arktos.client import Client
from arktos.model import dates, registry
from arktos.model.status import NotFound

Obj = dict[str, Any]
Until = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]
TENANT, NODE, POD, SERVICE, ENDPOINTS, SLICE = (
    registry.by_resource(name)
    for name in ("tenants", "nodes", "pods", "services", "endpoints", "endpointslices.discovery.k8s.io")
)


@pytest.fixture
async def admin(running: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(running / "admin.kubeconfig") as client:
        yield client


async def slices_of(client: Client, name: str, tenant: str) -> list[Obj]:
    selector = f"kubernetes.io/service-name={name}"
    return (await client.list(SLICE, tenant=tenant, namespace="default", label_selector=selector)).items


async def addresses(client: Client, name: str, tenant: str) -> list[str]:
    found = await slices_of(client, name, tenant)
    return sorted(a for each in found for one in each["endpoints"] or () for a in one["addresses"])


async def run_pod(client: Client, name: str, ip: str, tenant: str, node: str) -> None:
    spec: Obj = {"nodeName": node, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}
    meta = {"name": name, "namespace": "default", "tenant": tenant, "labels": {"app": "web"}}
    await client.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    status = {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    await client.patch(POD, name, {"status": status}, tenant=tenant, namespace="default", subresource="status")


async def add_node(client: Client, name: str) -> None:
    labels = {"topology.kubernetes.io/zone": "z1"}
    await client.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    now = dates.rfc3339(dates.from_unix(time.time()))
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
    await client.patch(NODE, name, {"status": {"conditions": [ready]}}, subresource="status")


async def add_service(client: Client, name: str, tenant: str, **spec: Any) -> None:
    meta = {"name": name, "namespace": "default", "tenant": tenant, "labels": {"team": "a"}}
    body = {"ports": [{"port": 80}], **spec}
    await client.create(SERVICE, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": body})


async def test_slices_and_endpoints_follow_the_pods_of_their_own_tenant(admin: Client, until: Until) -> None:
    await add_node(admin, "s1")
    for tenant in ("red", "blue"):
        await admin.create(TENANT, {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": tenant}, "spec": {}})

        async def usable(tenant: str = tenant) -> bool:
            found = (await admin.get(TENANT, tenant)).get("status", {}).get("conditions", [])
            return any(each["type"] == "Ready" and each["status"] == "True" for each in found)

        await until(usable)
        await add_service(admin, "web", tenant, selector={"app": "web"})
    await run_pod(admin, "one", "10.244.0.1", "red", "s1")
    await run_pod(admin, "two", "10.244.0.2", "red", "s1")
    await run_pod(admin, "three", "10.244.0.3", "blue", "s1")

    async def told(tenant: str, *wanted: str) -> bool:
        return await addresses(admin, "web", tenant) == list(wanted)

    await until(lambda: told("red", "10.244.0.1", "10.244.0.2"))
    await until(lambda: told("blue", "10.244.0.3"))
    (only,) = await slices_of(admin, "web", "red")
    assert only["endpoints"][0]["zone"] == "z1"
    assert only["metadata"]["ownerReferences"][0]["kind"] == "Service"
    assert only["metadata"]["labels"]["team"] == "a"

    async def listed() -> bool:
        found = await admin.get(ENDPOINTS, "web", tenant="red", namespace="default")
        return [a["ip"] for each in found.get("subsets") or () for a in each["addresses"]] == [
            "10.244.0.1",
            "10.244.0.2",
        ]

    await until(listed)
    await admin.delete(POD, "two", tenant="red", namespace="default", grace_period=0)
    await until(lambda: told("red", "10.244.0.1"))
    await admin.delete(SLICE, only["metadata"]["name"], tenant="red", namespace="default")
    await until(lambda: told("red", "10.244.0.1"))
    await admin.delete(SERVICE, "web", tenant="red", namespace="default")

    async def gone() -> bool:
        try:
            await admin.get(ENDPOINTS, "web", tenant="red", namespace="default")
        except NotFound:
            return not await slices_of(admin, "web", "red")
        return False

    await until(gone)
    assert await addresses(admin, "web", "blue") == ["10.244.0.3"]


async def test_endpoints_by_hand_are_mirrored(admin: Client, until: Until) -> None:
    await add_service(admin, "far", "")
    subset = {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80}]}
    meta = {"name": "far", "namespace": "default"}
    body = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]}
    await admin.create(ENDPOINTS, body)

    async def told(*wanted: str) -> bool:
        return await addresses(admin, "far", "") == list(wanted)

    await until(lambda: told("192.0.2.7"))
    await admin.patch(ENDPOINTS, "far", {"subsets": None}, namespace="default")
    await until(told)
    await admin.delete(SERVICE, "far", namespace="default")

    async def gone() -> bool:
        return not await slices_of(admin, "far", "")

    await until(gone)


async def test_every_node_has_a_block_of_its_own(admin: Client, until: Until) -> None:
    names = [f"b{number}" for number in range(12)]
    for name in names:
        await add_node(admin, name)

    async def given() -> bool:
        nodes = [await admin.get(NODE, name) for name in names]
        blocks = [node["spec"].get("podCIDR") for node in nodes]
        same = all(node["spec"].get("podCIDRs") == [block] for node, block in zip(nodes, blocks, strict=True))
        return same and None not in blocks and len(set(blocks)) == len(names)

    await until(given)
