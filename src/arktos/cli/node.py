"""`arktos node`: machines that join a control plane elsewhere."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from arktos.bootstrap.components import Settings
from arktos.bootstrap.layout import default_data_dir
from arktos.bootstrap.nodes import default_address, obstacle
from arktos.cli.data_dir import data_dir_option, installed, operators_kubeconfig
from arktos.cli.node_options import node_options, node_settings

if TYPE_CHECKING:
    from arktos.cli.cluster_access import Access

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_Command = TypeVar("_Command", bound=Callable[..., Any])


def reaching(command: _Command) -> _Command:
    """Adds the options that say whose API server is meant; the command gets an `access`. The innermost decorator."""
    path = click.Path(dir_okay=False, path_type=Path)

    @functools.wraps(command)
    def wrapped(data_dir: Path, kubeconfig: Path | None, **rest: Any) -> Any:
        from arktos.cli.cluster_access import Access

        return command(access=Access(operators_kubeconfig(data_dir, kubeconfig)), **rest)

    asked = click.option(
        "--kubeconfig",
        type=path,
        default=None,
        help="The operator's, of an installation elsewhere.",
        show_default="$KUBECONFIG, or the data directory's",
    )
    return data_dir_option(asked(wrapped))  # type: ignore[return-value]


@click.group()
def node() -> None:
    """Have more machines run pods."""


@node.command()
@data_dir_option
@click.option("--ttl", default="24h", show_default=True, help="How long the token is good: 30m, 24h, 7d.")
def token(data_dir: Path, ttl: str) -> None:
    """Make a token, and print the command that joins another machine with it."""
    import asyncio

    from arktos.bootstrap.joining import ca_hash, new_token
    from arktos.client.client import Client
    from arktos.client.errors import ConnectionFailed
    from arktos.model.status import ApiError

    matched = re.fullmatch(r"([1-9]\d*)([smhd])", ttl)
    if matched is None:
        raise click.BadParameter(f"{ttl!r}: give a number and a unit, such as 24h", param_hint="--ttl")
    settings = installed(data_dir)

    async def make() -> str:
        async with Client.from_kubeconfig(settings.layout.admin_kubeconfig) as client:
            return await new_token(client, float(matched[1]) * _UNITS[matched[2]])

    try:
        made = asyncio.run(make())
    except (ApiError, ConnectionFailed, OSError) as error:
        raise click.ClickException(f"no token: {error}") from error
    click.echo(_command(settings, made, ca_hash(settings.layout.ca.read_bytes())))


def _command(settings: Settings, token: str, ca: str) -> str:
    """What to run on the other machine; with what is not as usual here."""
    address = settings.node.address if settings.node else settings.address
    words = [f"arktos node join https://{address}:{settings.port}", f"--token {token}", f"--ca-hash {ca}"]
    usual = Settings("")
    if settings.service_cluster_ip_range != usual.service_cluster_ip_range:
        words.append(f"--service-cluster-ip-range {settings.service_cluster_ip_range}")
    if settings.node and settings.node.cluster_cidr != "10.244.0.0/16":
        words.append(f"--cluster-cidr {settings.node.cluster_cidr}")
    return " ".join(words)


@node.command()
@click.argument("server")
@data_dir_option
@click.option("--token", required=True, help="A bootstrap token; `arktos node token` on the other machine prints it.")
@click.option("--ca-hash", required=True, help="Hash of the control plane's CA: sha256:HEX.")
@click.option("--service-cluster-ip-range", default="10.96.0.0/12", show_default=True, help="Addresses of services.")
@click.option("--health-port", type=click.IntRange(1, 65530), default=6446, show_default=True, help="First of three.")
@node_options
def join(
    server: str,
    data_dir: Path,
    token: str,
    ca_hash: str,
    service_cluster_ip_range: str,
    health_port: int,
    **options: Any,
) -> None:
    """Make this machine a node of the control plane at SERVER (https://ADDRESS:6443)."""
    from arktos.bootstrap import containerd
    from arktos.bootstrap.joining import TOKEN
    from arktos.cli.starting import alone, describe, is_up, require_free, require_room, start

    hindrance = obstacle()
    if hindrance:
        raise click.ClickException(f"this machine cannot run pods: {hindrance}")
    if TOKEN.fullmatch(token) is None:
        raise click.BadParameter("a token has the form abcdef.0123456789abcdef", param_hint="--token")
    wanted = _joined(server.rstrip("/"), data_dir.absolute(), service_cluster_ip_range, health_port, options)
    own = wanted.node
    assert own is not None
    began = time.monotonic()
    require_room(wanted.layout)
    with alone(wanted.layout):
        if is_up(wanted):
            click.echo("This node is up already.")
            return
        require_free(wanted)
        _join(wanted, token, ca_hash)
        if own.containers:
            containerd.prepare(wanted.layout, own)
        wanted.save()
        start(wanted)
    click.echo(f"This machine is a node now (in {time.monotonic() - began:.1f} s).")
    describe(own)


def _joined(server: str, data_dir: Path, services: str, health_port: int, options: dict[str, Any]) -> Settings:
    import ipaddress
    from urllib.parse import urlsplit

    host = urlsplit(server).hostname or ""
    try:
        ipaddress.IPv4Address(host)
        options["node_ip"] = options["node_ip"] or default_address(host)
    except ValueError:
        pass  # a name: the way to the outside will do
    try:
        dns = str(ipaddress.ip_network(services.split(",")[0].strip())[10])
    except (ValueError, IndexError) as error:
        raise click.BadParameter(str(error), param_hint="--service-cluster-ip-range") from error
    own = node_settings(
        options,
        data_dir=data_dir,
        default_dir=default_data_dir(),
        server=server,
        cluster_dns=dns,
        health_port=health_port,
    )
    return Settings(str(data_dir), node=own, service_cluster_ip_range=services, control_plane=False)


def _join(wanted: Settings, token: str, ca_hash: str) -> None:
    import asyncio

    from arktos.bootstrap import joining

    assert wanted.node is not None
    try:
        ca = joining.fetch_ca(wanted.node.server, ca_hash)
        asyncio.run(joining.join(wanted.layout, wanted.node, token, ca))
    except joining.Refused as error:
        raise click.ClickException(str(error)) from error


@node.command()
@click.argument("name")
@reaching
def cordon(name: str, access: Access) -> None:
    """Have the node NAME take no more pods."""
    from arktos.cli import node_calls

    access.run(lambda client, _: node_calls.cordon(client, name, True, click.echo))


@node.command()
@click.argument("name")
@reaching
def uncordon(name: str, access: Access) -> None:
    """Have the node NAME take pods again."""
    from arktos.cli import node_calls

    access.run(lambda client, _: node_calls.cordon(client, name, False, click.echo))


@node.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Also evict pods that no controller makes anew.")
@click.option("--delete-emptydir-data", is_flag=True, help="Also evict pods with emptyDir volumes, whose data goes.")
@click.option(
    "--ignore-daemonsets/--no-ignore-daemonsets",
    default=True,
    show_default=True,
    help="Leave pods of DaemonSets where they are; else they forbid the drain.",
)
@click.option("--grace-period", default=-1, show_default=True, help="Seconds for each pod; negative for its own.")
@click.option("--timeout", default="0s", show_default=True, help="How long to wait: 30s, 5m; 0s for ever.")
@click.option("--pod-selector", default="", help="Only pods with such labels.")
@click.option("--disable-eviction", is_flag=True, help="Delete pods, whatever disruption budgets say.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@reaching
def drain(
    name: str,
    force: bool,
    delete_emptydir_data: bool,
    ignore_daemonsets: bool,
    grace_period: int,
    timeout: str,
    pod_selector: str,
    disable_eviction: bool,
    dry_run: bool,
    access: Access,
) -> None:
    """Empty the node NAME for maintenance: cordon it, and evict the pods of all tenants.

    `kubectl drain` with the operator's kubeconfig sees the pods of tenant `system` alone; this command sees those of
    all. Disruption budgets are honoured: an eviction that one forbids is asked for again until it is allowed.
    """
    from arktos.cli import node_calls
    from arktos.cli.node_pods import Rules
    from arktos.wire.protobuf_values import parse_duration

    try:
        seconds = max(0, parse_duration(timeout)) / 1e9
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--timeout") from error
    how = node_calls.Drain(
        Rules(force, delete_emptydir_data, ignore_daemonsets),
        pod_selector,
        grace_period,
        seconds,
        not disable_eviction,
        dry_run,
    )
    try:
        access.run(lambda client, _: node_calls.drain(client, name, how, click.echo, _warn))
    except node_calls.NotDrained as error:
        raise click.ClickException(str(error)) from error


def _warn(text: str) -> None:
    click.echo(text, err=True)
