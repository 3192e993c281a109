"""Where things are in a data directory. One place, so that every command agrees."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def default_data_dir() -> Path:
    """`/var/lib/arktos` for root, under the home directory for others. ARKTOS_DATA_DIR overrides both."""
    named = os.environ.get("ARKTOS_DATA_DIR", "")
    if named:
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/arktos")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "arktos"


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one installation. Nothing is created by asking."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "store" / "arktos.db"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def ca(self) -> Path:
        return self.pki / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.pki / "ca.key"

    @property
    def server_certificate(self) -> Path:
        return self.pki / "apiserver.crt"

    @property
    def server_key(self) -> Path:
        return self.pki / "apiserver.key"

    @property
    def token_key(self) -> Path:
        return self.pki / "service-account.key"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.root / "admin.kubeconfig"

    def component_kubeconfig(self, name: str) -> Path:
        return self.root / "components" / f"{name}.kubeconfig"

    def tenant_kubeconfig(self, tenant: str) -> Path:
        return self.root / "tenants" / f"{tenant}.kubeconfig"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.run / "supervisor.lock"

    @property
    def settings(self) -> Path:
        """What the running system was started with."""
        return self.run / "settings.json"

    def process(self, name: str) -> Path:
        """Which process plays a component's part."""
        return self.run / f"{name}.json"

    def log(self, name: str) -> Path:
        return self.root / "log" / f"{name}.log"

    @property
    def front_proxy_ca(self) -> Path:
        return self.root / "pki" / "front-proxy-ca.crt"

    @property
    def front_proxy_ca_key(self) -> Path:
        return self.root / "pki" / "front-proxy-ca.key"

    @property
    def front_proxy_certificate(self) -> Path:
        return self.root / "pki" / "front-proxy-client.crt"

    @property
    def front_proxy_key(self) -> Path:
        return self.root / "pki" / "front-proxy-client.key"

    @property
    def audit_log(self) -> Path:
        return self.root / "log" / "audit.jsonl"

    # a node's

    @property
    def kubelet_client_certificate(self) -> Path:
        """With which the API server speaks to node agents."""
        return self.pki / "apiserver-kubelet-client.crt"

    @property
    def kubelet_client_key(self) -> Path:
        return self.pki / "apiserver-kubelet-client.key"

    @property
    def agent_certificate(self) -> Path:
        return self.pki / "agent.crt"

    @property
    def agent_key(self) -> Path:
        return self.pki / "agent.key"

    @property
    def node(self) -> Path:
        """What the processes of a node keep."""
        return self.root / "node"

    @property
    def containerd(self) -> Path:
        return self.node / "containerd"

    @property
    def containerd_config(self) -> Path:
        return self.containerd / "config.toml"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def pause_image(self) -> Path:
        return self.containerd / "pause.tar"

    @property
    def vmruntime_socket(self) -> Path:
        return self.run / "vmruntime.sock"

    @property
    def cni_socket(self) -> Path:
        return self.run / "cni.sock"

    @property
    def cni_conf(self) -> Path:
        return self.node / "cni" / "net.d"

    @property
    def cni_bin(self) -> Path:
        return self.node / "cni" / "bin"

    @property
    def pod_logs(self) -> Path:
        return self.root / "log" / "pods"
