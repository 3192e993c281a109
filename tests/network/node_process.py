"""`arktos network` as a process, with a real API server, in the namespace of the test."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from arktos.hostnet.cni import Cni
from arktos.hostnet.links import Links
from conftest import System, eventually, free_ports
from network.stage import Space

NODE_IP = "192.168.77.1"


class NodeProcess:
    """One node named n1."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system, self.admin = system, system.admin
        # Short: sockets have short paths.
        self.run = Path(tempfile.mkdtemp(prefix="arkt-"))
        self.folder = folder
        self.conf, self.bin, self.socket = folder / "net.d", folder / "bin", self.run / "cni.sock"
        self.health = free_ports(1)
        self.cni = Cni(self.conf, [self.bin], cache_dir=folder / "cache")
        self.process: subprocess.Popen[bytes] | None = None
        self.spaces: list[Space] = []
        with Links() as links:
            links.bridge("uplink", f"{NODE_IP}/24")

    def start(self) -> None:
        options = {
            "kubeconfig": self.system.settings.layout.admin_kubeconfig,
            "node-name": "n1",
            "node-ip": NODE_IP,
            "data-dir": self.folder / "network",
            "socket": self.socket,
            "cni-conf-dir": self.conf,
            "cni-bin-dir": self.bin,
            "health-port": self.health,
        }
        command = [sys.executable, "-m", "arktos", "network", *(f"--{name}={value}" for name, value in options.items())]
        with (self.folder / "network.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(20)

    def log(self) -> str:
        return (self.folder / "network.log").read_text()

    def http(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def ready(self) -> None:
        def is_ready() -> bool:
            assert self.process is not None and self.process.poll() is None, self.log()[-4000:]
            return self.http("/readyz")[0] == 200

        eventually(is_ready, 60, f"ready: {self.http('/readyz')} {self.log()[-2000:]}")

    def apply(self, document: dict[str, Any], tenant: str = "system") -> dict[str, Any]:
        kubectl = self.admin if tenant == "system" else self.system.tenant(tenant)
        return dict(json.loads(kubectl("create", "-f", "-", "-o", "json", input=json.dumps(document))))

    def tenant(self, name: str) -> None:
        """A tenant as controllers would have made it, for none run here."""
        self.apply({"kind": "Tenant", "apiVersion": "v1", "metadata": {"name": name}, "spec": {}})
        self.apply({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "default"}}, name)
        self.apply({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}}, name)

    def node(self, name: str, network: str, address: str) -> None:
        self.apply({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name}, "spec": {"podCIDR": network}})
        status = {"status": {"addresses": [{"type": "InternalIP", "address": address}]}}
        self.admin("patch", "node", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))

    def pod(self, tenant: str, name: str, node: str = "n1", address: str = "") -> dict[str, Any]:
        spec = {"nodeName": node, "containers": [{"name": "c", "image": "busybox"}]}
        made = self.apply({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec}, tenant)
        if address:
            status = json.dumps({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}})
            # A node says it, no tenant does.
            there = f"--server={self.system.url}/tenants/{tenant}"
            self.admin(there, "patch", "pod", name, "--subresource=status", "--type=merge", "-p", status)
        return made

    def sandbox(self, pod: dict[str, Any]) -> tuple[Space, str, dict[str, str]]:
        """A namespace, a container id and what a runtime passes for a pod."""
        space = Space()
        self.spaces.append(space)
        meta = pod["metadata"]
        args = {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": meta["namespace"],
            "K8S_POD_NAME": meta["name"],
            "K8S_POD_UID": meta["uid"],
        }
        return space, secrets.token_hex(32), args

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        print(self.log())
        for space in self.spaces:
            space.close()
        self.socket.unlink(missing_ok=True)
        self.run.rmdir()
