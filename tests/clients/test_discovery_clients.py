"""Real kubectl, in every version present, against discovery, OpenAPI and Tables, on a small server of fixed answers.

The binaries are the `kubectl.*` beside the one on PATH, that one itself where it is no dispatcher for them, and those
that `ARKTOS_KUBECTL` names (separated by colons).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from arktos.apiserver import discovery, openapi, openapi_v2, tables, version
from arktos.apiserver.encoding import encode, header_of
from arktos.model import registry
from arktos.model.status import ApiError
from arktos.store.records import Key, Record
from arktos.wire.http import Response

Obj = dict[str, Any]
NOW = 1_700_000_000.0
PODS = "/api/v1/namespaces/default/pods"


def binaries() -> list[str]:
    found = [name for name in os.environ.get("ARKTOS_KUBECTL", "").split(":") if name]
    on_path = shutil.which("kubectl")
    if on_path:
        real = Path(on_path).resolve()
        beside = sorted(str(p) for p in real.parent.glob("kubectl.[0-9]*"))
        found += beside or [str(real)]
    return found


def pod(name: str, **status: Any) -> Obj:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "default",
            "tenant": "acme",
            "uid": f"uid-{name}",
            "creationTimestamp": "2023-11-14T22:08:20Z",
        },
        "spec": {"containers": [{"name": "c", "image": "busybox"}], "nodeName": "n1"},
        "status": {"phase": "Running", **status},
    }


def record(obj: Obj, revision: int) -> Record:
    kind = registry.by_resource("pods")
    meta = obj["metadata"]
    body = encode(kind, obj).replace(b'"resourceVersion":""', b'"resourceVersion":"%d"' % revision, 1)
    return Record(
        Key("pods", meta.get("tenant", "acme"), "default", meta["name"]), revision, header_of(kind, obj), body
    )


class Handler(BaseHTTPRequestHandler):
    """Answers reads from the modules under test, and notes what is written."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.server.seen.append(("GET", url.path, query, self.headers.get("Accept", "")))
        path = url.path.removeprefix("/tenants/acme")
        if query.get("watch"):
            self._watch()
            return
        try:
            self._send(self._read(path, url.query, query))
        except ApiError as error:
            self._send(Response(error.code, json.dumps(error.status()).encode()))

    def _read(self, path: str, raw: str, query: dict[str, str]) -> Response:
        accept, known = self.headers.get("Accept", ""), self.headers.get("If-None-Match", "")
        encodings = self.headers.get("Accept-Encoding", "")
        if path == "/version":
            return Response(200, version.document())
        if path == "/openapi/v2":
            return openapi_v2.answer(accept, known, encodings)
        if path.startswith("/openapi/v3"):
            return openapi.answer(path, raw, known, encodings)
        if path in (PODS, "/api/v1/pods"):
            kind = registry.by_resource("pods")
            records = [record(pod("web"), 7), record(pod("job", phase="Succeeded"), 8)]
            wide = path == "/api/v1/pods"
            return Response(200, tables.table(kind, records, 9, now=NOW, with_tenant=wide))
        if path.startswith(PODS + "/"):
            found = self.server.objects.get(path)
            if found is not None:
                return Response(200, json.dumps(found).encode())
        if path.startswith("/api/v1/namespaces/default") and path.count("/") > 4:
            return Response(
                404, json.dumps({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}).encode()
            )
        return discovery.answer(path, accept, known, encodings)

    def _watch(self) -> None:
        kind = registry.by_resource("pods")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        for index, (event, obj) in enumerate((("ADDED", pod("late")), ("MODIFIED", pod("late", reason="Evicted")))):
            shown = tables.table(kind, [record(obj, 10 + index)], 10 + index, now=NOW, columns_header=not index)
            self.wfile.write(b'{"type":"%b","object":%b}\n' % (event.encode(), shown))
        self.close_connection = True

    def do_POST(self) -> None:
        self._write(201)

    def do_PATCH(self) -> None:
        self._write(200)

    def _write(self, status: int) -> None:
        url = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.server.writes.append((self.command, url.path, query, body))
        if "metadata" in body and self.command == "POST":
            self._send(Response(status, json.dumps(body).encode()))
        else:
            self._send(Response(status, json.dumps(self.server.objects[url.path]).encode()))

    def _send(self, answer: Response) -> None:
        body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str, dict[str, str], str]] = []
        self.writes: list[tuple[str, str, dict[str, str], Obj]] = []
        self.objects: dict[str, Obj] = {}


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


class Kubectl:
    def __init__(self, binary: str, server: Server, home: Path) -> None:
        self.binary, self.server, self.home = binary, server, home

    def run(self, *arguments: str, stdin: str = "", prefix: str = "") -> subprocess.CompletedProcess[str]:
        url = f"http://127.0.0.1:{self.server.server_port}{prefix}"
        return subprocess.run(
            [self.binary, f"--server={url}", *arguments],
            input=stdin,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ok(self, *arguments: str, stdin: str = "", prefix: str = "") -> str:
        done = self.run(*arguments, stdin=stdin, prefix=prefix)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def minor(self) -> int:
        told = json.loads(self.ok("version", "--client", "-o", "json"))["clientVersion"]
        return int(re.sub(r"\D", "", told["minor"]))


@pytest.fixture(params=binaries() or [None], ids=lambda b: Path(b).name if b else "none")
def kubectl(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Kubectl:
    if request.param is None:
        pytest.skip("no kubectl on PATH")
    return Kubectl(request.param, server, tmp_path)


MANIFEST = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "new"},
    "spec": {"containers": [{"name": "a", "image": "x"}]},
}


def test_api_resources(kubectl: Kubectl) -> None:
    listed = kubectl.ok("api-resources", "--no-headers")
    rows = {line.split()[-1]: line.split() for line in listed.splitlines()}
    assert rows["Tenant"] == ["tenants", "te", "v1", "false", "Tenant"]
    assert rows["Deployment"] == ["deployments", "deploy", "apps/v1", "true", "Deployment"]
    assert rows["ClusterRole"][-2] == "false"
    requests = [path for _, path, _, _ in kubectl.server.seen]
    if kubectl.minor >= 27:
        assert set(requests) <= {"/api", "/apis", "/version"}
    assert kubectl.ok("api-versions").splitlines()[-1] == "v1"


def test_version_names_the_minor_that_is_spoken(kubectl: Kubectl) -> None:
    told = json.loads(kubectl.ok("version", "-o", "json"))["serverVersion"]
    assert told["major"] == "1" and told["minor"] == "36"
    assert told["gitVersion"].startswith("v1.36.0+arktos-")


def test_explain_knows_our_fields_and_upstreams(kubectl: Kubectl) -> None:
    ours = kubectl.ok("explain", "pod.spec.virtualMachine")
    assert "powerSpec" in ours and "65535 bytes" in ours
    upstream = kubectl.ok("explain", "deployment.spec.template.spec.containers.image")
    assert "Container image name" in upstream
    assert "to a virtual machine: a reboot" in kubectl.ok("explain", "action")
    assert "enforce" in kubectl.ok("explain", "tenant", "--recursive")
    assert "metrics" in kubectl.ok("explain", "hpa.spec")


def test_explain_below_a_tenant_prefix(kubectl: Kubectl) -> None:
    assert "hashKey" in kubectl.ok("explain", "pod.metadata", prefix="/tenants/acme")
    assert all(path.startswith("/tenants/acme/") for _, path, _, _ in kubectl.server.seen)


def test_get_prints_the_table(kubectl: Kubectl) -> None:
    lines = [line.split() for line in kubectl.ok("get", "pods").splitlines()]
    assert lines[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert lines[1] == ["web", "0/1", "Running", "0", "5m"]
    wide = kubectl.ok("get", "po", "-o", "wide").splitlines()[1].split()
    assert wide[6] == "n1"
    everywhere = [line.split()[:3] for line in kubectl.ok("get", "pods", "-A").splitlines()]
    assert everywhere[:2] == [["NAMESPACE", "TENANT", "NAME"], ["default", "acme", "web"]]


def test_get_watches_tables(kubectl: Kubectl) -> None:
    lines = [line.split()[:3] for line in kubectl.ok("get", "pods", "-w").splitlines()]
    assert ["late", "0/1", "Running"] in lines
    assert ["late", "0/1", "Evicted"] in lines


def test_create_asks_for_strict_validation(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", "--dry-run=client", "-o", "json", stdin=json.dumps(MANIFEST))
    assert not kubectl.server.writes
    kubectl.ok("create", "-f", "-", stdin=json.dumps(MANIFEST))
    _, path, query, _ = kubectl.server.writes[-1]
    assert path == PODS
    if kubectl.minor >= 27:
        assert query["fieldValidation"] == "Strict"


def test_old_clients_validate_with_the_schema(kubectl: Kubectl) -> None:
    if kubectl.minor >= 25:
        pytest.skip("newer clients leave it to the server")
    wrong = json.loads(json.dumps(MANIFEST).replace('"image"', '"imagee"'))
    refused = kubectl.run("create", "-f", "-", stdin=json.dumps(wrong))
    assert refused.returncode == 1 and 'unknown field "imagee"' in refused.stderr
    machine = {**MANIFEST, "spec": {"virtualMachine": {"name": "vm", "image": "x", "publicKey": "k"}}}
    kubectl.ok("create", "-f", "-", stdin=json.dumps(machine))


def test_server_side_dry_run_is_known_to_be_supported(kubectl: Kubectl) -> None:
    kubectl.ok("create", "-f", "-", "--dry-run=server", stdin=json.dumps(MANIFEST))
    assert kubectl.server.writes[-1][2]["dryRun"] == "All"


def test_apply_merges_lists_by_their_keys(kubectl: Kubectl) -> None:
    """A client that knows the schema sends the order of the merged list; without it the patch would be another."""
    live = json.loads(json.dumps(MANIFEST))
    live["metadata"] |= {
        "namespace": "default",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(MANIFEST)},
    }
    kubectl.server.objects[f"{PODS}/new"] = live
    changed = json.loads(json.dumps(MANIFEST))
    changed["spec"]["containers"].append({"name": "b", "image": "y"})
    kubectl.ok("apply", "-f", "-", stdin=json.dumps(changed))
    method, path, query, body = kubectl.server.writes[-1]
    assert (method, path) == ("PATCH", f"{PODS}/new")
    assert body["spec"]["$setElementOrder/containers"] == [{"name": "a"}, {"name": "b"}]
    if kubectl.minor >= 27:
        assert query["fieldValidation"] == "Strict"


def test_newer_clients_never_need_the_old_document(kubectl: Kubectl) -> None:
    if kubectl.minor < 29:
        pytest.skip("older clients read OpenAPI v2")
    kubectl.ok("explain", "pod.spec")
    kubectl.ok("create", "-f", "-", stdin=json.dumps(MANIFEST))
    asked = {path for _, path, _, _ in kubectl.server.seen}
    assert "/openapi/v3/api/v1" in asked
    assert "/openapi/v2" not in asked
