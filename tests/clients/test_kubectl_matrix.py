"""Real kubectl, every version found, as two tenants and the operator at the same time, against a whole installation.

All run the same commands on objects of the same names, each in a thread of its own; what they make names who made it,
so that a trace of the one in an answer to the other is seen. `ARKTOS_KUBECTL` names further binaries,
separated by colons; the oldest and newest run with `make test`, all with `make test-all`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Kubectl, System, eventually, kubectl_binaries

TENANTS = ("acme", "globex")
OPERATOR = "headquarters"
"""What the operator calls itself here, in tenant `system`: a word that the server never uses."""
Obj = dict[str, Any]


def binaries() -> list[Any]:
    """Every kubectl as a test parameter; those between the oldest and the newest are heavy."""
    extra = [name for name in os.environ.get("ARKTOS_KUBECTL", "").split(":") if name]
    found = [*kubectl_binaries()[1:], *extra] or list(kubectl_binaries())
    heavy = set(found[1:-1]) - set(extra)
    marks = {name: [pytest.mark.heavy] if name in heavy else [] for name in found}
    return [pytest.param(name, marks=marks[name], id=Path(name).name) for name in found]


@pytest.fixture(scope="module")
def installation(shared_cluster: System) -> System:
    for tenant in TENANTS:
        shared_cluster.arktos("tenant", "create", tenant)
    return shared_cluster


@dataclass
class World:
    """One kubectl in a namespace of the test's own, which has the same name in both tenants."""

    system: System
    binary: str
    home: Path
    namespace: str

    def __post_init__(self) -> None:
        told = self(OPERATOR)("version", "-o", "json")
        self.minor = int(json.loads(told)["clientVersion"]["minor"].rstrip("+"))

    def __call__(self, who: str) -> Kubectl:
        plain = self.system.admin if who == OPERATOR else self.system.tenant(who)
        return replace(plain, binary=self.binary, home=self.home)

    def all(self, script: Callable[[Tenant], None]) -> None:
        """Runs `script` as both tenants and the operator at once."""
        self._play(script, (*TENANTS, OPERATOR))

    def both(self, script: Callable[[Tenant], None]) -> None:
        """Runs `script` as both tenants at once."""
        self._play(script, TENANTS)

    def _play(self, script: Callable[[Tenant], None], names: Sequence[str]) -> None:
        """Runs `script`, then looks for traces of the one in what the other sees."""
        players = [Tenant(self(name), name, self) for name in names]
        with ThreadPoolExecutor(len(players)) as pool:
            for done in [pool.submit(script, player) for player in players]:
                done.result()
        for player in players:
            seen = player("get", "all,cm,secret,sa,role,rolebinding,quota,events", "-o", "json")
            assert {name for name in names if name in seen} == {player.name}


@dataclass
class Tenant:
    """kubectl as a tenant's admin, or as the operator in tenant `system`, in the test's namespace."""

    kubectl: Kubectl
    name: str
    world: World

    @property
    def tenant(self) -> str:
        return "system" if self.name == OPERATOR else self.name

    def _placed(self, arguments: tuple[str, ...]) -> list[str]:
        return [f"--namespace={self.world.namespace}", *arguments]

    def __call__(self, *arguments: str, input: str | None = None) -> str:
        return self.kubectl(*self._placed(arguments), input=input)

    def fails(self, *arguments: str, input: str | None = None) -> str:
        return self.kubectl.fails(*self._placed(arguments), input=input)

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in the background; its output, line by line, in `stdout`."""
        kubectl = self.kubectl
        env = {**os.environ, "HOME": str(kubectl.home), "KUBECONFIG": str(kubectl.kubeconfig)}
        command = [kubectl.binary, *self._placed(arguments)]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def deployment(self, name: str = "web", replicas: int = 2, **labels: str) -> Obj:
        """A manifest that names the tenant."""
        marks = {"app": name, "owner": self.name, **labels}
        container = {"name": "web", "image": "nginx:1.27", "env": [{"name": "OWNER", "value": self.name}]}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": marks},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": marks}, "spec": {"containers": [container]}},
            },
        }

    def apply(self, obj: Obj, *options: str) -> str:
        return self("apply", *options, "-f", "-", input=json.dumps(obj))

    def pods(self) -> list[Obj]:
        items: list[Obj] = self.json("get", "pods")["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def has_pods(self, count: int) -> None:
        eventually(lambda: len(self.pods()) == count, what=f"{count} pods of {self.name}")


@pytest.fixture(params=binaries())
def world(
    request: pytest.FixtureRequest, installation: System, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    binary: str = request.param
    home = tmp_path_factory.mktemp("home")
    label = re.sub(r"[^a-z0-9]+", "-", f"{request.node.originalname}-{Path(binary).name}".removeprefix("test_"))
    made = World(installation, binary, home, label[:50].strip("-"))
    for who in (*TENANTS, OPERATOR):
        made(who)("create", "namespace", made.namespace)
        eventually(lambda w=who: made(w).run("get", "sa", "default", f"-n={made.namespace}").returncode == 0)
    yield made
    for who in (*TENANTS, OPERATOR):
        made(who)("delete", "namespace", made.namespace, "--wait=false")


def test_create(world: World) -> None:
    """Imperative creation of everything that kubectl has a generator for; each is deleted again by one command."""

    def script(as_: Tenant) -> None:
        for words in (
            "deployment web --image=nginx --replicas=2",
            f"configmap settings --from-literal=owner={as_.name}",
            f"secret generic password --from-literal=owner={as_.name}",
            "secret docker-registry pull --docker-server=r.example --docker-username=u --docker-password=p",
            f"serviceaccount builder-{as_.name}",
            "role reader --verb=get,list --resource=pods,pods/log",
            "rolebinding read --role=reader --serviceaccount=default:default",
            "quota limits --hard=pods=10,requests.cpu=4",
            "service clusterip web --tcp=80:8080",
            "service nodeport outside --tcp=80:8080",
            "service externalname alias --external-name=example.com",
            f"job once --image=busybox -- echo {as_.name}",
            "poddisruptionbudget web --selector=app=web --min-available=1",
            "cronjob nightly --image=busybox --schedule=0_3_*_*_* -- true",
            "ingress web --rule=web.example/*=web:80",
        ):
            if world.minor < 21 and words.startswith(("cronjob", "poddisruptionbudget")):
                continue  # asks for batch/v1beta1 and policy/v1beta1, which Kubernetes has dropped
            told = as_("create", *(word.replace("_", " ") for word in words.split()))
            assert "created" in told
        assert as_("create", "-f", "-", input=json.dumps(as_.deployment("extra"))).strip() == (
            "deployment.apps/extra created"
        )
        assert "already exists" in as_.fails("create", "configmap", "settings")
        assert as_.json("get", "configmap", "settings")["data"] == {"owner": as_.name}
        assert as_("create", "configmap", "tried", "--dry-run=server", "-o", "name") == "configmap/tried\n"
        assert "NotFound" in as_.fails("get", "configmap", "tried")
        assert "RFC 1123" in as_.fails("create", "configmap", "Not_A_Name")
        as_.has_pods(4)

    world.all(script)


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
    import base64

    body = token.split(".")[1]
    read: Obj = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return read


@pytest.mark.parametrize("side", ["--server-side=false", "--server-side=true"])
def test_apply(world: World, side: str) -> None:
    """Create, change, no change, removal of a field, prune by diff, last applied."""

    def script(as_: Tenant) -> None:
        name = "s" if side.endswith("true") else "c"
        obj = as_.deployment(name)
        assert f"deployment.apps/{name} " in as_.apply(obj, side)
        obj["spec"]["replicas"] = 3
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:1.28"
        different = as_.kubectl.run(f"--namespace={world.namespace}", "diff", side, "-f", "-", input=json.dumps(obj))
        assert different.returncode == 1 and "+  replicas: 3" in different.stdout, different.stderr
        as_.apply(obj, side)
        told = as_.apply(obj, side)
        assert "unchanged" in told or "serverside-applied" in told
        same = as_.kubectl.run(f"--namespace={world.namespace}", "diff", side, "-f", "-", input=json.dumps(obj))
        assert same.returncode == 0, same.stdout + same.stderr
        del obj["spec"]["template"]["spec"]["containers"][0]["env"]
        as_.apply(obj, side)
        stored = as_.json("get", "deployment", name)
        assert stored["spec"]["replicas"] == 3
        assert "env" not in stored["spec"]["template"]["spec"]["containers"][0]
        assert stored["metadata"]["tenant"] == as_.tenant
        if side.endswith("false"):
            assert "nginx:1.28" in as_("apply", "view-last-applied", f"deployment/{name}")
        obj["spec"]["replicaz"] = 3
        assert "replicaz" in as_.fails("apply", side, "-f", "-", input=json.dumps(obj))

    world.all(script)


def test_apply_conflict(world: World) -> None:
    """Two managers of one field: refused with the field's name, taken with force."""

    def script(as_: Tenant) -> None:
        obj = as_.deployment()
        as_.apply(obj, "--server-side")
        obj["spec"]["replicas"] = 5
        refused = as_.fails("apply", "--server-side", "--field-manager=other", "-f", "-", input=json.dumps(obj))
        assert ".spec.replicas" in refused and 'conflict with "kubectl"' in refused
        as_.apply(obj, "--server-side", "--field-manager=other", "--force-conflicts")
        assert as_.json("get", "deployment", "web")["spec"]["replicas"] == 5

    world.all(script)


def test_edit_patch_replace(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/replicas: 2/replicas: 1/" "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("KUBE_EDITOR", str(editor))

    def script(as_: Tenant) -> None:
        as_.apply(as_.deployment())
        assert "edited" in as_("edit", "deployment", "web")
        assert as_.json("get", "deployment", "web")["spec"]["replicas"] == 1
        as_(
            "patch",
            "deployment",
            "web",
            "-p",
            '{"spec":{"template":{"spec":{"containers":[{"name":"web","tty":true}]}}}}',
        )
        as_("patch", "deployment", "web", "--type=merge", "-p", '{"metadata":{"annotations":{"note":"merged"}}}')
        as_("patch", "deployment", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":4}]')
        stored = as_.json("get", "deployment", "web")
        (container,) = stored["spec"]["template"]["spec"]["containers"]
        assert container["tty"] is True and container["image"] == "nginx:1.27"
        assert stored["metadata"]["annotations"]["note"] == "merged" and stored["spec"]["replicas"] == 4
        missing = '[{"op":"remove","path":"/spec/nope"}]'
        assert "is invalid" in as_.fails("patch", "deployment", "web", "--type=json", "-p", missing)
        eventually(lambda: _replaced(as_, "web", 2))
        if world.minor >= 24:
            status = '{"status":{"observedGeneration":1}}'
            as_("patch", "deployment", "web", "--subresource=status", "--type=merge", "-p", status)
        stale = {**as_.deployment(), "metadata": {"name": "web", "resourceVersion": "1"}}
        assert "Conflict" in as_.fails("replace", "-f", "-", input=json.dumps(stale))
        assert "NotFound" in as_.fails("replace", "-f", "-", input=json.dumps(as_.deployment("missing")))

    world.all(script)


def _replaced(as_: Tenant, name: str, replicas: int) -> bool:
    """`replace` of what was just read; false where somebody wrote in between."""
    stored = as_.json("get", "deployment", name)
    stored["spec"]["replicas"] = replicas
    done = as_.kubectl.run(f"--namespace={as_.world.namespace}", "replace", "-f", "-", input=json.dumps(stored))
    return done.returncode == 0


def test_scale_and_rollout(world: World) -> None:
    def script(as_: Tenant) -> None:
        as_.apply(as_.deployment())
        as_.has_pods(2)
        assert "scaled" in as_("scale", "deployment/web", "--replicas=4")
        as_.has_pods(4)
        assert "scaled" in as_("scale", "deployment/web", "--current-replicas=4", "--replicas=0")
        as_.has_pods(0)
        assert (
            "expected replicas" in as_.fails("scale", "deployment/web", "--current-replicas=3", "--replicas=1").lower()
        )
        assert "successfully rolled out" in as_("rollout", "status", "deployment/web", "--timeout=30s")
        assert "image updated" in as_("set", "image", "deployment/web", "web=nginx:1.28")
        assert "env updated" in as_("set", "env", "deployment/web", "COLOUR=blue")
        assert "requirements updated" in as_("set", "resources", "deployment/web", "--requests=cpu=10m")
        assert "successfully rolled out" in as_("rollout", "status", "deployment/web", "--timeout=30s")
        history = as_("rollout", "history", "deployment/web")
        assert re.findall(r"^(\d+)\s", history, re.MULTILINE) == ["1", "2", "3", "4"]
        assert "nginx:1.27" in as_("rollout", "history", "deployment/web", "--revision=1")
        assert "rolled back" in as_("rollout", "undo", "deployment/web", "--to-revision=1")
        assert as_("get", "deploy", "web", "-o", "jsonpath={..containers[0].image}") == "nginx:1.27"
        assert "paused" in as_("rollout", "pause", "deployment/web")
        assert "resumed" in as_("rollout", "resume", "deployment/web")
        assert "restarted" in as_("rollout", "restart", "deployment/web")
        assert "successfully rolled out" in as_("rollout", "status", "deployment/web", "--timeout=30s")
        as_("scale", "deployment/web", "--replicas=1")
        assert (
            "0 of 1 updated replicas are available"
            in as_.kubectl.run(
                f"--namespace={world.namespace}", "rollout", "status", "deployment/web", "--timeout=2s"
            ).stdout
        )
        assert "autoscaled" in as_("autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu-percent=80")
        assert "web" in as_("get", "hpa")

    world.all(script)


def test_label_annotate_and_selectors(world: World) -> None:
    def script(as_: Tenant) -> None:
        for number in range(3):
            as_("create", "configmap", f"m{number}", f"--from-literal=owner={as_.name}")
        assert "labeled" in as_("label", "cm", "m0", "m1", "tier=gold")
        assert "already has a value" in as_.fails("label", "cm", "m0", "tier=iron")
        assert "labeled" in as_("label", "--overwrite", "cm", "m0", "tier=iron")
        assert "annotate" in as_("annotate", "cm", "m0", "why=because")
        assert as_("get", "cm", "-l", "tier=gold", "-o", "name") == "configmap/m1\n"
        assert as_("get", "cm", "-l", "tier in (gold,iron)", "-o", "name") == "configmap/m0\nconfigmap/m1\n"
        assert as_("get", "cm", "-l", "!tier", "--field-selector=metadata.name!=kube-root-ca.crt", "-o", "name") == (
            "configmap/m2\n"
        )
        key = as_.json("get", "cm", "m1")["metadata"]["hashKey"]
        ranged = f"metadata.hashkey=gte:{key},metadata.hashkey=lte:{key}"
        assert as_("get", "cm", f"--field-selector={ranged}", "-o", "name") == "configmap/m1\n"
        as_("label", "cm", "m0", "tier-")
        assert as_("get", "cm", "-l", "tier", "-o", "name") == "configmap/m1\n"
        as_("delete", "cm", "-l", "tier")
        assert "m1" not in as_("get", "cm", "-o", "name")

    world.all(script)


def test_output_forms(world: World) -> None:
    def script(as_: Tenant) -> None:
        as_("run", "one", "--image=busybox", f"--labels=owner={as_.name}")
        assert as_("get", "pods").split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert "NOMINATED NODE" in as_("get", "pods", "-o", "wide")
        assert "  name: one\n" in as_("get", "pod", "one", "-o", "yaml")
        assert as_.json("get", "pod", "one")["metadata"]["tenant"] == as_.tenant
        assert as_("get", "pods", "-o", "name") == "pod/one\n"
        assert as_("get", "pods", "-o", "jsonpath={.items[*].metadata.labels.owner}") == as_.name
        columns = as_("get", "pods", "-o", "custom-columns=N:.metadata.name,T:.metadata.tenant")
        assert columns.split() == ["N", "T", "one", as_.tenant]
        assert as_("get", "pods", "-o", "go-template={{range .items}}{{.metadata.name}}{{end}}") == "one"
        assert as_("get", "pods", "--no-headers", "--show-labels").rstrip().endswith(f"owner={as_.name}")
        assert as_("get", "pods", "-L", "owner").split()[-1] == as_.name
        assert world.namespace in as_("get", "pods", "-A")
        assert "one" in as_("get", "pods", "--sort-by=.metadata.name", "--chunk-size=1")
        assert "one" in as_("get", "pod/one", "sa/default", "--ignore-not-found")
        assert as_("get", "pod", "none", "--ignore-not-found") == ""
        assert 'pods "none" not found' in as_.fails("get", "pod", "none")
        assert json.loads(as_("get", "--raw", f"/api/v1/namespaces/{world.namespace}/pods/one"))["kind"] == "Pod"
        described = as_("describe", "pod", "one")
        assert "Status:" in described and "busybox" in described
        assert "Active" in as_("describe", "ns", world.namespace)

    world.all(script)


def test_watch(world: World) -> None:
    def script(as_: Tenant) -> None:
        as_("create", "configmap", "first", f"--from-literal=owner={as_.name}")
        watching = as_.start("get", "configmap", "-w", "--field-selector=metadata.name!=kube-root-ca.crt")
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline().split() == ["NAME", "DATA", "AGE"]
            assert watching.stdout.readline().split()[:2] == ["first", "1"]
            as_("create", "configmap", "second", "--from-literal=a=1", f"--from-literal=owner={as_.name}")
            assert watching.stdout.readline().split()[:2] == ["second", "2"]
            as_("delete", "configmap", "first")
            assert watching.stdout.readline().split()[:2] == ["first", "1"]
        finally:
            watching.send_signal(signal.SIGTERM)
            watching.communicate(timeout=10)

    world.all(script)


def test_wait(world: World) -> None:
    def script(as_: Tenant) -> None:
        as_("run", "one", "--image=busybox", f"--labels=owner={as_.name}")
        assert "timed out" in as_.fails("wait", "pod/one", "--for=condition=Ready", "--timeout=1s")
        if world.minor >= 23:
            assert "condition met" in as_("wait", "pod/one", "--for=jsonpath={.status.phase}=Pending", "--timeout=20s")
        waiting = as_.start("wait", "pod/one", "--for=delete", "--timeout=30s", "-v=6")
        assert waiting.stdout is not None
        assert any("watch=true" in line for line in waiting.stdout)
        as_("delete", "pod", "one")
        told = waiting.communicate(timeout=40)[0]
        assert waiting.returncode == 0, told
        as_("create", "deployment", f"d-{as_.name}", "--image=nginx", "--replicas=0")
        assert "condition met" in as_("wait", f"deployment/d-{as_.name}", "--for=condition=Available", "--timeout=30s")

    world.all(script)


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_delete_cascade(world: World, cascade: str) -> None:
    def script(as_: Tenant) -> None:
        name = f"web-{cascade}"
        as_.apply(as_.deployment(name))
        as_.has_pods(2)
        assert "deleted" in as_("delete", "deployment", name, f"--cascade={cascade}")
        if cascade == "orphan":
            (left,) = as_.json("get", "rs")["items"]
            eventually(lambda: "ownerReferences" not in as_.json("get", "rs")["items"][0]["metadata"])
            assert len(as_.pods()) == 2
            as_("delete", "rs", left["metadata"]["name"], "--cascade=background")
        eventually(lambda: as_.json("get", "rs,pods")["items"] == [], 30, f"the {cascade} cascade")
        as_("create", "configmap", "mark", f"--from-literal=owner={as_.name}")

    world.all(script)


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
        assert "Metrics API not available" in as_.fails("top", "pods")

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


def test_expose_and_services(world: World) -> None:
    def script(as_: Tenant) -> None:
        as_.apply(as_.deployment())
        assert "exposed" in as_("expose", "deployment", "web", "--port=80", "--target-port=8080")
        service = as_.json("get", "service", "web")
        assert service["spec"]["clusterIP"].startswith("10.")
        assert service["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 8080}]
        assert "selector updated" in as_("set", "selector", "service", "web", "app=other")
        assert "serviceaccount updated" in as_("set", "serviceaccount", "deployment", "web", "default")
        assert "10." in as_("describe", "service", "web")

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
    assert "Metrics API not available" in operator.fails("top", "nodes")
    assert "is running at" in operator("cluster-info")
    assert '"kind": "NodeList"' in operator("cluster-info", "dump", "--namespaces=default")
