"""`arktos up` and `arktos down`: the whole system on one machine."""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import click

from arktos.bootstrap.components import Settings, components
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.process import recorded, spawn
from arktos.cli.data_dir import data_dir_option, installed

READY_SECONDS = 60.0
POLL_SECONDS = 0.05


@click.command()
@data_dir_option
@click.option(
    "--port",
    type=click.IntRange(1, 65533),
    default=6443,
    show_default=True,
    help="Port of the API server; the next two serve health.",
)
@click.option("--bind-address", default="127.0.0.1", show_default=True, help="Address that the API server listens on.")
@click.option("--no-node", is_flag=True, help="Control plane only: nothing runs pods on this machine.")
@click.option("--service-cluster-ip-range", default="10.96.0.0/12", show_default=True, help="Addresses for services.")
@click.option(
    "--token-auth-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Static tokens: token,user,uid,"groups",tenant.',
)
@click.option("--authorization-mode", default="RBAC", show_default=True)
@click.option("--foreground", is_flag=True, help="Stay in the foreground, for init systems that supervise.")
def up(
    data_dir: Path,
    port: int,
    bind_address: str,
    no_node: bool,
    service_cluster_ip_range: str,
    token_auth_file: Path | None,
    authorization_mode: str,
    foreground: bool,
) -> None:
    """Start the whole system, wait until it is ready, say how to use it."""
    wanted = Settings(
        str(data_dir.absolute()),
        bind_address,
        port,
        not no_node,
        service_cluster_ip_range,
        str(token_auth_file.absolute()) if token_auth_file else "",
        authorization_mode,
    )
    layout = wanted.layout
    if recorded(layout.process("supervisor")) is not None:
        _already_up(wanted)
        return
    began = time.monotonic()
    _require_room(layout)
    _require_free(wanted)
    _prepare(wanted)
    if foreground:
        _supervise(wanted, kept=False)
        return
    spawn([sys.executable, "-m", "arktos", "supervise", f"--data-dir={layout.root}"], layout.log("supervisor"))
    _wait_ready(wanted)
    click.echo(f"Arktos is up (in {time.monotonic() - began:.1f} s).")
    _advise(wanted)


@click.command(hidden=True)
@data_dir_option
def supervise(data_dir: Path) -> None:
    """Keep an installation's processes running (what `arktos up` starts in the background)."""
    _supervise(installed(data_dir), kept=True)


@click.command()
@data_dir_option
def down(data_dir: Path) -> None:
    """Stop the system. All data stays."""
    settings = installed(data_dir)
    layout = settings.layout
    supervisor = recorded(layout.process("supervisor"))
    if supervisor is not None:
        supervisor.send(signal.SIGTERM)
        if not supervisor.wait_gone(45.0):
            raise click.ClickException(f"the supervisor (process {supervisor.pid}) does not stop")
    left = _leftovers(settings)
    click.echo("Arktos is down." if supervisor is not None or left else "Arktos was not running.")


def _leftovers(settings: Settings) -> bool:
    """Stops what a killed supervisor left running. Whether there was any."""
    found = False
    for name in ("keeper", *reversed([c.name for c in components(settings)])):
        process = recorded(settings.layout.process(name))
        if process is not None:
            found = True
            process.send(signal.SIGTERM)
            if not process.wait_gone(15.0):
                process.send(signal.SIGKILL)
        settings.layout.process(name).unlink(missing_ok=True)
    return found


def _supervise(settings: Settings, *, kept: bool) -> None:
    from arktos.bootstrap.supervisor import Locked, Supervisor
    from arktos.wire.logs import configure

    configure("supervisor")
    try:
        asyncio.run(Supervisor(settings, kept=kept).run())
    except Locked as error:
        raise click.ClickException(str(error)) from error


def _already_up(wanted: Settings) -> None:
    running = Settings.load(wanted.layout)
    if running != wanted:
        raise click.ClickException(
            f"a system with other settings runs in {wanted.data_dir}; "
            f"`arktos down --data-dir {wanted.data_dir}` stops it"
        )
    _wait_ready(wanted)
    click.echo("Arktos is up already.")
    _advise(wanted)


def _require_room(layout: Layout) -> None:
    try:
        layout.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = layout.run / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise click.ClickException(f"cannot write to {layout.root}: {error.strerror}") from error
    free = shutil.disk_usage(layout.root).free
    if free < 64 << 20:
        raise click.ClickException(f"{layout.root} has {free >> 20} MiB left, too little to keep data safe")


def _require_free(settings: Settings) -> None:
    """The ports must be free, unless it is our own processes, left by a killed supervisor, that hold them."""
    for component in components(settings):
        if recorded(settings.layout.process(component.name)) is not None:
            continue
        family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.address, component.port))
            except OSError as error:
                raise click.ClickException(
                    f"{settings.address}:{component.port}, which the {component.name} needs, cannot be had: "
                    f"{error.strerror}. Choose another with --port."
                ) from error


def _prepare(settings: Settings) -> None:
    from arktos.bootstrap import credentials

    try:
        networks = [ipaddress.ip_network(part.strip()) for part in settings.service_cluster_ip_range.split(",")]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--service-cluster-ip-range") from error
    credentials.ensure(settings.layout, settings.address, settings.port, str(networks[0][1]))
    settings.save()


def _wait_ready(settings: Settings) -> None:
    from arktos.bootstrap.readiness import problem

    deadline = time.monotonic() + READY_SECONDS
    while (why := problem(settings)) is not None:
        if time.monotonic() > deadline:
            raise click.ClickException(f"not ready after {READY_SECONDS:.0f} s: {why}\nSee {settings.layout.root}/log.")
        time.sleep(POLL_SECONDS)


def _advise(settings: Settings) -> None:
    layout = settings.layout
    option = "" if layout.root == _default() else f" --data-dir {layout.root}"
    if settings.node:
        click.echo("  no node:      this version runs pods nowhere yet, they stay Pending")
    click.echo(f"  operator:     export KUBECONFIG={layout.admin_kubeconfig}")
    click.echo("                kubectl get tenants")
    click.echo(f"  a tenant:     arktos tenant create acme{option}")
    click.echo(f"                kubectl --kubeconfig {layout.tenant_kubeconfig('acme')} get namespaces")
    click.echo(f"  look, stop:   arktos status{option}; arktos down{option}")
    click.echo(f"  logs:         {layout.root}/log")


def _default() -> Path:
    from arktos.bootstrap.layout import default_data_dir

    return default_data_dir()
