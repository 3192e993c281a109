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

ADMIN = "admin"
SERVICE_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)
COMPONENT_USERS = {
    "controllers": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
}


def ensure(layout: Layout, address: str, port: int, service_address: str) -> None:
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
    hosts = server_names(address, service_address)
    if not _serves(layout, hosts, now):
        pair = signer.server(hosts, now)
        pki.write_private(layout.server_key, pair.key)
        pki.write_private(layout.server_certificate, pair.certificate)
    server = f"https://{client_address(address)}:{port}"
    _ensure_kubeconfig(layout, layout.admin_kubeconfig, signer, server, ADMIN, ["system:masters"], now)
    for name, user in COMPONENT_USERS.items():
        _ensure_kubeconfig(layout, layout.component_kubeconfig(name), signer, server, user, [], now)


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


def _serves(layout: Layout, hosts: list[str], now: datetime.datetime) -> bool:
    """Whether the server's certificate will do."""
    if not layout.server_certificate.exists() or not layout.server_key.exists():
        return False
    certificate = layout.server_certificate.read_bytes()
    whole = pki.belongs(certificate, layout.server_key.read_bytes()) and pki.serves(certificate, hosts, now)
    return whole and pki.is_signed(certificate, layout.ca.read_bytes())


def server_names(address: str, service_address: str) -> list[str]:
    """What the API server is called: by its pods, on this machine, and from outside."""
    names = {*SERVICE_NAMES, "127.0.0.1", "::1", service_address, socket.gethostname().lower()}
    if address not in {"0.0.0.0", "::", ""}:
        names.add(address)
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
