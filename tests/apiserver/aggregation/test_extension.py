"""An extension server of a tenant's, over real connections: kubectl, discovery, who asks, what happens without it."""

from __future__ import annotations

import base64
import datetime
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap import pki
from conftest import System, _system, eventually

GROUP = "probe.example.com"
ADDRESS = f"198.18.{os.getpid() % 250 + 1}.5"
RESOURCES = [
    {
        "name": "gauges",
        "singularName": "gauge",
        "namespaced": True,
        "kind": "Gauge",
        "verbs": ["get", "list", "create"],
        "shortNames": ["gg"],
    },
    {"name": "gauges/status", "singularName": "", "namespaced": True, "kind": "Gauge", "verbs": ["get"]},
]
OPENAPI = {"openapi": "3.0.0", "info": {"title": "probe", "version": "1"}, "paths": {}}


@dataclass
class Extension:
    """An extension server that knows one kind, and remembers what it was asked."""

    server: ThreadingHTTPServer
    ca: bytes
    asked: list[tuple[str, str, dict[str, list[str]], bytes]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def last(self, path: str) -> dict[str, list[str]]:
        return next(headers for _, asked, headers, _ in reversed(self.asked) if asked.split("?")[0] == path)


def _gauge(namespace: str, name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"kind": "Gauge", "apiVersion": f"{GROUP}/v1", "metadata": metadata, "value": 17}


def _answer(method: str, path: str) -> tuple[int, dict[str, Any]]:
    root = f"/apis/{GROUP}/v1"
    if path == root:
        return 200, {"kind": "APIResourceList", "groupVersion": f"{GROUP}/v1", "resources": RESOURCES}
    if path == "/openapi/v3":
        return 200, {"paths": {root[1:]: {"serverRelativeURL": f"/openapi/v3{root}?hash=AB"}}}
    if path == f"/openapi/v3{root}":
        return 200, OPENAPI
    parts = path.removeprefix(root + "/namespaces/").split("/")
    if len(parts) == 2 and method == "GET":
        items = [_gauge(parts[0], "cpu"), _gauge(parts[0], "memory")]
        return 200, {"kind": "GaugeList", "apiVersion": f"{GROUP}/v1", "metadata": {}, "items": items}
    if len(parts) == 2:
        return 201, _gauge(parts[0], "made")
    return (200, _gauge(parts[0], parts[2])) if len(parts) == 3 else (404, {"kind": "Status", "code": 404})


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("extension")
    made = _system(folder)
    made.start_server()
    for name in ("acme", "globex"):
        tenant = {"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": name}}
        made.admin("apply", "-f", "-", input=json.dumps(tenant))
        for namespace in ("ext", "kube-system"):
            made.tenant(name)("create", "namespace", namespace)
    yield made
    made.stop_server()


@pytest.fixture(scope="module")
def extension(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Extension]:
    added = subprocess.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=False, capture_output=True)
    if added.returncode:
        pytest.skip("needs an address of its own")
    folder = tmp_path_factory.mktemp("pki")
    now = datetime.datetime.now(datetime.UTC)
    ca = pki.authority(now)
    for name, data in (("ca.crt", ca.certificate), ("ca.key", ca.key)):
        (folder / name).write_bytes(data)
    pair = pki.Signer(folder / "ca.crt", folder / "ca.key").server(["probe.ext.svc"], now)
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            headers: dict[str, list[str]] = {}
            for name, value in self.headers.items():
                headers.setdefault(name.lower(), []).append(value)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            made.asked.append((self.command, self.path, headers, body))
            if "upgrade" in headers:
                self.send_response(101)
                self.send_header("Connection", "Upgrade")
                self.send_header("Upgrade", "echo")
                self.end_headers()
                self.wfile.write(self.rfile.read1(64).upper())
                self.close_connection = True
                return
            code, found = _answer(self.command, self.path.split("?")[0])
            data = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _reply

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((ADDRESS, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    # Only the front proxy may come, as Kubernetes' own extension servers have it.
    context.load_verify_locations(system.settings.layout.front_proxy_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Extension(server, ca.certificate)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    subprocess.run(["ip", "address", "del", f"{ADDRESS}/32", "dev", "lo"], check=True)


def _apply(system: System, tenant: str, *objects: dict[str, Any]) -> None:
    kubectl = system.tenant(tenant) if tenant != "system" else system.admin
    kubectl("apply", "-f", "-", input=json.dumps({"kind": "List", "apiVersion": "v1", "items": list(objects)}))


def _backend(system: System, tenant: str, port: int) -> None:
    """A node, a ready pod on it at the extension's address, its service and that one's endpoints."""
    network = ADDRESS.rpartition(".")[0] + ".0/24"
    node = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}, "spec": {"podCIDR": network}}
    _apply(system, "system", node)
    meta = {"name": "probe", "namespace": "ext"}
    account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "ext"}}
    pod = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": meta,
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "probe"}]},
    }
    service = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": meta,
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]},
    }
    slice_ = {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {**meta, "labels": {"kubernetes.io/service-name": "probe"}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ADDRESS], "targetRef": {"kind": "Pod", "name": "probe"}}],
    }
    _apply(system, tenant, account)
    _apply(system, tenant, pod, service, slice_)
    status = json.dumps({"status": {"podIP": ADDRESS, "phase": "Running"}})
    patch = ("patch", "pod", "probe", "-n", "ext", "--subresource=status", "--type=merge", "-p", status)
    system.admin(f"--server={system.url}/tenants/{tenant}", *patch)


def _api_service(ca: bytes, **spec: Any) -> dict[str, Any]:
    return {
        "kind": "APIService",
        "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": f"v1.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": "v1",
            "groupPriorityMinimum": 2000,
            "versionPriority": 10,
            "service": {"namespace": "ext", "name": "probe"},
            "caBundle": base64.b64encode(ca).decode(),
            **spec,
        },
    }


def _available(system: System, tenant: str = "acme") -> dict[str, Any]:
    obj = system.tenant(tenant).json("get", "apiservice", f"v1.{GROUP}")
    return next(iter((obj.get("status") or {}).get("conditions") or ()), {})


@pytest.fixture(scope="module")
def registered(system: System, extension: Extension) -> Extension:
    _backend(system, "acme", extension.port)
    _apply(system, "acme", _api_service(extension.ca))
    eventually(lambda: _available(system).get("status") == "True", what=f"{_available(system)}")
    return extension


def test_the_servers_own_are_listed_in_every_tenant(system: System) -> None:
    listed = {item["metadata"]["name"]: item for item in system.tenant("globex").json("get", "apiservices")["items"]}
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1.rbac.authorization.k8s.io"} <= set(listed)
    condition = listed["v1.apps"]["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Available", "True", "Local")
    assert listed["v1."]["spec"] == {"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}
    lines = system.tenant("globex")("get", "apiservices").splitlines()
    assert lines[0].split() == ["NAME", "SERVICE", "AVAILABLE", "AGE"]
    assert next(line for line in lines if line.startswith("v1.apps ")).split()[1:3] == ["Local", "True"]


def test_kubectl_reads_what_an_extension_serves(system: System, registered: Extension) -> None:
    acme = system.tenant("acme")
    assert (_available(system)["reason"], _available(system)["message"]) == ("Passed", "all checks passed")
    assert [line.split()[0] for line in acme("get", "gauges", "-n", "ext").splitlines()] == ["NAME", "cpu", "memory"]
    assert acme.json("get", "gg", "cpu", "-n", "ext")["value"] == 17
    line = next(line for line in acme("get", "apiservices").splitlines() if line.startswith(f"v1.{GROUP}"))
    assert line.split()[1:3] == ["ext/probe", "True"]
    assert f"{GROUP}/v1" in acme("api-versions").splitlines()
    listed = acme("api-resources", f"--api-group={GROUP}", "--no-headers").split()
    assert listed == ["gauges", "gg", f"{GROUP}/v1", "true", "Gauge"]
    obj = {"kind": "Gauge", "apiVersion": f"{GROUP}/v1", "metadata": {"name": "made", "namespace": "ext"}}
    acme("create", "--validate=false", "-f", "-", input=json.dumps(obj))
    index = json.loads(acme("get", "--raw", "/openapi/v3"))["paths"]
    assert json.loads(acme("get", "--raw", index[f"apis/{GROUP}/v1"]["serverRelativeURL"])) == OPENAPI
    group = json.loads(acme("get", "--raw", f"/apis/{GROUP}"))
    assert group["preferredVersion"] == {"groupVersion": f"{GROUP}/v1", "version": "v1"}
    kept = json.loads(acme("get", "--raw", "/apis"))["groups"]
    assert {"apps", GROUP} <= {each["name"] for each in kept}


def test_an_extension_is_told_who_asks_and_by_nobody_else(system: System, registered: Extension) -> None:
    path = f"/apis/{GROUP}/v1/namespaces/ext/gauges/cpu"
    acme = system.tenant("acme")
    acme("get", "--raw", path)
    name = json.loads(acme("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]
    told = registered.last(path)
    assert told["x-remote-user"] == [name]
    assert "system:authenticated" in told["x-remote-group"] and "arktos:tenant:acme" in told["x-remote-group"]
    assert told["x-remote-extra-arktos.io%2ftenant"] == ["acme"] and "authorization" not in told
    certificate, key = _files(system, "acme")
    lies = ["X-Remote-User: root", "X-Remote-Group: system:masters", "X-Remote-Extra-Scopes: all"]
    command = ["curl", "-sk", "--cert", certificate, "--key", key, *(f"-H{lie}" for lie in lies)]
    done = subprocess.run([*command, f"{system.url}/tenants/acme{path}?limit=3"], check=True, capture_output=True)
    assert json.loads(done.stdout)["value"] == 17
    told = registered.last(path)
    assert told["x-remote-user"] == [name] and "system:masters" not in told["x-remote-group"]
    assert "x-remote-extra-scopes" not in told
    assert registered.asked[-1][1] == f"{path}?limit=3"


def test_what_is_passed_on_is_fenced_and_names_no_tenure(system: System, registered: Extension) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ControllerInstance",
        "metadata": {"name": "ci-ext"},
        "controllerType": "Probe",
        "rangeStart": 0,
        "controllerKey": 9,
        "workloadNum": 0,
    }
    made = json.loads(system.admin("create", "-o", "json", "-f", "-", input=json.dumps(body)))
    path = f"/apis/{GROUP}/v1/namespaces/ext/gauges"

    def create(tenant: str, epoch: int) -> tuple[int, dict[str, Any]]:
        certificate, key = _files(system, tenant)
        uid = made["metadata"]["uid"]
        tenure = f"Arktos-Range: type=Probe;instance=ci-ext;uid={uid};epoch={epoch};range=0-9;key=3"
        command = ["curl", "-sk", "--cert", certificate, "--key", key, "-H", tenure, "-d", "{}", "-w", "\n%{http_code}"]
        done = subprocess.run([*command, f"{system.url}/tenants/acme{path}"], check=True, capture_output=True)
        answer, _, code = done.stdout.rpartition(b"\n")
        return int(code), json.loads(answer)

    before = len(registered.asked)
    code, answer = create("system", made["epoch"] + 1)
    assert (code, answer["reason"]) == (409, "StaleRange")
    assert create("acme", made["epoch"])[0] == 403
    assert path not in [asked for _, asked, _, _ in registered.asked[before:]]
    assert create("system", made["epoch"])[0] == 201
    assert "arktos-range" not in registered.last(path)


def _files(system: System, tenant: str) -> tuple[str, str]:
    """A tenant's certificate and key as files."""
    import yaml

    layout = system.settings.layout
    kubeconfig = layout.admin_kubeconfig if tenant == "system" else layout.tenant_kubeconfig(tenant)
    user = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]
    found = []
    for name in ("client-certificate-data", "client-key-data"):
        path = Path(system.home) / f"{tenant}-{name}"
        path.write_bytes(base64.b64decode(user[name]))
        path.chmod(0o600)
        found.append(str(path))
    return found[0], found[1]


def test_an_upgrade_passes(system: System, registered: Extension) -> None:
    import socket

    certificate, key = _files(system, "acme")
    context = ssl.create_default_context(cafile=str(system.settings.layout.ca))
    context.load_cert_chain(certificate, key)
    with (
        socket.create_connection(("127.0.0.1", system.settings.port), 10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        path = f"/apis/{GROUP}/v1/namespaces/ext/gauges/cpu"
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        connection.sendall(head.encode())
        told = b""
        while b"\r\n\r\n" not in told:
            told += connection.recv(4096)
        assert told.startswith(b"HTTP/1.1 101")
        connection.sendall(b"hello")
        rest = told.partition(b"\r\n\r\n")[2]
        while not rest.endswith(b"HELLO"):
            rest += connection.recv(4096)


def test_a_tenants_extension_is_nobody_elses(system: System, registered: Extension) -> None:
    globex = system.tenant("globex")
    path = f"/apis/{GROUP}/v1/namespaces/ext/gauges"
    assert "NotFound" in globex.fails("get", "--raw", path)
    assert "NotFound" in globex.fails("get", "--raw", f"/apis/{GROUP}")
    assert GROUP not in globex("api-versions")
    assert "Forbidden" in globex.fails("get", "--raw", f"/tenants/acme{path}")
    # Who points to another tenant's pod gets nowhere: the address is of a pod of acme's.
    before = len(registered.asked)
    _backend(system, "globex", registered.port)
    _apply(system, "globex", _api_service(registered.ca))
    condition = eventually(lambda: _available(system, "globex"))
    assert (condition["status"], condition["reason"]) == ("False", "FailedDiscoveryCheck")
    assert "address not allowed" in condition["message"]
    assert "ServiceUnavailable" in globex.fails("get", "--raw", path)
    assert len(registered.asked) == before
    globex("delete", "pod", "probe", "-n", "ext", "--force", "--grace-period=0")
    globex("delete", "apiservice", f"v1.{GROUP}")


def test_what_is_this_servers_own_stays_so(system: System, registered: Extension) -> None:
    stolen = _api_service(registered.ca, group="apps", groupPriorityMinimum=20000)
    stolen["metadata"]["name"] = "v1.apps"
    system.tenant("acme").run("apply", "-f", "-", input=json.dumps(stolen))
    before = len(registered.asked)
    assert system.tenant("acme").json("get", "deployments", "-n", "ext")["items"] == []
    assert all("/apis/apps/v1/" not in asked[1] for asked in registered.asked[before:])
    system.tenant("acme").run("delete", "apiservice", "v1.apps", "--wait=false")
    local = _api_service(b"")
    del local["spec"]["service"], local["spec"]["caBundle"]
    assert "spec.service" in system.tenant("globex").fails("create", "-f", "-", input=json.dumps(local))


def test_what_extensions_need_to_trust(system: System) -> None:
    found = system.tenant("acme").json("get", "configmap", "extension-apiserver-authentication", "-n", "kube-system")
    assert found["data"]["requestheader-client-ca-file"] == system.settings.layout.front_proxy_ca.read_text()
    assert "client-ca-file" not in found["data"]
    assert system.settings.layout.front_proxy_ca.read_bytes() != system.settings.layout.ca.read_bytes()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"service": {"namespace": "ext", "name": "nobody"}}, "ServiceNotFound"),
        ({"service": {"namespace": "ext", "name": "probe", "port": 8443}}, "ServicePortError"),
        ({"service": {"namespace": "ext", "name": "lonely"}}, "EndpointsNotFound"),
        ({"group": "other.example.com"}, "FailedDiscoveryCheck"),
        ({"caBundle": "bm9uc2Vuc2U="}, "FailedDiscoveryCheck"),
        ({"caBundle": ""}, "FailedDiscoveryCheck"),
        ({"caBundle": "", "insecureSkipTLSVerify": True}, "Passed"),
    ],
)
def test_reasons(system: System, registered: Extension, change: dict[str, Any], reason: str) -> None:
    lonely = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "lonely", "namespace": "ext"},
        "spec": {"ports": [{"port": 443}]},
    }
    _apply(system, "acme", lonely)
    wanted = _api_service(registered.ca, **change)
    wanted["metadata"]["name"] = name = f"v1.{wanted['spec']['group']}"
    _apply(system, "acme", wanted)

    def condition() -> bool:
        obj = system.tenant("acme").json("get", "apiservice", name)
        return any(each["reason"] == reason for each in (obj.get("status") or {}).get("conditions") or ())

    eventually(condition)
    if reason != "Passed" and name.endswith(GROUP):
        assert "ServiceUnavailable" in system.tenant("acme").fails("get", "--raw", f"/apis/{GROUP}/v1")
    if not name.endswith(GROUP):
        system.tenant("acme")("delete", "apiservice", name)
    _apply(system, "acme", _api_service(registered.ca))
    eventually(lambda: _available(system).get("reason") == "Passed")
