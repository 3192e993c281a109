"""A virtual machine as kubectl's commands that reach into a pod see it, and as nobody else does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from arktos.apiserver.console_view import seen
from conftest import Kubectl, kubectl_binaries

MACHINE = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "machine", "labels": {"app": "machine"}},
    "spec": {
        "virtualMachine": {
            "name": "vm",
            "image": "images.example.com/a.qcow2",
            "publicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB tests",
            "resources": {"limits": {"cpu": "1", "memory": "128Mi"}},
        }
    },
}


def test_a_machine_is_shown_as_the_container_that_its_console_is() -> None:
    shown = json.loads(seen(json.dumps(MACHINE, separators=(",", ":")).encode()))
    assert shown["spec"].pop("containers") == [
        {"name": "vm", "image": "images.example.com/a.qcow2", "stdin": True, "tty": True}
    ]
    assert shown == MACHINE


@pytest.mark.parametrize(
    "pod", [{"spec": {"containers": [{"name": "virtualMachine"}]}}, {"spec": {"x": {"virtualMachine": 1}}}, {}]
)
def test_other_pods_are_left_alone(pod: Any) -> None:
    body = json.dumps(pod, separators=(",", ":")).encode()
    assert seen(body) is body


@pytest.fixture(scope="module")
def machine(shared_apiserver: Any) -> Iterator[Any]:
    shared_apiserver.admin("create", "serviceaccount", "default")
    shared_apiserver.admin("create", "-f", "-", input=json.dumps(MACHINE))
    yield shared_apiserver
    shared_apiserver.admin("delete", "pod", "machine", "--force", "--grace-period=0")


@pytest.mark.parametrize("binary", kubectl_binaries())
def test_every_kubectl_finds_the_console(machine: Any, binary: str) -> None:
    """The machine is nowhere yet, and that is what is said: by name, by label, of the console by its name."""
    kubectl = Kubectl(machine.admin.kubeconfig, machine.admin.home, binary)
    for words in (("logs", "machine"), ("logs", "machine", "-c", "vm"), ("logs", "-l", "app=machine")):
        done = kubectl.run(*words)
        assert "panic" not in done.stderr and "not valid" not in done.stderr, done.stderr
    assert "does not have a host assigned" in kubectl.fails("attach", "machine")
    assert "container other" in kubectl.fails("logs", "machine", "-c", "other")
    assert kubectl.json("get", "pod", "machine")["spec"]["containers"] == []
