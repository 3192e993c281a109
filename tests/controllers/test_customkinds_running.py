"""Controllers and the kinds that tenants define: namespaces, tenants and owners take custom resources with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from arktos.client import Client
from arktos.model import registry
from arktos.model.kinds import Kind, Scope
from arktos.model.status import ApiError, NotFound

Obj = dict[str, Any]
Until = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]

TENANT, NAMESPACE, CONFIG, DEFINITION = (
    registry.by_resource(name)
    for name in ("tenants", "namespaces", "configmaps", "customresourcedefinitions.apiextensions.k8s.io")
)
WIDGET = Kind("example.com", "v1", "Widget", "widgets", Scope.NAMESPACE, schema="")
GADGET = Kind("example.com", "v1", "Gadget", "gadgets", Scope.TENANT, schema="")


@pytest.fixture
async def admin(running: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(running / "admin.kubeconfig") as client:
        yield client


def definition(kind: Kind, tenant: str) -> Obj:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    scope = "Namespaced" if kind.scope is Scope.NAMESPACE else "Cluster"
    return {
        "metadata": {"name": kind.resource, "tenant": tenant},
        "spec": {
            "group": kind.group,
            "scope": scope,
            "names": {"plural": kind.plural, "kind": kind.kind},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


async def ready(client: Client, tenant: str, until: Until) -> None:
    await client.create(TENANT, {"metadata": {"name": tenant}, "spec": {}})

    async def usable() -> bool:
        found = (await client.get(TENANT, tenant)).get("status", {}).get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in found)

    await until(usable)
    await client.create(DEFINITION, definition(WIDGET, tenant))
    await client.create(DEFINITION, definition(GADGET, tenant))


def thing(kind: Kind, name: str, tenant: str, namespace: str = "", *owners: Obj, block: bool = False) -> Obj:
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            **({"blockOwnerDeletion": True} if block else {}),
        }
        for owner in owners
    ]
    meta: Obj = {"name": name, "tenant": tenant, "ownerReferences": references}
    return {"metadata": {**meta, "namespace": namespace} if namespace else meta}


def gone(client: Client, kind: Kind, name: str, tenant: str, namespace: str = "") -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        try:
            await client.get(kind, name, tenant=tenant, namespace=namespace)
        except NotFound:
            return True
        return False

    return look


async def test_owners_of_and_among_custom_resources(admin: Client, until: Until) -> None:
    await ready(admin, "owners", until)
    top = await admin.create(GADGET, thing(GADGET, "top", "owners"))
    middle = await admin.create(WIDGET, thing(WIDGET, "middle", "owners", "default", top))
    await admin.create(CONFIG, thing(CONFIG, "bottom", "owners", "default", middle))
    second = await admin.create(WIDGET, thing(WIDGET, "second", "owners", "default"))
    await admin.create(WIDGET, thing(WIDGET, "both", "owners", "default", middle, second))
    await admin.delete(GADGET, "top", tenant="owners")
    await until(gone(admin, WIDGET, "middle", "owners", "default"))
    await until(gone(admin, CONFIG, "bottom", "owners", "default"))

    async def one_owner_left() -> bool:
        found = await admin.get(WIDGET, "both", tenant="owners", namespace="default")
        return [each["name"] for each in found["metadata"]["ownerReferences"]] == ["second"]

    await until(one_owner_left)
    await admin.delete(WIDGET, "second", tenant="owners", namespace="default", propagation="Orphan")

    async def orphaned() -> bool:
        found = await admin.get(WIDGET, "both", tenant="owners", namespace="default")
        return "ownerReferences" not in found["metadata"]

    await until(orphaned)


async def test_what_a_definition_s_objects_owned_goes_too(admin: Client, until: Until) -> None:
    await ready(admin, "left", until)
    owner = await admin.create(WIDGET, thing(WIDGET, "owner", "left", "default"))
    await admin.create(CONFIG, thing(CONFIG, "owned", "left", "default", owner))
    await admin.delete(DEFINITION, WIDGET.resource, tenant="left")
    await until(gone(admin, DEFINITION, WIDGET.resource, "left"))
    await until(gone(admin, CONFIG, "owned", "left", "default"))


async def test_in_the_foreground_owners_wait_for_custom_resources(admin: Client, until: Until) -> None:
    await ready(admin, "front", until)
    owner = await admin.create(WIDGET, thing(WIDGET, "owner", "front", "default"))
    held = thing(WIDGET, "held", "front", "default", owner, block=True)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await admin.create(WIDGET, held)
    await admin.delete(WIDGET, "owner", tenant="front", namespace="default", propagation="Foreground")

    async def going() -> bool:
        found = await admin.get(WIDGET, "held", tenant="front", namespace="default")
        return "deletionTimestamp" in found["metadata"]

    await until(going)
    await admin.get(WIDGET, "owner", tenant="front", namespace="default")
    await admin.patch(WIDGET, "held", {"metadata": {"finalizers": None}}, tenant="front", namespace="default")
    await until(gone(admin, WIDGET, "owner", "front", "default"))


async def test_a_namespace_takes_its_custom_resources_with_it(admin: Client, until: Until) -> None:
    await ready(admin, "spaces", until)
    await admin.create(NAMESPACE, {"metadata": {"name": "goes", "tenant": "spaces"}})
    await admin.create(WIDGET, thing(WIDGET, "inside", "spaces", "goes"))
    await admin.create(WIDGET, thing(WIDGET, "outside", "spaces", "default"))
    await admin.delete(NAMESPACE, "goes", tenant="spaces")
    await until(gone(admin, NAMESPACE, "goes", "spaces"))
    everywhere = await admin.list(WIDGET, tenant="spaces")
    assert [each["metadata"]["name"] for each in everywhere.items] == ["outside"]


async def test_a_tenant_leaves_neither_definitions_nor_objects(admin: Client, until: Until) -> None:
    await ready(admin, "leaves", until)
    await ready(admin, "stays", until)
    for tenant in ("leaves", "stays"):
        await admin.create(WIDGET, thing(WIDGET, "w", tenant, "default"))
        await admin.create(GADGET, thing(GADGET, "g", tenant))
    await admin.delete(TENANT, "leaves")
    await until(gone(admin, TENANT, "leaves", ""))
    for kind in (WIDGET, GADGET, DEFINITION):
        left = [each["metadata"]["tenant"] for each in (await admin.list(kind, tenant="all")).items]
        assert "leaves" not in left and "stays" in left
    with pytest.raises(ApiError):
        await admin.get(GADGET, "g", tenant="leaves")
