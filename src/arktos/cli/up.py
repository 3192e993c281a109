"""`arktos up` and `arktos down`: the whole system on one machine."""

from __future__ import annotations

import ipaddress
import sys
import time
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from arktos.bootstrap.addresses import client_address
from arktos.bootstrap.components import Settings
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.nodes import NodeSettings, obstacle
from arktos.cli.data_dir import data_dir_option, installed
from arktos.cli.node_options import as_before, node_options, node_settings
from arktos.cli.starting import alone, describe, is_up, require_free, require_room, start


def _networks(_: click.Context, __: click.Parameter, text: str) -> str:
    """Networks, as they were given: what the API server would refuse is told here."""
    try:
        for part in filter(None, map(str.strip, text.split(","))):
            ipaddress.ip_network(part)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return text


@click.command()
@data_dir_option
@click.option(
    "--port",
    type=click.IntRange(1, 65530),
    default=6443,
    show_default=True,
    help="Port of the API server; the next five serve health.",
)
@click.option(
    "--bind-address",
    default="",
    show_default="all addresses with a node, 127.0.0.1 without",
    help="Address that the API server listens on.",
)
@click.option("--node", is_flag=True, help="Run pods on this machine, or fail. Without it: run them if it can.")
@click.option("--no-node", is_flag=True, help="Control plane only: nothing runs pods on this machine.")
@node_options
@click.option("--service-cluster-ip-range", default="10.96.0.0/12", show_default=True, help="Addresses for services.")
@click.option(
    "--token-auth-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Static tokens, a line each: token,user,uid,"groups",tenant.',
)
@click.option(
    "--authorization-mode", default="RBAC", show_default=True, help="RBAC, AlwaysAllow or AlwaysDeny, or several."
)
@click.option(
    "--audit-policy-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What is written to the audit log: a Policy of audit.k8s.io/v1.",
)
@click.option("--audit-log-path", default="", help="The audit log's file; DATA_DIR/log/audit.jsonl by default.")
@click.option(
    "--audit-log-option",
    "audit_log",
    multiple=True,
    help="More of the log, such as `maxsize=50` for the API server's --audit-log-maxsize=50; may be repeated.",
)
@click.option(
    "--webhook-allow",
    default="",
    callback=_networks,
    help="Networks, comma separated, where tenants' webhooks may be though they are loopback, link-local, nodes', "
    "pods' or services'.",
)
@click.option("--foreground", is_flag=True, help="Stay in the foreground, for init systems that supervise.")
def up(
    data_dir: Path,
    port: int,
    bind_address: str,
    node: bool,
    no_node: bool,
    service_cluster_ip_range: str,
    token_auth_file: Path | None,
    authorization_mode: str,
    audit_policy_file: Path | None,
    audit_log_path: str,
    audit_log: tuple[str, ...],
    webhook_allow: str,
    foreground: bool,
    **options: Any,
) -> None:
    """Start the whole system, wait until it is ready, say how to use it.

    Without options, an installation that was started before is started with what it was told then; so is a machine that
    has joined a control plane elsewhere.
    """
    data_dir = data_dir.absolute()
    kept = Settings.load(Layout(data_dir))
    if kept is not None and not _told():
        wanted = as_before(kept)
    elif kept is not None and not kept.control_plane:
        raise click.ClickException(_joined_elsewhere(kept))
    else:
        with_node = _may_run_pods(node, no_node)
        bind_address = bind_address or ("0.0.0.0" if with_node else "127.0.0.1")
        wanted = Settings(
            str(data_dir),
            bind_address,
            port,
            _own_node(data_dir, port, bind_address, service_cluster_ip_range, options) if with_node else None,
            service_cluster_ip_range,
            str(token_auth_file.absolute()) if token_auth_file else "",
            authorization_mode,
            audit_policy_file=str(audit_policy_file.absolute()) if audit_policy_file else "",
            audit_log_path=str(Path(audit_log_path).absolute()) if audit_log_path else "",
            audit_log=tuple(f"--audit-log-{option}" for option in audit_log),
            webhook_allow=webhook_allow,
        )
    _bring_up(wanted, foreground=foreground)


def _told() -> bool:
    """Whether this command was given anything that settings are made of."""
    context = click.get_current_context()
    return any(
        name not in ("data_dir", "foreground") and context.get_parameter_source(name) is not ParameterSource.DEFAULT
        for name in context.params
    )


def _may_run_pods(node: bool, no_node: bool) -> bool:
    """Whether this machine is to be a node. Raises ClickException where it must and cannot."""
    if node and no_node:
        raise click.ClickException("--node and --no-node are opposites")
    hindrance = "" if no_node else obstacle()
    if node and hindrance:
        raise click.ClickException(f"this machine cannot run pods: {hindrance}")
    if hindrance:
        click.echo(f"No node: {hindrance}. Starting the control plane; pods will stay Pending.")
    return not no_node and not hindrance


def _joined_elsewhere(kept: Settings) -> str:
    server = kept.node.server if kept.node else "a control plane elsewhere"
    return (
        f"{kept.data_dir} is that of a node of {server}, which `arktos up` starts without options; "
        "`arktos node join` changes them, and a control plane of its own takes another --data-dir"
    )


def _bring_up(wanted: Settings, *, foreground: bool) -> None:
    began = time.monotonic()
    require_room(wanted.layout)
    with alone(wanted.layout):
        if is_up(wanted):
            click.echo("Arktos is up already.")
        else:
            require_free(wanted)
            _prepare(wanted)
            if not foreground:
                start(wanted)
                _furnish(wanted)
                click.echo(f"Arktos is up (in {time.monotonic() - began:.1f} s).")
    if foreground:
        _supervise(wanted, kept=False)
    else:
        _advise(wanted)


def _furnish(settings: Settings) -> None:
    """What an installation has from its first day on beyond what its servers make themselves."""
    if not settings.control_plane or settings.node is None:
        return
    from arktos.bootstrap.storage import ensure_class
    from arktos.client import ConnectionFailed
    from arktos.model.status import ApiError

    try:
        ensure_class(settings.layout)
    except (ApiError, ConnectionFailed) as error:
        click.echo(f"The storage class local-path could not be made: {error}. The next `arktos up` tries again.")


def _own_node(data_dir: Path, port: int, address: str, services: str, options: dict[str, Any]) -> NodeSettings:
    """This machine as a node of the control plane that runs on it."""
    return node_settings(
        options,
        data_dir=data_dir,
        default_dir=_default(),
        server=f"https://{client_address(address)}:{port}",
        cluster_dns=str(_service_network(services)[10]),
        health_port=port + 3,
    )


@click.command(hidden=True)
@data_dir_option
def supervise(data_dir: Path) -> None:
    """Keep an installation's processes running (what `arktos up` starts in the background)."""
    _supervise(installed(data_dir), kept=True)


@click.command()
@data_dir_option
@click.option("--workloads", is_flag=True, help="Stop containers and virtual machines too; without it they run on.")
def down(data_dir: Path, workloads: bool) -> None:
    """Stop the system. All data stays, and what runs on this machine runs on."""
    from arktos.bootstrap.stopping import StillRunning, stop, stop_workloads

    settings = installed(data_dir)
    ended = 0
    try:
        if workloads and settings.node:
            ended = stop_workloads(settings)
        ran = stop(settings)
    except StillRunning as error:
        raise click.ClickException(str(error)) from error
    click.echo("Arktos is down." if ran else "Arktos was not running.")
    if workloads:
        click.echo(f"{ended} pods were stopped; the next `arktos up` starts them again.")
    elif settings.node:
        click.echo("Containers and virtual machines run on; `arktos down --workloads` stops them.")


def _supervise(settings: Settings, *, kept: bool) -> None:
    import asyncio

    from arktos.bootstrap.supervisor import Locked, Supervisor
    from arktos.wire import logs

    logs.configure("supervisor")
    try:
        asyncio.run(Supervisor(settings, kept=kept).run())
    except Locked as error:
        logs.get_logger(__name__).error("not_needed", reason=str(error))
        sys.exit(1)


def _prepare(settings: Settings) -> None:
    from arktos.bootstrap import containerd, credentials

    first = str(_service_network(settings.service_cluster_ip_range)[1])
    try:
        if settings.control_plane:
            credentials.ensure(settings.layout, settings.address, settings.port, first, settings.node)
        if settings.node and settings.node.containers:
            containerd.prepare(settings.layout, settings.node)
    except (credentials.Damaged, OSError) as error:
        raise click.ClickException(str(error)) from error
    settings.save()


def _service_network(ranges: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        networks = [ipaddress.ip_network(part.strip()) for part in ranges.split(",")]
        if networks[0].num_addresses < 16:
            raise ValueError("has too few addresses")
    except ValueError as error:
        text = f"--service-cluster-ip-range: {ranges!r}: {error}; give one such as 10.96.0.0/12"
        raise click.ClickException(text) from error
    return networks[0]


def _advise(settings: Settings) -> None:
    layout = settings.layout
    option = "" if layout.root == _default() else f" --data-dir {layout.root}"
    if settings.node:
        describe(settings.node)
    if settings.node and not settings.control_plane:
        click.echo(f"  a node of:    {settings.node.server}")
        click.echo(f"  look, stop:   arktos status{option}; arktos down{option}")
        return
    click.echo(f"  operator:     export KUBECONFIG={layout.admin_kubeconfig}")
    click.echo("                kubectl get tenants")
    click.echo(f"  a tenant:     arktos tenant create acme{option}")
    click.echo(f"                kubectl --kubeconfig {layout.tenant_kubeconfig('acme')} get namespaces")
    click.echo(f"  look, stop:   arktos status{option}; arktos down{option}")
    click.echo(f"  logs:         {layout.root}/log")


def _default() -> Path:
    from arktos.bootstrap.layout import default_data_dir

    return default_data_dir()
