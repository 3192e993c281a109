"""kubectl and kinds that a tenant defines: get, explain, apply, edit, scale, watch, short names, across tenants."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.clients.conftest import binaries
from tests.conftest import Kubectl, System

Obj = dict[str, Any]

SCHEMA: Obj = {
    "type": "object",
    "description": "A job that comes back.",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["schedule"],
            "properties": {
                "schedule": {"type": "string", "description": "When it runs.", "pattern": r"^\S+ \S+$"},
                "replicas": {"type": "integer", "minimum": 0, "default": 1},
                "image": {"type": "string"},
            },
            "x-kubernetes-validations": [{"rule": "self.replicas <= 5", "message": "too many"}],
        },
        "status": {
            "type": "object",
            "properties": {"replicas": {"type": "integer"}, "phase": {"type": "string"}},
        },
    },
}
DEFINITION: Obj = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "crontabs.stable.example.com"},
    "spec": {
        "group": "stable.example.com",
        "scope": "Namespaced",
        "names": {
            "plural": "crontabs",
            "singular": "crontab",
            "kind": "CronTab",
            "shortNames": ["ct"],
            "categories": ["all"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": SCHEMA},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [
                    {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"},
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
            }
        ],
    },
}


def crontab(name: str, **spec: Any) -> str:
    spec = {"schedule": "* */5", **spec}
    return json.dumps(
        {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": spec}
    )


@pytest.fixture(params=binaries())
def kubectl(request: pytest.FixtureRequest, installation: System, tmp_path: Path) -> Kubectl:
    """A kubectl of tenant acme, which defines CronTabs while the test runs."""
    made = installation.tenant("acme")
    made = Kubectl(made.kubeconfig, tmp_path, request.param)
    made("apply", "-f", "-", input=json.dumps(DEFINITION))
    request.addfinalizer(lambda: made("delete", "crd", "crontabs.stable.example.com", "--ignore-not-found"))
    made("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=20s")
    return made


def test_the_life_of_a_custom_resource(kubectl: Kubectl) -> None:
    assert "crontab.stable.example.com/a created" in kubectl("apply", "-f", "-", input=crontab("a", image="one"))
    lines = kubectl("get", "ct").splitlines()
    assert lines[0].split() == ["NAME", "SCHEDULE", "REPLICAS", "AGE"]
    assert lines[1].split()[:4] == ["a", "*", "*/5", "1"]
    assert "crontab.stable.example.com/a configured" in kubectl("apply", "-f", "-", input=crontab("a"))
    assert kubectl.json("get", "crontab", "a")["spec"] == {"schedule": "* */5", "replicas": 1}
    assert "serverside-applied" in kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=crontab("a"))
    kubectl("scale", "crontabs", "a", "--replicas=3")
    assert kubectl("get", "ct", "a", "-o", "jsonpath={.spec.replicas}") == "3"
    assert "too many" in kubectl.fails("scale", "ct", "a", "--replicas=6")
    kubectl("patch", "ct", "a", "--type=merge", "--subresource=status", "-p", '{"status":{"phase":"Up"}}')
    assert kubectl("get", "ct", "a", "-o", "jsonpath={.status.phase}") == "Up"
    kubectl("label", "ct", "a", "team=one")
    assert "crontab.stable.example.com/a" in kubectl("get", "all", "-o", "name")
    assert kubectl("get", "ct", "-l", "team=one", "-o", "name").strip() == "crontab.stable.example.com/a"
    kubectl("describe", "ct", "a")
    kubectl("delete", "ct", "a")
    assert "NotFound" in kubectl.fails("get", "ct", "a")


def test_what_is_wrong_is_told(kubectl: Kubectl) -> None:
    assert "spec.schedule in body should match" in kubectl.fails("apply", "-f", "-", input=crontab("x", schedule="x"))
    assert 'unknown field "spec.imagee"' in kubectl.fails("apply", "-f", "-", input=crontab("x", imagee="x"))
    assert "too many" in kubectl.fails("create", "-f", "-", input=crontab("x", replicas=9))


def test_explain(kubectl: Kubectl) -> None:
    told = kubectl("explain", "crontab")
    assert "A job that comes back." in told and "CronTab" in told
    told = kubectl("explain", "ct.spec.schedule")
    assert "When it runs." in told and "string" in told
    assert "replicas" in kubectl("explain", "crontabs", "--recursive")


def test_edit_of_a_subresource(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("apply", "-f", "-", input=crontab("edited"))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf 'status:\\n  phase: Edited\\n' >> \"$1\"\n")
    editor.chmod(0o755)
    env = {"KUBE_EDITOR": str(editor), "KUBECONFIG": str(kubectl.kubeconfig), "HOME": str(tmp_path)}
    command = [kubectl.binary, "edit", "--subresource=status", "ct", "edited"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert kubectl("get", "ct", "edited", "-o", "jsonpath={.status.phase}") == "Edited"


def test_watch(kubectl: Kubectl) -> None:
    env = {"KUBECONFIG": str(kubectl.kubeconfig), "HOME": str(kubectl.home)}
    command = [kubectl.binary, "get", "ct", "--watch", "-o", "name"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        try:
            kubectl("apply", "-f", "-", input=crontab("seen"))
            assert watching.stdout.readline().strip() == "crontab.stable.example.com/seen"
        finally:
            watching.kill()


def test_another_tenant_does_not_know(kubectl: Kubectl, installation: System, tmp_path: Path) -> None:
    kubectl("apply", "-f", "-", input=crontab("mine"))
    other = Kubectl(installation.tenant("globex").kubeconfig, tmp_path / "globex", kubectl.binary)
    assert "crontabs" not in other("api-resources", "-o", "name")
    assert "the server doesn't have a resource type" in other.fails("get", "ct")
    assert other("get", "crd", "-o", "name") == ""
    assert "crontabs.stable.example.com" in kubectl("api-resources", "-o", "name")


def test_a_shared_definition_is_used_and_not_changed(kubectl: Kubectl, installation: System, tmp_path: Path) -> None:
    shared = json.loads(json.dumps(DEFINITION).replace("crontabs", "sharedtabs").replace("crontab", "sharedtab"))
    shared["spec"]["names"] |= {"kind": "SharedTab", "shortNames": ["st"]}
    shared["metadata"]["labels"] = {"arktos.io/shared": "true"}
    admin = Kubectl(installation.admin.kubeconfig, tmp_path / "admin", kubectl.binary)
    admin("apply", "-f", "-", input=json.dumps(shared))
    try:
        other = Kubectl(installation.tenant("globex").kubeconfig, tmp_path / "globex", kubectl.binary)
        for tenant in (kubectl, other):
            tenant("apply", "-f", "-", input=crontab("t").replace("CronTab", "SharedTab"))
            assert tenant("get", "st", "-o", "name").split() == ["sharedtab.stable.example.com/t"]
            assert "When it runs." in tenant("explain", "sharedtab.spec.schedule")
            assert "Forbidden" in tenant.fails("delete", "crd", "sharedtabs.stable.example.com")
            assert "Forbidden" in tenant.fails("label", "crd", "sharedtabs.stable.example.com", "a=b")
    finally:
        admin("delete", "crd", "sharedtabs.stable.example.com")
