"""Quotas with the controller beside a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from arktos.client import Client
from arktos.model import registry
from arktos.model.status import Forbidden, NotFound

Obj = dict[str, Any]
Until = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]
TENANT, QUOTA, POD, CONFIG_MAP, ACCOUNT = (
    registry.by_resource(name) for name in ("tenants", "resourcequotas", "pods", "configmaps", "serviceaccounts")
)


@pytest.fixture
async def admin(running: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(running / "admin.kubeconfig") as client:
        yield client


async def make(client: Client, tenant: str, until: Until) -> None:
    await client.create(TENANT, {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": tenant}, "spec": {}})

    async def there() -> bool:
        return bool((await client.list(ACCOUNT, tenant=tenant, namespace="default")).items)

    await until(there)


def pod(tenant: str, name: str) -> Obj:
    meta = {"name": name, "namespace": "default", "tenant": tenant}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def quota(tenant: str, **hard: str) -> Obj:
    meta = {"name": "q", "namespace": "default", "tenant": tenant}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard}}


async def test_new_quotas_and_new_limits_are_counted(admin: Client, until: Until) -> None:
    await make(admin, "counted", until)

    async def status() -> Obj:
        found = await admin.get(QUOTA, "q", tenant="counted", namespace="default")
        return dict(found.get("status") or {})

    await admin.create(POD, pod("counted", "a"))
    await admin.create(QUOTA, quota("counted", pods="2", configmaps="5"))

    async def in_force() -> bool:
        return await status() == {
            "hard": {"pods": "2", "configmaps": "5"},
            "used": {"pods": "1", "configmaps": "1"},
        }

    await until(in_force)
    await admin.create(POD, pod("counted", "b"))
    with pytest.raises(Forbidden, match="exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"):
        await admin.create(POD, pod("counted", "c"))
    hard = {"configmaps": None, "count/pods": "4"}
    await admin.patch(QUOTA, "q", {"spec": {"hard": hard}}, tenant="counted", namespace="default")

    async def as_well() -> bool:
        return await status() == {"hard": {"pods": "2", "count/pods": "4"}, "used": {"pods": "2", "count/pods": "2"}}

    await until(as_well)


async def test_a_quota_that_comes_among_writers(admin: Client, until: Until) -> None:
    """It is in force soon, though they never pause, and its total is right when they do."""
    await make(admin, "busy", until)
    limit = 300
    going = True
    refused = created = 0

    async def write(number: int) -> None:
        nonlocal created, refused
        step = 0
        while going:
            step += 1
            try:
                await admin.create(POD, pod("busy", f"p{number}-{step}"))
                created += 1
            except Forbidden as error:
                assert "exceeded quota" in str(error)
                refused += 1
            if step % 3:
                pods = f"p{number}-{step}"
                try:
                    await admin.delete(POD, pods, tenant="busy", namespace="default", grace_period=0)
                except Exception as error:
                    assert "not found" in str(error), error

    async def quota_comes() -> None:
        nonlocal going

        async def under_way() -> bool:
            return created > 30

        await until(under_way)
        await admin.create(QUOTA, quota("busy", pods=str(limit)))

        async def enforced() -> bool:
            return refused > 50

        await until(enforced)
        going = False

    await asyncio.gather(quota_comes(), *(write(number) for number in range(24)))
    pods = await admin.list(POD, tenant="busy", namespace="default")
    status = (await admin.get(QUOTA, "q", tenant="busy", namespace="default"))["status"]
    assert status == {"hard": {"pods": str(limit)}, "used": {"pods": str(len(pods.items))}}
    assert len(pods.items) <= limit


async def test_what_a_tenant_defines_is_counted(admin: Client, until: Until) -> None:
    await make(admin, "custom", until)
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    root = "/tenants/custom/apis"
    await admin.request("POST", f"{root}/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    widgets = f"{root}/example.com/v1/namespaces/default/widgets"

    async def widget(name: str) -> None:
        await admin.request(
            "POST", widgets, {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}}
        )

    async def served() -> bool:
        try:
            await admin.request("GET", widgets)
        except NotFound:
            return False
        return True

    await until(served)
    for name in "ab":
        await widget(name)
    limits = {"count/widgets.example.com": "3", "count/gadgets.example.com": "1"}
    await admin.create(QUOTA, quota("custom", **limits))

    async def counted() -> bool:
        found = await admin.get(QUOTA, "q", tenant="custom", namespace="default")
        used = {"count/widgets.example.com": "2", "count/gadgets.example.com": "0"}
        return bool(found.get("status") == {"hard": limits, "used": used})

    await until(counted)
    await widget("c")
    with pytest.raises(Forbidden, match="exceeded quota: q"):
        await widget("d")
