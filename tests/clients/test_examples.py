"""Every file in examples/ is taken from a tenant's admin, by either kind of apply, and again without a change; on a
node, every pod of them runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Kubectl, System

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.yaml"))
ACTIONS = [file for file in EXAMPLES if file.name.startswith("action")]
"""They are refused where their machine is not on a node."""
OBJECTS = [file for file in EXAMPLES if file not in ACTIONS]
AGAIN = ("unchanged", "configured", "serverside-applied")
"""kubectl says that it configures what has `stringData`, and pods that were given a mount, although nothing changes."""


@pytest.fixture(scope="module")
def tenants(shared_cluster: System) -> dict[str, Kubectl]:
    """A tenant for each kind of apply, so that no field has two managers."""
    made = {"client": "examples-client", "server": "examples-server"}
    for name in made.values():
        shared_cluster.arktos("tenant", "create", name)
    return {side: shared_cluster.tenant(name) for side, name in made.items()}


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("file", OBJECTS, ids=lambda file: file.name)
def test_example(tenants: dict[str, Kubectl], file: Path, side: str) -> None:
    kubectl = tenants[side]
    option = f"--server-side={'true' if side == 'server' else 'false'}"
    first = kubectl("apply", option, "-f", str(file)).splitlines()
    assert first and all(line.endswith(("created", "serverside-applied")) for line in first)
    again = kubectl("apply", option, "-f", str(file)).splitlines()
    assert len(again) == len(first)
    assert all(line.endswith(AGAIN) for line in again)
    assert kubectl("diff", option, "-f", str(file)) == ""
    assert "deleted" in kubectl("delete", "-f", str(file))


def test_vm_pod_is_a_pod(tenants: dict[str, Kubectl]) -> None:
    """Stock clients see an empty list of containers, a VM's own fields, and what it asks of a node."""
    kubectl = tenants["client"]
    file = next(path for path in EXAMPLES if path.name == "vm-pod.yaml")
    kubectl("apply", "-f", str(file))
    spec = kubectl.json("get", "pod", "debian")["spec"]
    assert spec["containers"] == []
    assert spec["virtualMachine"]["powerSpec"] == "Running"
    assert spec["virtualMachine"]["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    kubectl("label", "pod", "debian", "seen=yes")
    assert kubectl.json("get", "pod", "debian")["spec"] == spec
    assert "Pending" in kubectl("describe", "pod", "debian")
    kubectl("delete", "pod", "debian")


def test_vm_deployment_makes_vm_pods(tenants: dict[str, Kubectl]) -> None:
    kubectl = tenants["client"]
    file = next(path for path in EXAMPLES if path.name == "vm-deployment.yaml")
    kubectl("apply", "-f", str(file))
    kubectl("wait", "--for=jsonpath={.status.replicas}=2", "deployment/machines", "--timeout=20s")
    pods = kubectl.json("get", "pods", "-l", "app=machines")["items"]
    assert [pod["spec"]["virtualMachine"]["name"] for pod in pods] == ["machine", "machine"]
    kubectl("delete", "-f", str(file))


@pytest.mark.parametrize("file", ACTIONS, ids=lambda file: file.name)
def test_action_without_a_machine(tenants: dict[str, Kubectl], file: Path) -> None:
    assert 'Not found: "debian"' in tenants["client"].fails("apply", "-f", str(file))


def test_on_a_node(shared_node: System) -> None:
    """All of it, at the same time, in one namespace."""
    shared_node.arktos("tenant", "create", "examples")
    kubectl = shared_node.tenant("examples")
    for file in OBJECTS:
        kubectl("apply", "-f", str(file))
    for name in ("web", "machines"):
        kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s", timeout=150)
    kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=120s", timeout=150)
    assert kubectl("logs", "volumes").splitlines() == ['hellonot-a-secretapp="volumes"default']
    assert kubectl("logs", "sidecar", "-c", "reader") == "prepared\n"
    for file in ACTIONS:
        kubectl("apply", "-f", str(file))
    done = "--for=jsonpath={.status.complete}=true"
    kubectl("wait", done, "action", "--all", "--timeout=120s", timeout=150)
    errors = [action["status"].get("error") for action in kubectl.json("get", "actions")["items"]]
    assert errors == [None, None]
    kubectl("exec", "sidecar", "-c", "web", "--", "wget", "-qO-", "http://web")
    shared_node.arktos("tenant", "delete", "examples", "--wait")
