"""The audit log of a real server: what it tells of requests, and what it never tells."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import System, _system, eventually

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- level: None
  nonResourceURLs: ["/healthz*", "/readyz*"]
- level: Metadata
  resources: [{group: "", resources: [secrets, serviceaccounts/token]}]
- level: RequestResponse
  tenants: [acme]
  resources: [{group: "", resources: [configmaps]}]
- level: Request
  omitStages: [RequestReceived]
  resources: [{group: "", resources: [configmaps]}]
- level: Metadata
"""


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("audited")
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    system = _system(folder, audit_policy_file=str(policy), audit_log=("--audit-log-maxbackup=3",))
    system.start_server()
    for name in ("acme", "globex"):
        system.admin("apply", "-f", "-", input=_tenant(name))
        system.tenant(name)("create", "namespace", "shop")
    yield system
    system.stop_server()


def _tenant(name: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": name}})


def events(system: System) -> list[dict[str, Any]]:
    data = system.settings.layout.audit_log.read_text()
    return [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith("\n")]


def of(system: System, stage: str = "ResponseComplete", **wanted: Any) -> list[dict[str, Any]]:
    """Events whose objectRef has these fields."""
    return [
        event
        for event in events(system)
        if event["stage"] == stage and wanted.items() <= (event.get("objectRef") or {}).items()
    ]


def test_a_write_is_told_from_beginning_to_end(audited: System) -> None:
    audited.tenant("acme")("create", "configmap", "first", "--from-literal=k=v", "-n", "shop")
    done = eventually(lambda: of(audited, resource="configmaps", name="first"))[0]
    assert done["kind"] == "Event" and done["apiVersion"] == "audit.k8s.io/v1"
    assert (done["level"], done["verb"], done["responseStatus"]) == (
        "RequestResponse",
        "create",
        {"metadata": {}, "code": 201},
    )
    assert done["user"]["tenant"] == "acme" and "system:authenticated" in done["user"]["groups"]
    assert done["objectRef"]["tenant"] == "acme" and done["objectRef"]["uid"]
    assert done["requestObject"]["data"] == done["responseObject"]["data"] == {"k": "v"}
    assert "managedFields" not in done["responseObject"]["metadata"]
    revision = audited.tenant("acme").json("get", "configmap", "first", "-n", "shop")["metadata"]["resourceVersion"]
    assert done["annotations"]["arktos.io/resource-version"] == revision
    assert done["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert done["annotations"]["authorization.k8s.io/reason"].startswith("RBAC: allowed by ClusterRoleBinding")
    assert done["sourceIPs"] == ["127.0.0.1"] and done["userAgent"].startswith("kubectl")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", done["stageTimestamp"])
    received = [event for event in events(audited) if event["auditID"] == done["auditID"]]
    assert [event["stage"] for event in received] == ["RequestReceived", "ResponseComplete"]
    assert "requestObject" not in received[0]


def test_a_policy_decides_what_of_bodies_is_told(audited: System) -> None:
    globex = audited.tenant("globex")
    globex("create", "configmap", "plain", "--from-literal=k=v", "-n", "shop")
    done = eventually(lambda: of(audited, resource="configmaps", name="plain"))[0]
    assert done["level"] == "Request" and "requestObject" in done and "responseObject" not in done
    assert not of(audited, "RequestReceived", resource="configmaps", tenant="globex")
    globex("create", "secret", "generic", "hidden", "--from-literal=k=marmalade", "-n", "shop")
    globex("create", "serviceaccount", "robot", "-n", "shop")
    token = globex("create", "token", "robot", "-n", "shop").strip()
    eventually(lambda: of(audited, subresource="token"))
    told = audited.settings.layout.audit_log.read_text()
    assert "bWFybWFsYWRl" not in told and "marmalade" not in told and token not in told


def test_refusals_are_told(audited: System) -> None:
    acme = audited.tenant("acme")
    acme.fails("get", "--raw", "/tenants/globex/api/v1/namespaces/shop/configmaps")
    walled = eventually(lambda: [e for e in of(audited, tenant="globex") if e["user"].get("tenant") == "acme"])[0]
    assert (walled["responseStatus"]["code"], walled["responseStatus"]["reason"]) == (403, "Forbidden")
    acme.fails("get", "nodes", "--as=jane")
    acted = eventually(lambda: [e for e in of(audited, resource="nodes") if "impersonatedUser" in e])[0]
    assert acted["impersonatedUser"]["username"] == "jane" and acted["impersonatedUser"]["tenant"] == "acme"
    assert acted["annotations"]["authorization.k8s.io/decision"] == "forbid"
    url = f"{audited.url}/api/v1/pods"
    subprocess.run(["curl", "-sk", "-H", "Authorization: Bearer nonsense", url], check=True, capture_output=True)
    unknown = eventually(lambda: of(audited, "ResponseStarted", resource="pods"))[0]
    assert unknown["user"] == {} and unknown["responseStatus"]["code"] == 401
    assert unknown["responseStatus"]["message"] == "Authentication failed, attempted: bearer"


def test_a_watch_starts_and_completes(audited: System) -> None:
    acme = audited.tenant("acme")
    acme.run("get", "configmaps", "-n", "shop", "--watch", "--request-timeout=1s")
    done = eventually(lambda: [e for e in of(audited, tenant="acme") if e["verb"] == "watch"])[0]
    told = [event["stage"] for event in events(audited) if event["auditID"] == done["auditID"]]
    assert told == ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    assert done["responseStatus"]["code"] == 200


def test_every_answer_names_the_event(audited: System) -> None:
    done = subprocess.run(
        ["curl", "-ski", "-H", "Audit-ID: my-own-id", f"{audited.url}/version"], check=True, capture_output=True
    )
    head = done.stdout.decode().lower()
    assert "audit-id: my-own-id" in head and "cache-control: no-cache, private" in head


def test_metrics_count_the_events(audited: System) -> None:
    told = audited.admin("get", "--raw", "/metrics")
    assert re.search(r'apiserver_audit_level_total\{level="Metadata"\} [1-9]', told)
    assert re.search(r"apiserver_audit_event_total [1-9]", told)


def test_a_killed_server_leaves_whole_lines_and_goes_on(audited: System) -> None:
    audited.kill_server()
    before = len(events(audited))
    audited.start_server()
    audited.admin("get", "namespaces")
    eventually(lambda: len(events(audited)) > before)
    assert audited.server is not None
    audited.server.send_signal(signal.SIGTERM)
    audited.server.wait(15)
    assert all(line.endswith("}") for line in audited.settings.layout.audit_log.read_text().splitlines())
    audited.start_server()


def test_a_policy_that_is_none_keeps_the_server_from_starting(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("level: Request\n", "level: Everything\n"))
    system = _system(tmp_path, audit_policy_file=str(policy))
    from arktos.bootstrap.components import components

    done = subprocess.run([*components(system.settings)[0].command, "--check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "--audit-policy-file" in done.stdout and "rules[3].level" in done.stdout
