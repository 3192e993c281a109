"""What a node's agent may touch: its own node, its own pods, and what those refer to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from arktos.apiserver.node_rights import references
from arktos.bootstrap import credentials, pki


def test_what_a_pod_refers_to() -> None:
    spec = {
        "serviceAccountName": "runner",
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [
            {"name": "a", "secret": {"secretName": "s1"}},
            {"name": "b", "configMap": {"name": "c1"}},
            {"name": "c", "projected": {"sources": [{"secret": {"name": "s2"}}, {"configMap": {"name": "c2"}}]}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "e", "ephemeral": {}},
        ],
        "initContainers": [{"envFrom": [{"secretRef": {"name": "s3"}}, {"configMapRef": {"name": "c3"}}]}],
        "containers": [
            {
                "env": [
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s4", "key": "k"}}},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "c4", "key": "k"}}},
                    {"name": "C", "value": "plain"},
                ]
            }
        ],
    }
    found = set(references({"metadata": {"name": "p"}, "spec": spec}))
    assert found == {
        ("serviceaccounts", "runner"),
        *(("secrets", name) for name in ("pull", "s1", "s2", "s3", "s4")),
        *(("configmaps", name) for name in ("c1", "c2", "c3", "c4")),
        *(("persistentvolumeclaims", name) for name in ("claim", "p-e")),
    }


def agent(system: Any, folder: Path, name: str) -> Any:
    """kubectl with the credentials of a node's agent."""
    import datetime

    layout = system.settings.layout
    signer = pki.Signer(layout.ca, layout.ca_key)
    pair = signer.client(f"system:node:{name}", datetime.datetime.now(datetime.UTC), groups=["system:nodes"])
    path = folder / f"{name}.kubeconfig"
    path.write_bytes(credentials.kubeconfig(system.url, layout.ca.read_bytes(), "arktos", name, pair))
    return type(system.admin)(path, system.home)


@pytest.fixture
def nodes(apiserver: Any, tmp_path: Path) -> Any:
    """Two agents, and a pod on the first that uses the secret `used`."""
    admin = apiserver.admin
    first, second = agent(apiserver, tmp_path, "n1"), agent(apiserver, tmp_path, "n2")
    for each, name in ((first, "n1"), (second, "n2")):
        each("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}))
    admin("create", "serviceaccount", "default")
    for name in ("used", "other"):
        admin("create", "secret", "generic", name, "--from-literal=a=b")
    volumes = [{"name": "v", "secret": {"secretName": "used"}}]
    spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], "volumes": volumes}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    admin("create", "-f", "-", input=json.dumps(pod))
    return first, second


def test_an_agent_reads_what_its_pods_need_and_nothing_else(nodes: Any) -> None:
    first, second = nodes
    assert first("get", "secret", "used", "-o", "name") == "secret/used\n"
    assert "node n1 has no pod that needs this" in first.fails("get", "secret", "other")
    assert "node n2 has no pod that needs this" in second.fails("get", "secret", "used")
    assert "forbidden" in first.fails("get", "secrets")
    assert "forbidden" in first.fails("get", "configmap", "another")
    assert first("create", "token", "default").count(".") == 2
    assert "forbidden" in second.fails("create", "token", "default")


def test_an_agent_writes_its_own_only(nodes: Any) -> None:
    first, second = nodes
    status = '{"status": {"phase": "Running"}}'
    first("patch", "pod", "p", "--subresource=status", "-p", status)
    assert "forbidden" in second.fails("patch", "pod", "p", "--subresource=status", "-p", status)
    assert "forbidden" in second.fails("label", "node", "n1", "a=b")
    second("label", "node", "n2", "a=b")
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n3"}}
    refused = second.run("create", "-f", "-", input=json.dumps(node)).stderr
    assert "node n2 may register itself only" in refused
    assert "forbidden" in second.fails("delete", "pod", "p")
    assert second("get", "pods", "-o", "name") == "pod/p\n"


def test_an_agent_looks_after_the_volumes_that_lie_on_its_node(apiserver: Any, nodes: Any) -> None:
    first, second = nodes
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/srv/v"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
    }
    body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": spec}
    apiserver.admin("create", "-f", "-", input=json.dumps(body))
    assert first("get", "pv", "v", "-o", "name") == "persistentvolume/v\n"
    assert "forbidden" in second.fails("get", "pv", "v")
    assert "forbidden" in first.fails("get", "pv")
