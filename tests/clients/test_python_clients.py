"""Python's Kubernetes clients, as tenants and the operator at once: the official one, lightkube, kr8s, and an operator
that is written with kopf."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Kubectl, System, eventually

PROGRAMS = Path(__file__).parent / "programs"
CLIENTS = ("kubernetes_client.py", "lightkube_client.py", "kr8s_client.py")
WHO = ("acme", "globex", "")
"""Two tenants, and the operator in `system`."""


def hand(system: System, who: str) -> Kubectl:
    return system.tenant(who) if who else system.admin


def run(program: str, kubectl: Kubectl, *arguments: str) -> None:
    """Runs a program to its good end."""
    env = {**os.environ, "HOME": str(kubectl.home)}
    command = [*kubectl.within, sys.executable, str(PROGRAMS / program), str(kubectl.kubeconfig), *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{program} {arguments}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}"


def prepared(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "namespace", namespace)
    eventually(lambda: kubectl.run("get", "sa", "default", "-n", namespace).returncode == 0)


@pytest.mark.parametrize("program", CLIENTS)
def test_a_client(installation: System, program: str) -> None:
    namespace = program.partition("_")[0]

    def play(who: str) -> None:
        kubectl = hand(installation, who)
        prepared(kubectl, namespace)
        try:
            run(program, kubectl, namespace)
        finally:
            kubectl("delete", "namespace", namespace, "--wait=false")

    with ThreadPoolExecutor(len(WHO)) as pool:
        for done in [pool.submit(play, who) for who in WHO]:
            done.result()


def test_clients_reach_into_a_pod(shared_node: System) -> None:
    """Logs, and commands in it, by each client's own way: over HTTP and WebSocket."""
    shared_node.arktos("tenant", "create", "reaching")
    kubectl = shared_node.tenant("reaching")
    script = "echo hello; while true; do sleep 1; done"
    kubectl("run", "one", "--image=busybox", "--", "sh", "-c", script)
    kubectl("wait", "--for=condition=Ready", "pod/one", "--timeout=120s", timeout=150)
    eventually(lambda: "hello" in kubectl("logs", "one"))
    for program in CLIENTS:
        run(program, kubectl, "default", "one")
    shared_node.arktos("tenant", "delete", "reaching", "--wait")


def definition(group: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Gadget", "plural": "gadgets", "singular": "gadget", "shortNames": ["gg"]},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


@pytest.fixture
def operator(installation: System) -> Iterator[Callable[..., Any]]:
    """Starts the operator of a tenant; it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(kubectl: Kubectl, namespace: str, group: str, log: Path) -> subprocess.Popen[bytes]:
        env = {**os.environ, "HOME": str(kubectl.home), "KUBECONFIG": str(kubectl.kubeconfig)}
        command = [sys.executable, str(PROGRAMS / "kopf_operator.py"), str(kubectl.kubeconfig), namespace, group]
        with log.open("ab") as output:
            process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
    for process in started:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.parametrize("who", WHO[1:])
def test_an_operator_of_kopf(installation: System, operator: Callable[..., Any], who: str, tmp_path: Path) -> None:
    """It handles creation, change and deletion of custom resources, with its finalizer and its own status."""
    kubectl, namespace, group = hand(installation, who), "kopf", f"{who or 'operator'}.kopf.example.com"
    log = tmp_path / "operator.log"
    prepared(kubectl, namespace)
    kubectl("apply", "-f", "-", input=json.dumps(definition(group)))
    kubectl("wait", "--for=condition=Established", f"crd/gadgets.{group}", "--timeout=20s")
    operator(kubectl, namespace, group, log)
    place = (f"--namespace={namespace}",)
    try:
        gadget = {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": "g"}, "spec": {"size": 3}}
        kubectl("apply", *place, "-f", "-", input=json.dumps(gadget))

        def size() -> str:
            return kubectl.run("get", "cm", "g-size", *place, "-o", "jsonpath={.data.size}").stdout

        eventually(lambda: size() == "3", 40, log.read_text()[-3000:] or "the config map of the gadget")
        stored = kubectl.json("get", "gadget", "g", *place)
        assert stored["metadata"]["finalizers"] == [f"{group}/finalizer"]
        eventually(lambda: (kubectl.json("get", "gg", "g", *place).get("status") or {}).get("ticks") == 2, 20)
        owner = kubectl.json("get", "cm", "g-size", *place)["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Gadget", "g", stored["metadata"]["uid"])
        kubectl("patch", "gadget", "g", *place, "--type=merge", "-p", '{"spec":{"size":4}}')
        eventually(lambda: size() == "4", 20, "the new size")
        kubectl("delete", "gadget", "g", *place, "--timeout=30s")
        assert kubectl("get", "cm", "g-gone", *place, "-o", "jsonpath={.data.was}") == "g"
        eventually(lambda: size() == "", 20, "the end of what the gadget owned")
    except BaseException:
        print(log.read_text()[-6000:])
        raise
    finally:
        kubectl.run("delete", "crd", f"gadgets.{group}", "--wait=false")
        kubectl("delete", "namespace", namespace, "--wait=false")
