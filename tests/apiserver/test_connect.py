"""Logs, commands, ports and proxies: what the API server checks, asks a node for, and passes on."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from arktos.apiserver import destinations
from arktos.apiserver.destinations import pod_address, split_name
from arktos.apiserver.identity import User
from arktos.apiserver.kubelets import KubeletOptions, Kubelets, endpoint_of
from arktos.apiserver.subresources.connect import choose_container, command_query
from arktos.apiserver.subresources.connecting import Connections
from arktos.apiserver.subresources.proxy import relocated, remainder_of
from arktos.bootstrap import credentials
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.nodes import NodeSettings
from arktos.model.status import BadRequest, ServiceUnavailable
from arktos.wire import exchange
from arktos.wire.http import Channel, Reply, Request, Response, Stream, Upgrade, chunk
from arktos.wire.http_server import Server, serve
from arktos.wire.tls import server_context

PODS = "/api/v1/namespaces/default/pods"


@dataclass
class Agent:
    """Stands in for a node's agent: notes what it is asked, and answers as the path says."""

    asked: list[Request] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    server: Server | None = None

    def handle(self, request: Request) -> Reply:
        self.asked.append(request)
        if request.headers.get("upgrade"):
            return Upgrade(self._echo, [("Upgrade", request.headers["upgrade"]), ("X-Stream-Protocol-Version", "v4")])
        if "follow" in request.query:
            return Stream(self._begin, on_close=self.ended.set, content_type="text/plain")
        if "refuse" in request.path:
            return Response(401, b"who are you")
        return Response(200, request.body or b"said " + request.target.encode(), "text/plain", [("X-From", "agent")])

    def _echo(self, transport: object, leftover: bytes) -> None:
        ended = self.ended

        class Echo(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                cast(asyncio.Transport, transport).write(data.upper())

            def connection_lost(self, error: Exception | None) -> None:
                ended.set()

        protocol = Echo()
        cast(asyncio.Transport, transport).set_protocol(protocol)
        if leftover:
            protocol.data_received(leftover)

    def _begin(self, channel: Channel) -> None:
        channel.write(chunk(b"line 1\n"))

    @property
    def last(self) -> Request:
        return self.asked[-1]


@dataclass
class Peer:
    user: User
    address: str = "192.0.2.7"
    certificate: bytes | None = None
    state: dict[str, object] = field(default_factory=dict)


@dataclass
class Front:
    """The API server on a socket, for callers of whom it is told who they are."""

    api: Any
    agent: Agent
    server: Server
    users: dict[str, User] = field(default_factory=dict)

    async def __call__(
        self, method: str, target: str, *headers: tuple[str, str], user: User | None = None, body: bytes = b""
    ) -> exchange.Exchange:
        name = str(len(self.users))
        self.users[name] = user or self.api.ADMIN
        sent = [("Host", "api"), ("X-Test-User", name), *headers]
        return await exchange.begin("127.0.0.1", self.server.port, method, target, sent, body)

    async def refused(self, method: str, target: str, *headers: tuple[str, str], user: User | None = None) -> Any:
        answer = await self(method, target, *headers, user=user)
        status = json.loads(await answer.read(1 << 20))
        assert status["kind"] == "Status" and status["code"] == answer.status >= 400
        return status


@pytest.fixture
async def front(api: Any, tmp_path: Path) -> AsyncIterator[Front]:
    agent = Agent()
    layout = Layout(tmp_path / "pki")
    node_settings = NodeSettings("n1", "127.0.0.1", "https://x", "10.96.0.10")
    credentials.ensure(layout, "127.0.0.1", 6443, "10.96.0.1", node_settings)
    tls = server_context(layout.agent_certificate, layout.agent_key, layout.ca)
    agent.server = await serve(agent.handle, ssl_context=tls)
    options = KubeletOptions(layout.kubelet_client_certificate, layout.kubelet_client_key, layout.ca)
    reader = api.dispatcher._reader
    kubelets = Kubelets(reader, options)
    api.dispatcher._routes._connections = Connections(reader, kubelets)

    def handle(request: Request) -> Reply | Awaitable[Reply]:
        request.peer = Peer(made.users[request.headers.pop("x-test-user")])
        return cast("Reply | Awaitable[Reply]", api.dispatcher.handle(request))

    server = await serve(handle)
    made = Front(api, agent, server)
    await api.tenant("acme", "globex")
    node = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}, "spec": {"podCIDR": "127.77.0.0/24"}}
    (await api.post("/api/v1/nodes", node)).ok(201)
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": agent.server.port}},
    }
    (await api("PATCH", "/api/v1/nodes/n1/status", {"status": status}, type=api.MERGE)).ok()
    for tenant in ("acme", "globex"):
        root = f"/tenants/{tenant}{PODS}"
        (await api.post(root, api.pod("p", nodeName="n1"))).ok(201)
    two = {"containers": [{"name": name, "image": "x"} for name in "ab"], "nodeName": "n1"}
    (await api.post(f"/tenants/acme{PODS}", {**api.pod("two"), "spec": two})).ok(201)
    (await api.post(f"/tenants/acme{PODS}", api.pod("unbound"))).ok(201)
    yield made
    await server.close(0)
    await kubelets.aclose()
    await agent.server.close(0)


SPDY = (("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"))


async def test_a_log_is_asked_of_the_node_in_the_callers_tenant(front: Front) -> None:
    acme = front.api.admin_of("acme")
    answer = await front("GET", f"{PODS}/p/log?tailLines=3&timestamps=true", user=acme)
    assert answer.status == 200
    assert await answer.read(100) == b"said /containerLogs/acme/default/p/c?timestamps=true&tailLines=3"
    assert front.agent.last.peer.certificate is not None


async def test_a_followed_log_streams_and_ends_with_its_reader(front: Front) -> None:
    answer = await front("GET", f"/tenants/acme{PODS}/p/log?follow=true")
    assert await answer.piece() == b"line 1\n"
    answer.abort()
    async with asyncio.timeout(10):
        await front.agent.ended.wait()


@pytest.mark.parametrize("what", ["exec", "attach", "portforward"])
async def test_an_upgrade_is_a_tunnel(front: Front, what: str) -> None:
    query = "container=c&stdin=1&stdout=true&tty=false&command=sh&command=-c&command=a%20b"
    answer = await front("POST", f"/tenants/acme{PODS}/p/{what}?{query}", *SPDY)
    assert answer.status == 101
    assert answer.header("upgrade") == "SPDY/3.1"
    assert answer.header("x-stream-protocol-version") == "v4"
    transport, leftover = answer.take()
    reader = asyncio.StreamReader()
    transport.set_protocol(asyncio.StreamReaderProtocol(reader))
    transport.resume_reading()
    transport.write(b"hello")
    async with asyncio.timeout(10):
        assert leftover + await reader.readexactly(5 - len(leftover)) == b"HELLO"
        transport.abort()
        await front.agent.ended.wait()
    expected = {
        "exec": "/exec/acme/default/p/c?input=1&output=1&command=sh&command=-c&command=a+b",
        "attach": "/attach/acme/default/p/c?input=1&output=1&error=1",
        "portforward": "/portForward/acme/default/p",
    }
    assert front.agent.last.target == expected[what]


async def test_credentials_stay_here(front: Front) -> None:
    sent = [
        ("Impersonate-User", "somebody"),
        ("Impersonate-Group", "system:masters"),
        ("Impersonate-Extra-x", "y"),
        ("Cookie", "session=1"),
        ("X-Remote-User", "root"),
        ("X-Forwarded-For", "198.51.100.1"),
        ("Keep-Alive", "5"),
        ("X-Mine", "1"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
    ]
    answer = await front("GET", "/api/v1/nodes/n1/proxy/pods", *sent)
    assert answer.status == 200 and answer.header("x-from") == "agent"
    names = set(front.agent.last.headers)
    assert not names & {"authorization", "cookie", "x-remote-user", "keep-alive", "x-hop"}
    assert not [name for name in names if name.startswith("impersonate-")]
    assert front.agent.last.headers["x-mine"] == "1"
    assert front.agent.last.headers["x-forwarded-for"] == "198.51.100.1, 192.0.2.7"


async def test_what_a_node_refuses_this_server_is_no_refusal_of_the_caller(front: Front) -> None:
    status = await front.refused("GET", "/api/v1/nodes/n1/proxy/refuse")
    assert status["code"] == 500 and "refuses the API server: who are you" in status["message"]


async def test_an_agent_that_is_away_is_named(front: Front) -> None:
    assert front.agent.server is not None
    await front.agent.server.close(0)
    status = await front.refused("GET", f"/tenants/acme{PODS}/p/log")
    assert status["code"] == 503 and "the agent of node n1 cannot be reached" in status["message"]


async def test_refusals_are_worded_as_kubernetes_words_them(front: Front) -> None:
    base = f"/tenants/acme{PODS}"
    for method, target, code, message in (
        ("GET", "two/log", 400, "a container name must be specified for pod two, choose one of: [a b]"),
        ("GET", "two/log?container=z", 400, "container z is not valid for pod two"),
        ("GET", "none/log", 404, 'pods "none" not found'),
        ("POST", "unbound/exec?command=x", 400, "pod unbound does not have a host assigned"),
        ("POST", "unbound/portforward", 400, "pod unbound does not have a host assigned"),
        ("POST", "p/log", 405, "does not allow this method"),
        ("PUT", "p/exec", 405, "does not allow this method"),
        ("GET", "p/log?tailLines=-1", 422, "must be greater than or equal to 0"),
        ("GET", "p/log?limitBytes=0", 422, "must be greater than 0"),
        ("GET", "p/log?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422, "at most one of"),
        ("GET", "p/log?stream=Stdout&tailLines=1", 422, "mutually exclusive"),
        ("GET", "p/log?stream=Stdin", 422, "Unsupported value"),
        ("GET", "p/log?tailLines=x", 400, "tailLines"),
        ("GET", "p/log?sinceTime=then", 400, "parsing time"),
        ("POST", "p/portforward?ports=99999", 400, "port"),
    ):
        status = await front.refused(method, f"{base}/{target}")
        assert (status["code"], message in status["message"]) == (code, True), (target, status)
    answer = await front("GET", f"{base}/unbound/log")
    assert (answer.status, await answer.read(10)) == (200, b"")


async def test_a_websocket_needs_the_right_to_create(front: Front) -> None:
    api, bob = front.api, User("bob", "acme", ("system:authenticated",))
    root = "/tenants/acme/apis/rbac.authorization.k8s.io/v1/namespaces/default"

    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    (await api.post(f"{root}/rolebindings", binding)).ok(201)
    socket = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
    (await api.post(f"{root}/roles", {"metadata": {"name": "r"}, "rules": []})).ok(201)

    async def attempt(verbs: list[str]) -> int:
        rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": verbs}]
        (await api("PATCH", f"{root}/roles/r", {"rules": rules}, type=api.MERGE)).ok()
        answer = await front("GET", f"{PODS}/p/exec?command=x&stdout=1", *socket, user=bob)
        answer.abort()
        return answer.status

    assert await attempt(["get"]) == 403
    assert await attempt(["get", "create"]) == 101


async def test_nobody_gets_to_another_tenants_pods(front: Front) -> None:
    globex = front.api.admin_of("globex")
    for sub in ("log", "exec", "attach", "portforward", "proxy"):
        for method in ("GET", "POST"):
            if (sub, method) == ("log", "POST"):
                continue
            status = await front.refused(method, f"/tenants/acme{PODS}/p/{sub}", user=globex)
            assert status["code"] == 403
            status = await front.refused(method, f"{PODS}/two/{sub}", user=globex)
            assert status["code"] == 404
    assert not front.agent.asked
    status = await front.refused("GET", "/api/v1/nodes/n1/proxy/pods", user=globex)
    assert status["code"] == 403


# Proxies to pods and services


async def backend() -> Server:
    def handler(request: Request) -> Reply:
        seen = {"method": request.method, "target": request.target, "headers": request.headers}
        if request.path == "/moved":
            return Response(302, b"", headers=[("Location", "/to?x=1")])
        return Response(200, json.dumps(seen).encode() if not request.body else request.body)

    return await serve(handler, host="127.77.0.5")


async def placed(front: Front, tenant: str, name: str, address: str) -> None:
    target = f"/tenants/{tenant}{PODS}/{name}/status"
    status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
    (await front.api("PATCH", target, status, type=front.api.MERGE)).ok()


@pytest.fixture
def loopback_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods of tests have addresses of 127.77.0.0/24, which are refused otherwise."""
    proxyable = destinations._proxyable
    monkeypatch.setattr(
        destinations,
        "_proxyable",
        lambda text: ipaddress.ip_address(text) if text.startswith("127.77.") else proxyable(text),
    )


@pytest.mark.usefixtures("loopback_pods")
async def test_a_pod_is_proxied_to_with_any_method(front: Front) -> None:
    server = await backend()
    acme = front.api.admin_of("acme")
    await placed(front, "acme", "p", "127.77.0.5")
    base = f"{PODS}/p:{server.port}/proxy"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = await front(method, f"{base}/a//b%2Fc/?q=1&r=%20", ("Accept", "text/html"), user=acme)
        assert answer.status == 200, await answer.read(1000)
        seen = json.loads(await answer.read(100_000))
        assert (seen["method"], seen["target"]) == (method, "/a//b%2Fc/?q=1&r=%20")
        assert seen["headers"]["x-forwarded-uri"].startswith(base + "/a//b%2Fc/")
    answer = await front("POST", base, body=b"x" * 100_000, user=acme)
    assert await answer.read(1 << 20) == b"x" * 100_000
    answer = await front("GET", f"{base}/moved", user=acme)
    assert answer.header("location") == f"{base}/to?x=1"
    answer = await front("HEAD", f"{base}/", user=acme)
    assert (answer.status, await answer.read(10)) == (200, b"")
    await server.close(0)


@pytest.mark.usefixtures("loopback_pods")
async def test_a_service_is_proxied_to_at_its_pods(front: Front) -> None:
    server = await backend()
    acme, api = front.api.admin_of("acme"), front.api
    root = "/tenants/acme/api/v1/namespaces/default/services"
    service = {"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}
    (await api.post(root, service)).ok(201)
    target = "/api/v1/namespaces/default/services/web:http/proxy/x"
    status = await front.refused("GET", target, user=acme)
    assert (status["code"], status["message"]) == (503, 'no endpoints available for service "web"')
    slice_ = {
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": server.port}],
        "endpoints": [{"addresses": ["10.9.9.9"], "targetRef": {"kind": "Pod", "name": "p"}}],
    }
    (await api.post("/tenants/acme/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice_)).ok(201)
    await placed(front, "acme", "p", "127.77.0.5")
    for name in ("web:http", "web:80", "web", "http:web:http"):
        answer = await front("GET", target.replace("web:http", name), user=acme)
        assert json.loads(await answer.read(100_000))["target"] == "/x"
    status = await front.refused("GET", target.replace("web:http", "web:99"), user=acme)
    assert status["message"] == 'no service port "99" found for service "web"'
    await server.close(0)


async def test_addresses_that_are_not_a_pods_own_are_refused(front: Front) -> None:
    acme = front.api.admin_of("acme")
    for address in ("127.0.0.1", "169.254.169.254", "127.77.0.9", "10.9.9.9", "224.0.0.1", "::1", "::ffff:127.0.0.1"):
        await placed(front, "acme", "p", address)
        status = await front.refused("GET", f"{PODS}/p:80/proxy/", user=acme)
        assert (status["code"], status["message"]) == (400, "address not allowed"), address
    for name in ("ftp:p:80", "a:b:c:d", "p:99999", "p:x"):
        status = await front.refused("GET", f"{PODS}/{name}/proxy/", user=acme)
        assert status["code"] in (400, 404)


def pod(tenant: str, address: str, **spec: object) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "tenant": tenant},
        "spec": {"nodeName": "n", **spec},
        "status": {"podIP": address, "phase": "Running"},
    }


NODE = {
    "spec": {"podCIDR": "10.1.2.0/24"},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
}


def test_a_pods_address_is_one_that_only_it_can_have() -> None:
    mine = pod("acme", "10.1.2.3")
    assert pod_address(mine, NODE, [mine]) == "10.1.2.3"
    assert pod_address(pod("acme", "192.0.2.1", hostNetwork=True), NODE, []) == "192.0.2.1"
    refused: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        (mine, [mine, pod("globex", "10.1.2.3")]),
        (pod("acme", "10.1.3.3"), []),
        (pod("acme", "192.0.2.1"), []),
        (pod("acme", "10.1.2.3", hostNetwork=True), []),
    ]
    for wrong, others in refused:
        with pytest.raises(BadRequest, match="address not allowed"):
            pod_address(wrong, NODE, others)
    for unreachable, node in ((pod("acme", ""), NODE), (pod("acme", "10.1.2.3"), None)):
        with pytest.raises(ServiceUnavailable):
            pod_address(unreachable, node, [])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/api/v1/namespaces/d/pods/p/proxy", "/"),
        ("/api/v1/namespaces/d/pods/p/proxy?x", "/?x"),
        ("/api/v1/namespaces/d/pods/p/proxy/pods/p/proxy", "/pods/p/proxy"),
        ("/tenants/t/api/v1/namespaces/d/pods/p/proxy//a/%2e%2e/", "//a/%2e%2e/"),
        ("/api/v1/namespaces/proxy/pods/p/%70roxy/a", "/a"),
    ],
)
def test_the_remainder_of_a_proxys_path_is_as_it_came(target: str, expected: str) -> None:
    assert remainder_of(target, "pods", "p") == expected


def test_small_parts() -> None:
    assert split_name("p") == ("", "p", "")
    assert split_name("https:p:") == ("https", "p", "")
    assert relocated("http://10.0.0.1:80/a#b", "/base", "10.0.0.1:80") == "/base/a#b"
    assert relocated("http://elsewhere/a", "/base", "10.0.0.1:80") == "http://elsewhere/a"
    assert command_query("tty=true&stdin=true&command=", "exec") == "input=1&tty=1&command="
    node = {"status": {"addresses": [{"type": "InternalIP", "address": "::1"}]}}
    assert endpoint_of(node, ["Hostname", "InternalIP"]).authority == "[::1]:10250"
    with pytest.raises(ServiceUnavailable, match="no preferred addresses found"):
        endpoint_of({}, ["InternalIP"])
    machine = {"metadata": {"name": "p"}, "spec": {"virtualMachine": {"name": "vm"}}}
    assert choose_container(machine, "") == "vm"
