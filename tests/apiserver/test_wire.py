"""The API server as a process, over TLS with real certificates: the wall, streams, kubectl."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

SECRETS = "/api/v1/namespaces/default/secrets"


class Client:
    """Raw requests with the credentials of a kubeconfig; targets are sent as they are."""

    def __init__(self, kubeconfig: Path, folder: Path, port: int) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        user, cluster = document["users"][0]["user"], document["clusters"][0]["cluster"]
        folder.mkdir(exist_ok=True)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        certificate.write_bytes(base64.b64decode(user["client-certificate-data"]))
        key.write_bytes(base64.b64decode(user["client-key-data"]))
        self._context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        self._context.load_cert_chain(certificate, key)
        self._port = port

    def open(self, method: str, target: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=20)
        connection.putrequest(method, target, skip_accept_encoding=True)
        data = b"" if body is None else json.dumps(body).encode()
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(data)
        return connection.getresponse()

    def __call__(self, method: str, target: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        answer = self.open(method, target, body, **headers)
        text = answer.read()
        return answer.status, json.loads(text) if text else None


@pytest.fixture(scope="module")
def clients(shared_apiserver: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Client]:
    """Clients of admins, by tenant; acme and globex hold the same names."""
    system = shared_apiserver
    made: dict[str, Client] = {}

    def client(tenant: str) -> Client:
        if tenant not in made:
            kubectl = system.admin if tenant == "system" else system.tenant(tenant)
            made[tenant] = Client(kubectl.kubeconfig, tmp_path_factory.mktemp(tenant), system.settings.port)
        return made[tenant]

    admin = client("system")
    for tenant in ("acme", "globex"):
        assert admin("POST", "/api/v1/tenants", {"metadata": {"name": tenant}})[0] == 201
        root = f"/tenants/{tenant}/api/v1/namespaces"
        assert admin("POST", root, {"metadata": {"name": "default"}})[0] == 201
        assert admin("POST", f"{root}/default/serviceaccounts", {"metadata": {"name": "default"}})[0] == 201
        secret = {"metadata": {"name": "s"}, "stringData": {"of": tenant}}
        assert admin("POST", f"/tenants/{tenant}{SECRETS}", secret)[0] == 201
    return client


@pytest.mark.parametrize(
    "target",
    [
        "/tenants/{t}/api/v1/secrets",
        "/api/v1/tenants/{t}/secrets",
        "/api/v1/tenants/{t}/namespaces/default/secrets/s",
        "/tenants/{t}/api/v1/watch/secrets",
        "/tenants/{t}/api/v1/secrets?watch=1",
        "/tenants/{t}/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/api/v1/tenants/{t}",
    ],
)
def test_other_tenants_are_refused_alike(clients: Callable[[str], Client], target: str) -> None:
    acme = clients("acme")
    answers = set()
    for other in ("globex", "initech", "system", "all"):
        code, status = acme("GET", target.format(t=other))
        answers.add((code, json.dumps(status).replace(other, "T")))
    assert len(answers) == 1 and next(iter(answers))[0] == 403


@pytest.mark.parametrize(
    "target",
    [
        "/tenants/acme/../globex/api/v1/secrets",
        "/tenants/acme%2f..%2fglobex/api/v1/secrets",
        "/tenants/acme/tenants/globex/api/v1/secrets",
        "//tenants/globex/api/v1/secrets",
        "/./tenants/globex/api/v1/secrets",
        "/%74enants/globex/api/v1/secrets",
        "/tenants/%67lobex/api/v1/secrets",
        "/tenants//api/v1/secrets",
        "/api/v1/tenants//secrets",
        "/tenants/acme/api/v1/tenants/globex/secrets",
        "/tenants/GLOBEX/api/v1/secrets",
        "/tenants/globex%00/api/v1/secrets",
        "/tenants/globex;/api/v1/secrets",
        "https://127.0.0.1/tenants/globex/api/v1/secrets",
    ],
)
def test_no_spelling_leads_out(clients: Callable[[str], Client], target: str) -> None:
    code, status = clients("acme")("GET", target)
    assert code in (400, 403, 404) and status["kind"] == "Status", status
    assert "globex" not in json.dumps(status.get("items", ""))


def test_headers_lead_nowhere(clients: Callable[[str], Client]) -> None:
    for headers in (
        {"X_Remote_User": "admin", "X_Remote_Group": "system:masters"},
        {"X_Forwarded_Prefix": "/tenants/globex"},
        {"X_Original_URI": "/tenants/globex/api/v1/secrets", "X_HTTP_Method_Override": "DELETE"},
    ):
        code, found = clients("acme")("GET", "/api/v1/secrets", **headers)
        assert code == 200 and {i["metadata"]["tenant"] for i in found["items"]} == {"acme"}


def test_a_stream_shows_its_own_only(clients: Callable[[str], Client]) -> None:
    acme, globex = clients("acme"), clients("globex")
    stream = acme.open("GET", "/api/v1/secrets?watch=true")
    assert stream.status == 200
    assert globex("POST", SECRETS, {"metadata": {"name": "theirs"}})[0] == 201
    assert acme("POST", SECRETS, {"metadata": {"name": "ours"}})[0] == 201
    names = [json.loads(stream.readline())["object"]["metadata"]["name"] for _ in range(2)]
    assert names == ["s", "ours"]
    stream.close()


def test_kubectl_from_first_to_last(clients: Callable[[str], Client], shared_apiserver: Any) -> None:
    for tenant in ("acme", "globex"):
        clients(tenant)
        kubectl = shared_apiserver.tenant(tenant)
        kubectl("create", "configmap", "c", f"--from-literal=of={tenant}")
        kubectl("apply", "-f", "-", input=_deployment(tenant))
        kubectl("apply", "--server-side", "-f", "-", input=_deployment(tenant).replace("name: web", "name: ssa"))
        kubectl("scale", "deployment/web", "--replicas=3")
        kubectl("label", "deployment", "web", "tier=front")
        kubectl("set", "image", "deployment/web", "c=nginx:2")
        kubectl("expose", "deployment", "web", "--port=80")
        found = kubectl.json("get", "deployment", "web")
        assert found["spec"]["replicas"] == 3 and found["metadata"]["labels"]["tier"] == "front"
        assert found["metadata"]["tenant"] == tenant
        assert "web" in kubectl("get", "deployments,services") and "web" in kubectl("describe", "deployment", "web")
        assert kubectl("get", "cm", "c", "-o", "jsonpath={.data.of}") == tenant
    for tenant in ("acme", "globex"):
        kubectl = shared_apiserver.tenant(tenant)
        kubectl("delete", "deployment", "web", "--cascade=background")
        kubectl("delete", "configmap,service", "--all")
        assert "NotFound" in kubectl.fails("get", "deployment", "web")
        assert "orbidden" in kubectl.fails("get", "tenant", "globex" if tenant == "acme" else "acme")
        assert kubectl("get", "tenants", "-o", "name").split() == [f"tenant/{tenant}"]


def _deployment(tenant: str) -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, labels: {{of: {tenant}}}}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: c, image: nginx}}]}}
"""


def test_kubectl_goes_from_client_side_to_server_side_apply(
    clients: Callable[[str], Client], shared_apiserver: Any
) -> None:
    """kubectl moves what it applied client-side to the manager of server-side apply: fields left out then go."""
    clients("acme")
    kubectl = shared_apiserver.tenant("acme")

    def config_map(**data: str) -> str:
        return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "moved"}, "data": data})

    def managers() -> set[tuple[str, str]]:
        found = kubectl.json("get", "configmap", "moved", "--show-managed-fields")["metadata"]["managedFields"]
        return {(entry["manager"], entry["operation"]) for entry in found}

    kubectl("apply", "--server-side=false", "-f", "-", input=config_map(a="1", b="2"))
    assert managers() == {("kubectl-client-side-apply", "Update")}
    kubectl("apply", "--server-side", "-f", "-", input=config_map(a="1"))
    assert managers() == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
    assert kubectl.json("get", "configmap", "moved")["data"] == {"a": "1"}
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=config_map(a="3"))
    assert managers() == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
