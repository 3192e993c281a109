"""What pods refer to, read from, watched and asked for at a real API server."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.spec.pods import FACTS
from agent.volumes.conftest import mounts_below, needs_root
from arktos.agent.sources import Sources, pod_references
from arktos.agent.spec.env import environment
from arktos.agent.volumes import VolumeError, Volumes
from arktos.client import Client
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import NotFound

NAMESPACES, ACCOUNTS, PODS, CONFIG_MAPS, SECRETS, SERVICES, CLASSES = (
    registry.by_resource(name)
    for name in (
        "namespaces",
        "serviceaccounts",
        "pods",
        "configmaps",
        "secrets",
        "services",
        "runtimeclasses.node.k8s.io",
    )
)
SPACE = "shop"


@pytest.fixture
async def client(shared_apiserver: Any) -> AsyncIterator[Client]:
    path = shared_apiserver.settings.layout.admin_kubeconfig
    async with Client.from_kubeconfig(path, user_agent="agent-test") as made:
        if not any(each["metadata"]["name"] == SPACE for each in (await made.list(NAMESPACES)).items):
            await made.create(NAMESPACES, {"metadata": {"name": SPACE}})
            await made.create(ACCOUNTS, {"metadata": {"name": "default"}}, namespace=SPACE)
        yield made


@pytest.fixture
async def sources(client: Client) -> AsyncIterator[Sources]:
    made = Sources(client)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.wait([running])


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def created(client: Client, name: str, **spec: Any) -> Obj:
    holder = {"name": "app", "image": "registry.example/app", **spec.pop("container", {})}
    body = {"metadata": {"name": name}, "spec": {"containers": [holder], "nodeName": "node1", **spec}}
    return await client.create(PODS, body, namespace=SPACE)


def config_map(name: str, **data: str) -> Obj:
    return {"metadata": {"name": name}, "data": data}


async def test_what_is_held_is_watched_and_let_go(client: Client, sources: Sources) -> None:
    source = {"envFrom": [{"configMapRef": {"name": "live"}}, {"secretRef": {"name": "key", "optional": True}}]}
    pod = await created(client, "watching", container=source, imagePullSecrets=[{"name": "pull"}, {"name": "gone"}])
    uid, told = pod["metadata"]["uid"], []
    sources.on_change(told.append)
    assert {(each[0], each[3]) for each in pod_references(pod)} == {
        ("configmaps", "live"),
        ("configmaps", "kube-root-ca.crt"),
        ("secrets", "key"),
        ("secrets", "pull"),
        ("secrets", "gone"),
        ("services", ""),
        ("services", "kubernetes"),
    }
    assert await sources.config_map("system", SPACE, "live") is None
    sources.hold(pod)
    sources.hold(pod)
    made = await client.create(CONFIG_MAPS, config_map("live", a="1"), namespace=SPACE)
    await until(lambda: uid in told)
    found = await sources.config_map("system", SPACE, "live")
    assert found is not None and found["data"] == {"a": "1"} and found["kind"] == "ConfigMap"
    told.clear()
    await client.update(CONFIG_MAPS, {**made, "data": {"a": "2"}})
    await until(lambda: uid in told)
    pulling = {"metadata": {"name": "pull"}, "type": "Opaque", "data": {"x": base64.b64encode(b"y").decode()}}
    await client.create(SECRETS, pulling, namespace=SPACE)
    # More than twice when what was there at first is told late.
    await until(lambda: told.count(uid) >= 2)
    async with asyncio.timeout(20):
        while [each["metadata"]["name"] for each in await sources.pull_secrets(pod)] != ["pull"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    service = {"metadata": {"name": "db"}, "spec": {"ports": [{"port": 5432}]}}
    await client.create(SERVICES, service, namespace=SPACE)
    async with asyncio.timeout(20):
        while True:
            pairs = environment(pod, pod["spec"]["containers"][0], await sources.environment(
                pod, pod["spec"]["containers"][0], ("10.244.0.9",)
            ), FACTS)  # fmt: skip
            if "DB_SERVICE_HOST" in dict(pairs):
                break
            await asyncio.sleep(0.01)
    assert dict(pairs)["a"] == "2" and dict(pairs)["DB_SERVICE_PORT"] == "5432"

    sources.release(uid)
    sources.release(uid)
    assert not sources.watched
    told.clear()
    await client.delete(CONFIG_MAPS, "live", namespace=SPACE)
    assert await sources.config_map("system", SPACE, "live") is None
    assert told == []


async def test_two_pods_share_a_watch(client: Client, sources: Sources) -> None:
    volume = {"volumes": [{"name": "v", "configMap": {"name": "shared"}}], "enableServiceLinks": False}
    one, two = await created(client, "one", **volume), await created(client, "two", **volume)
    for pod in (one, two):
        sources.hold(pod)
    shared = ("configmaps", "system", SPACE, "shared")
    assert shared in sources.watched
    sources.release(one["metadata"]["uid"])
    assert shared in sources.watched
    sources.release(two["metadata"]["uid"])
    assert not sources.watched


async def test_runtime_classes(client: Client, sources: Sources) -> None:
    await client.create(CLASSES, {"metadata": {"name": "fast"}, "handler": "crun"})
    pod = {"metadata": {"tenant": "system"}, "spec": {"runtimeClassName": "fast"}}
    assert await sources.runtime_handler(pod) == "crun"
    assert await sources.runtime_handler({"metadata": {}, "spec": {}}) == ""
    with pytest.raises(NotFound, match='"slow" not found'):
        await sources.runtime_handler({"metadata": {"tenant": "system"}, "spec": {"runtimeClassName": "slow"}})


@needs_root
async def test_the_volume_that_every_pod_has(client: Client, sources: Sources, room: Path) -> None:
    """Token, root certificates and namespace, as admission adds them, with the token bound to the pod."""
    pod = await created(client, "ordinary")
    volumes = Volumes(room / "pods", client, sources, lambda: FACTS)
    if await sources.config_map("system", SPACE, "kube-root-ca.crt") is None:
        with pytest.raises(VolumeError, match=r'configmap "kube-root-ca\.crt" not found'):
            await volumes.set_up(pod)
        await client.create(CONFIG_MAPS, config_map("kube-root-ca.crt", **{"ca.crt": "PEM"}), namespace=SPACE)
    sources.hold(pod)
    found = await volumes.set_up(pod)
    (only,) = found.values()
    content = Path(only.path)
    assert {name for name in os.listdir(content) if not name.startswith("..")} == {"token", "ca.crt", "namespace"}
    assert (content / "namespace").read_text() == SPACE and (content / "ca.crt").read_text()
    claims = json.loads(base64.urlsafe_b64decode((content / "token").read_text().split(".")[1] + "=="))
    assert claims["kubernetes.io"]["pod"] == {"name": "ordinary", "uid": pod["metadata"]["uid"]}
    assert only.read_only and mounts_below(room) == [only.path]
    await volumes.tear_down(pod["metadata"]["uid"])
