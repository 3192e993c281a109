"""What programs do with lightkube: generic typed client, patches of each kind, apply, watches, waiting.

lightkube_client.py kubeconfig namespace [pod]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from lightkube import ApiError, Client, KubeConfig
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import PatchType


def config_map(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, labels={"app": "lk"}), data=data)


def refused(code: int, reason: str, act: Callable[[], object]) -> None:
    try:
        act()
    except ApiError as error:
        assert error.status.code == code and error.status.reason == reason, error.status
    else:
        raise AssertionError(f"{reason} did not come")


def objects(client: Client, namespace: str) -> None:
    made = client.create(config_map("a", key="1"))
    assert made.metadata.uid and client.get(ConfigMap, "a").data == {"key": "1"}
    assert client.patch(ConfigMap, "a", {"data": {"b": "2"}}, patch_type=PatchType.MERGE).data == {"key": "1", "b": "2"}
    operations = [{"op": "remove", "path": "/data/b"}]
    assert client.patch(ConfigMap, "a", operations, patch_type=PatchType.JSON).data == {"key": "1"}
    assert client.patch(ConfigMap, "a", {"data": {"c": "3"}}).data == {"key": "1", "c": "3"}
    assert [each.metadata.name for each in client.list(ConfigMap, labels={"app": "lk"})] == ["a"]
    stale = client.get(ConfigMap, "a")
    client.replace(client.get(ConfigMap, "a").__class__(metadata=stale.metadata, data={"x": "y"}))
    refused(409, "Conflict", lambda: client.replace(stale))
    refused(404, "NotFound", lambda: client.get(ConfigMap, "nobody"))
    client.deletecollection(ConfigMap)
    assert [each.metadata.name for each in client.list(ConfigMap, labels={"app": "lk"})] == []


def applying(client: Client, namespace: str) -> None:
    labels = {"app": "web"}
    wanted = Deployment(
        apiVersion="apps/v1",
        kind="Deployment",
        metadata=ObjectMeta(name="web", namespace=namespace),
        spec=DeploymentSpec(
            replicas=2,
            selector=LabelSelector(matchLabels=labels),
            template=PodTemplateSpec(
                metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[Container(name="c", image="nginx:1.27")])
            ),
        ),
    )
    assert client.apply(wanted, field_manager="lk").spec.replicas == 2
    wanted.spec.replicas = 3
    assert client.apply(wanted, field_manager="lk").spec.replicas == 3
    refused(409, "Conflict", lambda: client.apply(_other(wanted), field_manager="other"))
    assert client.apply(_other(wanted), field_manager="other", force=True).spec.replicas == 5
    scale = client.get(Deployment.Scale, "web")
    assert scale.spec.replicas == 5
    client.patch(Deployment.Scale, "web", {"spec": {"replicas": 0}})
    assert client.get(Deployment, "web").spec.replicas == 0
    client.delete(Deployment, "web")


def _other(wanted: Deployment) -> Deployment:
    changed = Deployment.from_dict(wanted.to_dict())
    changed.spec.replicas = 5
    return changed


def watching(client: Client) -> None:
    client.create(config_map("seen", n="0"))
    told = []
    for kind, each in client.watch(ConfigMap, fields={"metadata.name": "seen"}):
        told.append((kind, each.data["n"]))
        if kind == "ADDED":
            client.patch(ConfigMap, "seen", {"data": {"n": "1"}})
        elif kind == "MODIFIED":
            client.delete(ConfigMap, "seen")
        else:
            break
    assert told == [("ADDED", "0"), ("MODIFIED", "1"), ("DELETED", "1")], told


def main(kubeconfig: str, namespace: str, pod: str = "") -> None:
    client = Client(config=KubeConfig.from_file(Path(kubeconfig)), namespace=namespace, field_manager="lightkube")
    if pod:
        assert any("hello" in line for line in client.log(pod))
        assert client.get(Pod, pod).status.phase == "Running"
        return
    objects(client, namespace)
    applying(client, namespace)
    watching(client)


if __name__ == "__main__":
    main(*sys.argv[1:])
