"""Service accounts of pods."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.apiserver.admission_serviceaccount import MOUNT_PATH, admit
from arktos.model.status import Forbidden

MOUNT = {"name": "kube-api-access-abcde", "readOnly": True, "mountPath": MOUNT_PATH}


@pytest.fixture
def store(new_store: Any) -> Any:
    store = new_store().tenant("acme")
    store.put("serviceaccounts", "acme", "ns", {"metadata": {"name": "default", "uid": "u"}})
    return store


def account(store: Any, name: str = "default", **fields: Any) -> None:
    annotations = fields.pop("annotations", {})
    store.put("serviceaccounts", "acme", "ns", {"metadata": {"name": name, "annotations": annotations}, **fields})


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}], **spec}}


def admitted(store: Any, obj: dict[str, Any]) -> dict[str, Any]:
    admit(obj, "acme", "ns", store, "abcde")
    spec: dict[str, Any] = obj["spec"]
    return spec


def refused(store: Any, obj: dict[str, Any]) -> str:
    with pytest.raises(Forbidden) as error:
        admitted(store, obj)
    return error.value.message


def test_a_plain_pod(store: Any) -> None:
    spec = admitted(store, pod(initContainers=[{"name": "i"}], volumes=[{"name": "v"}]))
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    assert spec["containers"][0]["volumeMounts"] == spec["initContainers"][0]["volumeMounts"] == [MOUNT]
    assert spec["volumes"] == [
        {"name": "v"},
        {
            "name": "kube-api-access-abcde",
            "projected": {
                "defaultMode": 420,
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {
                        "downwardAPI": {
                            "items": [
                                {
                                    "path": "namespace",
                                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                                }
                            ]
                        }
                    },
                ],
            },
        },
    ]


def test_containers_that_mount_something_there_are_left_alone(store: Any) -> None:
    own = {"name": "v", "mountPath": MOUNT_PATH}
    spec = admitted(store, pod(containers=[{"name": "c", "volumeMounts": [own]}], volumes=[{"name": "v"}]))
    assert spec["containers"][0]["volumeMounts"] == [own]
    assert spec["volumes"] == [{"name": "v"}]
    other = {"name": "v", "mountPath": "/x"}
    spec = admitted(store, pod(containers=[{"name": "c", "volumeMounts": [other]}]))
    assert spec["containers"][0]["volumeMounts"] == [other, MOUNT]


def test_a_volume_that_is_there_is_used(store: Any) -> None:
    spec = admitted(store, pod(volumes=[{"name": "kube-api-access-zzzzz"}]))
    assert spec["volumes"] == [{"name": "kube-api-access-zzzzz"}]
    assert spec["containers"][0]["volumeMounts"][0]["name"] == "kube-api-access-zzzzz"


@pytest.mark.parametrize(
    ("of_pod", "of_account", "mounted"),
    [(None, None, True), (None, False, False), (True, False, True), (False, True, False), (False, None, False)],
)
def test_automount(store: Any, of_pod: bool | None, of_account: bool | None, mounted: bool) -> None:
    account(store, **({} if of_account is None else {"automountServiceAccountToken": of_account}))
    spec = admitted(store, pod(**({} if of_pod is None else {"automountServiceAccountToken": of_pod})))
    assert ("volumes" in spec) is mounted


def test_a_virtual_machine_gets_the_account_only(store: Any) -> None:
    for containers in ({"containers": []}, {}):
        obj = {"metadata": {"name": "vm"}, "spec": {"virtualMachine": {"name": "vm"}, **containers}}
        spec = admitted(store, obj)
        assert spec["serviceAccountName"] == "default"
        assert "volumes" not in spec
        assert "volumeMounts" not in spec["virtualMachine"]


def test_a_missing_account(store: Any) -> None:
    assert refused(store, pod(serviceAccountName="x")) == (
        'pods "p" is forbidden: error looking up service account ns/x: serviceaccount "x" not found'
    )
    generated = {"metadata": {"generateName": "web-"}, "spec": {"containers": [], "serviceAccountName": "x"}}
    assert refused(store, generated).startswith('pods "web-" is forbidden')
    with pytest.raises(Forbidden):
        admit(pod(), "globex", "ns", store, "abcde")


def test_the_old_name_of_the_field_counts(store: Any) -> None:
    account(store, "robot")
    assert admitted(store, pod(serviceAccount="robot"))["serviceAccountName"] == "robot"


def test_image_pull_secrets(store: Any) -> None:
    account(store, imagePullSecrets=[{"name": "a"}, {"name": "b"}])
    assert admitted(store, pod())["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    assert admitted(store, pod(imagePullSecrets=[{"name": "mine"}]))["imagePullSecrets"] == [{"name": "mine"}]


def mirror(**spec: Any) -> dict[str, Any]:
    obj = pod(**spec)
    obj["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "hash"}
    return obj


def test_mirror_pods(store: Any) -> None:
    assert "serviceAccountName" not in admitted(store, mirror())
    assert "service accounts" in refused(store, mirror(serviceAccountName="default"))
    assert "secrets" in refused(store, mirror(volumes=[{"name": "v", "secret": {"secretName": "s"}}]))
    token = {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
    assert "ServiceAccountToken" in refused(store, mirror(volumes=[token]))
    env = [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    assert "secrets" in refused(store, mirror(containers=[{"name": "c", "env": env}]))


def test_accounts_that_hold_pods_to_their_secrets(store: Any) -> None:
    account(
        store,
        annotations={"kubernetes.io/enforce-mountable-secrets": "true"},
        secrets=[{"name": "ok"}],
        imagePullSecrets=[{"name": "pull"}],
    )
    admitted(store, pod(volumes=[{"name": "v", "secret": {"secretName": "ok"}}]))
    assert 'secretName="no"' in refused(store, pod(volumes=[{"name": "v", "secret": {"secretName": "no"}}]))
    projected = {"name": "v", "projected": {"sources": [{"secret": {"name": "no"}}]}}
    assert 'secretName="no"' in refused(store, pod(volumes=[projected]))
    env = {"name": "E", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k"}}}
    assert "envVar E" in refused(store, pod(containers=[{"name": "c", "env": [env]}]))
    assert "envFrom" in refused(store, pod(containers=[{"name": "c", "envFrom": [{"secretRef": {"name": "no"}}]}]))
    assert "imagePullSecrets[0]" in refused(store, pod(imagePullSecrets=[{"name": "no"}]))
