"""Who is who in one installation: makes what is missing or about to expire, leaves the rest alone."""

from __future__ import annotations

import base64
import datetime
import socket
from pathlib import Path

import yaml

from arktos.bootstrap import pki
from arktos.bootstrap.addresses import client_address
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.nodes import NodeSettings

ADMIN = "admin"
KUBELET_CLIENT = "kube-apiserver-kubelet-client"
"""As whom the API server speaks to node agents."""
SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)
FRONT_PROXY = "front-proxy-client"
"""The API server, as the tenants' extension servers know it."""

COMPONENT_USERS = {
    "controllers": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
}


def ensure(layout: Layout, address: str, port: int, service_address: str, node: NodeSettings | None = None) -> None:
    """Everything that the processes of an installation need to trust each other. Damaged raises for what cannot be
    made anew without cutting off those who trust it; the rest is made anew."""
    now = datetime.datetime.now(datetime.UTC)
    require_whole(layout)
    if not layout.ca.exists():
        pair = pki.authority(now)
        pki.write_private(layout.ca_key, pair.key)
        pki.write_private(layout.ca, pair.certificate)
    if not layout.token_key.exists():
        pki.write_private(layout.token_key, pki.private_key())
    signer = pki.Signer(layout.ca, layout.ca_key)
    hosts = server_names(address, service_address, node.address if node else "")
    _ensure_server(layout, signer, layout.server_certificate, layout.server_key, "arktos-apiserver", hosts, now)
    if not _is_whole(layout, layout.kubelet_client_certificate, layout.kubelet_client_key, now):
        pair = signer.client(KUBELET_CLIENT, now, groups=["system:masters"])
        _write(layout.kubelet_client_certificate, layout.kubelet_client_key, pair)
    _ensure_front_proxy(layout, now)
    server = f"https://{client_address(address)}:{port}"
    _ensure_kubeconfig(layout, layout.admin_kubeconfig, signer, server, ADMIN, ["system:masters"], now)
    for name, user in COMPONENT_USERS.items():
        _ensure_kubeconfig(layout, layout.component_kubeconfig(name), signer, server, user, [], now)
    if node is not None:
        user = f"system:node:{node.name}"
        path = layout.component_kubeconfig("agent")
        _ensure_kubeconfig(layout, path, signer, node.server, user, ["system:nodes"], now)
        hosts = [node.name, node.address, "127.0.0.1"]
        _ensure_server(layout, signer, layout.agent_certificate, layout.agent_key, user, hosts, now)


def _ensure_front_proxy(layout: Layout, now: datetime.datetime) -> None:
    """What extension servers know the API server by. It is of an authority of its own, which signs nothing else: a
    certificate of any other would make its holder everybody."""
    files = (layout.front_proxy_ca, layout.front_proxy_ca_key)
    if not all(file.exists() for file in files) or not pki.belongs(*(file.read_bytes() for file in files)):
        _write(*files, pki.authority(now))
        layout.front_proxy_certificate.unlink(missing_ok=True)
    pair = (layout.front_proxy_certificate, layout.front_proxy_key)
    if not _is_whole(layout, *pair, now, layout.front_proxy_ca):
        _write(*pair, pki.Signer(*files).client(FRONT_PROXY, now))


class Damaged(Exception):
    """A file that others rely on is not what it should be; says what to do."""


def require_whole(layout: Layout) -> None:
    """The CA and the tokens' key: either they are not there yet, or they are whole."""
    advice = "restore it from a copy of the data directory"
    if layout.ca.exists() != layout.ca_key.exists():
        gone = layout.ca_key if layout.ca.exists() else layout.ca
        raise Damaged(f"{gone} is missing, while the other half of the CA is there; {advice}")
    if layout.ca.exists() and not pki.belongs(layout.ca.read_bytes(), layout.ca_key.read_bytes()):
        raise Damaged(f"{layout.ca} and {layout.ca_key} are not a certificate and its key; {advice}")
    if layout.token_key.exists() and not pki.is_key(layout.token_key.read_bytes()):
        raise Damaged(
            f"{layout.token_key} is not a private key; {advice}, or remove it: then all service-account tokens end"
        )


def _ensure_server(
    layout: Layout,
    signer: pki.Signer,
    certificate: Path,
    key: Path,
    name: str,
    hosts: list[str],
    now: datetime.datetime,
) -> None:
    if _is_whole(layout, certificate, key, now) and pki.serves(certificate.read_bytes(), hosts, now):
        return
    _write(certificate, key, signer.server(hosts, now, name=name))


def _is_whole(
    layout: Layout, certificate: Path, key: Path, now: datetime.datetime, authority: Path | None = None
) -> bool:
    """Whether both files are there, belong together, are of our CA (or `authority`) and have time left."""
    if not certificate.exists() or not key.exists():
        return False
    data = certificate.read_bytes()
    belongs = pki.belongs(data, key.read_bytes()) and pki.is_signed(data, (authority or layout.ca).read_bytes())
    return belongs and pki.lasts(data, now)


def _write(certificate: Path, key: Path, pair: pki.Pair) -> None:
    pki.write_private(key, pair.key)
    pki.write_private(certificate, pair.certificate)


def server_names(address: str, service_address: str, node_address: str = "") -> list[str]:
    """What the API server is called: by its pods, on this machine, and from outside."""
    names = {*SERVICE_NAMES, "127.0.0.1", "::1", service_address, socket.gethostname().lower()}
    if address not in {"0.0.0.0", "::", ""}:
        names.add(address)
    if node_address:
        names.add(node_address)
    return sorted(names)


def tenant_kubeconfig(layout: Layout, server: str, tenant: str) -> bytes:
    """A kubeconfig for a tenant's admin: any stock client with it is a client of that tenant."""
    signer = pki.Signer(layout.ca, layout.ca_key)
    pair = signer.client(ADMIN, datetime.datetime.now(datetime.UTC), tenant=tenant)
    return kubeconfig(f"{server}/tenants/{tenant}", layout.ca.read_bytes(), tenant, ADMIN, pair, tenant)


def kubeconfig(server: str, ca: bytes, cluster: str, user: str, pair: pki.Pair, tenant: str = "") -> bytes:
    """A complete kubeconfig, everything inline."""
    context = {"cluster": cluster, "user": f"{user}@{cluster}", "namespace": "default"}
    if tenant:
        context["tenant"] = tenant
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": _base64(ca)}}],
        "users": [
            {
                "name": f"{user}@{cluster}",
                "user": {
                    "client-certificate-data": _base64(pair.certificate),
                    "client-key-data": _base64(pair.key),
                },
            }
        ],
        "contexts": [{"name": cluster, "context": context}],
        "current-context": cluster,
    }
    return yaml.safe_dump(document, sort_keys=False).encode()


def _ensure_kubeconfig(
    layout: Layout,
    path: Path,
    signer: pki.Signer,
    server: str,
    user: str,
    groups: list[str],
    now: datetime.datetime,
) -> None:
    if path.exists() and _still_good(path, server, layout.ca.read_bytes(), now):
        return
    pair = signer.client(user, now, groups=groups)
    pki.write_private(path, kubeconfig(server, layout.ca.read_bytes(), "arktos", user, pair))


def _still_good(path: Path, server: str, ca: bytes, now: datetime.datetime) -> bool:
    try:
        document = yaml.safe_load(path.read_bytes())
        cluster = document["clusters"][0]["cluster"]
        certificate = base64.b64decode(document["users"][0]["user"]["client-certificate-data"])
    except (yaml.YAMLError, ValueError, KeyError, IndexError, TypeError):
        return False
    same = cluster.get("server") == server and cluster.get("certificate-authority-data") == _base64(ca)
    return same and pki.lasts(certificate, now)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
