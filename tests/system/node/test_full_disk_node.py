"""A node whose disk fills up: by a pod, which has to go, and to the last byte, by something that is nobody's pod. What
ran before runs on, who cannot start is told why, and all is as before once there is room."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Obj = dict[str, Any]

DISK = 256
"""MiB; images and what the node itself keeps take about a quarter."""

COUNTER = """
i=0; while true; do i=$((i+1)); echo $i >/data/new && mv /data/new /data/last; echo $i; sleep 0.2; done
"""


def pod(name: str, command: str, **more: Any) -> str:
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", command]}
    spec = {
        "terminationGracePeriodSeconds": 1,
        "containers": [{**container, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        "volumes": [{"name": "data", "emptyDir": {}}],
        **more,
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def pressed(node: Any) -> bool:
    conditions = node.admin.json("get", "node", "n1")["status"]["conditions"]
    return any((each["type"], each["status"]) == ("DiskPressure", "True") for each in conditions)


def tainted(node: Any) -> bool:
    taints = node.admin.json("get", "node", "n1")["spec"].get("taints", ())
    return any(each["key"] == "node.kubernetes.io/disk-pressure" for each in taints)


def identity(kubectl: Any, name: str) -> tuple[str, int]:
    status = kubectl.json("get", "pod", name)["status"]["containerStatuses"][0]
    return status["containerID"], status["restartCount"]


def events(kubectl: Any, name: str) -> list[tuple[str, str]]:
    items = kubectl.json("get", "events", f"--field-selector=involvedObject.name={name}")["items"]
    return [(each["reason"], each["message"]) for each in items]


@pytest.fixture(scope="module")
def small(may_be_a_node: None, node_parts: Any, system_type: Any, tmp_path_factory: Any) -> Iterator[Any]:
    """A node that acts as soon as less than 64 MiB are left, with the pods of two tenants."""
    flags = ("eviction-hard=nodefs.available<64Mi", "eviction-pressure-transition-period=1s")
    arguments = [f"--agent-arg={each}" for each in flags]
    with node_parts.node(system_type, tmp_path_factory.mktemp("small"), *arguments, disk=DISK) as system:
        for name in ("acme", "globex"):
            system.arktos("tenant", "create", name)
        yield system


def test_the_pod_that_fills_the_disk_has_to_go(small: Any, until: Callable[..., Any]) -> None:
    acme, globex = small.tenant("acme"), small.tenant("globex")
    acme("apply", "-f", "-", input=pod("quiet", COUNTER))
    acme("wait", "--for=condition=Ready", "pod/quiet", "--timeout=40s")
    before = identity(acme, "quiet")
    globex("apply", "-f", "-", input=pod("greedy", f"dd if=/dev/zero of=/data/file bs=1M count={DISK}; sleep 1000"))

    def evicted() -> Obj | None:
        status = globex.json("get", "pod", "greedy")["status"]
        return status if status["phase"] == "Failed" else None

    status = until(evicted, 60, "the end of the pod that took all room")
    assert status["reason"] == "Evicted"
    assert status["message"].startswith("The node was low on resource: ephemeral-storage. ")
    assert any(reason == "Evicted" and "ephemeral-storage" in message for reason, message in events(globex, "greedy"))

    until(lambda: not pressed(small) and not tainted(small), 40, "room again")
    assert identity(acme, "quiet") == before
    globex("apply", "-f", "-", input=pod("newcomer", "sleep 1000"))
    globex("wait", "--for=condition=Ready", "pod/newcomer", "--timeout=40s")
    globex("delete", "pods", "--all", "--timeout=40s")
    acme("delete", "pods", "--all", "--timeout=40s")
    node_events = small.admin("get", "events", "-A", "--field-selector=involvedObject.kind=Node")
    assert "EvictionThresholdMet" in node_events
    assert "NodeHasDiskPressure" in node_events


@pytest.fixture
def full(may_be_a_node: None, node_parts: Any, system_type: Any, tmp_path: Path) -> Iterator[Any]:
    """A node that evicts nobody."""
    with node_parts.node(system_type, tmp_path, "--agent-arg=eviction-hard=", disk=DISK) as system:
        system.arktos("tenant", "create", "acme")
        yield system


def test_not_a_byte_left(full: Any, until: Callable[..., Any]) -> None:
    acme = full.tenant("acme")
    acme("apply", "-f", "-", input=pod("quiet", COUNTER))
    acme("wait", "--for=condition=Ready", "pod/quiet", "--timeout=40s")
    before = identity(acme, "quiet")
    pids = {name: full.pid(name) for name in ("agent", "network", "containerd", "vmruntime")}
    ballast = fill(full.settings.layout.node)
    try:
        acme("apply", "-f", "-", input=pod("late", "sleep 1000"))
        until(lambda: told(acme, "late"), 60, "why the pod does not start")
        assert acme("exec", "quiet", "--", "echo", "here") == "here\n"
        assert identity(acme, "quiet") == before
        # What starts now knows of what ran before although it can write nothing.
        full.kill("agent")
        until(lambda: full.pid("agent") not in (0, pids["agent"]), 20, "an agent")
        until(lambda: acme.run("exec", "quiet", "--", "true").returncode == 0, 40, "an agent that works")
    finally:
        ballast.unlink()
    acme("wait", "--for=condition=Ready", "pod/late", "--timeout=90s", timeout=100)
    assert identity(acme, "quiet") == before
    first = acme("exec", "quiet", "--", "cat", "/data/last")
    until(lambda: acme("exec", "quiet", "--", "cat", "/data/last") != first, 20, "the counter goes on")
    assert {name: full.pid(name) for name in pids if name != "agent"} == {k: v for k, v in pids.items() if k != "agent"}
    acme("delete", "pods", "--all", "--timeout=40s")


def told(kubectl: Any, name: str) -> bool:
    """Whether events say that there is no room."""
    return any("no space left on device" in message.lower() for _, message in events(kubectl, name))


def fill(place: Path) -> Path:
    """A file that takes what is left of a disk."""
    path = place / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * (1 << 16))
        except OSError:
            pass
        try:
            while True:
                file.write(b"\0")
        except OSError:
            pass
        os.fsync(file.fileno())
    return path
