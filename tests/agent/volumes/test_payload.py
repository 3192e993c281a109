"""What the files of volumes contain."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agent.spec.pods import FACTS, container, pod, resources
from arktos.agent.spec.volume_sources import TokenKey, VolumeSources, volume_sources
from arktos.agent.volumes.atomic import File
from arktos.agent.volumes.ownership import Ownership, common_user, ownership
from arktos.agent.volumes.payload import Material, files_of
from arktos.agent.volumes.volume import VolumeError, mounted_names, plugin_of


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


MATERIAL = Material(
    {"settings": {"data": {"a": "1", "b": "2"}, "binaryData": {"raw": coded(b"\xff\x00")}}},
    {"login": {"data": {"key": coded(b"\xfe!")}}},
    {TokenKey("", 3600): "t0", TokenKey("vault", 600): "t1"},
)
NOBODY = Ownership()


def files(volume: dict[str, Any], owner: Ownership = NOBODY, **spec: Any) -> dict[str, File]:
    return files_of({"name": "v", **volume}, pod(**spec), MATERIAL, owner, FACTS)


def test_whole_config_maps_and_secrets() -> None:
    assert files({"configMap": {"name": "settings", "defaultMode": 0o400}}) == {
        "a": File(b"1", 0o400),
        "b": File(b"2", 0o400),
        "raw": File(b"\xff\x00", 0o400),
    }
    assert files({"secret": {"secretName": "login"}}) == {"key": File(b"\xfe!", 0o644)}


def test_items() -> None:
    items = [{"key": "a", "path": "etc/x"}, {"key": "b", "path": "y", "mode": 0o600}]
    assert files({"configMap": {"name": "settings", "items": items}}) == {
        "etc/x": File(b"1", 0o644),
        "y": File(b"2", 0o600),
    }


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "y"}}, 'configmap "y" not found'),
        ({"secret": {"secretName": "y"}}, 'secret "y" not found'),
        (
            {"configMap": {"name": "settings", "items": [{"key": "k", "path": "p"}]}},
            "configmap references non-existent config key: k",
        ),
        (
            {"secret": {"secretName": "login", "items": [{"key": "k", "path": "p"}]}},
            "references non-existent secret key: k",
        ),
        (
            {"projected": {"sources": [{"configMap": {"name": "y"}}, {"secret": {"name": "z"}}]}},
            '[configmap "y" not found, secret "z" not found]',
        ),
        (
            {"projected": {"sources": [{"clusterTrustBundle": {"name": "x"}}]}},
            "projected source clusterTrustBundle is not supported by this node",
        ),
        (
            {"configMap": {"name": "settings", "items": [{"key": "a", "path": "../../etc/passwd"}]}},
            "invalid path: must not contain '..': ../../etc/passwd",
        ),
        ({"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "no"}}]}}, "unsupported fieldPath: no"),
    ],
)
def test_what_is_missing_is_named(volume: dict[str, Any], message: str) -> None:
    with pytest.raises(VolumeError) as caught:
        files(volume)
    assert (caught.value.reason, caught.value.message) == ("FailedMount", message)


def test_what_is_optional_may_be_missing() -> None:
    assert files({"configMap": {"name": "y", "optional": True}}) == {}
    items = [{"key": "k", "path": "p"}, {"key": "key", "path": "q"}]
    assert set(files({"secret": {"secretName": "login", "optional": True, "items": items}})) == {"q"}
    assert files({"projected": {"sources": [{"clusterTrustBundle": {"optional": True}}]}}) == {}


def test_projected_sources_together() -> None:
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 600}},
        {"configMap": {"name": "settings", "items": [{"key": "a", "path": "a"}]}},
        {"secret": {"name": "login"}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    volume = {"name": "v", "projected": {"sources": sources, "defaultMode": 0o440}}
    assert volume_sources(volume) == VolumeSources(
        frozenset({"settings"}), frozenset({"login"}), frozenset(MATERIAL.tokens)
    )
    found = files(volume)
    assert {path: file.content for path, file in found.items()} == {
        "token": b"t0",
        "vault": b"t1",
        "a": b"1",
        "key": b"\xfe!",
        "namespace": b"shop",
    }
    assert {file.mode for file in found.values()} == {0o440}


@pytest.mark.parametrize("owner", [Ownership(group=7), Ownership(user=1000), Ownership(group=7, user=1000)])
def test_tokens_are_for_their_reader_alone(owner: Ownership) -> None:
    volume = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    assert files(volume)["token"].mode == 0o644
    made = files(volume, owner)["token"]
    assert (made.mode, made.user) == (0o600, owner.user)


def test_downward_resources_name_their_container() -> None:
    items = [
        {"path": "l", "resourceFieldRef": {"containerName": "app", "resource": "limits.memory", "divisor": "1Mi"}},
    ]
    holder = container(**resources(limits={"memory": "64Mi"}))
    volume = {"name": "v", "downwardAPI": {"items": items}}
    assert files_of(volume, pod(holder), MATERIAL, NOBODY, FACTS)["l"].content == b"64"


def test_ownership() -> None:
    def user(uid: int) -> dict[str, Any]:
        return {"securityContext": {"runAsUser": uid}}

    assert common_user(pod(container("a", **user(5)), container("b", **user(5)))) == 5
    assert common_user(pod(container("a", **user(5)), container("b", **user(6)))) is None
    assert common_user(pod(container("a", **user(5)), container("b"))) is None
    stated = {"runAsUser": 5, "fsGroup": 6, "fsGroupChangePolicy": "OnRootMismatch"}
    assert ownership(pod(securityContext=stated)) == Ownership(6, 5, True)


def test_only_volumes_in_use_are_set_up() -> None:
    ref = {"fileKeyRef": {"volumeName": "env", "path": "p", "key": "k"}}
    described = pod(
        container(volumeMounts=[{"name": "data", "mountPath": "/d"}], env=[{"name": "E", "valueFrom": ref}]),
        initContainers=[container("init", volumeDevices=[{"name": "disk", "devicePath": "/dev/x"}])],
        virtualMachine={"volumeMounts": [{"name": "root"}]},
    )
    assert mounted_names(described) == {"data", "env", "disk", "root"}
    assert plugin_of({"name": "v", "nfs": {"server": "s"}}) == "nfs" and plugin_of({"name": "v"}) == "emptyDir"
