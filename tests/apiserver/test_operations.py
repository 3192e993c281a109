"""What operators and their tools see of a real server: metrics, health, impersonation, certificates that change."""

from __future__ import annotations

import datetime
import json
import re
import socket
import ssl
from collections.abc import Iterator

import pytest

from arktos.bootstrap import pki
from conftest import System, eventually


@pytest.fixture(scope="module")
def system(shared_apiserver: System) -> Iterator[System]:
    tenant = {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": "acme"}}
    shared_apiserver.admin("apply", "-f", "-", input=json.dumps(tenant))
    shared_apiserver.tenant("acme")("create", "namespace", "shop")
    yield shared_apiserver


def test_metrics_have_the_names_and_labels_of_kubernetes(system: System) -> None:
    acme = system.tenant("acme")
    acme("create", "configmap", "counted", "-n", "shop")
    acme("create", "configmap", "dry", "-n", "shop", "--dry-run=server")
    acme("get", "configmaps", "-n", "shop")
    acme("get", "configmap", "counted", "-n", "shop")
    acme("apply", "-n", "shop", "--server-side", "-f", "-", input=json.dumps(_config_map("applied")))
    acme.run("get", "configmaps", "-n", "shop", "--watch", "--request-timeout=1s")
    told = system.admin("get", "--raw", "/metrics")

    def counted(**labels: str) -> bool:
        lines = [line for line in told.splitlines() if line.startswith("apiserver_request_total{")]
        return any(all(f'{name}="{value}"' in line for name, value in labels.items()) for line in lines)

    same = {"resource": "configmaps", "group": "", "version": "v1", "subresource": ""}
    assert counted(verb="POST", scope="resource", code="201", dry_run="", **same)
    assert counted(verb="POST", scope="resource", code="201", dry_run="All", **same)
    assert counted(verb="LIST", scope="namespace", code="200", **same)
    assert counted(verb="GET", scope="resource", code="200", **same)
    assert counted(verb="APPLY", scope="resource", code="201", **same)
    assert counted(verb="WATCH", scope="namespace", code="200", **same)
    for name in (
        "apiserver_request_duration_seconds_bucket{",
        'apiserver_current_inflight_requests{request_kind="mutating"}',
        'apiserver_storage_objects{resource="configmaps"}',
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ):
        assert name in told


def _config_map(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def test_watches_are_counted(system: System) -> None:
    acme = system.tenant("acme")
    seen = system.admin("get", "--raw", "/metrics")
    before = re.search(r'apiserver_watch_events_total\{group="",resource="secrets"\} (\S+)', seen)
    assert before is None
    import subprocess

    command = [acme.binary, "get", "secrets", "-n", "shop", "--watch", f"--kubeconfig={acme.kubeconfig}"]
    watching = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        running = 'apiserver_longrunning_requests{group="",resource="secrets",verb="WATCH"} 1.0'
        eventually(lambda: running in system.admin("get", "--raw", "/metrics"))
        acme("create", "secret", "generic", "s", "-n", "shop")
        sent = 'apiserver_watch_events_total{group="",resource="secrets"} 1.0'
        eventually(lambda: sent in system.admin("get", "--raw", "/metrics"))
    finally:
        watching.kill()
        watching.wait()


def test_health_tells_each_check(system: System) -> None:
    told = system.admin("get", "--raw", "/readyz?verbose&exclude=store&exclude=nonsense").splitlines()
    assert told[0] == 'warn: some health checks cannot be excluded: no matches for "nonsense"'
    assert "[+]ping ok" in told and "[+]store excluded: ok" in told and told[-1] == "readyz check passed"
    assert system.admin("get", "--raw", "/livez") == "ok"
    assert system.admin("get", "--raw", "/readyz/store") == "ok"
    version = json.loads(system.admin("get", "--raw", "/version"))
    assert version.keys() >= {"major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "platform"}


def _impersonator(*rules: dict[str, object]) -> str:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "actor"},
        "rules": list(rules),
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "actor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "actor"},
        "subjects": [{"kind": "User", "name": "actor", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    return json.dumps({"kind": "List", "apiVersion": "v1", "items": [role, binding]})


def test_extras_are_impersonated_as_far_as_roles_say(system: System) -> None:
    import subprocess

    acme = system.tenant("acme")
    users = {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}
    extras = {
        "apiGroups": ["authentication.k8s.io"],
        "resources": ["userextras/scopes"],
        "resourceNames": ["view", "edit"],
        "verbs": ["impersonate"],
    }
    uids = {"apiGroups": ["authentication.k8s.io"], "resources": ["uids"], "verbs": ["impersonate"]}
    acme("apply", "-f", "-", input=_impersonator(users, extras, uids))
    layout, folder = system.settings.layout, system.home
    pair = pki.Signer(layout.ca, layout.ca_key).client("actor", datetime.datetime.now(datetime.UTC), tenant="acme")
    (folder / "actor.crt").write_bytes(pair.certificate)
    (folder / "actor.key").write_bytes(pair.key)
    body = '{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}'

    def whoami(*headers: str) -> dict[str, object]:
        command = ["curl", "-sk", "--cert", str(folder / "actor.crt"), "--key", str(folder / "actor.key"), "-d", body]
        command += ["-HContent-Type: application/json", "-HImpersonate-User: jane", *(f"-H{each}" for each in headers)]
        url = f"{system.url}/apis/authentication.k8s.io/v1/selfsubjectreviews"
        done = subprocess.run([*command, url], check=True, capture_output=True)
        return dict(json.loads(done.stdout))

    found = whoami("Impersonate-Extra-Scopes: view", "Impersonate-Extra-Scopes: edit", "Impersonate-Uid: 17")
    told = found["status"]["userInfo"]  # type: ignore[index]
    assert (told["username"], told["uid"], told["extra"]) == (
        "jane",
        "17",
        {"scopes": ["view", "edit"], "arktos.io/tenant": ["acme"]},
    )
    for header, resource in (
        ("Impersonate-Extra-Scopes: admin", "userextras/scopes"),
        ("Impersonate-Extra-acme.io%2Frank: view", "userextras/acme.io/rank"),
        ("Impersonate-Group: ops", "groups"),
    ):
        refused = whoami(header)
        assert refused["code"] == 403
        assert f'cannot impersonate resource "{resource}"' in str(refused["message"])


def _certificate(system: System) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", system.settings.port), 10) as plain,
        context.wrap_socket(plain) as connection,
    ):
        return connection.getpeercert(True) or b""


def test_a_new_certificate_is_shown_without_a_restart(system: System) -> None:
    layout = system.settings.layout
    before = _certificate(system)
    now = datetime.datetime.now(datetime.UTC)
    pair = pki.Signer(layout.ca, layout.ca_key).server(["127.0.0.1", "localhost"], now)
    layout.server_key.write_bytes(b"half of it")
    layout.server_certificate.write_bytes(pair.certificate)
    assert _certificate(system) == before
    layout.server_key.write_bytes(pair.key)
    expected = ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
    eventually(lambda: _certificate(system) == expected)
    system.admin("get", "namespaces")
