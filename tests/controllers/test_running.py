"""Controllers against a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from arktos.client import Client
from arktos.controllers.context import content_kinds
from arktos.model import dates, registry
from arktos.model.kinds import ALL_TENANTS, Scope
from arktos.model.status import Conflict, NotFound

Obj = dict[str, Any]
Until = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]

TENANT, NAMESPACE, POD, SET, DEPLOYMENT, CONFIG, ACCOUNT, ROLE, EVENT = (
    registry.by_resource(name)
    for name in (
        "tenants",
        "namespaces",
        "pods",
        "replicasets.apps",
        "deployments.apps",
        "configmaps",
        "serviceaccounts",
        "clusterroles.rbac.authorization.k8s.io",
        "events",
    )
)


@pytest.fixture
async def admin(running: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(running / "admin.kubeconfig") as client:
        yield client


def named(kind: Any, name: str, tenant: str = "", namespace: str = "", **fields: Any) -> Obj:
    meta = {k: v for k, v in {"name": name, "tenant": tenant, "namespace": namespace}.items() if v}
    meta |= fields.pop("metadata", {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **fields}


def workload(kind: Any, name: str, replicas: int, image: str = "a", **metadata: Any) -> Obj:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return named(kind, name, namespace="default", metadata=metadata, spec=spec)


async def is_ready(client: Client, tenant: str) -> bool:
    found = (await client.get(TENANT, tenant)).get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in found)


async def is_gone(client: Client, kind: Any, name: str, tenant: str = "", namespace: str = "") -> bool:
    try:
        await client.get(kind, name, tenant=tenant, namespace=namespace)
    except NotFound:
        return True
    return False


async def pods_of(client: Client, app: str) -> list[Obj]:
    return (await client.list(POD, namespace="default", label_selector=f"app={app}")).items


async def make_ready(client: Client, app: str) -> None:
    """What a node would do: pods run and are ready, deleted ones go."""
    for pod in await pods_of(client, app):
        meta = pod["metadata"]
        if pod["status"].get("phase") == "Running":
            continue
        now = dates.rfc3339(dates.parse(meta["creationTimestamp"]))
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
        body = {"status": {"phase": "Running", "conditions": [ready]}}
        try:
            await client.patch(POD, meta["name"], body, namespace="default", subresource="status")
        except NotFound:
            continue


async def test_a_tenant_can_be_used_at_once_and_leaves_nothing(admin: Client, until: Until) -> None:
    await admin.create(TENANT, named(TENANT, "acme", spec={}))
    await until(lambda: is_ready(admin, "acme"))
    spec = {"containers": [{"name": "c", "image": "i"}]}
    await admin.create(POD, named(POD, "first", "acme", "default", spec=spec))
    await admin.create(NAMESPACE, named(NAMESPACE, "blue", "acme"))
    await admin.create(CONFIG, named(CONFIG, "mine", "acme", "blue"))
    await admin.create(ROLE, named(ROLE, "mine", "acme", rules=[]))
    await admin.delete(TENANT, "acme")
    await until(lambda: is_gone(admin, TENANT, "acme"))
    for scope in (Scope.TENANT, Scope.NAMESPACE):
        for kind in [*content_kinds(scope), EVENT]:
            listing = await admin.list(kind, tenant=ALL_TENANTS)
            assert [each for each in listing.items if each["metadata"].get("tenant") == "acme"] == []


async def test_a_foreign_finalizer_keeps_a_tenant_and_is_named(admin: Client, until: Until) -> None:
    await admin.create(TENANT, named(TENANT, "held", spec={}))
    await until(lambda: is_ready(admin, "held"))
    hold = {"finalizers": ["example.com/hold"]}
    await admin.create(CONFIG, named(CONFIG, "kept", "held", "default", metadata=hold))
    await admin.create(ROLE, named(ROLE, "kept", "held", rules=[], metadata=hold))
    await admin.delete(TENANT, "held")

    async def says(kind: Any, name: str, type: str, words: str) -> bool:
        found = (await admin.get(kind, name, tenant="held")).get("status", {}).get("conditions", [])
        return any(each["type"] == type and words in each["message"] for each in found)

    await until(lambda: says(NAMESPACE, "default", "NamespaceFinalizersRemaining", "example.com/hold in 1"))
    await until(lambda: says(NAMESPACE, "default", "NamespaceContentRemaining", "configmaps. has 1"))
    await until(lambda: says(TENANT, "held", "TenantContentRemaining", "namespaces. has 1"))
    await admin.patch(CONFIG, "kept", {"metadata": {"finalizers": None}}, tenant="held", namespace="default")
    await until(lambda: says(TENANT, "held", "TenantContentRemaining", "clusterroles.rbac.authorization.k8s.io has 1"))
    with pytest.raises(Conflict):
        await admin.delete(TENANT, "held")
    await admin.patch(ROLE, "kept", {"metadata": {"finalizers": None}}, tenant="held")
    await until(lambda: is_gone(admin, TENANT, "held"))


async def test_a_default_account_comes_back(admin: Client, until: Until) -> None:
    async def there() -> bool:
        return not await is_gone(admin, ACCOUNT, "default", namespace="default")

    await until(there)
    before = (await admin.get(ACCOUNT, "default", namespace="default"))["metadata"]["uid"]
    await admin.delete(ACCOUNT, "default", namespace="default")

    async def another() -> bool:
        return await there() and (await admin.get(ACCOUNT, "default", namespace="default"))["metadata"]["uid"] != before

    await until(another)


async def test_a_replicaset_adopts_counts_and_scales(admin: Client, until: Until) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    await admin.create(POD, named(POD, "stray", "", "default", metadata={"labels": {"app": "rs"}}, spec=spec))
    await admin.create(SET, workload(SET, "rs", 4))

    async def has(count: int) -> bool:
        status = (await admin.get(SET, "rs", namespace="default"))["status"]
        return status["replicas"] == count == len(await pods_of(admin, "rs"))

    await until(lambda: has(4))
    assert "stray" in {pod["metadata"]["name"] for pod in await pods_of(admin, "rs")}
    await admin.patch(SET, "rs", {"spec": {"replicas": 60}}, namespace="default")
    await until(lambda: has(60))
    await admin.patch(SET, "rs", {"spec": {"replicas": 1}}, namespace="default")
    await until(lambda: has(1))
    pod = (await pods_of(admin, "rs"))[0]["metadata"]["name"]
    await admin.patch(POD, pod, {"metadata": {"labels": {"app": "freed"}}}, namespace="default")

    async def replaced() -> bool:
        freed = await pods_of(admin, "freed")
        return not freed[0]["metadata"].get("ownerReferences") and len(await pods_of(admin, "rs")) == 1

    await until(replaced)
    await admin.delete(SET, "rs", namespace="default")

    async def collected() -> bool:
        return not await pods_of(admin, "rs") and len(await pods_of(admin, "freed")) == 1

    await until(collected)


async def test_a_rollout_and_its_garbage(admin: Client, until: Until) -> None:
    await admin.create(DEPLOYMENT, workload(DEPLOYMENT, "web", 3))

    async def rolled_out(revision: str) -> bool:
        await make_ready(admin, "web")
        obj = await admin.get(DEPLOYMENT, "web", namespace="default")
        done = any(each.get("reason") == "NewReplicaSetAvailable" for each in obj["status"].get("conditions", []))
        at = obj["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision")
        return done and at == revision and obj["status"].get("updatedReplicas") == obj["status"]["replicas"] == 3

    await until(lambda: rolled_out("1"))
    image = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "b"}
    await admin.patch(DEPLOYMENT, "web", [image], type="json", namespace="default")
    await until(lambda: rolled_out("2"))
    sets = (await admin.list(SET, namespace="default", label_selector="app=web")).items
    assert sorted(each["spec"]["replicas"] for each in sets) == [0, 3]
    await admin.patch(DEPLOYMENT, "web", [image | {"value": "a"}], type="json", namespace="default")
    await until(lambda: rolled_out("3"))
    assert len((await admin.list(SET, namespace="default", label_selector="app=web")).items) == 2

    async def told() -> bool:
        events = (await admin.list(EVENT, namespace="default")).items
        messages = {each["message"] for each in events if each["involvedObject"]["name"] == "web"}
        return any(
            message.startswith("Scaled up replica set web-") and message.endswith("from 0 to 3") for message in messages
        )

    await until(told)
    await admin.delete(DEPLOYMENT, "web", namespace="default", propagation="Foreground")
    await until(lambda: is_gone(admin, DEPLOYMENT, "web", namespace="default"))
    assert await pods_of(admin, "web") == []


async def test_orphans_stay(admin: Client, until: Until) -> None:
    await admin.create(SET, workload(SET, "orphans", 2))

    async def made() -> bool:
        return len(await pods_of(admin, "orphans")) == 2

    await until(made)
    await admin.delete(SET, "orphans", namespace="default", propagation="Orphan")
    await until(lambda: is_gone(admin, SET, "orphans", namespace="default"))
    left = await pods_of(admin, "orphans")
    assert len(left) == 2 and not any(pod["metadata"].get("ownerReferences") for pod in left)


async def test_an_owner_in_another_tenant_does_not_count(admin: Client, until: Until) -> None:
    for tenant in ("one", "two"):
        await admin.create(TENANT, named(TENANT, tenant, spec={}))
        await until(lambda tenant=tenant: is_ready(admin, tenant))  # type: ignore[misc]
    owner = await admin.create(CONFIG, named(CONFIG, "owner", "one", "default"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned = {"ownerReferences": [reference]}
    await admin.create(CONFIG, named(CONFIG, "home", "one", "default", metadata=owned))
    await admin.create(CONFIG, named(CONFIG, "abroad", "two", "default", metadata=owned))
    await until(lambda: is_gone(admin, CONFIG, "abroad", "two", "default"))
    assert not await is_gone(admin, CONFIG, "home", "one", "default")
    await asyncio.gather(*(admin.delete(TENANT, tenant) for tenant in ("one", "two")))
    for tenant in ("one", "two"):
        await until(lambda tenant=tenant: is_gone(admin, TENANT, tenant))  # type: ignore[misc]
