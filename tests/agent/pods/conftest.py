"""A real node for tests: a containerd and an agent of the test's own, pods on a bridge of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap import credentials
from arktos.bootstrap.nodes import NodeSettings
from arktos.bootstrap.oci_image import save
from assets import container_images
from conftest import Kubectl, System, eventually

IMAGE = "arktos.test/busybox:1"
PAUSE = "arktos.test/pause:1"

_NEEDED = ("containerd", "ctr", "runc", "ip")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Node:
    """One node: `start_containerd`, `start_agent`, and their violent ends."""

    system: System
    name: str
    home: Path
    containerd: subprocess.Popen[bytes] | None = None
    agent: subprocess.Popen[bytes] | None = None
    more: list[str] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.home / "c.sock"

    @property
    def admin(self) -> Kubectl:
        return self.system.admin

    def prepare(self) -> None:
        """Everything that is there before the first process."""
        bridge = "t" + uuid.uuid4().hex[:8]
        number = int(uuid.uuid4().hex[:4], 16)
        subnet = f"10.{192 + number // 256 % 32}.{number % 256}.0/24"
        (self.home / "cni").mkdir()
        network = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": bridge,
                    "isGateway": True,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self.home / "ipam"),
                        "ranges": [[{"subnet": subnet}]],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        (self.home / "cni" / "10-test.conflist").write_text(json.dumps(network))
        (self.home / "bridge").write_text(bridge)
        (self.home / "containerd.toml").write_text(_containerd_config(self.home))
        for name, image, reference in (
            ("busybox", container_images.busybox_image(), IMAGE),
            ("pause", container_images.pause_image(), PAUSE),
        ):
            save(image, self.home / f"{name}.tar", reference)
        settings = self.system.settings
        node = NodeSettings(self.name, "127.0.0.1", self.system.url, "10.96.0.10")
        credentials.ensure(settings.layout, settings.address, settings.port, "10.96.0.1", node)

    def ctr(self, *arguments: str) -> str:
        command = ["ctr", f"--address={self.socket}", "--namespace=k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def start_containerd(self, *, first: bool = False) -> None:
        with (self.home / "containerd.log").open("ab") as log:
            self.containerd = subprocess.Popen(
                ["containerd", f"--config={self.home / 'containerd.toml'}"],
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": _PATH},
            )
        eventually(self._answers, 30, "containerd serves")
        if first:
            for name in ("busybox", "pause"):
                self.ctr("images", "import", str(self.home / f"{name}.tar"))

    def _answers(self) -> bool:
        try:
            self.ctr("version")
        except subprocess.CalledProcessError:
            return False
        return True

    def start_agent(self) -> None:
        layout = self.system.settings.layout
        command = [
            *(sys.executable, "-m", "arktos", "agent"),
            f"--kubeconfig={layout.component_kubeconfig('agent')}",
            f"--node-name={self.name}",
            "--node-ip=127.0.0.1",
            f"--data-dir={self.home / 'agent'}",
            f"--pod-logs-dir={self.home / 'pods'}",
            f"--runtimes=containerd,container,{self.socket}",
            "--port=0",
            "--health-port=0",
            f"--tls-cert-file={layout.agent_certificate}",
            f"--tls-private-key-file={layout.agent_key}",
            f"--client-ca-file={layout.ca}",
            f"--cgroup-root=/{self.name}",
            *self.more,
        ]
        with (self.home / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self.ready, 40, "the node is ready")

    def ready(self) -> bool:
        assert self.agent is not None
        assert self.agent.poll() is None, self.log()
        found = self.admin.run("get", "node", self.name, "-o", "json")
        if found.returncode:
            return False
        conditions = json.loads(found.stdout)["status"].get("conditions") or ()
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def log(self) -> str:
        return (self.home / "agent.log").read_text()[-6000:]

    def kill_agent(self) -> None:
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait()

    def kill_containerd(self) -> None:
        assert self.containerd is not None
        self.containerd.kill()
        self.containerd.wait()

    # pods

    def run(self, name: str, *commands: str, **spec: Any) -> Any:
        """A pod with a container per command (of a shell), bound to this node."""
        containers = [
            {"name": f"c{index}", "image": IMAGE, "command": ["sh", "-c", command]}
            for index, command in enumerate(commands)
        ]
        return self.apply(name, {"containers": containers, **spec})

    def apply(self, name: str, spec: dict[str, Any], **metadata: Any) -> Any:
        whole = {"terminationGracePeriodSeconds": 2, "nodeName": self.name, **spec}
        whole.setdefault("automountServiceAccountToken", False)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", **metadata},
            "spec": whole,
        }
        return json.loads(self.admin("create", "-f", "-", "-o", "json", input=json.dumps(pod)))

    def pod(self, name: str) -> Any:
        """The pod as the API has it; None if it has none."""
        found = self.admin.run("get", "pod", name, "-o", "json")
        return json.loads(found.stdout) if found.returncode == 0 else None

    def until(self, name: str, look: Any, seconds: float = 30.0) -> Any:
        """The pod, once `look` says yes to it."""
        last: list[Any] = []

        def fits() -> Any:
            last[:] = [self.pod(name)]
            return last[0] is not None and look(last[0]) and last[0]

        try:
            return eventually(fits, seconds, f"pod {name}")
        except BaseException:
            print(json.dumps(last[0] and last[0].get("status"), indent=1), self.log())
            raise

    def gone(self, name: str, seconds: float = 30.0) -> None:
        eventually(lambda: self.pod(name) is None, seconds, f"pod {name} is gone")

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reasons and messages of a pod's events."""
        found = self.admin.json("get", "events", "--field-selector", f"involvedObject.name={name}")
        return [(each["reason"], each["message"]) for each in found["items"]]

    def containers(self) -> set[str]:
        """The ids of everything that containerd has."""
        return set(self.ctr("containers", "list", "-q").split())

    def stop(self) -> None:
        if self.agent is not None and self.agent.poll() is None:
            self.agent.terminate()
            self.agent.wait(20)
        networks: set[str] = set()
        if self.containerd is not None and self.containerd.poll() is None:
            networks = self._networks()
            for task in [line.split() for line in self.ctr("tasks", "list").splitlines()[1:]]:
                subprocess.run(
                    ["ctr", f"--address={self.socket}", "--namespace=k8s.io", "tasks", "kill", "-s", "9", task[0]],
                    capture_output=True,
                    check=False,
                )
            for pod in self._sandboxes():
                subprocess.run(
                    ["ctr", f"--address={self.socket}", "--namespace=k8s.io", "tasks", "delete", "-f", pod],
                    capture_output=True,
                    check=False,
                )
            self.containerd.terminate()
            self.containerd.wait(20)
        for name in networks:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        bridge = (self.home / "bridge").read_text()
        subprocess.run(["ip", "link", "delete", bridge], capture_output=True, check=False)
        _unmount_below(self.home)
        _remove_cgroups(self.name)
        shutil.rmtree(self.home, ignore_errors=True)

    def _networks(self) -> set[str]:
        """The names of the pods' network namespaces."""
        found = set()
        for container in self.containers():
            spec = json.loads(self.ctr("containers", "info", container)).get("Spec") or {}
            for each in (spec.get("linux") or {}).get("namespaces") or ():
                path = Path(each.get("path") or "/")
                if each["type"] == "network" and path.parent.name == "netns":
                    found.add(path.name)
        return found

    def _sandboxes(self) -> set[str]:
        return self.containers()


def _containerd_config(home: Path) -> str:
    return f"""version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{home}/c.sock"
[ttrpc]
  address = "{home}/t.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{home}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def _unmount_below(home: Path) -> None:
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((each for each in places if each.startswith(f"{home}/")), reverse=True):
        subprocess.run(["umount", "-l", place], capture_output=True, check=False)


def _remove_cgroups(name: str) -> None:
    for root in Path("/sys/fs/cgroup").glob(f"*/{name}"):
        for folder, _, _ in os.walk(root, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                continue


@contextmanager
def running_node(system: System) -> Iterator[Node]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    missing = [name for name in _NEEDED if shutil.which(name, path=_PATH) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    node = Node(system, "n" + uuid.uuid4().hex[:8], Path(tempfile.mkdtemp(prefix="ark-pods-")))
    try:
        node.prepare()
        node.start_containerd(first=True)
        # No controllers run here to make it.
        system.admin.run("create", "serviceaccount", "default")
        node.start_agent()
        yield node
    finally:
        node.stop()


@pytest.fixture
def node(apiserver: System) -> Iterator[Node]:
    """A node of the test's own, whose processes it may kill."""
    with running_node(apiserver) as made:
        yield made


@pytest.fixture(scope="module")
def shared_node(shared_apiserver: System) -> Iterator[Node]:
    """A node shared by a module's tests, which keep apart by the names of their pods."""
    with running_node(shared_apiserver) as made:
        yield made
