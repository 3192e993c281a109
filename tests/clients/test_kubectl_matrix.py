"""Every kubectl: what one does with objects, as two tenants and the operator at once."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from tests.clients.conftest import Tenant, World
from tests.conftest import eventually


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
            "quota limits --hard=pods=10,configmaps=9",
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
        as_.has_pods(5)

    world.all(script)


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
