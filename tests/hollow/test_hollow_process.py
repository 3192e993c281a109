"""Twenty hollow nodes of a real cluster: what is asked of them comes to be, and survives the kill of their process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Kubectl, eventually

Start = Callable[[], "subprocess.Popen[bytes]"]

VM = """
apiVersion: v1
kind: Pod
metadata: {name: machine}
spec:
  virtualMachine: {name: vm, image: cirros, keyPairName: k, powerSpec: Running}
"""


@pytest.fixture
def start(cluster: Any, tmp_path: Path) -> Iterator[Start]:
    """Starts the fleet's process."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        config = cluster.settings.layout.admin_kubeconfig
        command = [sys.executable, "-m", "arktos", "hollow", "--nodes=20", f"--kubeconfig={config}", "--health-port=0"]
        command += ["--start-latency", "0.2", "0.1", "--vm-start-latency", "0.3", "0", "--stop-latency", "0.1", "0"]
        with (tmp_path / "hollow.log").open("ab") as log:
            started.append(subprocess.Popen([*command, "--run-time=0.5"], stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def _pods(kubectl: Kubectl, *selector: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = kubectl.json("get", "pods", *selector)["items"]
    return items


def test_a_fleet_runs_what_it_is_given(cluster: Any, start: Start) -> None:
    kubectl = cluster.admin
    first = start()
    eventually(lambda: len(kubectl.json("get", "nodes")["items"]) == 20)
    eventually(lambda: "default" in kubectl("get", "serviceaccounts", "-o", "name"))
    kubectl("create", "deployment", "web", "--image=nginx", "--replicas=50")
    kubectl("create", "job", "once", "--image=busybox")
    kubectl("apply", "-f", "-", input=VM)
    cluster.arktos("tenant", "create", "acme")
    acme = cluster.tenant("acme")
    eventually(lambda: "default" in acme("get", "serviceaccounts", "-o", "name"))
    acme("run", "theirs", "--image=nginx")
    acme("wait", "--for=condition=Ready", "pod/theirs", "--timeout=30s")
    kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s")
    kubectl("wait", "--for=condition=Complete", "job/once", "--timeout=30s")
    kubectl("wait", "--for=condition=Ready", "pod/machine", "--timeout=30s")
    before = {each["metadata"]["uid"]: each["status"] for each in _pods(kubectl, "-l", "app=web")}
    assert len({status["podIP"] for status in before.values()}) == 50

    first.kill()
    first.wait()
    kubectl("patch", "pod", "machine", "--type=merge", "-p", '{"spec":{"virtualMachine":{"powerSpec":"Shutdown"}}}')
    kubectl("scale", "deployment", "web", "--replicas=40")
    eventually(lambda: sum("deletionTimestamp" in each["metadata"] for each in _pods(kubectl)) == 10)
    second = start()
    eventually(lambda: len(_pods(kubectl, "-l", "app=web")) == 40)
    for pod in _pods(kubectl, "-l", "app=web"):
        assert pod["status"] == before[pod["metadata"]["uid"]]
    eventually(lambda: kubectl.json("get", "pod", "machine")["status"]["phase"] == "NoSchedule")
    kubectl("delete", "pod", "machine", "--timeout=20s")

    leases = kubectl.json("get", "leases", "-n", "kube-node-lease")["items"]
    assert len(leases) == 20 and all(each["metadata"]["ownerReferences"] for each in leases)
    kubectl("delete", "node", "hollow-00007")
    eventually(lambda: len(kubectl.json("get", "nodes")["items"]) == 19)
    second.send_signal(signal.SIGTERM)
    assert second.wait(5) == 0
    third = start()
    eventually(lambda: len(kubectl.json("get", "nodes")["items"]) == 20)
    third.terminate()
    assert third.wait(5) == 0
