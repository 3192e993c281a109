"""metrics.k8s.io: joined from what the store and the nodes say; who sees what; kubectl top of all minors."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from arktos.apiserver.identity import User
from arktos.apiserver.resource_metrics import PATH, NodeUsage
from arktos.model.kinds import Obj
from arktos.model.quantity import parse
from arktos.wire import tls
from arktos.wire.http import Request, Response
from arktos.wire.http_client import HttpResponse
from arktos.wire.http_server import Server, serve

AT = 1_790_000_000.25
PODS = "/apis/metrics.k8s.io/v1beta1/{}pods"
NODES = "/apis/metrics.k8s.io/v1beta1/nodes"


def usage(
    *pods: tuple[str, list[tuple[str, int, int]]], node: tuple[int, int] | None = (250_000_000, 1 << 30)
) -> bytes:
    """An agent's answer: pods by uid with (container, nanocores, bytes)."""
    body: Obj = {"node": None, "pods": []}
    if node is not None:
        body["node"] = {"time": AT, "window": 10.062, "cpu": node[0], "memory": node[1]}
    for uid, containers in pods:
        made = [{"name": name, "cpu": cpu, "memory": memory} for name, cpu, memory in containers]
        body["pods"].append({"uid": uid, "tenant": "?", "name": "?", "time": AT, "window": 12.5, "containers": made})
    return json.dumps(body).encode()


async def node(api: Any, name: str, **labels: str) -> None:
    (await api.post("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})).ok(201)


async def running(api: Any, name: str, on: str, tenant: str = "system", **labels: str) -> str:
    """A running pod's uid."""
    root = f"/tenants/{tenant}/api/v1/namespaces/default/pods"
    pod = api.pod(name, nodeName=on)
    pod["metadata"]["labels"] = labels
    uid = (await api.post(root, pod)).ok(201)["metadata"]["uid"]
    (await api.patch(f"{root}/{name}/status", {"status": {"phase": "Running"}})).ok()
    return str(uid)


async def test_pods_of_a_namespace_with_what_their_node_says(api: Any) -> None:
    await node(api, "n1")
    uid = await running(api, "web", "n1", app="web")
    api.agents.answers["n1"] = usage((uid, [("c", 1_500_000, 3 << 20), ("side", 7, 4096)]))
    found = (await api.get(PODS.format("namespaces/default/"))).ok()
    assert (found["kind"], found["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    (item,) = found["items"]
    assert item["metadata"]["name"] == "web" and item["metadata"]["namespace"] == "default"
    assert item["metadata"]["labels"] == {"app": "web"} and item["metadata"]["tenant"] == "system"
    assert item["timestamp"] == "2026-09-21T14:13:20Z" and item["window"] == "12.5s"
    assert item["containers"] == [
        {"name": "c", "usage": {"cpu": "1500u", "memory": "3Mi"}},
        {"name": "side", "usage": {"cpu": "7n", "memory": "4Ki"}},
    ]
    one = (await api.get(PODS.format("namespaces/default/") + "/web")).ok()
    assert one["kind"] == "PodMetrics" and one["containers"] == item["containers"]
    assert api.agents.asked == [("n1", PATH)] * 2


async def test_selectors_choose_pods_and_only_their_nodes_are_asked(api: Any) -> None:
    uids = {}
    for name, on in (("a", "n1"), ("b", "n2"), ("c", "n2")):
        if name != "c":
            await node(api, on)
        uids[name] = await running(api, name, on, app=name)
    api.agents.answers["n1"] = usage((uids["a"], [("c", 1, 1)]))
    api.agents.answers["n2"] = usage((uids["b"], [("c", 1, 1)]), (uids["c"], [("c", 1, 1)]))
    assert (await api.get(PODS.format(""), labelSelector="app in (b,c)")).names == ["b", "c"]
    assert api.agents.asked == [("n2", PATH)]
    assert (await api.get(PODS.format(""), fieldSelector="metadata.name=a")).names == ["a"]
    assert (await api.get(PODS.format(""))).names == ["a", "b", "c"]


async def test_pods_that_do_not_run_are_left_out_and_nobody_is_asked(api: Any) -> None:
    await node(api, "n1")
    (await api.post("/api/v1/namespaces/default/pods", api.pod("bound", nodeName="n1"))).ok(201)
    (await api.post("/api/v1/namespaces/default/pods", api.pod("waiting"))).ok(201)
    assert (await api.get(PODS.format(""))).names == []
    assert api.agents.asked == []
    answer = await api.get(PODS.format("namespaces/default/") + "/waiting")
    answer.refused(404, 'podmetrics.metrics.k8s.io "default/waiting" not found')
    (await api.get(PODS.format("namespaces/default/") + "/nothing")).refused(404)


async def test_a_node_speaks_for_its_own_pods_only(api: Any) -> None:
    await node(api, "n1")
    await node(api, "n2")
    mine, other = await running(api, "mine", "n1"), await running(api, "other", "n2")
    api.agents.answers["n1"] = usage((mine, [("c", 1, 1)]), (other, [("c", 999, 999)]))
    api.agents.answers["n2"] = usage()
    assert (await api.get(PODS.format(""))).names == ["mine"]


async def test_a_slow_node_costs_its_own_pods_only(api: Any) -> None:
    await node(api, "n1")
    await node(api, "slow")
    uid = await running(api, "quick", "n1")
    await running(api, "stuck", "slow")
    api.agents.answers.update(n1=usage((uid, [("c", 1, 1)])), slow=asyncio.Event())
    started = time.monotonic()
    assert (await api.get(PODS.format(""))).names == ["quick"]
    assert (await api.get(NODES)).names == ["n1"]
    assert time.monotonic() - started < 5
    (await api.get(NODES + "/slow")).refused(404, 'nodemetrics.metrics.k8s.io "slow" not found')


@pytest.mark.parametrize("body", [b"", b"[]", b'{"pods":[{"uid":1}]}', b"\xff"])
async def test_nonsense_from_a_node_is_silence(api: Any, body: bytes) -> None:
    await node(api, "n1")
    await running(api, "web", "n1")
    api.agents.answers["n1"] = body
    assert (await api.get(PODS.format(""))).names == []


async def test_nodes_with_their_labels(api: Any) -> None:
    await node(api, "n1", zone="a")
    await node(api, "n2", zone="b")
    api.agents.answers.update(n1=usage(), n2=usage(node=None))
    (item,) = (await api.get(NODES)).items
    assert item["metadata"]["name"] == "n1" and item["metadata"]["labels"]["zone"] == "a"
    assert item["usage"] == {"cpu": "250m", "memory": "1Gi"} and item["window"] == "10.062s"
    assert (await api.get(NODES, labelSelector="zone=b")).names == []


async def test_a_tenant_sees_its_own_pods_and_no_nodes(api: Any) -> None:
    await api.tenant("acme", "umbrella")
    await node(api, "n1")
    ours, theirs = await running(api, "web", "n1", "acme"), await running(api, "web", "n1", "umbrella")
    api.agents.answers["n1"] = usage((ours, [("c", 1, 1024)]), (theirs, [("c", 2, 2048)]))
    admin = api.admin_of("acme")
    (item,) = (await api.get(PODS.format(""), user=admin)).items
    assert item["metadata"]["tenant"] == "acme" and item["containers"][0]["usage"]["memory"] == "1Ki"
    (await api.get("/tenants/umbrella" + PODS.format(""), user=admin)).refused(403)
    (await api.get(NODES, user=admin)).refused(403)
    (await api.get(NODES + "/n1", user=admin)).refused(403)
    everywhere = (await api.get("/tenants/all" + PODS.format(""))).items
    assert sorted(item["metadata"]["tenant"] for item in everywhere) == ["acme", "umbrella"]


async def test_who_may_view_may_see_metrics(api: Any) -> None:
    await api.tenant("acme")
    viewer = User("eve", "acme", ("system:authenticated",))
    (await api.get(PODS.format("namespaces/default/"), user=viewer)).refused(
        403, 'resource "pods" in API group "metrics'
    )
    binding = {
        "metadata": {"name": "eve"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    path = "/tenants/acme/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    (await api.post(path, binding)).ok(201)
    (await api.get(PODS.format("namespaces/default/"), user=viewer)).ok()
    (await api.get(PODS.format(""), user=viewer)).refused(403)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", PODS.format("namespaces/default/")),
        ("DELETE", PODS.format("namespaces/default/") + "/web"),
        ("PATCH", NODES + "/n1"),
        ("DELETE", NODES),
        ("GET", NODES + "?watch=true"),
    ],
)
async def test_it_can_only_be_read(api: Any, method: str, target: str) -> None:
    (await api(method, target, {} if method in ("POST", "PATCH") else None)).refused(405)


async def test_as_a_table(api: Any) -> None:
    await node(api, "n1")
    uid = await running(api, "web", "n1")
    api.agents.answers["n1"] = usage((uid, [("a", 1_000_000, 1 << 20), ("b", 2_000_000, 1 << 20)]))
    table = (await api.get(PODS.format(""), accept=api.TABLE)).ok()
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "cpu", "memory", "window"]
    assert table["rows"][0]["cells"] == ["web", "3m", "2Mi", "12.5s"]
    table = (await api.get(NODES, accept=api.TABLE)).ok()
    assert table["rows"][0]["cells"] == ["n1", "250m", "1Gi", "10.062s"]


class _Counting:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.busy = self.most = 0

    async def get(self, node: str, path: str, *, within: float = 10.0) -> HttpResponse:
        self.asked.append(node)
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        return HttpResponse(200, {}, usage())


async def test_answers_are_kept_shared_and_bounded() -> None:
    agents = _Counting()
    kept = NodeUsage(agents, fresh=60)
    names = [f"n{number}" for number in range(500)]
    first, second = await asyncio.gather(kept.of(names), kept.of(names[:10]))
    assert len(first) == 500 and all(second[name] is first[name] for name in second)
    await kept.of(names)
    assert sorted(agents.asked) == sorted(names)
    assert 1 < agents.most <= 64
    await kept.aclose()


async def test_one_who_goes_away_does_not_spoil_it_for_the_others() -> None:
    agents = _Counting()
    kept = NodeUsage(agents)
    impatient = asyncio.create_task(kept.of(["n1"]))
    patient = asyncio.create_task(kept.of(["n1"]))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient)["n1"].node is not None
    assert agents.asked == ["n1"]


# --- kubectl, a real API server, and an agent that answers over HTTPS ------------------------------------------------


class _Agent(threading.Thread):
    """An agent's HTTPS end, in a loop of its own."""

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__(daemon=True)
        self.body = usage()
        self.asked: list[str] = []
        self._context = tls.server_context(certificate, key)
        self._loop = asyncio.new_event_loop()
        self._serving: Future[Server] = Future()

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._serving.set_result(
            self._loop.run_until_complete(serve(self._answer, host="127.0.0.1", port=0, ssl_context=self._context))
        )
        self._loop.run_forever()

    def _answer(self, request: Request) -> Response:
        self.asked.append(request.path)
        return Response(200, self.body)

    @property
    def port(self) -> int:
        return self._serving.result(10).port

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._serving.result().close(0.1), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join(5)
        self._loop.close()


@pytest.fixture(scope="module")
def agent(shared_apiserver: Any) -> Iterator[_Agent]:
    layout = shared_apiserver.settings.layout
    made = _Agent(layout.server_certificate, layout.server_key)
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def busy(shared_apiserver: Any, agent: _Agent) -> Any:
    """A node with a running pod of the operators and one of a tenant's, of the same name."""
    admin = shared_apiserver.admin
    admin("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}))
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "daemonEndpoints": {"kubeletEndpoint": {"Port": agent.port}},
    }
    admin("patch", "node", "n1", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    admin("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Tenant", "metadata": {"name": "acme"}}))
    uids = []
    for kubectl in (admin, shared_apiserver.tenant("acme")):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "busy"}}
        kubectl("create", "-f", "-", input=json.dumps(namespace))
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "busy"}}
        kubectl("create", "-f", "-", input=json.dumps(account))
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "busy", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "main", "image": "x"}, {"name": "side", "image": "x"}]},
        }
        uids.append(json.loads(kubectl("create", "-o", "json", "-f", "-", input=json.dumps(pod)))["metadata"]["uid"])
        running = json.dumps({"status": {"phase": "Running"}})
        admin_of = ["-n", "busy", "patch", "pod", "web", "--subresource=status", "--type=merge", "-p", running]
        kubectl(*admin_of)
    agent.body = usage(
        (uids[0], [("main", 120_000_000, 64 << 20), ("side", 3_000_000, 8 << 20)]),
        (uids[1], [("main", 77_000_000, 32 << 20), ("side", 1_000_000, 1 << 20)]),
        node=(1_000_000_000, 2 << 30),
    )
    return shared_apiserver


def _minors() -> list[str]:
    from conftest import kubectl_binaries

    return list(kubectl_binaries())


@pytest.mark.parametrize("binary", _minors(), ids=lambda path: Path(path).name)
def test_kubectl_top(busy: Any, binary: str) -> None:
    from dataclasses import replace

    admin = replace(busy.admin, binary=binary)
    nodes = [line.split() for line in admin("top", "nodes").splitlines()]
    assert nodes[0][:3] == ["NAME", "CPU(cores)", "CPU%"] or nodes[0][:3] == ["NAME", "CPU(cores)", "CPU(%)"]
    assert nodes[1] == ["n1", "1000m", "25%", "2048Mi", "25%"]
    pods = [line.split() for line in admin("top", "pods", "-n", "busy").splitlines()]
    assert pods == [["NAME", "CPU(cores)", "MEMORY(bytes)"], ["web", "123m", "72Mi"]]
    every = admin("top", "pods", "-A", "--containers", "--no-headers", "--sort-by=cpu").splitlines()
    assert [line.split() for line in every] == [
        ["busy", "web", "main", "120m", "64Mi"],
        ["busy", "web", "side", "3m", "8Mi"],
    ]
    assert admin("top", "pod", "web", "-n", "busy", "--no-headers").split() == ["web", "123m", "72Mi"]
    tenant = replace(busy.tenant("acme"), binary=binary)
    assert tenant("top", "pods", "-n", "busy", "-l", "app=web", "--no-headers").split() == ["web", "78m", "33Mi"]
    assert "forbidden" in tenant.fails("top", "nodes").lower()


def test_kubectl_knows_the_kinds(busy: Any) -> None:
    kubectl = busy.admin
    listed = [
        line.split() for line in kubectl("api-resources", "--api-group=metrics.k8s.io", "--no-headers").splitlines()
    ]
    assert listed == [
        ["nodes", "metrics.k8s.io/v1beta1", "false", "NodeMetrics"],
        ["pods", "metrics.k8s.io/v1beta1", "true", "PodMetrics"],
    ]
    assert kubectl("get", "nodes.metrics.k8s.io", "--no-headers").split() == ["n1", "1", "2Gi", "10.062s"]
    (pod,) = kubectl.json("get", "pods.metrics.k8s.io", "-n", "busy")["items"]
    assert parse(pod["containers"][0]["usage"]["cpu"]) == parse("120m")
    assert "window" in kubectl("explain", "--api-version=metrics.k8s.io/v1beta1", "pods")


def test_the_agents_answer_is_shared_for_a_moment(busy: Any, agent: _Agent) -> None:
    busy.admin("top", "nodes")
    before = len(agent.asked)
    for _ in range(3):
        busy.admin("top", "pods", "-A")
    assert len(agent.asked) - before <= 1
    assert set(agent.asked) == {PATH}
