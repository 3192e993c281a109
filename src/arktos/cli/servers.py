"""The long-running processes as commands: what `arktos up` starts, and what runs elsewhere by hand."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from arktos.bootstrap.startup import CANNOT_START

_FILE = click.Path(path_type=Path)


def _run(component: str, main: Coroutine[Any, Any, None], refusals: tuple[type[Exception], ...]) -> None:
    """Runs a process to its end. `refusals` are what it raises when it cannot start; each is one line in the log, under
    a name that `arktos up` looks for."""
    import uvloop

    from arktos.wire import logs

    logs.configure(component)
    try:
        uvloop.run(main)
    except refusals as error:
        logs.get_logger(__name__).error(CANNOT_START, reason=" ".join(str(error).split()))
        sys.exit(1)


@click.command()
@click.option("--store", type=_FILE, required=True, help="File of the embedded store.")
@click.option("--bind-address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--secure-port", type=click.IntRange(0, 65535), default=6443, show_default=True, help="HTTPS port; 0 takes any."
)
@click.option("--advertise-address", default="", help="Where pods reach the server; the bind address by default.")
@click.option("--tls-cert-file", type=_FILE, required=True, help="The server's certificate, PEM.")
@click.option("--tls-private-key-file", type=_FILE, required=True, help="Its key, PEM.")
@click.option("--client-ca-file", type=_FILE, help="CA whose client certificates are trusted, PEM.")
@click.option("--root-ca-file", type=_FILE, help="CA that pods shall trust; the client CA by default.")
@click.option("--token-auth-file", type=_FILE, help='Static tokens, a line each: token,user,uid,"groups",tenant.')
@click.option(
    "--service-account-key-file",
    type=_FILE,
    required=True,
    help="Private key that signs service-account tokens, PEM.",
)
@click.option(
    "--service-account-issuer",
    default="https://kubernetes.default.svc",
    show_default=True,
    help="Issuer named in tokens.",
)
@click.option("--service-cluster-ip-range", default="10.96.0.0/12", show_default=True, help="Addresses for services.")
@click.option("--kubelet-client-certificate", type=_FILE, help="Certificate shown to the nodes' agents, PEM.")
@click.option("--kubelet-client-key", type=_FILE, help="Its key, PEM.")
@click.option(
    "--kubelet-certificate-authority", type=_FILE, help="CA of the agents' certificates, PEM; unchecked without."
)
@click.option(
    "--kubelet-preferred-address-types",
    default="InternalIP,Hostname,InternalDNS,ExternalDNS,ExternalIP",
    show_default=True,
    help="Types of node addresses to reach agents at, best first.",
)
@click.option("--authorization-mode", default="RBAC", show_default=True, help="RBAC, AlwaysAllow or AlwaysDeny.")
@click.option(
    "--max-request-bytes",
    type=click.IntRange(min=1024),
    default=3 << 20,
    show_default=True,
    help="Largest request body.",
)
@click.option("--proxy-client-cert-file", type=_FILE, help="Certificate shown to extension servers (APIService), PEM.")
@click.option("--proxy-client-key-file", type=_FILE, help="Its key, PEM.")
@click.option("--requestheader-client-ca-file", type=_FILE, help="Who signs it, as extension servers are told, PEM.")
@click.option(
    "--max-requests-inflight",
    type=click.IntRange(1),
    default=400,
    show_default=True,
    help="With the next, how many requests the priority levels share.",
)
@click.option(
    "--max-mutating-requests-inflight", type=click.IntRange(0), default=200, show_default=True, help="See there."
)
@click.option(
    "--enable-priority-and-fairness/--no-priority-and-fairness",
    default=True,
    help="Whether requests wait for each other by flow schemas and priority levels.",
)
@click.option("--audit-policy-file", type=_FILE, help="What is written to the audit log: a Policy of audit.k8s.io/v1.")
@click.option("--audit-log-path", default="", help="The audit log's file; - is standard output.")
@click.option(
    "--audit-log-mode",
    type=click.Choice(["blocking", "batch"]),
    default="blocking",
    show_default=True,
    help="When the log cannot be written fast enough, requests wait (blocking) or events are lost (batch).",
)
@click.option("--audit-log-maxsize", type=click.IntRange(0), default=100, show_default=True, help="MiB of a log file.")
@click.option("--audit-log-maxage", type=click.IntRange(0), default=0, help="Days to keep old log files; 0 for ever.")
@click.option("--audit-log-maxbackup", type=click.IntRange(0), default=0, help="Old log files to keep; 0 for all.")
@click.option("--audit-log-compress", is_flag=True, help="Compress old log files.")
@click.option(
    "--webhook-allow",
    default="",
    help="Networks, comma separated, where tenants' webhooks may be though they are loopback, link-local, nodes', "
    "pods' or services'.",
)
@click.option("--check", is_flag=True, help="Only check what the options name, the store's file too; start nothing.")
def apiserver(check: bool, **options: Any) -> None:
    """Serve the API."""
    from arktos.apiserver.aggregation.connecting import FrontProxyOptions
    from arktos.apiserver.audit.log import AuditOptions
    from arktos.apiserver.inputs import Unusable, problems
    from arktos.apiserver.kubelets import KubeletOptions
    from arktos.apiserver.options import Options
    from arktos.apiserver.webhooks.client import WebhookOptions, networks
    from arktos.store.faults import StoreFault

    types = options.pop("kubelet_preferred_address_types").split(",")
    kubelet = KubeletOptions(
        client_certificate=options.pop("kubelet_client_certificate"),
        client_key=options.pop("kubelet_client_key"),
        certificate_authority=options.pop("kubelet_certificate_authority"),
        address_types=tuple(filter(None, map(str.strip, types))),
    )
    audit = AuditOptions(
        options.pop("audit_policy_file"),
        options.pop("audit_log_path"),
        *(options.pop(f"audit_log_{name}") for name in ("mode", "maxsize", "maxage", "maxbackup", "compress")),
    )
    names = ("proxy_client_cert_file", "proxy_client_key_file", "requestheader_client_ca_file")
    front_proxy = FrontProxyOptions(*(options.pop(name) for name in names))
    try:
        webhooks = WebhookOptions(allow=networks(options.pop("webhook_allow")))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--webhook-allow") from None
    wanted = Options(**options, front_proxy=front_proxy, audit=audit, kubelet=kubelet, webhooks=webhooks)
    if check:
        found = list(problems(wanted))
        for problem in found:
            click.echo(problem)
        sys.exit(1 if found else 0)
    from arktos.apiserver.server import run

    _run("apiserver", run(wanted), (Unusable, StoreFault))


@click.command()
@click.option("--kubeconfig", type=_FILE, required=True, help="How to reach the API server.")
@click.option(
    "--controllers",
    "names",
    default="*",
    show_default=True,
    help="Comma list of controllers to run; `*` for all, `-name` to leave one out.",
)
@click.option("--health-address", default="127.0.0.1", show_default=True, help="Where health and metrics are served.")
@click.option(
    "--health-port", type=click.IntRange(0, 65535), default=10257, show_default=True, help="Its port; 0 takes any."
)
@click.option("--cluster-cidr", default="10.244.0.0/16", show_default=True, help="Range of all pod addresses.")
@click.option(
    "--node-cidr-mask-size",
    type=click.IntRange(8, 128),
    default=24,
    show_default=True,
    help="Prefix length of the block that each node gets of it.",
)
@click.option("--cluster-signing-cert-file", type=_FILE, help="CA that signs approved certificate requests, PEM.")
@click.option("--cluster-signing-key-file", type=_FILE, help="Its key, PEM.")
@click.option(
    "--ring-lease",
    type=click.FloatRange(1.0, 300.0),
    default=15.0,
    show_default=True,
    help="Seconds of silence after which others take what this process works on.",
)
def controllers(
    kubeconfig: Path,
    names: str,
    health_address: str,
    health_port: int,
    cluster_cidr: str,
    node_cidr_mask_size: int,
    cluster_signing_cert_file: Path | None,
    cluster_signing_key_file: Path | None,
    ring_lease: float,
) -> None:
    """Run control loops, sharing the work with others of their kind if there are any."""
    from arktos.client.kubeconfig import ConfigError
    from arktos.controllers.context import Settings
    from arktos.controllers.nodeipam.ranges import Ranges
    from arktos.controllers.process import run, select

    try:
        Ranges(cluster_cidr, node_cidr_mask_size)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--cluster-cidr") from error
    signing = (str(file or "") for file in (cluster_signing_cert_file, cluster_signing_key_file))
    settings = Settings(cluster_cidr, node_cidr_mask_size, *signing)
    try:
        chosen = select(names)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--controllers") from error
    _run(
        "controllers",
        run(kubeconfig, chosen, health_address, health_port, settings, ring_lease),
        (ConfigError, OSError, ValueError),
    )


@click.command()
@click.option("--kubeconfig", type=_FILE, required=True, help="How to reach the API server.")
@click.option("--health-address", default="127.0.0.1", show_default=True, help="Where health and metrics are served.")
@click.option(
    "--health-port", type=click.IntRange(0, 65535), default=10259, show_default=True, help="Its port; 0 takes any."
)
def scheduler(kubeconfig: Path, health_address: str, health_port: int) -> None:
    """Place pods on nodes; one instance works, others stand by."""
    from arktos.client.kubeconfig import ConfigError
    from arktos.scheduler.process import run

    _run("scheduler", run(kubeconfig, health_address, health_port), (ConfigError, OSError))
