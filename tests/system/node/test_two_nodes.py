"""Two machines on one wire: the second joins with what `arktos node token` prints, and pods of a tenant meet across
both, as their own tenant and nobody else's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap import pki
from arktos.bootstrap.components import Settings

Obj = dict[str, Any]
NODES = ("n1", "n2")

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web-%(node)s, labels: {app: web}}
spec:
  nodeName: %(node)s
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: "nginx:1.27"}
"""

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: %(name)s}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""

MOVABLE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: movable}
spec:
  replicas: 4
  selector: {matchLabels: {app: movable}}
  template:
    metadata: {labels: {app: movable}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: web, image: "nginx:1.27"}
"""


@dataclass
class Pair:
    """`first` has the control plane, `second` has joined it."""

    first: Any
    second: Any
    join: list[str]
    options: list[str]
    until: Callable[..., Any]

    def ready(self) -> dict[str, bool]:
        items = self.first.admin.json("get", "nodes")["items"]
        return {
            item["metadata"]["name"]: any(
                each["type"] == "Ready" and each["status"] == "True" for each in item["status"].get("conditions", ())
            )
            for item in items
        }

    def both_ready(self) -> bool:
        return self.ready() == {"n1": True, "n2": True}


@pytest.fixture(scope="module")
def pair(may_be_a_node: None, node_parts: Any, system_type: Any, tmp_path_factory: Any, until: Any) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    (folder / "home").mkdir()
    with (
        node_parts.lan(3) as (here, there, outside),
        node_parts.served(here) as images,
        node_parts.served(there) as images_there,
    ):
        first, second = (
            system_type(Settings(str(folder / name), port=6443), folder / "home", within=place.within)
            for name, place in (("first", here), ("second", there))
        )
        first.here, second.here, first.outside = here, there, outside
        try:
            first.arktos("up", "--node", "--node-name=n1", *node_parts.options(images))
            first.settings = Settings.load(first.settings.layout)
            printed = first.arktos("node", "token").stdout.split()
            assert printed[:3] == ["arktos", "node", "join"]
            options = ["--node-name=n2", *node_parts.options(images_there)]
            second.arktos(*printed[1:], *options)
            second.settings = Settings.load(second.settings.layout)
            found = Pair(first, second, printed[1:], options, until)
            until(found.both_ready, 30, "both nodes are ready")
            yield found
        finally:
            for system in (second, first):
                node_parts.end(system)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def tenants(pair: Pair) -> dict[str, Any]:
    """Each has a server on each node, and a Service for both."""
    found = {}
    for name in ("acme", "globex"):
        pair.first.arktos("tenant", "create", name)
        kubectl = found[name] = pair.first.tenant(name)
        for node in NODES:
            kubectl("apply", "-f", "-", input=POD % {"node": node})
        kubectl("apply", "-f", "-", input=SERVICE % {"name": "web"})
    for kubectl in found.values():
        kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=40s")
    return found


def address(kubectl: Any, node: str) -> str:
    return str(kubectl.json("get", "pod", f"web-{node}")["status"]["podIP"])


@pytest.mark.parametrize("node", NODES)
def test_pods_of_a_tenant_meet(pair: Pair, tenants: dict[str, Any], node: str) -> None:
    acme = tenants["acme"]
    other = address(acme, "n2" if node == "n1" else "n1")
    assert address(acme, node).rpartition(".")[0] != other.rpartition(".")[0]
    inside = ("exec", f"web-{node}", "--", "timeout", "5")
    pair.until(lambda: acme.run(*inside, "ping", "-c1", "-W2", other).returncode == 0, 20, "ping")
    assert "hello" in acme(*inside, "wget", "-qO-", f"http://{other}")
    service = acme.json("get", "service", "web")["spec"]["clusterIP"]
    for name in (service, "web", "web.default.svc.cluster.local"):
        for _ in range(4):  # either backend
            pair.until(lambda n=name: "hello" in acme.run(*inside, "wget", "-qO-", f"http://{n}").stdout, 20, name)


@pytest.mark.parametrize("node", NODES)
def test_pods_of_others_do_not(tenants: dict[str, Any], node: str) -> None:
    acme, globex = tenants["acme"], tenants["globex"]
    service = globex.json("get", "service", "web")["spec"]["clusterIP"]
    for target in (address(globex, "n1"), address(globex, "n2"), service):
        inside = ("exec", f"web-{node}", "--", "timeout", "1")
        assert acme.run(*inside, "ping", "-c1", "-W1", target).returncode != 0
        assert "hello" not in acme.run(*inside, "wget", "-qO-", f"http://{target}").stdout


def test_commands_reach_the_second_node(pair: Pair, tenants: dict[str, Any]) -> None:
    acme = tenants["acme"]
    assert acme("exec", "web-n2", "--", "hostname") == "web-n2\n"
    acme("run", "talker", "--image=busybox", "--restart=Never", *on("n2"), "--", "echo", "said over there")
    acme("wait", "pod/talker", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=40s")
    assert acme("logs", "talker") == "said over there\n"
    acme("delete", "pod", "talker")
    with forwarded(acme, "pod/web-n2") as port:
        done = pair.first.here.run("curl", "-sS", "--max-time", "10", f"http://127.0.0.1:{port}/")
    assert done == "hello from busybox\n"


def on(node: str) -> tuple[str, ...]:
    return ('--overrides={"spec": {"nodeName": "%s"}}' % node,)  # noqa: UP031 - JSON's braces


@contextmanager
def forwarded(kubectl: Any, target: str) -> Iterator[str]:
    env = {**os.environ, "HOME": str(kubectl.home), "KUBECONFIG": str(kubectl.kubeconfig)}
    process = subprocess.Popen(
        [*kubectl.within, kubectl.binary, "port-forward", target, ":80"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        matched = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert matched
        yield matched[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_a_drained_nodes_pods_move(pair: Pair, tenants: dict[str, Any]) -> None:
    """Those of all tenants, as fast as a tenant's disruption budget allows; `kubectl drain` sees the operator's own."""
    owners = [pair.first.admin, *tenants.values()]
    for kubectl in owners:
        kubectl("apply", "-f", "-", input=MOVABLE)
    tenants["globex"]("create", "poddisruptionbudget", "movable", "--selector=app=movable", "--min-available=3")
    for kubectl in owners:
        kubectl("rollout", "status", "deployment/movable", "--timeout=60s", timeout=70)
        assert set(movable(kubectl)) == set(NODES)
    drain = ("node", "drain", "n2", "--timeout=90s")
    try:
        refused = pair.first.arktos(*drain, check=False)
        assert refused.returncode == 1
        assert "cannot delete Pods that declare no controller" in refused.stderr
        assert "acme/default/web-n2" in refused.stderr
        said = pair.first.arktos(*drain, "--pod-selector=app=movable").stdout
        assert "node/n2 already cordoned\n" in said
        assert said.endswith("node/n2 drained\n")
        for tenant in ("system", "acme", "globex"):
            assert f"evicting pod {tenant}/default/movable-" in said
        for kubectl in owners:
            kubectl("rollout", "status", "deployment/movable", "--timeout=40s")
            pair.until(lambda kubectl=kubectl: movable(kubectl) == ["n1"] * 4, 30, "all on the first node")
        assert tenants["acme"].json("get", "pod", "web-n2")["spec"]["nodeName"] == "n2"
    finally:
        assert pair.first.arktos("node", "uncordon", "n2").stdout == "node/n2 uncordoned\n"
        for kubectl in owners:
            kubectl("delete", "deployment,poddisruptionbudget", "--all", "--timeout=40s")


def movable(kubectl: Any) -> list[str]:
    items = kubectl.json("get", "pods", "-l", "app=movable")["items"]
    return [item["spec"].get("nodeName", "") for item in items if "deletionTimestamp" not in item["metadata"]]


RENEW = "from arktos.bootstrap import pki; pki.RENEW_DAYS = 1000; from arktos.cli import main; main()"
"""As if all certificates expired soon."""


def test_certificates_are_renewed(pair: Pair, tenants: dict[str, Any]) -> None:
    """By the CA on the machine that has it, through requests on the other."""
    for system in (pair.first, pair.second):
        layout = system.settings.layout
        files = (layout.component_kubeconfig("agent"), layout.agent_certificate, layout.agent_key)
        before = [path.read_bytes() for path in files]
        assert system.arktos("renew").stdout == ""
        assert [path.read_bytes() for path in files] == before
        command = [*system.within, sys.executable, "-c", RENEW, "renew", f"--data-dir={layout.root}"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        after = [path.read_bytes() for path in files]
        assert all(old != new for old, new in zip(before, after, strict=True))
        assert pki.belongs(after[1], after[2])
    requests = pair.first.admin("get", "certificatesigningrequests", "--sort-by=.metadata.creationTimestamp")
    assert requests.count("system:node:n2") >= 2
    assert tenants["acme"]("exec", "web-n2", "--", "hostname") == "web-n2\n"


def test_joining_again_changes_nothing(pair: Pair) -> None:
    pids = {name: pair.second.pid(name) for name in ("supervisor", "agent", "network", "containerd", "vmruntime")}
    assert all(pids.values())
    assert "up already" in pair.second.arktos(*pair.join, *pair.options).stdout
    assert {name: pair.second.pid(name) for name in pids} == pids


def test_a_joined_node_is_started_as_it_was(pair: Pair, tenants: dict[str, Any]) -> None:
    """After `down`, and after its machine has started anew: `arktos up`, without a token."""
    acme = tenants["acme"]
    before = acme.json("get", "pod", "web-n2")["status"]["containerStatuses"][0]["containerID"]
    said = pair.second.arktos("down").stdout
    assert "run on" in said
    refused = pair.second.arktos("up", "--port=7443", check=False)
    assert refused.returncode == 1 and "a node of https://198.18.0.1:6443" in refused.stderr
    said = pair.second.arktos("up").stdout
    assert "a node of:    https://198.18.0.1:6443" in said
    assert not pair.second.pid("apiserver")
    pair.until(pair.both_ready, 30, "both nodes are ready")
    pair.until(lambda: acme.run("exec", "web-n2", "--", "true").returncode == 0, 20, "exec")
    after = acme.json("get", "pod", "web-n2")["status"]["containerStatuses"][0]
    assert (after["containerID"], after["restartCount"]) == (before, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--ca-hash", "sha256:" + "0" * 64), "not sha256:0000"),
        (("--token", "aaaaaa.0123456789abcdef"), "refuses"),
        (("--token", "nonsense"), "abcdef.0123456789abcdef"),
    ],
)
def test_what_does_not_join(pair: Pair, tmp_path: Path, change: tuple[str, str], message: str) -> None:
    arguments = list(pair.join)
    arguments[arguments.index(change[0]) + 1] = change[1]
    assert message in failed_join(pair, arguments, tmp_path)


def test_an_expired_token_does_not_join(pair: Pair, tmp_path: Path) -> None:
    arguments = pair.first.arktos("node", "token", "--ttl=1s").stdout.split()[1:]
    ends = time.time() + 2.0
    pair.until(lambda: time.time() > ends, 5, "it has expired")
    assert "refuses" in failed_join(pair, arguments, tmp_path)
    assert "arktos node token" in failed_join(pair, arguments, tmp_path)


def failed_join(pair: Pair, arguments: list[str], folder: Path) -> str:
    """What an attempt of the outside to join says. It must leave nothing behind."""
    outside = type(pair.first)(Settings(str(folder / "data")), folder, within=pair.first.outside.within)
    done = outside.arktos(*arguments, "--node-name=n3", check=False)
    if done.returncode == 0:  # before the token has expired
        outside.arktos("down", "--workloads")
        return ""
    assert not outside.pid("supervisor")
    return str(done.stderr)
