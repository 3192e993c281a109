"""Parts of a node, and what it needs from outside, that do not answer: the node says so, what does not need them goes
on, and all is well as soon as they answer again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

Obj = dict[str, Any]

KINDS = {"containerd": "ContainerRuntimeReady", "vmruntime": "VmRuntimeReady"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Hh8w1mYhQm9q7Yw0q3Jv1kq3zv8Qn0m5mQ8m5o1aa user@example"
CONTAINER = {"containers": [{"name": "main", "image": "busybox", "command": ["sleep", "1000"]}]}
MACHINE = {
    "virtualMachine": {
        "name": "vm",
        "image": "https://images.example.com/tiny.qcow2",
        "publicKey": KEY,
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
    }
}
PODS = {"containerd": CONTAINER, "vmruntime": MACHINE}
"""What runs in each."""


@pytest.fixture(scope="module")
def acme(shared_node: Any) -> Any:
    shared_node.arktos("tenant", "create", "acme")
    return shared_node.tenant("acme")


def pod(name: str, spec: Obj) -> str:
    whole = {"terminationGracePeriodSeconds": 0, **spec}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole})


def condition(node: Any, kind: str) -> Obj:
    conditions = node.admin.json("get", "node", "n1")["status"]["conditions"]
    return next(each for each in conditions if each["type"] == kind)


def events(kubectl: Any, name: str) -> list[tuple[str, str]]:
    items = kubectl.json("get", "events", f"--field-selector=involvedObject.name={name}")["items"]
    return [(each["reason"], each["message"]) for each in items]


@contextmanager
def hanging(node: Any, process: str) -> Iterator[None]:
    pid = node.pid(process)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("process", KINDS)
def test_a_runtime_that_hangs(shared_node: Any, acme: Any, process: str, until: Callable[..., Any]) -> None:
    """Pods of the other one start meanwhile; its own, as soon as it answers."""
    kind, other = KINDS[process], next(each for each in KINDS if each != process)
    until(lambda: condition(shared_node, kind)["status"] == "True", 20, "a node that is well")
    with hanging(shared_node, process):
        found = until(lambda: (c := condition(shared_node, kind))["status"] == "False" and c, 60, "a node that is not")
        assert found["reason"] == f"NoneOf{kind.removesuffix('Ready')}sIsReady"
        assert "is down" in found["message"], found
        assert condition(shared_node, "Ready")["status"] == "True"
        acme("apply", "-f", "-", input=pod("goes-on", PODS[other]))
        acme("apply", "-f", "-", input=pod("waits", PODS[process]))
        acme("wait", "--for=jsonpath={.status.phase}=Running", "pod/goes-on", "--timeout=60s", timeout=70)
        acme("delete", "pod", "goes-on", "--timeout=30s")
        assert acme.json("get", "pod", "waits")["status"]["phase"] == "Pending"
    until(lambda: condition(shared_node, kind)["status"] == "True", 60, "a node that is well again")
    acme("wait", "--for=jsonpath={.status.phase}=Running", "pod/waits", "--timeout=60s", timeout=70)
    acme("delete", "pod", "waits", "--timeout=30s")


def test_no_runtime_answers(shared_node: Any, acme: Any, until: Callable[..., Any]) -> None:
    acme("apply", "-f", "-", input=pod("steady", CONTAINER))
    acme("wait", "--for=condition=Ready", "pod/steady", "--timeout=40s")
    before = acme.json("get", "pod", "steady")["status"]["containerStatuses"]
    with ExitStack() as stopped:
        for process in KINDS:
            stopped.enter_context(hanging(shared_node, process))
        found = until(lambda: (c := condition(shared_node, "Ready"))["status"] != "True" and c, 60, "NotReady")
        assert (found["status"], found["reason"]) == ("False", "KubeletNotReady")
        for name in ("containerd", "vm"):
            assert f"{name}: container runtime is down: " in found["message"], found
    until(lambda: condition(shared_node, "Ready")["status"] == "True", 60, "Ready")
    assert acme.json("get", "pod", "steady")["status"]["containerStatuses"] == before
    acme("delete", "pod", "steady", "--timeout=30s")


def test_a_registry_that_comes_back(shared_node: Any, acme: Any, until: Callable[..., Any]) -> None:
    """It is asked again, less and less often; then the pod runs, untouched by anybody."""
    registry = shared_node.images["registry"]
    rules = "add table inet test; add chain inet test input { type filter hook input priority 0; }; "
    rules += f"add rule inet test input tcp dport {registry.rpartition(':')[2]} reject with tcp reset"
    shared_node.here.run("nft", rules)
    image = f"{registry}/library/nginx:1.27"
    try:
        acme("apply", "-f", "-", input=pod("patient", {"containers": [{"name": "main", "image": image}]}))

        def shown(reason: str) -> bool:
            status = acme.json("get", "pod", "patient")["status"].get("containerStatuses") or [{}]
            waiting = status[0].get("state", {}).get("waiting", {})
            return waiting.get("reason") == reason and "connection refused" in waiting["message"]

        until(lambda: shown("ImagePullBackOff"), 30, "ImagePullBackOff")
        told = events(acme, "patient")
        assert any(reason == "Failed" and "connection refused" in message for reason, message in told)
        assert ("Failed", "Error: ErrImagePull") in told
        assert ("BackOff", f'Back-off pulling image "{image}"') in told
    finally:
        shared_node.here.run("nft", "delete table inet test")
    acme("wait", "--for=condition=Ready", "pod/patient", "--timeout=60s", timeout=70)
    status = acme.json("get", "pod", "patient")["status"]["containerStatuses"][0]
    assert status["restartCount"] == 0
    acme("delete", "pod", "patient", "--timeout=30s")
