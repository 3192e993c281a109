"""Which volumes are attached where: decided, and with a stand-in for a driver's attacher on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.client import Client, Informer
from arktos.controllers.attachdetach import facts
from arktos.controllers.attachdetach.deciding import FORCED_AFTER, Steps, World, decide
from arktos.controllers.attachdetach.facts import Node
from arktos.model import registry
from arktos.model.status import ApiError, NotFound

Obj = dict[str, Any]
Until = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]
CLAIM, VOLUME, POD, NODE, TENANT, ACCOUNT, EVENT = (
    registry.by_resource(name)
    for name in (
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "nodes",
        "tenants",
        "serviceaccounts",
        "events",
    )
)
CSI_DRIVER = registry.by_resource("csidrivers.storage.k8s.io")
ATTACHMENT = registry.by_resource("volumeattachments.storage.k8s.io")
DRIVER = "disks.example.com"
UNIQUE = f"kubernetes.io/csi/{DRIVER}^d1"
READY = Node(managed=True, healthy=True)


def volume(*modes: str) -> Obj:
    source = {"driver": DRIVER, "volumeHandle": "d1"}
    return {
        "metadata": {"name": "v", "tenant": "acme"},
        "spec": {"accessModes": list(modes or ("ReadWriteOnce",)), "csi": source},
    }


def pod(name: str, namespace: str = "default") -> Obj:
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"u-{name}"}}


def attached(host: str, *, deleting: bool = False, name: str = "", **status: Any) -> Obj:
    made = facts.attachment(volume(), host)
    made["metadata"] |= {"uid": f"a-{host}", "name": name or made["metadata"]["name"]}
    if deleting:
        made["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {**made, "status": {"attached": True, **status}}


def decided(users: dict[str, list[Obj]], *attachments: Obj, nodes: dict[str, Node] | None = None, **more: Any) -> Steps:
    told: Obj = {"volume": volume(), "attachable": True, "waited": {}, "age": {}, **more}
    known = {"a": READY, "b": READY} if nodes is None else nodes
    return decide(World(users=users, attachments=attachments, nodes=known, **told))


def said(steps: Steps) -> list[tuple[str, str, str]]:
    return [(about["metadata"]["name"], reason, message) for about, _, reason, message in steps.events]


def failures(steps: Steps) -> list[tuple[str, str, str]]:
    return [each for each in said(steps) if each[1] == "FailedAttachVolume"]


def test_a_volume_is_attached_where_pods_use_it_and_detached_where_none_does() -> None:
    assert decided({"a": [pod("p")]}).attach == ["a"]
    kept = decided({"a": [pod("p")]}, attached("a"))
    assert not kept.attach and not kept.detach
    assert [each["spec"]["nodeName"] for each, _ in decided({}, attached("a")).detach] == ["a"]
    # It is on its way already.
    gone = decided({}, attached("a", deleting=True))
    assert not gone.detach and gone.unwanted == ["a"]
    # What another controller has attached is its own to detach, and so is what is on nodes that are not ours.
    assert not decided({}, attached("a", name="by-hand")).detach
    assert not decided({}, attached("a"), nodes={"a": Node(healthy=True)}).detach
    assert not decided({"a": [pod("p")]}, attachable=False).attach


def test_what_is_mounted_stays_but_for_nodes_that_are_lost() -> None:
    mounted = READY._replace(in_use=frozenset({UNIQUE}))
    healthy = decided({}, attached("a"), nodes={"a": mounted}, waited={"a": 9999.0})
    assert not healthy.detach and healthy.again is None and healthy.unwanted == ["a"]
    silent = mounted._replace(healthy=False)
    early = decided({}, attached("a"), nodes={"a": silent}, waited={"a": 100.0})
    assert not early.detach and early.again == FORCED_AFTER - 100.0
    late = decided({}, attached("a"), nodes={"a": silent}, waited={"a": FORCED_AFTER})
    assert [why for _, why in late.detach] == ["timeout"]
    dead = decided({}, attached("a"), nodes={"a": silent._replace(out_of_service=True)})
    assert [why for _, why in dead.detach] == ["out-of-service"]
    # A node that is no more has nothing mounted.
    assert [why for _, why in decided({}, attached("a"), nodes={}).detach] == [""]


def test_an_exclusive_volume_is_on_one_node_and_it_is_said_who_has_it() -> None:
    failed = 'Multi-Attach error for volume "v" '
    others = {"a": [pod("p"), pod("far", "other")], "b": [pod("q")]}
    found = decided(others, attached("a"))
    assert not found.attach and failures(found) == [
        (
            "q",
            "FailedAttachVolume",
            f"{failed}Volume is already used by pod(s) p and 1 pod(s) in different namespaces",
        )
    ]
    assert not failures(decided(others, attached("a"), told=frozenset(found.told)))
    left = decided({"b": [pod("q")]}, attached("a", deleting=True))
    assert not left.attach and failures(left)[0][2] == (
        f"{failed}Volume is already exclusively attached to one node and can't be attached to another"
    )
    hidden = decided({"a": [pod("far", "other")], "b": [pod("q")]}, attached("a"))
    assert failures(hidden)[0][2] == f"{failed}Volume is already used by 1 pod(s) in different namespaces"
    assert decided(others, attached("a"), volume=volume("ReadWriteMany")).attach == ["b"]
    assert decided(others, volume=volume("ReadWriteOnce")).attach == ["a"]


def test_what_the_attacher_says_is_told_once() -> None:
    users = {"a": [pod("p")]}
    there = decided(users, attached("a"))
    assert said(there) == [("p", "SuccessfulAttachVolume", 'AttachVolume.Attach succeeded for volume "v" ')]
    assert not said(decided(users, attached("a"), told=frozenset(there.told)))
    known = READY._replace(attached=frozenset({UNIQUE}))
    assert not said(decided(users, attached("a"), nodes={"a": known}))
    error = {"message": "no room", "time": "2026-01-01T00:00:00Z"}
    broken = attached("a", attached=False, attachError=error)
    failed = decided(users, broken)
    assert said(failed) == [("p", "FailedAttachVolume", 'AttachVolume.Attach failed for volume "v" : no room')]
    assert not said(decided(users, broken, told=frozenset(failed.told)))
    waits = decided(users, attached("a", attached=False), age={"a-a": 20.0})
    assert not said(waits) and waits.again == 100.0
    late = decided(users, attached("a", attached=False), age={"a-a": 130.0})
    assert said(late)[0][2] == (
        'AttachVolume.Attach failed for volume "v" : timed out waiting for external-attacher of disks.example.com '
        "CSI driver to attach volume d1"
    )


@given(
    users=st.sets(st.sampled_from("abc")),
    there=st.sets(st.sampled_from("abc")),
    mounted=st.sets(st.sampled_from("abc")),
)
def test_an_exclusive_volume_comes_to_no_second_node(users: set[str], there: set[str], mounted: set[str]) -> None:
    nodes = {host: READY._replace(in_use=frozenset({UNIQUE}) if host in mounted else frozenset()) for host in "abc"}
    steps = decided({host: [pod(host)] for host in users}, *(attached(host) for host in there), nodes=nodes)
    assert len(steps.attach) <= (0 if there else 1)
    assert {each["spec"]["nodeName"] for each, _ in steps.detach} == there - users - mounted


def test_which_pods_use_a_volume() -> None:
    claim: Obj = {"metadata": {"name": "c", "uid": "c1"}, "spec": {"volumeName": "v"}}
    held = volume()
    held["spec"]["claimRef"] = {"uid": "c1"}
    user: Obj = {**pod("p"), "spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]}}
    assert facts.uses(user, claim, held)
    assert not facts.uses(user, {**claim, "metadata": {"name": "c", "uid": "c2"}}, held)
    own: Obj = {**pod("p"), "spec": {"volumes": [{"name": "d", "ephemeral": {}}]}}
    named: Obj = {"metadata": {"name": "p-d", "uid": "c1"}, "spec": {"volumeName": "v"}}
    assert not facts.uses(own, named, held)
    named["metadata"]["ownerReferences"] = [{"controller": True, "uid": "u-p"}]
    assert facts.uses(own, named, held)


@pytest.mark.parametrize(
    ("status", "deleting", "over"),
    [
        ({"phase": "Running"}, False, False),
        ({"phase": "Succeeded"}, False, True),
        ({"phase": "Failed"}, True, True),
        ({"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}, True, False),
        ({"phase": "Running", "containerStatuses": [{"state": {"terminated": {}}}]}, True, True),
        ({"phase": "Pending"}, True, True),
    ],
)
def test_when_a_pod_is_done_with_its_volumes(status: Obj, deleting: bool, over: bool) -> None:
    meta = {"name": "p"} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {})
    assert facts.is_over({"metadata": meta, "status": status}) is over


# --- with a server


@pytest.fixture
async def admin(running: Path) -> AsyncIterator[Client]:
    async with Client.from_kubeconfig(running / "admin.kubeconfig") as client:
        yield client


@asynccontextmanager
async def an_attacher(admin: Client) -> AsyncIterator[set[str]]:
    """A stand-in for what a driver has beside it: attaches and detaches at once. Yields what is attached now."""
    informer = Informer(admin, ATTACHMENT)
    there: set[str] = set()
    changed: asyncio.Queue[Obj] = asyncio.Queue()
    informer.add_handler(lambda _, new: None if new is None else changed.put_nowait(new.obj()))

    async def write(seen: Obj, body: Obj, subresource: str = "") -> None:
        meta = seen["metadata"]
        with suppress(ApiError):
            await admin.patch(ATTACHMENT, meta["name"], body, tenant=meta["tenant"], subresource=subresource)

    async def work() -> None:
        while True:
            seen = await changed.get()
            meta, spec = seen["metadata"], seen["spec"]
            at = f"{meta['tenant']}/{spec['source']['persistentVolumeName']}@{spec['nodeName']}"
            if "deletionTimestamp" in meta:
                there.discard(at)
                await write(seen, {"metadata": {"finalizers": None}})
            elif not (seen.get("status") or {}).get("attached"):
                await write(seen, {"metadata": {"finalizers": ["example.com/attacher"]}})
                there.add(at)
                await write(seen, {"status": {"attached": True}}, "status")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(informer.run()), group.create_task(work())]
        try:
            yield there
        finally:
            for task in tasks:
                task.cancel()


async def a_node(admin: Client, name: str) -> None:
    meta = {"name": name, "annotations": {facts.MANAGED: "true"}}
    await admin.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": meta})


async def a_claim(admin: Client, tenant: str, name: str) -> None:
    """Bound to a volume of the same name, of a driver."""
    size = {"storage": "1Gi"}
    spec: Obj = {
        "capacity": size,
        "accessModes": ["ReadWriteOnce"],
        "csi": {"driver": DRIVER, "volumeHandle": f"{tenant}-{name}"},
        "claimRef": {"namespace": "default", "name": name},
    }
    meta = {"name": name, "tenant": tenant}
    await admin.create(VOLUME, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": spec})
    wants = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": size}}
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {**meta, "namespace": "default"}}
    await admin.create(CLAIM, {**body, "spec": wants})


async def a_pod(admin: Client, tenant: str, name: str, node: str, claim: str) -> None:
    spec = {
        "nodeName": node,
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": claim}}],
    }
    meta = {"name": name, "namespace": "default", "tenant": tenant}
    await admin.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def unique(tenant: str) -> str:
    return f"kubernetes.io/csi/{DRIVER}^{tenant}-data"


@pytest.fixture
async def tenants(admin: Client, until: Until) -> None:
    """Two that may make pods, and two nodes."""
    for tenant in ("blue", "green"):
        await admin.create(TENANT, {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": tenant}, "spec": {}})

    async def ready() -> bool:
        found = [await admin.list(ACCOUNT, tenant=each, namespace="default") for each in ("blue", "green")]
        return all(each.items for each in found)

    await until(ready)
    for node in ("h1", "h2"):
        await a_node(admin, node)


async def reported(admin: Client, node: str) -> list[str]:
    status = (await admin.get(NODE, node)).get("status") or {}
    return [each["name"] for each in status.get("volumesAttached") or ()]


async def told(admin: Client, reason: str, text: str) -> bool:
    found = (await admin.list(EVENT, tenant="blue", namespace="default")).items
    return any(each["reason"] == reason and text in each["message"] for each in found)


async def test_volumes_follow_their_pods(admin: Client, tenants: None, until: Until) -> None:
    async with an_attacher(admin) as there:
        for tenant, node in (("blue", "h1"), ("green", "h2")):
            await a_claim(admin, tenant, "data")
            await a_pod(admin, tenant, "p", node, "data")

        async def both() -> bool:
            return await reported(admin, "h1") == [unique("blue")] and await reported(admin, "h2") == [unique("green")]

        await until(both)
        assert there == {"blue/data@h1", "green/data@h2"}
        await until(lambda: told(admin, "SuccessfulAttachVolume", 'succeeded for volume "data"'))
        # The agent of h1 has it mounted; a second pod elsewhere must wait.
        await admin.patch(NODE, "h1", {"status": {"volumesInUse": [unique("blue")]}}, subresource="status")
        await a_pod(admin, "blue", "q", "h2", "data")
        await until(lambda: told(admin, "FailedAttachVolume", "Volume is already used by pod(s) p"))
        await admin.delete(POD, "p", tenant="blue", namespace="default", grace_period=0)
        # Another volume comes: by then the first has been looked at, too.
        await a_claim(admin, "blue", "more")
        await a_pod(admin, "blue", "r", "h1", "more")

        async def is_there(*wanted: str) -> bool:
            return set(wanted) == there

        await until(lambda: is_there("blue/data@h1", "green/data@h2", "blue/more@h1"))
        await admin.patch(NODE, "h1", {"status": {"volumesInUse": []}}, subresource="status")
        await until(lambda: is_there("blue/data@h2", "green/data@h2", "blue/more@h1"))

        async def moved() -> bool:
            both = [unique("blue"), unique("green")]
            return await reported(admin, "h2") == both and unique("blue") not in await reported(admin, "h1")

        await until(moved)
        # A node that is no more gives back what it had, its pods being deleted.
        await admin.delete(NODE, "h2")
        for tenant, name in (("blue", "q"), ("green", "p")):
            with suppress(NotFound):
                await admin.delete(POD, name, tenant=tenant, namespace="default", grace_period=0)
        await until(lambda: is_there("blue/more@h1"))
        # So does a driver that needs no attaching after all.
        meta = {"name": DRIVER, "tenant": "system"}
        spec = {"attachRequired": False}
        await admin.create(
            CSI_DRIVER, {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": meta, "spec": spec}
        )
        await until(is_there)
