"""What the tests of configured admission share: a server that asks, and webhooks that answer over HTTPS."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from arktos.apiserver.authz import Authorizer
from arktos.apiserver.dynamic.stage import DynamicAdmission
from arktos.apiserver.webhooks import WebhookClient, WebhookOptions
from arktos.bootstrap import pki
from arktos.wire.http import Request, Response
from arktos.wire.http_server import Server, serve

Answering = Callable[[dict[str, Any]], Any]
GROUP = "admissionregistration.k8s.io"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclass
class Webhook:
    """A webhook server. `answer` makes the response of a review's request: a dict, bytes, or a status code."""

    ca: str
    server: Server = field(init=False)
    answer: Answering = lambda request: {"allowed": True}
    asked: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server.port}/hook"

    def handle(self, request: Request) -> Awaitable[Response]:
        return self._handle(request)

    async def _handle(self, request: Request) -> Response:
        review = json.loads(request.body)
        assert review["kind"] == "AdmissionReview" and review["apiVersion"] == "admission.k8s.io/v1"
        self.asked.append(review["request"])
        self.paths.append(request.target)
        given = self.answer(review["request"])
        if asyncio.iscoroutine(given):
            given = await given
        if isinstance(given, int):
            return Response(given, b"broken")
        if isinstance(given, bytes):
            return Response(200, given)
        if "patch" in given:
            given = {**given, "patchType": "JSONPatch", "patch": _encoded(given["patch"])}
        response = {"uid": review["request"]["uid"], **given}
        return Response(200, json.dumps({**review, "request": None, "response": response}).encode())


def _encoded(patch: Any) -> str:
    return base64.b64encode(json.dumps(patch).encode()).decode()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """A CA (base64 PEM), and a server's certificate and key, for localhost and a service."""
    folder = tmp_path_factory.mktemp("webhook")
    now = datetime.datetime.now(datetime.UTC)
    ca = pki.authority(now)
    for name, data in (("ca.crt", ca.certificate), ("ca.key", ca.key)):
        (folder / name).write_bytes(data)
    hosts = ["localhost", "127.0.0.1", "hook.default.svc"]
    pair = pki.Signer(folder / "ca.crt", folder / "ca.key").server(hosts, now)
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    return base64.b64encode(ca.certificate).decode(), folder / "tls.crt", folder / "tls.key"


@pytest.fixture
async def webhook(certificates: tuple[str, Path, Path]) -> AsyncIterator[Webhook]:
    """A webhook that allows all."""
    ca, certificate, key = certificates
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    made = Webhook(ca)
    made.server = await serve(made.handle, host="127.0.0.1", port=0, ssl_context=context)
    yield made
    await made.server.close(0.1)


@dataclass
class Asking:
    """An API server that asks who is configured. `api` is the one of all tests."""

    api: Any
    dynamic: DynamicAdmission

    async def configured(self, revision: str) -> None:
        """Returns when the server has heard of what was written."""
        async with asyncio.timeout(5):
            while self.dynamic.heard < int(revision):  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def until(self, code: int, *request: Any) -> Any:
        """The first answer with this code."""
        async with asyncio.timeout(10):
            while (answer := await self.api(*request)).code != code:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return answer.obj

    async def create(self, kind: str, name: str, tenant: str = "system", labels: Any = None, **parts: Any) -> Any:
        plural = {"ValidatingAdmissionPolicy": "validatingadmissionpolicies"}.get(kind) or {
            "MutatingAdmissionPolicy": "mutatingadmissionpolicies"
        }.get(kind, f"{kind.lower()}s")
        path = f"/tenants/{tenant}/apis/{GROUP}/v1/{plural}"
        obj = {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name, "labels": labels or {}}, **parts}
        made = (await self.api.post(path, obj)).ok(201)
        await self.configured(made["metadata"]["resourceVersion"])
        return made

    async def policy(
        self,
        name: str,
        *validations: Any,
        tenant: str = "system",
        actions: Any = None,
        binding: Any = None,
        **spec: Any,
    ) -> Any:
        """A validating policy about config maps, bound."""
        labels = spec.pop("labels", None)
        written = [v if isinstance(v, dict) else {"expression": v} for v in validations]
        spec.setdefault("matchConstraints", {"resourceRules": [rule()]})
        made = await self.create(
            "ValidatingAdmissionPolicy", name, tenant, labels, spec={"validations": written, **spec}
        )
        bound = {"policyName": name, "validationActions": actions or ["Deny"], **(binding or {})}
        await self.create("ValidatingAdmissionPolicyBinding", f"{name}-binding", tenant, spec=bound)
        return made

    async def mutation(self, name: str, *mutations: Any, tenant: str = "system", **spec: Any) -> Any:
        spec.setdefault("matchConstraints", {"resourceRules": [rule("CREATE", "UPDATE")]})
        spec.setdefault("reinvocationPolicy", "Never")
        made = await self.create("MutatingAdmissionPolicy", name, tenant, spec={"mutations": list(mutations), **spec})
        await self.create("MutatingAdmissionPolicyBinding", f"{name}-binding", tenant, spec={"policyName": name})
        return made

    async def hook(self, webhook: Webhook, kind: str = "Validating", tenant: str = "system", **more: Any) -> Any:
        """A webhook configuration about config maps."""
        name = more.pop("name", "check.example.com")
        labels = more.pop("labels", None)
        spec = {
            "name": name,
            "clientConfig": {"url": webhook.url, "caBundle": webhook.ca},
            "rules": [rule()],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **more,
        }
        return await self.create(f"{kind}WebhookConfiguration", name, tenant, labels, webhooks=[spec])


def rule(*operations: str, resources: tuple[str, ...] = ("configmaps",), group: str = "", version: str = "v1") -> Any:
    return {
        "operations": list(operations) or ["*"],
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": list(resources),
    }


@pytest.fixture
def rules() -> Callable[..., Any]:
    """Makes rules."""
    return rule


@pytest.fixture
async def asking(api: Any) -> AsyncIterator[Asking]:
    """A server that asks, and lets webhooks be on loopback."""
    reader = api.writer.reader
    client = WebhookClient(reader, WebhookOptions(allow=LOOPBACK), ())
    api.writer.dynamic = DynamicAdmission(api.store, reader, Authorizer(api.store), client)
    yield Asking(api, api.writer.dynamic)
    await api.writer.dynamic.aclose()
    api.writer.dynamic = None
