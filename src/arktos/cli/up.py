"""`arktos up` and `arktos down`: the whole system on one machine."""

from __future__ import annotations

import fcntl
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from arktos.bootstrap.components import Settings, components, supervisor
from arktos.bootstrap.layout import Layout
from arktos.bootstrap.process import recorded, spawn
from arktos.bootstrap.startup import StartWatch
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
    help='Static tokens, a line each: token,user,uid,"groups",tenant.',
)
@click.option(
    "--authorization-mode", default="RBAC", show_default=True, help="RBAC, AlwaysAllow or AlwaysDeny, or several."
)
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
    began = time.monotonic()
    _require_room(wanted.layout)
    with _alone(wanted.layout):
        if _is_up(wanted):
            click.echo("Arktos is up already.")
        else:
            _require_free(wanted)
            _prepare(wanted)
            if not foreground:
                _start(wanted)
                click.echo(f"Arktos is up (in {time.monotonic() - began:.1f} s).")
    if foreground:
        _supervise(wanted, kept=False)
    else:
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
    from arktos.bootstrap.stopping import StillRunning, stop

    try:
        ran = stop(installed(data_dir))
    except StillRunning as error:
        raise click.ClickException(str(error)) from error
    click.echo("Arktos is down." if ran else "Arktos was not running.")


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


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Of several `arktos up` at once, one starts the system, and the others find it started."""
    with (layout.run / "up.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_up(wanted: Settings) -> bool:
    """Whether a supervisor runs already; then the system is ready, or soon is."""
    if recorded(wanted.layout.process("supervisor")) is None:
        return False
    if Settings.load(wanted.layout) != wanted:
        raise click.ClickException(
            f"a system with other settings runs in {wanted.data_dir}; `arktos down --data-dir {wanted.data_dir}` stops "
            "it"
        )
    _wait_ready(wanted, StartWatch(wanted), ("supervisor",))
    return True


def _start(settings: Settings) -> None:
    """Starts the supervisor and waits until all is ready. What cannot start is not left running."""
    from arktos.bootstrap.stopping import stop

    watch = StartWatch(settings)
    command = supervisor(settings).command
    spawn(command, settings.layout.log("supervisor"))
    try:
        _wait_ready(settings, watch, ("supervisor", "keeper"))
    except StartFailed as failed:
        stop(settings)
        raise click.ClickException(
            f"{failed}\nNothing was left running. The logs are in {settings.layout.root}/log."
        ) from failed


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
    import socket

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
    import ipaddress

    from arktos.bootstrap import credentials

    try:
        networks = [ipaddress.ip_network(part.strip()) for part in settings.service_cluster_ip_range.split(",")]
        first = str(networks[0][1])
    except (ValueError, IndexError) as error:
        text = (
            f"--service-cluster-ip-range: {settings.service_cluster_ip_range!r}: {error}; give one such as 10.96.0.0/12"
        )
        raise click.ClickException(text) from error
    try:
        credentials.ensure(settings.layout, settings.address, settings.port, first)
    except (credentials.Damaged, OSError) as error:
        raise click.ClickException(str(error)) from error
    settings.save()


class StartFailed(click.ClickException):
    """A process has said why it cannot start."""


def _wait_ready(settings: Settings, watch: StartWatch, keepers: Sequence[str]) -> None:
    from arktos.bootstrap.readiness import problem

    def unready() -> str | None:
        # Servers that a killed supervisor left are ready before there is a supervisor again.
        away = [name for name in keepers if recorded(settings.layout.process(name)) is None]
        return f"the {away[0]} does not run" if away else problem(settings)

    deadline = time.monotonic() + READY_SECONDS
    while (why := unready()) is not None:
        reason = watch.failure()
        if reason is not None:
            raise StartFailed(reason)
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
