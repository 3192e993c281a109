"""What an API server is told at its start. Names are kube-apiserver's where the meaning is the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from arktos.apiserver.aggregation.connecting import FrontProxyOptions
from arktos.apiserver.audit.log import AuditOptions
from arktos.apiserver.kubelets import KubeletOptions
from arktos.apiserver.webhooks.client import WebhookOptions


@dataclass(frozen=True, slots=True)
class Options:
    """`store` is the embedded store's file. `client_ca_file` signs client certificates; `root_ca_file` is what
    workloads shall trust (None: the client CA). `advertise_address` is where pods and nodes reach the server ("": the
    bind address, where that is one). `service_account_key_file` is the PEM private key that signs tokens."""

    store: Path
    tls_cert_file: Path
    tls_private_key_file: Path
    client_ca_file: Path | None
    service_account_key_file: Path
    bind_address: str = "127.0.0.1"
    secure_port: int = 6443
    advertise_address: str = ""
    token_auth_file: Path | None = None
    root_ca_file: Path | None = None
    service_account_issuer: str = "https://kubernetes.default.svc"
    service_cluster_ip_range: str = "10.96.0.0/12"
    authorization_mode: str = "RBAC"
    max_request_bytes: int = 3 * 1024 * 1024
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    enable_priority_and_fairness: bool = True
    shutdown_grace: float = 5.0
    front_proxy: FrontProxyOptions = field(default_factory=FrontProxyOptions)
    audit: AuditOptions = field(default_factory=AuditOptions)
    webhooks: WebhookOptions = field(default_factory=WebhookOptions)
    kubelet: KubeletOptions = field(default_factory=KubeletOptions)
