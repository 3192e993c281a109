"""What programs do with kr8s: objects that know their state, patches, watches, scaling, custom resources.

kr8s_client.py kubeconfig namespace [pod]
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import kr8s
from kr8s.asyncio.objects import APIObject, ConfigMap, Deployment, Pod


def config_map(api: Any, namespace: str, name: str, **data: str) -> Any:
    meta = {"name": name, "namespace": namespace, "labels": {"app": "kr8s"}}
    return ConfigMap({"metadata": meta, "data": data}, api=api)


async def objects(api: Any, namespace: str) -> None:
    made = await config_map(api, namespace, "a", key="1")
    await made.create()
    assert await made.exists() and made.data.key == "1"
    await made.patch({"data": {"more": "2"}})
    assert dict(made.data) == {"key": "1", "more": "2"}
    await made.patch([{"op": "replace", "path": "/data/key", "value": "3"}], type="json")
    await made.label({"tier": "gold"})
    await made.annotate({"why": "because"})
    found = [each async for each in api.get("configmaps", namespace=namespace, label_selector={"tier": "gold"})]
    assert [each.name for each in found] == ["a"] and found[0].data.key == "3"
    assert (await ConfigMap.get("a", namespace=namespace, api=api)).annotations["why"] == "because"
    await made.delete()
    assert not await made.exists()
    try:
        await ConfigMap.get("nobody", namespace=namespace, api=api, timeout=1)
    except kr8s.NotFoundError:
        return
    raise AssertionError("NotFoundError did not come")


async def workloads(api: Any, namespace: str) -> None:
    labels = {"app": "web"}
    web = await Deployment(
        {
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "c", "image": "nginx:1.27"}]},
                },
            },
        },
        api=api,
    )
    await web.create()
    await web.patch({"spec": {"replicas": 2}}, subresource="scale")
    await web.refresh()
    assert web.spec.replicas == 2
    await web.delete()


async def watching(api: Any, namespace: str) -> None:
    seen = await config_map(api, namespace, "seen", n="0")
    await seen.create()
    told = []
    async with asyncio.timeout(30):
        async for kind, each in api.watch("configmaps", namespace=namespace, label_selector={"app": "kr8s"}):
            told.append((kind, each.raw["data"]["n"]))
            if kind == "ADDED":
                await seen.patch({"data": {"n": "1"}})
            elif kind == "MODIFIED":
                await seen.delete()
            else:
                break
    assert told == [("ADDED", "0"), ("MODIFIED", "1"), ("DELETED", "1")], told


async def running(api: Any, namespace: str, pod: str) -> None:
    found = await Pod.get(pod, namespace=namespace, api=api)
    assert await found.ready()
    assert any("hello" in line for line in [line async for line in found.logs()])
    done = await found.exec(["echo", "out"])
    assert done.stdout.strip() == b"out"


async def run(kubeconfig: str, namespace: str, pod: str = "") -> None:
    api = await kr8s.asyncio.api(kubeconfig=kubeconfig)
    if pod:
        await running(api, namespace, pod)
        return
    assert (await api.version())["minor"] == "36"
    kinds = {each["kind"] for each in await api.api_resources()}
    assert {"Pod", "Deployment", "FlowSchema", "ResourceClaim"} <= kinds
    await objects(api, namespace)
    await workloads(api, namespace)
    await watching(api, namespace)
    assert issubclass(ConfigMap, APIObject)


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
