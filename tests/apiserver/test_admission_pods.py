"""What the cluster adds to a new pod, and what it does not let in."""

from __future__ import annotations

import json
from typing import Any


def pod(name: str, **spec: Any) -> str:
    containers = [{"name": "c", "image": "busybox"}]
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": containers, **spec},
        }
    )


HOST_PATH = {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}


def test_a_tenants_pods_stay_off_the_machine(cluster: Any) -> None:
    cluster.arktos("tenant", "create", "acme")
    acme = cluster.tenant("acme")
    refused = acme.run("create", "-f", "-", input=pod("p", **HOST_PATH)).stderr
    assert 'violates PodSecurity "baseline:latest": hostPath volumes (volume "root")' in refused
    refused = acme.run("create", "-f", "-", input=pod("p", hostNetwork=True)).stderr
    assert "host namespaces (hostNetwork=true)" in refused
    # A label of the tenant's own raises the level, and never lowers it.
    acme("label", "namespace", "default", "pod-security.kubernetes.io/enforce=privileged")
    assert "hostPath" in acme.run("create", "-f", "-", input=pod("p", **HOST_PATH)).stderr
    acme("label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    assert 'violates PodSecurity "restricted:latest"' in acme.run("create", "-f", "-", input=pod("p")).stderr
    acme("label", "namespace", "default", "pod-security.kubernetes.io/enforce-")
    acme("label", "namespace", "default", "pod-security.kubernetes.io/warn=restricted")
    done = acme.run("create", "-f", "-", input=pod("warned"))
    assert 'Warning: would violate PodSecurity "restricted:latest"' in done.stderr
    assert acme.run("label", "tenant", "acme", "pod-security.kubernetes.io/enforce=privileged").returncode != 0
    cluster.admin("label", "tenant", "acme", "pod-security.kubernetes.io/enforce=privileged")
    acme("create", "-f", "-", input=pod("p", **HOST_PATH))


def test_the_operators_pods_may(shared_apiserver: Any) -> None:
    admin = shared_apiserver.admin
    admin("create", "serviceaccount", "default")
    admin("create", "-f", "-", input=pod("on-host", hostNetwork=True, **HOST_PATH))
    found = admin.json("get", "pod", "on-host")["spec"]
    assert found["priority"] == 0
    assert [(each["key"], each["tolerationSeconds"]) for each in found["tolerations"]] == [
        ("node.kubernetes.io/not-ready", 300),
        ("node.kubernetes.io/unreachable", 300),
    ]
    assert (
        "no PriorityClass with name grand was found"
        in admin.run("create", "-f", "-", input=pod("grand", priorityClassName="grand")).stderr
    )
    admin("create", "priorityclass", "grand", "--value=7")
    admin("create", "-f", "-", input=pod("grand", priorityClassName="grand"))
    assert admin.json("get", "pod", "grand")["spec"]["priority"] == 7
    admin("create", "-f", "-", input=pod("first", priorityClassName="system-node-critical"))
    assert admin.json("get", "pod", "first")["spec"]["priority"] == 2000001000


def test_a_new_node_takes_no_pods_yet(shared_apiserver: Any) -> None:
    admin = shared_apiserver.admin
    admin("create", "-f", "-", input='{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}')
    taints = admin.json("get", "node", "n")["spec"]["taints"]
    assert taints == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
