"""Which processes an installation has, and what each is started with. Data."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from arktos.bootstrap.addresses import client_address
from arktos.bootstrap.containerd import import_pause_image
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.nodes import CLUSTER_DOMAIN, NodeSettings, program


@dataclass(frozen=True, slots=True)
class Settings:
    """What `arktos up` or `arktos node join` was told. Kept in the data directory, so that a restarted supervisor
    starts the same system. Without `control_plane` this machine is a node of an API server elsewhere; without `node` it
    runs no pods. `audit_log` are further options of the API server's audit log."""

    data_dir: str
    address: str = "127.0.0.1"
    port: int = 6443
    node: NodeSettings | None = None
    service_cluster_ip_range: str = "10.96.0.0/12"
    token_auth_file: str = ""
    authorization_mode: str = "RBAC"
    control_plane: bool = True
    audit_policy_file: str = ""
    audit_log_path: str = ""
    audit_log: tuple[str, ...] = ()
    webhook_allow: str = ""

    @property
    def layout(self) -> Layout:
        return Layout(Path(self.data_dir))

    @property
    def server(self) -> str:
        """The API server's URL on this machine."""
        return f"https://{client_address(self.address)}:{self.port}"

    def save(self) -> None:
        path = self.layout.settings
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(self), indent=2) + "\n")
        scratch.replace(path)

    @classmethod
    def load(cls, layout: Layout) -> Settings | None:
        """None where the directory has never been started, or its settings are of another version."""
        try:
            found = json.loads(layout.settings.read_text())
            node = found.pop("node")
            return cls(node=_node(node) if node else None, **_tuples(found))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


def _node(found: dict[str, Any]) -> NodeSettings:
    return NodeSettings(**_tuples(found))


def _tuples(found: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


@dataclass(frozen=True, slots=True)
class Component:
    """One supervised process: `program` with `arguments`. `port` serves its health over HTTP(S); one without a port is
    ready when it answers on `socket`. `after` is done once it has started, and again until it succeeds."""

    name: str
    arguments: tuple[str, ...]
    port: int = 0
    socket: Path | None = None
    after: Callable[[Layout], None] | None = None
    program: tuple[str, ...] = (sys.executable, "-m", "arktos")

    @property
    def command(self) -> list[str]:
        return [*self.program, *self.arguments]


def supervisor(settings: Settings) -> Component:
    """The process that keeps the others running."""
    return Component("supervisor", ("supervise", f"--data-dir={settings.layout.root}"))


def keeper(settings: Settings) -> Component:
    """The process that keeps the supervisor running. Not the `arktos` command: it must be small."""
    script = Path(__file__).with_name("keeper.py")
    return Component("keeper", (str(script), settings.data_dir), program=(sys.executable, "-I", "-S"))


def renewal(settings: Settings) -> Component:
    """The process that replaces certificates, and ends."""
    return Component("renewal", ("renew", f"--data-dir={settings.layout.root}"))


def components(settings: Settings) -> list[Component]:
    """The processes that do the work; each serves those after it."""
    return [
        *(control_plane(settings) if settings.control_plane else ()),
        *(node_components(settings.layout, settings.node, settings) if settings.node else ()),
    ]


def control_plane(settings: Settings) -> list[Component]:
    layout = settings.layout
    port = settings.port
    server = [
        "apiserver",
        f"--store={layout.store}",
        f"--bind-address={settings.address}",
        f"--secure-port={port}",
        f"--tls-cert-file={layout.server_certificate}",
        f"--tls-private-key-file={layout.server_key}",
        f"--client-ca-file={layout.ca}",
        f"--service-account-key-file={layout.token_key}",
        f"--service-cluster-ip-range={settings.service_cluster_ip_range}",
        f"--authorization-mode={settings.authorization_mode}",
        f"--kubelet-client-certificate={layout.kubelet_client_certificate}",
        f"--kubelet-client-key={layout.kubelet_client_key}",
        f"--kubelet-certificate-authority={layout.ca}",
        f"--proxy-client-cert-file={layout.front_proxy_certificate}",
        f"--proxy-client-key-file={layout.front_proxy_key}",
        f"--requestheader-client-ca-file={layout.front_proxy_ca}",
    ]
    if settings.node:
        server.append(f"--advertise-address={settings.node.address}")
    if settings.token_auth_file:
        server.append(f"--token-auth-file={settings.token_auth_file}")
    if settings.audit_policy_file:
        path = settings.audit_log_path or layout.audit_log
        server += [f"--audit-policy-file={settings.audit_policy_file}", f"--audit-log-path={path}", *settings.audit_log]
    if settings.webhook_allow:
        server.append(f"--webhook-allow={settings.webhook_allow}")
    found = [Component("apiserver", tuple(server), port)]
    for offset, name in enumerate(("controllers", "scheduler"), start=1):
        arguments = [name, f"--kubeconfig={layout.component_kubeconfig(name)}", f"--health-port={port + offset}"]
        if name == "controllers":
            arguments += [f"--cluster-signing-cert-file={layout.ca}", f"--cluster-signing-key-file={layout.ca_key}"]
            arguments += [f"--cluster-cidr={settings.node.cluster_cidr}"] if settings.node else []
        found.append(Component(name, tuple(arguments), port + offset))
    return found


def node_components(layout: Layout, node: NodeSettings, settings: Settings) -> list[Component]:
    kubeconfig = f"--kubeconfig={layout.component_kubeconfig('agent')}"
    cni = (f"--cni-conf-dir={layout.cni_conf}", f"--cni-bin-dir={layout.cni_bin}")
    me = (f"--node-name={node.name}", f"--node-ip={node.address}")
    names = (f"--cluster-dns={node.cluster_dns}", f"--cluster-domain={CLUSTER_DOMAIN}")
    network = (
        *("network", kubeconfig, *me, *cni, *names),
        f"--data-dir={layout.node / 'network'}",
        f"--socket={layout.cni_socket}",
        f"--cluster-cidr={node.cluster_cidr}",
        f"--service-cidr={settings.service_cluster_ip_range}",
        f"--health-port={node.health_port}",
    )
    found, runtimes = [Component("network", network, node.health_port)], []
    if node.containers:
        runtimes.append(f"containerd,container,{layout.containerd_socket}")
        path = program("containerd") or "containerd"
        arguments = (f"--config={layout.containerd_config}", "--log-level=warn")
        socket = layout.containerd_socket
        found.append(Component("containerd", arguments, socket=socket, after=import_pause_image, program=(path,)))
    if node.vms:
        runtimes.append(f"vm,vm,{layout.vmruntime_socket}")
        found.append(Component("vmruntime", _vmruntime(layout, node, cni), node.health_port + 1))
    agent = (
        *("agent", kubeconfig, *me, *names),
        f"--data-dir={layout.node / 'agent'}",
        f"--pod-logs-dir={layout.pod_logs}",
        f"--runtimes={';'.join(runtimes)}",
        f"--port={node.agent_port}",
        f"--tls-cert-file={layout.agent_certificate}",
        f"--tls-private-key-file={layout.agent_key}",
        f"--client-ca-file={layout.ca}",
        f"--cgroup-root={node.cgroup_root}",
        f"--health-port={node.health_port + 2}",
        *((f"--node-labels={node.labels}",) if node.labels else ()),
        *(f"--{argument}" for argument in node.agent_args),
    )
    return [*found, Component("agent", agent, node.health_port + 2)]


def _vmruntime(layout: Layout, node: NodeSettings, cni: tuple[str, ...]) -> tuple[str, ...]:
    return (
        "vmruntime",
        f"--socket={layout.vmruntime_socket}",
        f"--data-dir={layout.node / 'vmruntime'}",
        *cni,
        f"--accelerator={node.accelerator}",
        *(f"--image-mirror={mirror}" for mirror in node.image_mirrors),
        *(f"--insecure-registry={registry}" for registry in node.insecure_registries),
        *(("--allow-local-images",) if node.local_images else ()),
        f"--health-port={node.health_port + 1}",
    )
