"""Every file in examples/ is taken from a tenant's admin, by either kind of apply, and again without a change."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Kubectl, System

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def tenants(shared_cluster: System) -> dict[str, Kubectl]:
    """A tenant for each kind of apply, so that no field has two managers."""
    made = {"client": "examples-client", "server": "examples-server"}
    for name in made.values():
        shared_cluster.arktos("tenant", "create", name)
    return {side: shared_cluster.tenant(name) for side, name in made.items()}


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_example(tenants: dict[str, Kubectl], file: Path, side: str) -> None:
    kubectl = tenants[side]
    option = f"--server-side={'true' if side == 'server' else 'false'}"
    first = kubectl("apply", option, "-f", str(file)).splitlines()
    assert first and all(line.endswith(("created", "serverside-applied")) for line in first)
    again = kubectl("apply", option, "-f", str(file)).splitlines()
    assert len(again) == len(first)
    assert all(line.endswith(("unchanged", "serverside-applied")) for line in again)
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
    assert spec["virtualMachine"]["resources"]["limits"] == {"cpu": "2", "memory": "2Gi"}
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
    assert [pod["spec"]["virtualMachine"]["keyPairName"] for pod in pods] == ["operators", "operators"]
    kubectl("delete", "-f", str(file))
