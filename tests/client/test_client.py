"""The client's requests as they stand on the wire, and what it makes of answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from arktos.client.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.client.kubeconfig import ClientConfig, ConfigError
from arktos.model import registry
from arktos.model.kinds import Kind, Scope
from arktos.model.status import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    InternalError,
    Invalid,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)

PODS = registry.by_resource("pods")
DEPLOYMENTS = registry.by_resource("deployments.apps")
NAMESPACES = registry.by_resource("namespaces")
NODES = registry.by_resource("nodes")
WIDGETS = Kind("example.com", "v1", "Widget", "widgets", Scope.NAMESPACE, "")

PATHS = [
    ("", "", PODS, "acme", "ns", "/api/v1/tenants/acme/namespaces/ns/pods/x"),
    ("", "", PODS, "", "ns", "/api/v1/namespaces/ns/pods/x"),
    ("", "acme", PODS, "", "ns", "/api/v1/tenants/acme/namespaces/ns/pods/x"),
    ("", "acme", PODS, "globex", "ns", "/api/v1/tenants/globex/namespaces/ns/pods/x"),
    ("/tenants/acme", "", PODS, "", "ns", "/tenants/acme/api/v1/namespaces/ns/pods/x"),
    ("/tenants/acme", "", PODS, "acme", "ns", "/tenants/acme/api/v1/namespaces/ns/pods/x"),
    ("/tenants/acme/", "", PODS, "globex", "ns", "/tenants/acme/api/v1/tenants/globex/namespaces/ns/pods/x"),
    ("/some/prefix", "", DEPLOYMENTS, "", "ns", "/some/prefix/apis/apps/v1/namespaces/ns/deployments/x"),
    ("", "", NAMESPACES, "acme", "", "/api/v1/tenants/acme/namespaces/x"),
    ("", "acme", NODES, "", "", "/api/v1/nodes/x"),
    ("", "", NODES, "all", "", "/api/v1/nodes/x"),
    ("", "", WIDGETS, "acme", "ns", "/apis/example.com/v1/tenants/acme/namespaces/ns/widgets/x"),
]


@pytest.mark.parametrize(("prefix", "configured", "kind", "tenant", "namespace", "path"), PATHS)
async def test_paths(
    api: Any, prefix: str, configured: str, kind: Kind, tenant: str, namespace: str, path: str
) -> None:
    config = ClientConfig(server=f"http://127.0.0.1:{api.port}{prefix}", tenant=configured)
    async with Client(config) as client:
        api.say({"metadata": {"name": "x"}})
        await client.get(kind, "x", namespace=namespace, tenant=tenant)
    assert [c.path for c in api.calls] == [path]


def failure(code: int, reason: str, **more: Any) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason} | more


async def test_a_name_cannot_leave_its_place(api: Any, client: Client) -> None:
    with pytest.raises(NotFound):
        await client.get(PODS, "../../nodes/x?y", namespace="ns")
    assert api.calls[0].path == "/api/v1/namespaces/ns/pods/..%2F..%2Fnodes%2Fx%3Fy"


async def test_without_a_name_nothing_is_asked(api: Any, client: Client) -> None:
    for call in (
        client.get(PODS, "", namespace="ns"),
        client.delete(PODS, "", namespace="ns"),
        client.patch(PODS, "", {}, namespace="ns"),
        client.update(PODS, {"metadata": {"namespace": "ns"}}),
        client.create(PODS, {}, namespace="ns", subresource="binding"),
        client.get(PODS, "..", namespace="ns"),
    ):
        with pytest.raises(ValueError, match="name"):
            await call
    assert api.calls == []


async def test_the_writing_verbs(api: Any, client: Client) -> None:
    pod = {"metadata": {"name": "p", "namespace": "ns", "tenant": "acme"}}
    for _ in range(7):
        api.say(pod)
    await client.create(PODS, pod, field_manager="me", dry_run=True)
    await client.create(PODS, {"target": {"name": "node"}}, name="p", namespace="ns", subresource="binding")
    await client.update(PODS, pod, subresource="status")
    await client.patch(PODS, "p", [{"op": "remove", "path": "/x"}], type="json", namespace="ns")
    await client.patch(PODS, "p", pod, type="apply", namespace="ns", force=True)
    await client.delete(PODS, "p", namespace="ns", uid="u", propagation="Foreground", grace_period=0)
    await client.delete_collection(PODS, namespace="ns", label_selector="a=b,c")
    seen = [
        (c.method, c.path.removeprefix("/api/v1/"), c.query, c.headers.get("content-type"), c.body) for c in api.calls
    ]
    json, patch = "application/json", "application/json-patch+json"
    here = "tenants/acme/namespaces/ns/pods"
    assert seen == [
        ("POST", here, {"fieldManager": "me", "dryRun": "All"}, json, pod),
        ("POST", "namespaces/ns/pods/p/binding", {}, json, {"target": {"name": "node"}}),
        ("PUT", f"{here}/p/status", {}, json, pod),
        ("PATCH", "namespaces/ns/pods/p", {}, patch, [{"op": "remove", "path": "/x"}]),
        (
            "PATCH",
            "namespaces/ns/pods/p",
            {"fieldManager": "arktos", "force": "true"},
            "application/apply-patch+yaml",
            pod,
        ),
        (
            "DELETE",
            "namespaces/ns/pods/p",
            {},
            json,
            {"propagationPolicy": "Foreground", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}},
        ),
        ("DELETE", "namespaces/ns/pods", {"labelSelector": "a=b,c"}, None, None),
    ]


async def test_lists_follow_continue_and_fill_in_the_type(api: Any, client: Client) -> None:
    for n in range(7):
        await api.put("/api/v1/tenants/all/pods", f"p{n}")
    listing = await client.list(PODS, tenant="all", limit=3, label_selector="a=b")
    assert [(p["kind"], p["apiVersion"], p["metadata"]["name"]) for p in listing.items] == [
        ("Pod", "v1", f"p{n}") for n in range(7)
    ]
    assert listing.resource_version == "107"
    assert [c.query.get("continue") for c in api.calls] == [None, "3", "6"]
    assert all(c.query["limit"] == "3" and c.query["labelSelector"] == "a=b" for c in api.calls)


async def test_a_list_that_expires_midway_starts_again_whole(api: Any, client: Client) -> None:
    first = {"metadata": {"continue": "x", "resourceVersion": "1"}, "items": [{"metadata": {"name": "old"}}]}
    api.say(first)
    api.say(failure(410, "Expired"), 410)
    await api.put("/api/v1/pods", "new")
    listing = await client.list(PODS, limit=1)
    assert [p["metadata"]["name"] for p in listing.items] == ["new"]
    assert [c.query for c in api.calls] == [{"limit": "1"}, {"limit": "1", "continue": "x"}, {}]


async def test_a_list_that_is_expired_from_the_start_says_so(api: Any, client: Client) -> None:
    api.say(failure(410, "Expired"), 410)
    with pytest.raises(Expired):
        await client.list(PODS, resource_version="1")


async def test_errors_are_the_models(api: Any, client: Client) -> None:
    causes = [{"field": "spec.x", "reason": "FieldValueRequired", "message": "Required value"}]
    details = {"name": "p", "group": "apps", "kind": "Deployment", "causes": causes}
    api.say(failure(422, "Invalid", details=details), 422)
    api.say(failure(409, "AlreadyExists"), 409)
    api.say(failure(409, "Conflict"), 409)
    api.say(failure(418, "Teapot"), 418)
    api.say("just text", 404)
    with pytest.raises(Invalid) as invalid:
        await client.get(PODS, "p")
    assert (invalid.value.name, invalid.value.group) == ("p", "apps")
    assert [str(c) for c in invalid.value.causes] == ["spec.x: Required value"]
    with pytest.raises(AlreadyExists):
        await client.get(PODS, "p")
    with pytest.raises(Conflict):
        await client.get(PODS, "p")
    with pytest.raises(ApiError) as teapot:
        await client.get(PODS, "p")
    assert (teapot.value.code, teapot.value.reason) == (418, "Teapot")
    with pytest.raises(NotFound, match="just text"):
        await client.get(PODS, "p")


async def test_an_answer_that_is_no_object(api: Any, client: Client) -> None:
    api.say([1])
    api.say({"items": 3})
    with pytest.raises(InternalError, match="no JSON object"):
        await client.get(PODS, "p")
    with pytest.raises(InternalError, match="no list"):
        await client.list(PODS)


@pytest.mark.parametrize(
    ("code", "reason", "kind"), [(429, "TooManyRequests", TooManyRequests), (503, "", ServiceUnavailable)]
)
async def test_refusals_with_retry_after_are_tried_again(
    api: Any, client: Client, monkeypatch: pytest.MonkeyPatch, code: int, reason: str, kind: type[ApiError]
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("arktos.client.client.asyncio.sleep", sleep)
    api.say(failure(code, reason), code, Retry_After="2")
    api.say({"ok": True})
    assert await client.request("POST", "/version", {"a": 1}) == {"ok": True}
    assert slept == [2]
    assert [c.body for c in api.calls] == [{"a": 1}, {"a": 1}]
    for _ in range(client.config.retries + 1):
        api.say(failure(code, reason), code, Retry_After="1")
    with pytest.raises(kind):
        await client.request("GET", "/version")
    api.say(failure(code, reason), code, Retry_After="3600")
    with pytest.raises(kind) as error:
        await client.request("GET", "/version")
    assert error.value.retry_after == 3600
    api.say(failure(code, reason), code)
    with pytest.raises(kind):
        await client.request("GET", "/version")
    assert len(slept) == 1 + client.config.retries


async def test_credentials_and_user_agent(api: Any, client: Client, tmp_path: Any) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    for change in ({"token": "fixed"}, {"token_file": str(file), "token": "fixed"}, {}):
        config = replace(client.config, user_agent="tester/1", **change)  # type: ignore[arg-type]
        async with Client(config) as one:
            api.say({})
            await one.request("GET", "/version")
    assert [c.headers.get("authorization") for c in api.calls] == ["Bearer fixed", "Bearer from-file", None]
    assert {c.headers["user-agent"] for c in api.calls} == {"tester/1"}


async def test_nothing_listens() -> None:
    async with Client(ClientConfig(server="http://127.0.0.1:1")) as client:
        with pytest.raises(ConnectionFailed):
            await client.get(PODS, "p")


@pytest.mark.parametrize("server", ["", "ftp://x", "127.0.0.1:6443"])
def test_servers_that_are_no_url(server: str) -> None:
    with pytest.raises(ConfigError, match="URL"):
        Client(ClientConfig(server=server))


async def test_watch_from_nothing_to_the_end(api: Any, client: Client) -> None:
    await api.put("/api/v1/tenants/all/pods", "one", metadata={"labels": {"a": "b"}})
    async with client.watch(PODS, tenant="all", send_initial_events=True, timeout=60) as watch:
        first = await anext(watch)
        assert (first.type, first.header.metadata.name, first.header.metadata.labels) == ("ADDED", "one", {"a": "b"})
        assert first.raw.startswith(b"{") and not first.ends_initial_events
        assert (await anext(watch)).ends_initial_events
        await api.remove("/api/v1/tenants/all/pods", "one")
        assert (await anext(watch)).type == "DELETED"
    assert api.calls[0].query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "timeoutSeconds": "60",
    }
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_watch_errors_are_raised_wherever_they_come(api: Any, client: Client) -> None:
    api.forget_history()
    with pytest.raises(Expired):
        await anext(client.watch(PODS, resource_version="1"))
    watch = client.watch(PODS, resource_version=str(api.revision))
    await api.put("/api/v1/pods", "one")
    assert (await anext(watch)).type == "ADDED"
    api.revision += 1
    api.forget_history()
    await api.put("/api/v1/pods", "two")
    with pytest.raises(Expired):
        await anext(watch)


async def test_a_cut_watch_is_a_connection_failure(api: Any, client: Client) -> None:
    watch = client.watch(PODS, resource_version=str(api.revision))
    await api.put("/api/v1/pods", "one")
    assert (await anext(watch)).type == "ADDED"
    api.cut_watches()
    with pytest.raises(ConnectionFailed):
        await anext(watch)


async def test_our_own_rate_limit(api: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("arktos.client.client.asyncio.sleep", sleep)
    async with Client(replace(client.config, qps=10, burst=2)) as limited:
        for _ in range(4):
            api.say({})
            await limited.request("GET", "/version")
    assert len(slept) == 2
    assert slept == pytest.approx([0.1, 0.2], abs=0.05)


async def test_many_at_once(api: Any, client: Client) -> None:
    for n in range(50):
        await api.put("/api/v1/namespaces/ns/pods", f"p{n}")
    pods = await asyncio.gather(*(client.get(PODS, f"p{n}", namespace="ns") for n in range(50)))
    assert [p["metadata"]["name"] for p in pods] == [f"p{n}" for n in range(50)]
