"""Webhooks over HTTPS, asked about writes."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import pytest

MAPS = "/api/v1/namespaces/default/configmaps"
GROUP = "admissionregistration.k8s.io"


async def test_a_webhook_is_asked_and_may_refuse(asking: Any, webhook: Any) -> None:
    api = asking.api
    await asking.hook(webhook, timeoutSeconds=7)
    webhook.answer = lambda request: {"allowed": request["name"] != "bad", "status": {"message": "no such name"}}
    (await api.post(MAPS, api.config_map("good", x="1"), fieldManager="me")).ok(201)
    asked = webhook.asked[0]
    assert asked["operation"] == "CREATE" and asked["namespace"] == "default" and asked["name"] == "good"
    assert asked["kind"] == asked["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert asked["object"]["data"] == {"x": "1"} and asked["oldObject"] is None and asked["dryRun"] is False
    assert asked["userInfo"]["username"] == "admin"
    assert asked["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"}
    assert webhook.paths == ["/hook?timeout=7s"]
    status = (await api.post(MAPS, api.config_map("bad"))).refused(400)
    assert status["message"] == 'admission webhook "check.example.com" denied the request: no such name'
    assert "reason" not in status or status["reason"] == ""
    (await api.patch(f"{MAPS}/good", {"data": {"x": "2"}})).ok()
    assert webhook.asked[-1]["oldObject"]["data"] == {"x": "1"} and webhook.asked[-1]["object"]["data"] == {"x": "2"}
    (await api.delete(f"{MAPS}/good")).ok()
    assert webhook.asked[-1]["operation"] == "DELETE" and webhook.asked[-1]["object"] is None


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        ({"code": 409, "reason": "Conflict", "message": "m"}, 409, "denied the request: m"),
        ({"reason": "Because"}, 400, "denied the request: Because"),
        ({"code": 200}, 400, "denied the request without explanation"),
        ({"code": "x", "message": 7}, 400, "without explanation"),
    ],
)
async def test_a_refusal_keeps_its_code_and_reason(
    asking: Any, webhook: Any, status: Any, code: int, text: str
) -> None:
    await asking.hook(webhook)
    webhook.answer = lambda request: {"allowed": False, "status": status}
    (await asking.api.post(MAPS, asking.api.config_map("a"))).refused(code, text)


async def test_warnings_reach_the_client(asking: Any, webhook: Any) -> None:
    await asking.hook(webhook)
    webhook.answer = lambda request: {"allowed": True, "warnings": ["one", "two\r\nX-Evil: 1"]}
    made = await asking.api.post(MAPS, asking.api.config_map("a"))
    made.ok(201)
    assert '299 - "one"' in made.headers["warning"] and "\n" not in made.headers["warning"]


async def test_mutations_in_order_and_once_more(asking: Any, webhook: Any) -> None:
    api = asking.api
    await asking.hook(webhook, "Mutating", name="a.example.com", reinvocationPolicy="IfNeeded")
    await asking.hook(webhook, "Mutating", name="b.example.com")

    def answer(request: Any) -> Any:
        data = request["object"].get("data") or {}
        return {"allowed": True, "patch": [{"op": "add", "path": "/data", "value": {**data, f"k{len(data)}": "x"}}]}

    webhook.answer = answer
    made = (await api.post(MAPS, api.config_map("m"))).ok(201)
    assert made["data"] == {"k0": "x", "k1": "x", "k2": "x"}
    assert len(webhook.asked) == 3


async def test_what_a_webhook_puts_in_is_admitted_like_the_rest(asking: Any, webhook: Any, rules: Any) -> None:
    api = asking.api
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    (await api.patch("/api/v1/namespaces/default", {"metadata": {"labels": labels}})).ok()
    await asking.hook(webhook, "Mutating", rules=[rules("CREATE", resources=("pods",))])
    path = "/spec/containers/0/securityContext"
    webhook.answer = lambda request: {
        "allowed": True,
        "patch": [{"op": "add", "path": path, "value": {"privileged": True}}],
    }
    (await api.post("/api/v1/namespaces/default/pods", api.pod("p"))).refused(403, "violates PodSecurity")
    webhook.answer = lambda request: {"allowed": True, "patch": [{"op": "add", "path": "/spec/containers", "value": 7}]}
    (await api.post("/api/v1/namespaces/default/pods", api.pod("p"))).refused(500, "wrong types")
    webhook.answer = lambda request: {
        "allowed": True,
        "patch": [{"op": "replace", "path": f"/metadata/{f}", "value": "other"} for f in ("uid", "namespace", "name")],
    }
    made = (await api.post("/api/v1/namespaces/default/pods", api.pod("p"))).ok(201)["metadata"]
    assert made["name"] == "p" and made["namespace"] == "default" and made["uid"] != "other"


_BROKEN = {
    "another uid": lambda request: json.dumps(
        {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "x", "allowed": True}}
    ).encode(),
    "no response": lambda request: b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}',
    "no json": lambda request: b"<html>",
    "an old version": lambda request: b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}',
    "an error": lambda request: 500,
    "nothing there": lambda request: 404,
    "too much": lambda request: b"x" * (4 * 1024 * 1024),
}
_TOLD = {
    "another uid": 'expected response.uid="',
    "no response": "webhook response was absent",
    "no json": "not JSON",
    "an old version": "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview",
    "an error": 'failed to call webhook: an error on the server ("broken") has prevented the request',
    "nothing there": "failed to call webhook: the server could not find the requested resource",
    "too much": "too large",
}


@pytest.mark.parametrize("name", _BROKEN)
async def test_what_is_no_answer(asking: Any, webhook: Any, name: str) -> None:
    api = asking.api
    await asking.hook(webhook)
    webhook.answer = _BROKEN[name]
    refused = (await api.post(MAPS, api.config_map("a"))).refused(500, _TOLD[name])
    assert refused["message"].startswith('Internal error occurred: failed calling webhook "check.example.com": ')
    await asking.hook(webhook, name="open.example.com", failurePolicy="Ignore")
    (await api.delete(f"/apis/{GROUP}/v1/validatingwebhookconfigurations/check.example.com")).ok()
    await asking.until(201, "POST", MAPS, api.config_map("a"))


async def test_a_webhook_that_hangs_or_is_away(asking: Any, webhook: Any) -> None:
    api = asking.api
    await asking.hook(webhook, timeoutSeconds=1)
    webhook.answer = lambda request: asyncio.sleep(30)
    began = time.monotonic()
    waiting = asyncio.create_task(api.post(MAPS, api.config_map("a")))
    await asyncio.sleep(0)
    (await api.get("/api/v1/namespaces/default")).ok()  # nobody else waits
    (await waiting).refused(500, "context deadline exceeded")
    assert 0.9 < time.monotonic() - began < 8
    away = {"url": "https://localhost:1/x", "caBundle": webhook.ca}
    await asking.hook(webhook, name="away.example.com", clientConfig=away)
    (await api.delete(f"/apis/{GROUP}/v1/validatingwebhookconfigurations/check.example.com")).ok()
    async with asyncio.timeout(10):
        while "away.example.com" not in (await api.post(MAPS, api.config_map("a"))).message:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    refused = (await api.post(MAPS, api.config_map("a"))).refused(500, "cannot connect")
    assert 'failed calling webhook "away.example.com": failed to call webhook: Post "https://' in refused["message"]


async def test_a_stranger_is_not_believed(asking: Any, webhook: Any, tmp_path: Any) -> None:
    from datetime import UTC, datetime

    from arktos.bootstrap import pki

    other = base64.b64encode(pki.authority(datetime.now(UTC)).certificate).decode()
    await asking.hook(webhook, clientConfig={"url": webhook.url, "caBundle": other})
    (await asking.api.post(MAPS, asking.api.config_map("a"))).refused(500, "certificate verify failed")
    assert webhook.asked == []


async def test_dry_runs_and_conditions(asking: Any, webhook: Any) -> None:
    api = asking.api
    conditions = [{"name": "only", "expression": "request.userInfo.username != 'admin' || object.metadata.name == 'x'"}]
    await asking.hook(webhook, matchConditions=conditions)
    (await api.post(MAPS, api.config_map("a"))).ok(201)
    assert webhook.asked == []
    (await api.post(MAPS, api.config_map("x"), dryRun="All")).ok(201)
    assert webhook.asked[0]["dryRun"] is True and webhook.asked[0]["options"]["dryRun"] == ["All"]
    failing = [{"name": "f", "expression": "object.nothing == 1"}]
    await asking.hook(webhook, name="cond.example.com", matchConditions=failing)
    (await api.post(MAPS, api.config_map("b"))).refused(403, "no such key: nothing")


async def test_acme_is_never_asked_about_globex(asking: Any, webhook: Any) -> None:
    api = asking.api
    await api.tenant("acme", "globex")
    await asking.hook(webhook, tenant="acme")
    await asking.hook(webhook, "Mutating", tenant="acme", labels={"arktos.io/all-tenants": "true"})
    for tenant in ("globex", "system"):
        (await api.post(f"/tenants/{tenant}{MAPS}", api.config_map("a"))).ok(201)
    assert webhook.asked == []
    (await api.post(f"/tenants/acme{MAPS}", api.config_map("a"))).ok(201)
    assert len(webhook.asked) == 2 and {a["object"]["metadata"].get("tenant") for a in webhook.asked} == {"acme"}
    await asking.hook(webhook, name="ops.example.com", labels={"arktos.io/all-tenants": "true"})
    (await api.post(f"/tenants/globex{MAPS}", api.config_map("b"))).ok(201)
    assert len(webhook.asked) == 3


async def test_a_service_is_one_of_the_tenant(asking: Any, webhook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api = asking.api
    await api.tenant("acme", "globex")
    service = {"name": "hook", "namespace": "default", "path": "/x", "port": 443}
    config = {"service": service, "caBundle": webhook.ca}
    for tenant in ("acme", "globex"):
        await asking.hook(webhook, tenant=tenant, clientConfig=config)
    base = "/tenants/acme/api/v1/namespaces/default"
    ports = [{"port": 443, "name": "https"}]
    (await api.post(f"{base}/services", {"metadata": {"name": "hook"}, "spec": {"ports": ports}})).ok(201)
    slices = "/tenants/acme/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    slice_ = {
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "ports": [{"port": webhook.server.port, "name": "https"}],
        "endpoints": [{"addresses": ["198.51.100.7"], "conditions": {"ready": False}}],
    }
    (await api.post(slices, slice_)).ok(201)
    (await api.post(f"/tenants/acme{MAPS}", api.config_map("a"))).refused(500, "no endpoints available for service")
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    reached: list[str] = []

    async def redirected(factory: Any, host: str, port: int, **more: Any) -> Any:
        reached.append(host)
        return await connect(factory, "127.0.0.1", port, **more)

    monkeypatch.setattr(loop, "create_connection", redirected, raising=False)
    (await api.patch(f"{slices}/hook-1", {"endpoints": [{"addresses": ["198.51.100.7"]}]})).ok()
    (await api.post(f"/tenants/acme{MAPS}", api.config_map("a"))).ok(201)
    assert reached == ["198.51.100.7"] and webhook.paths == ["/x?timeout=10s"]
    (await api.post(f"/tenants/globex{MAPS}", api.config_map("a"))).refused(500, 'service "hook" not found')
    strange = [{"addresses": ["198.51.100.7"], "targetRef": {"kind": "Pod", "name": "nobody"}}]
    (await api.patch(f"{slices}/hook-1", {"endpoints": strange})).ok()
    (await api.post(f"/tenants/acme{MAPS}", api.config_map("b"))).refused(500, "address not allowed")
