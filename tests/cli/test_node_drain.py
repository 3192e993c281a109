"""`arktos node drain` against an API server: whose pods go, and what holds them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from conftest import eventually

Obj = dict[str, Any]
TENANTS = ("acme", "globex")


@pytest.fixture(scope="module")
def system(shared_apiserver: Any) -> Any:
    """Two tenants, which nobody but this test works for: no controllers, no node."""
    for name in TENANTS:
        tenant = {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": name}}
        shared_apiserver.admin("create", "-f", "-", input=json.dumps(tenant))
    return shared_apiserver


@pytest.fixture
def node(system: Any, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "").lower()[-40:].strip("-")
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    system.admin("create", "-f", "-", input=json.dumps(body))
    return str(name)


def space(kubectl: Any, name: str) -> None:
    if kubectl.run("create", "namespace", name).returncode == 0:
        kubectl("create", "serviceaccount", "default", "-n", name)


def place(kubectl: Any, node: str, name: str, owner: str = "ReplicaSet", **spec: Any) -> None:
    """A pod on a node, in a namespace named after it."""
    space(kubectl, node)
    container = {"name": "c", "image": "i"}
    owners = [{"apiVersion": "apps/v1", "kind": owner, "name": "owner", "uid": "u", "controller": True}]
    meta: Obj = {"name": name, "namespace": node, "labels": {"app": "web"}, "ownerReferences": owners if owner else []}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": node, "containers": [container]}}
    body["spec"] |= spec
    kubectl("create", "-f", "-", input=json.dumps(body))
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    kubectl("patch", "pod", name, "-n", node, "--subresource=status", "--type=merge", "-p", json.dumps(status))


def pods(kubectl: Any, node: str) -> list[str]:
    return [each["metadata"]["name"] for each in kubectl.json("get", "pods", "-n", node)["items"]]


def budget(kubectl: Any, node: str, allowed: int) -> None:
    """What the disruption controller would say. Grows by being told again."""
    status = {"status": {"disruptionsAllowed": allowed, "observedGeneration": 1}}
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps(status))
    kubectl("patch", "poddisruptionbudget", "held", "-n", node, *patch)


@contextmanager
def draining(system: Any, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "arktos", "node", "drain", *arguments, f"--data-dir={system.settings.data_dir}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_pods_of_all_tenants_go(system: Any, node: str) -> None:
    for name in TENANTS:
        place(system.tenant(name), node, "web")
    place(system.admin, node, "own")
    said = system.arktos("node", "drain", node, "--grace-period=0", "--timeout=30s").stdout.splitlines()
    assert said[0] == f"node/{node} cordoned"
    assert said[-1] == f"node/{node} drained"
    whole = {f"{tenant}/{node}/web" for tenant in TENANTS} | {f"system/{node}/own"}
    assert {line.split()[-1] for line in said if line.startswith("evicting pod ")} == whole
    assert {line.removesuffix(" evicted") for line in said if line.endswith(" evicted")} == {f"pod/{w}" for w in whole}
    assert system.admin.json("get", "node", node)["spec"]["unschedulable"] is True
    for name in TENANTS:
        assert pods(system.tenant(name), node) == []
    assert system.arktos("node", "cordon", node).stdout == f"node/{node} already cordoned\n"
    assert system.arktos("node", "uncordon", node).stdout == f"node/{node} uncordoned\n"
    assert "unschedulable" not in system.admin.json("get", "node", node)["spec"]
    assert system.arktos("node", "uncordon", node).stdout == f"node/{node} already uncordoned\n"


def test_what_forbids_a_drain_is_told_and_nothing_goes(system: Any, node: str) -> None:
    acme, globex = (system.tenant(name) for name in TENANTS)
    place(acme, node, "alone", owner="")
    place(acme, node, "web")
    place(globex, node, "cache", volumes=[{"name": "v", "emptyDir": {}}])
    refused = system.arktos("node", "drain", node, check=False)
    assert refused.returncode == 1
    assert f"(use --force to override): acme/{node}/alone" in refused.stderr
    assert f"(use --delete-emptydir-data to override): globex/{node}/cache" in refused.stderr
    assert (pods(acme, node), pods(globex, node)) == (["alone", "web"], ["cache"])
    chosen = ("--force", "--delete-emptydir-data", "--grace-period=0", "--timeout=30s")
    dry = system.arktos("node", "drain", node, *chosen, "--dry-run").stdout
    assert f"evicting pod acme/{node}/alone (server dry run)" in dry
    assert pods(acme, node) == ["alone", "web"]
    done = system.arktos("node", "drain", node, *chosen)
    assert f"deleting Pods that declare no controller: acme/{node}/alone" in done.stderr
    assert (pods(acme, node), pods(globex, node)) == ([], [])


def test_pods_of_daemon_sets_stay(system: Any, node: str) -> None:
    acme = system.tenant("acme")
    space(acme, node)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    meta = {"name": "owner", "namespace": node}
    body = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": spec}
    acme("create", "-f", "-", input=json.dumps(body))
    place(acme, node, "daemon", owner="DaemonSet")
    place(acme, node, "web")
    done = system.arktos("node", "drain", node, "--grace-period=0", "--timeout=30s")
    assert done.stderr == f"Warning: ignoring DaemonSet-managed Pods: acme/{node}/daemon\n"
    assert pods(acme, node) == ["daemon"]


def test_a_budget_is_waited_for(system: Any, node: str) -> None:
    acme = system.tenant("acme")
    place(acme, node, "web")
    acme("create", "poddisruptionbudget", "held", "-n", node, "--selector=app=web", "--min-available=1")
    budget(acme, node, 0)
    late = system.arktos("node", "drain", node, "--grace-period=0", "--timeout=1s", check=False)
    assert late.returncode == 1
    assert f"unable to drain node '{node}': drain did not complete within 1s" in late.stderr
    assert "error when evicting pods/web (will retry after 5s): Cannot evict pod as it would violate" in late.stderr
    assert pods(acme, node) == ["web"]
    with draining(system, node, "--grace-period=0") as process:
        assert process.stderr is not None
        assert "will retry" in process.stderr.readline()
        budget(acme, node, 1)
        assert process.wait(30) == 0
    assert pods(acme, node) == []


def test_deletion_asks_no_budget(system: Any, node: str) -> None:
    acme = system.tenant("acme")
    place(acme, node, "web")
    acme("create", "poddisruptionbudget", "held", "-n", node, "--selector=app=web", "--min-available=1")
    said = system.arktos("node", "drain", node, "--disable-eviction", "--grace-period=0", "--timeout=30s").stdout
    assert f"deleting pod acme/{node}/web" in said
    assert pods(acme, node) == []


def test_pods_that_take_their_time_are_waited_for(system: Any, node: str) -> None:
    acme = system.tenant("acme")
    place(acme, node, "web")
    with draining(system, node) as process:
        terminating = ("get", "pod", "web", "-n", node)
        eventually(lambda: acme.json(*terminating)["metadata"].get("deletionTimestamp"), 20, "the eviction")
        assert process.poll() is None
        acme("delete", "pod", "web", "-n", node, "--force", "--grace-period=0")
        assert process.wait(20) == 0


def test_nodes_that_are_not_there(system: Any) -> None:
    for verb in ("cordon", "uncordon", "drain"):
        done = system.arktos("node", verb, "none", check=False)
        assert (done.returncode, done.stderr) == (1, 'Error: nodes "none" not found\n')
    bad = system.arktos("node", "drain", "none", "--timeout=soon", check=False)
    assert bad.returncode == 2
    assert "--timeout" in bad.stderr
