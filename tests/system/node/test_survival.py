"""What survives what: each process of a node killed, all of them killed, the system stopped, the workloads ended, the
machine started anew. In two tenants: a counter that must not miss a step, a server behind a Service that must not miss
a request, a virtual machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap.process import Process
from arktos.processes import born
from arktos.vmruntime.processes import running_below

Obj = dict[str, Any]
PROCESSES = ("agent", "network", "vmruntime", "containerd", "supervisor", "keeper", "apiserver")
LONGEST_UNREADY = 20.0
"""Seconds for which a pod or node that is well may be shown as not ready, on a machine that has other work."""

COUNTER = """
apiVersion: v1
kind: Pod
metadata: {name: counter, labels: {app: counter}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: counter
    image: busybox
    command: [sh, -c]
    args:
    - |
      i=$(cat /data/last 2>/dev/null || echo 0); echo from $i; touch /memory/there
      while true; do i=$((i+1)); echo $i; echo $i >/data/new; mv /data/new /data/last; sleep 0.1; done
    volumeMounts: [{name: data, mountPath: /data}, {name: memory, mountPath: /memory}]
  volumes: [{name: data, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}]
---
apiVersion: v1
kind: Pod
metadata: {name: machine, labels: {app: machine}}
spec:
  terminationGracePeriodSeconds: 5
  virtualMachine:
    name: machine
    image: https://images.example.com/tiny.qcow2
    publicKey: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Hh8w1mYhQm9q7Yw0q3Jv1kq3zv8Qn0m5mQ8m5o1aa user@example
    resources: {requests: {cpu: "1", memory: 128Mi}}
"""

SERVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: web, image: "nginx:1.27"}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""

CLIENT = """
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: client
    image: busybox
    command: [sh, -c]
    args: ["while true; do timeout 5 wget -q -O /dev/null http://%s/ && echo fetched || echo MISSED; sleep 0.2; done"]
"""


@dataclass
class Scene:
    """The node with its workloads."""

    node: Any
    acme: Any
    globex: Any
    until: Callable[..., Any]

    def well(self) -> bool:
        return self.node.arktos("status", check=False).returncode == 0

    def pods(self) -> dict[str, Obj]:
        found = {}
        for kubectl in (self.acme, self.globex):
            for item in kubectl.json("get", "pods")["items"]:
                if item["metadata"]["name"] != "newcomer":
                    found[item["metadata"]["name"]] = item
        return found

    def identities(self) -> dict[str, tuple[str, int, str]]:
        """What tells that the same container runs: id, restart count, address."""
        found = {}
        for name, pod in self.pods().items():
            status = (pod["status"].get("containerStatuses") or [{}])[0]
            found[name] = (status.get("containerID", ""), status.get("restartCount", 0), pod["status"].get("podIP", ""))
        return found

    def qemu(self) -> list[int]:
        """QEMU processes of this node."""
        return sorted(running_below(self.node.settings.layout.node / "vmruntime" / "machines").values())

    def greeting(self) -> str:
        """What the guest says; "" when it does not answer."""
        address = self.acme.json("get", "pod", "machine")["status"].get("podIP", "")
        return (
            self.node.here.run("curl", "-sS", "--max-time", "2", f"http://{address}/", check=False) if address else ""
        )

    def counted(self) -> list[int]:
        log = self.acme("logs", "counter")
        return [int(line) for line in log.splitlines() if line.isdecimal()]

    def ready(self) -> bool:
        """Whether every pod is shown ready, on a ready node."""
        nodes = self.node.admin.json("get", "nodes")["items"]
        return all(is_ready(each) for each in [*nodes, *self.pods().values()])

    def works(self) -> None:
        """All that reaches into pods works, and a new pod starts."""
        for kubectl, name in ((self.acme, "counter"), (self.globex, "client")):
            self.until(lambda k=kubectl, n=name: k.run("exec", n, "--", "true").returncode == 0, 30, f"exec in {name}")
        before = self.counted()[-1]
        self.until(lambda: self.counted()[-1] > before, 10, "the counter goes on")
        name = ("exec", "client", "--", "timeout", "5", "wget", "-q", "-O-", "http://web.default")
        self.until(lambda: "hello" in self.globex.run(*name).stdout, 30, "a Service by its name")
        self.globex("run", "newcomer", "--image=busybox", "--restart=Never", "--", "wget", "-q", "-O-", "http://web")
        done = "--for=jsonpath={.status.phase}=Succeeded"
        self.globex("wait", "pod/newcomer", done, "--timeout=40s")
        self.globex("delete", "pod", "newcomer", "--grace-period=1")

    @contextmanager
    def nothing_lost(self) -> Iterator[None]:
        """What is done inside costs no workload anything."""
        before, machine, greeting = self.identities(), self.qemu(), self.greeting()
        first = self.counted()[-1]
        missed = self.globex("logs", "client").count("MISSED")
        with watched(self) as seen:
            yield
            self.until(self.well, 60, "all processes ready")
            self.until(self.ready, 60, "all shown ready")
            self.works()
        assert self.identities() == before
        assert self.qemu() == machine != []
        assert self.greeting() == greeting != ""
        counts = self.counted()
        assert counts == list(range(1, len(counts) + 1)) or no_gap(counts, first)
        assert self.globex("logs", "client").count("MISSED") == missed
        assert seen.longest() < LONGEST_UNREADY, seen.unready


@dataclass
class Seen:
    """For how long something was shown as not ready, by its name."""

    unready: dict[str, float] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, ready: bool) -> None:
        now = time.monotonic()
        if ready:
            self._since.pop(name, None)
        else:
            lasted = now - self._since.setdefault(name, now)
            self.unready[name] = max(self.unready.get(name, 0.0), lasted)

    def longest(self) -> float:
        return max(self.unready.values(), default=0.0)


@contextmanager
def watched(scene: Scene) -> Iterator[Seen]:
    """Looks at the pods' and the node's readiness all the time."""
    seen, stop = Seen(), threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            with suppress(AssertionError, subprocess.TimeoutExpired):
                for node in scene.node.admin.json("get", "nodes")["items"]:
                    seen.note(node["metadata"]["name"], is_ready(node))
                for name, pod in scene.pods().items():
                    seen.note(name, is_ready(pod))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(60)


def is_ready(item: Obj) -> bool:
    conditions = item.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def no_gap(counts: list[int], first: int) -> bool:
    """A log may begin late, when it was rotated."""
    return counts == list(range(counts[0], counts[0] + len(counts))) and counts[0] <= first


def processes_with(*parts: str) -> list[int]:
    """Processes whose command line has all of these."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if all(part in command for part in parts):
                    found.append(int(entry.name))
    return sorted(found)


@pytest.fixture(scope="module")
def scene(shared_node: Any, until: Callable[..., Any]) -> Scene:
    for name in ("acme", "globex"):
        shared_node.arktos("tenant", "create", name)
    acme, globex = shared_node.tenant("acme"), shared_node.tenant("globex")
    acme("apply", "-f", "-", input=COUNTER)
    globex("apply", "-f", "-", input=SERVER)
    globex("rollout", "status", "deployment/web", "--timeout=60s", timeout=90)
    address = globex.json("get", "service", "web")["spec"]["clusterIP"]
    globex("apply", "-f", "-", input=CLIENT % address)
    found = Scene(shared_node, acme, globex, until)
    until(lambda: "GUEST-READY" in found.greeting(), 90, "the guest answers")
    until(found.ready, 30, "all is ready")
    until(lambda: "fetched" in globex("logs", "client"), 20, "the Service answers")
    return found


@pytest.mark.parametrize("name", PROCESSES)
def test_one_process_is_killed(scene: Scene, name: str) -> None:
    with scene.nothing_lost():
        pid = scene.node.kill(name)
        scene.until(lambda: scene.node.pid(name) not in (0, pid), 20, f"another {name}")


def test_all_processes_are_killed(scene: Scene) -> None:
    """As after the kernel has run out of memory at its worst: also those that would start others again."""
    with scene.nothing_lost():
        kill_all(scene.node)
        scene.node.arktos("up")


def test_down_and_up(scene: Scene) -> None:
    with scene.nothing_lost():
        said = scene.node.arktos("down").stdout
        assert "run on" in said
        first = last_counted(scene)
        scene.until(lambda: last_counted(scene) > first + 5, 10, "the counter goes on alone")
        assert scene.qemu() != []
        scene.node.arktos("up")


def last_counted(scene: Scene) -> int:
    """Where the counter is, read from its emptyDir."""
    folder = scene.node.settings.layout.node / "agent" / "pods"
    return max(int(path.read_text()) for path in folder.glob("*/volumes/*/data/last"))


def kill_all(node: Any) -> None:
    """Those that start others first."""
    for name in ("keeper", "supervisor", *PROCESSES, "controllers", "scheduler"):
        if pid := node.pid(name):
            os.kill(pid, signal.SIGKILL)


def test_workloads_end_and_come_back(scene: Scene) -> None:
    node = scene.node
    before, greeting, count = scene.identities(), scene.greeting(), scene.counted()[-1]
    folders = cgroups(node)
    namespaces = netns_of(node)
    assert len(namespaces) == len(before) and folders and shims(node)
    said = node.arktos("down", "--workloads").stdout
    assert f"{len(before)} pods were stopped" in said
    assert traces(node) == {}
    assert not [path for path in namespaces if path.exists()]
    assert not [path for path in folders if path.exists()]
    node.arktos("up")
    came_back(scene, before, greeting, count, shut_down=True)


def test_the_machine_starts_anew(scene: Scene) -> None:
    node = scene.node
    before, greeting, count = scene.identities(), scene.greeting(), scene.counted()[-1]
    sizes = counts(traces(node))
    namespaces = netns_of(node)
    power_off(scene)
    assert traces(node) == {}
    node.arktos("up")
    came_back(scene, before, greeting, count, shut_down=False)
    scene.until(lambda: counts(traces(node)) == sizes, 20, f"no more than before: {sizes}")
    # A machine has the namespace of its name again.
    assert not [path for path in namespaces if path.exists() and path.name.startswith("cni-")]


def came_back(
    scene: Scene, before: dict[str, tuple[str, int, str]], greeting: str, count: int, *, shut_down: bool
) -> None:
    """All pods run again: containers anew with the data of their emptyDir, the machine with its disk."""
    scene.until(scene.well, 60, "all processes ready")
    scene.until(lambda: scene.ready() and set(scene.identities()) == set(before), 60, "all pods are ready again")
    scene.until(lambda: "boot=" in scene.greeting(), 60, "the guest answers")
    after = scene.identities()
    for name in before:
        if name == "machine":
            assert after[name] == before[name]
        else:
            assert after[name][0] != before[name][0], name
            assert after[name][1] == before[name][1] + 1, name
    was, now = (int(said.partition("boot=")[2].split()[0]) for said in (greeting, scene.greeting()))
    # A guest that lost its power may not have written the last number yet.
    assert now in ((was + 1,) if shut_down else (was, was + 1))
    log = scene.acme("logs", "counter").splitlines()
    assert int(log[0].removeprefix("from ")) >= count
    scene.until(lambda: "fetched" in scene.globex("logs", "client"), 20, "the Service answers")
    scene.works()


def power_off(scene: Scene) -> None:
    """What is left when a machine loses its power: the disk. No process, mount, cgroup, namespace, link, rule."""
    node = scene.node
    layout = node.settings.layout
    kill_all(node)
    folders, namespaces, root = cgroups(node), netns_of(node), str(layout.root)
    inside = {int(pid) for path in folders for pid in (path / "cgroup.procs").read_text().split()}
    doomed = [Process(pid, born(pid)) for pid in sorted({*shims(node), *scene.qemu(), *inside} - {0})]
    for process in doomed:
        process.send(signal.SIGKILL)
    for process in doomed:
        assert process.wait_gone(20)
    for folder in reversed(folders):
        scene.until(lambda folder=folder: removed(folder), 10, f"{folder} is gone")
    for path in namespaces:
        subprocess.run(["umount", "-l", str(path)], check=False, capture_output=True)
        path.unlink(missing_ok=True)
    for point in sorted(mounts(root), key=len, reverse=True):
        subprocess.run(["umount", "-l", point], check=True)
    for link in links(node):
        node.here.run("ip", "link", "del", link, check=False)
    node.here.run("nft", "flush", "ruleset")
    for route in node.here.run("ip", "route").splitlines():
        if route.startswith("10."):
            node.here.run("ip", "route", "del", route.split()[0], check=False)
    for path in layout.run.glob("*.sock"):
        path.unlink()


def removed(folder: Path) -> bool:
    with suppress(FileNotFoundError):
        try:
            folder.rmdir()
        except OSError:
            return False
    return True


def shims(node: Any) -> list[int]:
    return processes_with("containerd-shim", str(node.settings.layout.root))


def links(node: Any) -> list[str]:
    names = [line.split()[1].rstrip(":").partition("@")[0] for line in node.here.run("ip", "-o", "link").splitlines()]
    return [name for name in names if name not in ("lo", "eth0")]


def mounts(root: str) -> list[str]:
    return [
        point for line in Path("/proc/mounts").read_text().splitlines() if (point := line.split()[1]).startswith(root)
    ]


def netns_of(node: Any) -> list[Path]:
    """The network namespaces of the node's pods."""
    folder = node.settings.layout.node / "network" / "interfaces"
    return sorted(Path(json.loads(path.read_text())["netns"]) for path in folder.glob("*.json"))


def cgroups(node: Any) -> list[Path]:
    """All cgroups of the node's pods; outer ones first."""
    name = node.settings.node.cgroup_root.strip("/")
    tops = [path for depth in ("*", "*/*") for path in Path("/sys/fs/cgroup").glob(f"{depth}/{name}")]
    return sorted(Path(where) for top in {*tops, Path("/sys/fs/cgroup", name)} for where, _, _ in os.walk(top))


def traces(node: Any) -> dict[str, list[Any]]:
    """What workloads have on the machine; what there is none of is left out."""
    found: dict[str, list[Any]] = {
        "shims": shims(node),
        "qemu": sorted(running_below(node.settings.layout.node / "vmruntime" / "machines").values()),
        "cgroups": cgroups(node),
        "namespaces": [path for path in netns_of(node) if path.exists()],
        "links": links(node),
        "routes": [line for line in node.here.run("ip", "route").splitlines() if line.startswith("10.244.")],
        "mounts": mounts(str(node.settings.layout.root)),
    }
    return {name: each for name, each in found.items() if each}


def counts(found: dict[str, list[Any]]) -> dict[str, int]:
    return {name: len(each) for name, each in found.items()}
