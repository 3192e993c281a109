"""Every kubectl: rights, walls, discovery, what is told of pods and nodes, and what is refused."""

from __future__ import annotations

import base64
import json
import re

from tests.clients.conftest import OPERATOR, TENANTS, Obj, Tenant, World
from tests.conftest import eventually


def test_run_and_token(world: World) -> None:
    def script(as_: Tenant) -> None:
        assert as_("run", "one", "--image=busybox", f"--labels=owner={as_.name}", "--restart=Never") == (
            "pod/one created\n"
        )
        assert as_("get", "pod", "one", "-o", "jsonpath={.status.phase}") == "Pending"
        if world.minor >= 24:
            token = as_("create", "token", "default", "--duration=1h").strip()
            claims = _claims(token)
            assert claims["sub"] == f"system:serviceaccount:{world.namespace}:default"
            server = as_("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
            ca = as_("config", "view", "--raw", "--minify", "-o", "jsonpath={.clusters[0].cluster}")
            assert server.endswith(f"/tenants/{as_.name}") and "certificate-authority-data" in ca
            answer = as_.fails("--as=nobody", "get", "pods")
            assert "Forbidden" in answer
        assert as_("delete", "pod", "one", "--now").startswith('pod "one" deleted')

    world.both(script)


def _claims(token: str) -> Obj:

    body = token.split(".")[1]
    read: Obj = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return read


def test_authorization(world: World) -> None:
    def script(as_: Tenant) -> None:
        user = f"jane-of-{as_.name}"
        assert as_("auth", "can-i", "create", "deployments") == "yes\n"
        assert "*.*" in as_("auth", "can-i", "--list")
        refused = as_.kubectl.run("auth", "can-i", "create", "nodes")
        assert refused.stdout.strip() == "no", refused.stderr
        for verb, kind in (("create", "tenants"), ("list", "nodes"), ("delete", "tenants")):
            assert as_.kubectl.run("auth", "can-i", verb, kind).stdout.strip() == "no"
        assert as_.kubectl.run("auth", "can-i", "list", "pods", f"--as={user}").stdout.strip() == "no"
        as_("create", "role", "reader", "--verb=get,list,watch", "--resource=pods")
        as_("create", "rolebinding", "jane", "--role=reader", f"--user={user}")
        assert as_("auth", "can-i", "list", "pods", f"--as={user}") == "yes\n"
        assert as_("get", "pods", f"--as={user}") == ""
        assert f'User "{user}" cannot list resource "secrets"' in as_.fails("get", "secrets", f"--as={user}")
        if world.minor >= 27:
            assert f"arktos:tenant:{as_.name}" in as_("auth", "whoami")
        reconciled = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "reconciled", "namespace": world.namespace},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
        }
        assert "reconciled" in as_("auth", "reconcile", "-f", "-", input=json.dumps(reconciled))

    world.both(script)


def test_tenant_sees_no_other(world: World) -> None:
    """A tenant's user gets nothing of another tenant, and no word on whether it exists."""

    def script(as_: Tenant) -> None:
        (other,) = set(TENANTS) - {as_.name}
        as_("create", "configmap", "mine", f"--from-literal=owner={as_.name}")
        for path in (
            f"/api/v1/tenants/{other}/namespaces/{world.namespace}/configmaps/mine",
            f"/api/v1/tenants/{other}/namespaces",
            "/api/v1/tenants/nobody/namespaces",
            f"/api/v1/tenants/{other}",
        ):
            told = as_.fails("get", "--raw", path)
            assert "Forbidden" in told or "NotFound" in told or "BadRequest" in told, told
        own = f"/api/v1/tenants/{as_.name}/namespaces/{world.namespace}/configmaps/mine"
        assert json.loads(as_("get", "--raw", own))["data"] == {"owner": as_.name}
        assert as_("get", "tenants", "-o", "name") == f"tenant/{as_.name}\n"
        assert "orbidden" in as_.fails("get", "tenant", other)
        assert "orbidden" in as_.fails("get", "tenant", "nobody")
        assert other not in as_("get", "ns,cm", "-A", "-o", "yaml")

    world.both(script)


def test_discovery_and_explain(world: World) -> None:
    def script(as_: Tenant) -> None:
        as_("create", "configmap", "mark", f"--from-literal=owner={as_.name}")
        resources = as_("api-resources", "-o", "wide")
        assert re.search(r"^deployments\s+deploy\s+apps/v1\s+true", resources, re.MULTILINE)
        assert re.search(r"^actions\s+ac\s+v1\s+true", resources, re.MULTILINE)
        assert "apps/v1\n" in as_("api-versions")
        assert "configmaps" in as_("api-resources", "--namespaced=true", "--verbs=list", "-o", "name")
        assert "DESCRIPTION" in as_("explain", "deployment")
        assert "powerSpec" in as_("explain", "pod.spec.virtualMachine")
        assert "keyPairName" in as_("explain", "pods", "--recursive")
        assert "maxUnavailable" in as_("explain", "deploy.spec.strategy", "--recursive")
        assert 'field "nope" does not exist' in as_.fails("explain", "pod.nope").replace("'", '"')
        assert "v1.36" in as_("version")
        assert as_.name in as_("cluster-info")
        assert as_("config", "current-context").strip() == as_.name
        assert as_("top", "pods") == ""

    world.both(script)


def test_events(world: World) -> None:
    def script(as_: Tenant) -> None:
        as_.apply(as_.deployment())
        as_.has_pods(2)
        eventually(lambda: "ScalingReplicaSet" in as_("get", "events"))
        eventually(lambda: "SuccessfulCreate" in as_("get", "events", "--sort-by=.metadata.creationTimestamp"))
        eventually(lambda: "SuccessfulCreate" in as_("describe", "rs"))
        if world.minor >= 26:
            assert "ScalingReplicaSet" in as_("events", "--for=deployment/web")

    world.all(script)


def test_pending_with_a_reason(world: World) -> None:
    """Without nodes a pod stays Pending, and says why."""

    def script(as_: Tenant) -> None:
        as_("run", "one", "--image=busybox", f"--labels=owner={as_.name}")
        look = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}"
        eventually(lambda: "nodes" in as_("get", "pod", "one", "-o", look))
        eventually(lambda: "FailedScheduling" in as_("describe", "pod", "one"))

    world.all(script)


def test_bad_input(world: World) -> None:
    """What is wrong is refused with Kubernetes' reason and the field's path."""

    def script(as_: Tenant) -> None:
        as_("create", "configmap", "mark", f"--from-literal=owner={as_.name}")
        pod: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}
        container = {"name": "c", "image": "i"}
        machine = {"name": "m", "image": "i", "keyPairName": "k"}
        cases: list[tuple[Obj, str]] = [
            ({}, "spec.containers"),
            ({"containers": [container], "virtualMachine": machine}, "virtualMachine"),
            ({"containers": [{"name": "c", "image": 7}]}, "image"),
            ({"containers": [{"image": "i"}]}, "spec.containers[0].name"),
            ({"containers": [{**container, "resources": {"requests": {"cpu": "lots"}}}]}, "quantit"),
        ]
        for spec, named in cases:
            told = as_.fails("create", "--validate=false", "-f", "-", input=json.dumps({**pod, "spec": spec}))
            assert named in told, told
        strange = {**pod, "spec": {"containers": [container], "colour": "blue"}}
        assert "colour" in as_.fails("create", "-f", "-", input=json.dumps(strange))
        foreign = {**pod, "metadata": {"name": "p", "tenant": "nobody"}, "spec": {"containers": [container]}}
        assert "tenant" in as_.fails("create", "--validate=false", "-f", "-", input=json.dumps(foreign))

    world.both(script)


def test_operator(world: World) -> None:
    """Nodes, seen by the operator; a tenant's pods on them, drained away."""
    operator = world(OPERATOR)
    name = f"{world.namespace}-n1"[:60]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"zone": "a"}}}
    operator("create", "--validate=false", "-f", "-", input=json.dumps(node))
    for words in (
        "taint node {} dedicated=tests:NoSchedule",
        "label node {} colour=blue",
        "annotate node {} why=because",
        "cordon {}",
        "uncordon {}",
        "cordon {}",
        "describe node {}",
        "get node {} -o wide",
    ):
        operator(*words.format(name).split())
    spec = operator.json("get", "node", name)["spec"]
    assert spec["unschedulable"] is True
    assert {"key": "dedicated", "value": "tests", "effect": "NoSchedule"} in spec["taints"]
    mine = world("acme")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "placed"},
        "spec": {"nodeName": name, "containers": [{"name": "c", "image": "i"}]},
    }
    mine("create", "-n", world.namespace, "-f", "-", input=json.dumps(pod))
    tenants = operator("get", "tenants", "-o", "name")
    assert {"tenant/acme", "tenant/globex", "tenant/system"} <= set(tenants.split())
    listed = operator("get", "--raw", f"/api/v1/tenants/all/pods?fieldSelector=spec.nodeName={name}")
    assert [(p["metadata"]["tenant"], p["metadata"]["name"]) for p in json.loads(listed)["items"]] == [
        ("acme", "placed")
    ]
    assert "drained" in operator("drain", name, "--force", "--ignore-daemonsets", "--grace-period=0", "--timeout=20s")
    operator("delete", "node", name)
    for listing in ("all", "nodes", "namespaces", "clusterroles,clusterrolebindings"):
        operator("get", listing, "-A", "--chunk-size=5")
    assert "metrics not available yet" in operator.fails("top", "nodes")
    assert "is running at" in operator("cluster-info")
    assert '"kind": "NodeList"' in operator("cluster-info", "dump", "--namespaces=default")
