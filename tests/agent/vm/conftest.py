"""A real node for virtual machines: a VM runtime and an agent of the test's own, on a bridge of their own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from arktos.bootstrap import credentials
from arktos.bootstrap.nodes import NodeSettings
from arktos.hostnet import netns
from conftest import Kubectl, System, eventually

BOOT = 120.0


@dataclass
class VmNode:
    """`machine` makes a pod; `until` waits for what it becomes."""

    system: System
    name: str
    home: Path
    image: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def admin(self) -> Kubectl:
        return self.system.admin

    def prepare(self) -> None:
        self.bridge = f"v{self.name}"
        number = secrets.randbelow(1 << 13)
        self.subnet = f"10.{160 + (number >> 8)}.{number & 255}.0/24"
        plugin = {
            "type": "bridge",
            "bridge": self.bridge,
            "isGateway": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.home / "leases"),
                "ranges": [[{"subnet": self.subnet}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        (self.home / "net.d").mkdir()
        conflist = {"cniVersion": "1.0.0", "name": "test", "plugins": [plugin]}
        (self.home / "net.d" / "10-test.conflist").write_text(json.dumps(conflist))
        settings = self.system.settings
        node = NodeSettings(self.name, "127.0.0.1", self.system.url, "10.96.0.10")
        credentials.ensure(settings.layout, settings.address, settings.port, "10.96.0.1", node)

    def start_runtime(self) -> None:
        command = [sys.executable, "-m", "arktos", "vmruntime", "--health-port=0"]
        command += [f"--socket={self.home / 'vm.sock'}", f"--data-dir={self.home / 'vm'}"]
        command += [f"--cni-conf-dir={self.home / 'net.d'}", "--cni-bin-dir=/usr/lib/cni", "--accelerator=tcg"]
        self._start("runtime", [*command, f"--allow-file-images={self.image.parent}"])

    def start_agent(self) -> None:
        layout = self.system.settings.layout
        command = [sys.executable, "-m", "arktos", "agent", f"--node-name={self.name}", "--node-ip=127.0.0.1"]
        command += [f"--kubeconfig={layout.component_kubeconfig('agent')}", f"--data-dir={self.home / 'agent'}"]
        command += [f"--pod-logs-dir={self.home / 'pods'}", f"--runtimes=vm,vm,{self.home / 'vm.sock'}"]
        command += ["--port=0", "--health-port=0", f"--cgroup-root=/{self.name}", f"--client-ca-file={layout.ca}"]
        command += [f"--tls-cert-file={layout.agent_certificate}", f"--tls-private-key-file={layout.agent_key}"]
        self._start("agent", command)
        eventually(self._ready, 60, "the node is ready")

    def _start(self, name: str, command: list[str]) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def _ready(self) -> bool:
        assert self.processes["agent"].poll() is None, self.log("agent")
        found = self.admin.run("get", "node", self.name, "-o", "json")
        conditions = json.loads(found.stdout)["status"].get("conditions") or () if found.returncode == 0 else ()
        return any(each["type"] == "VmRuntimeReady" and each["status"] == "True" for each in conditions)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text()[-5000:]

    # pods

    def machine(self, name: str, *, restart_policy: str = "Always", **machine: Any) -> Any:
        spec = {
            "name": "vm",
            "image": f"file://{self.image}",
            "publicKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB tests",
            "resources": {"limits": {"cpu": "1", "memory": "192Mi"}},
            **machine,
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "nodeName": self.name,
                "restartPolicy": restart_policy,
                "terminationGracePeriodSeconds": 30,
                "automountServiceAccountToken": False,
                "virtualMachine": spec,
            },
        }
        return json.loads(self.admin("create", "-f", "-", "-o", "json", input=json.dumps(pod)))

    def pod(self, name: str) -> Any:
        found = self.admin.run("get", "pod", name, "-o", "json")
        return json.loads(found.stdout) if found.returncode == 0 else None

    def until(self, name: str, look: Any, seconds: float = BOOT) -> Any:
        """The pod, once `look` says yes to it."""
        last: list[Any] = []

        def fits() -> Any:
            last[:] = [self.pod(name)]
            return last[0] is not None and look(last[0]) and last[0]

        try:
            return eventually(fits, seconds, f"pod {name}")
        except BaseException:
            print(json.dumps(last[0] and last[0].get("status"), indent=1), self.log("agent"), self.log("runtime"))
            raise

    def until_power(self, name: str, power: str) -> Any:
        return self.until(name, lambda pod: _machine(pod).get("powerState") == power)

    def until_said(self, name: str, text: str, times: int = 1) -> str:
        """The console's log, once it has a text so often."""

        def look() -> str:
            found = "".join(path.read_text(errors="replace") for path in self.home.glob(f"pods/*_{name}_*/vm/0.log"))
            return found if found.count(text) >= times else ""

        return eventually(look, BOOT, f"{text!r} on the console")

    def power(self, name: str, power: str) -> None:
        self.admin("patch", "pod", name, "-p", json.dumps({"spec": {"virtualMachine": {"powerSpec": power}}}))

    def gone(self, name: str) -> None:
        eventually(lambda: self.pod(name) is None, BOOT, f"pod {name} is gone")

    def reasons(self, name: str) -> list[str]:
        found = self.admin.json("get", "events", "--field-selector", f"involvedObject.name={name}")
        return [each["reason"] for each in found["items"]]

    def qemus(self) -> dict[str, int]:
        """The processes of machines, by the machine's id."""
        found = {}
        for path in (self.home / "vm" / "machines").glob("*/"):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    words = (process / "cmdline").read_bytes()
                    if words.startswith(b"qemu") and path.name.encode() in words:
                        found[path.name] = int(process.name)
        return found

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)
        for pid in self.qemus().values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for path in (self.home / "vm" / "sandboxes").glob("*/"):
            netns.remove(netns.FOLDER / f"arktos-vm-{path.name}")
        subprocess.run(["ip", "link", "delete", self.bridge], capture_output=True, check=False)
        for line in Path("/proc/mounts").read_text().splitlines():
            if line.split()[1].startswith(f"{self.home}/"):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        for root in Path("/sys/fs/cgroup").glob(f"*/{self.name}"):
            for folder, _, _ in os.walk(root, topdown=False):
                with suppress(OSError):
                    os.rmdir(folder)
        shutil.rmtree(self.home, ignore_errors=True)


def _machine(pod: Any) -> Any:
    return pod["status"].get("virtualMachineStatus") or {}


@contextmanager
def _running(system: System, image: Path) -> Iterator[VmNode]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("not installed: qemu-system-x86_64")
    node = VmNode(system, f"n{secrets.token_hex(4)}", Path(tempfile.mkdtemp(prefix="ark-vmnode-")), image)
    try:
        node.prepare()
        system.admin.run("create", "serviceaccount", "default")
        node.start_runtime()
        node.start_agent()
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="module")
def vm_node(shared_apiserver: System, vm_image: Path) -> Iterator[VmNode]:
    """A node for VMs, shared by a module's tests, which keep apart by the names of their pods."""
    with _running(shared_apiserver, vm_image) as node:
        yield node
