"""The long-running processes as commands: what `arktos up` starts, and what runs elsewhere by hand."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

_FILE = click.Path(dir_okay=False, path_type=Path)
_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


def _run(component: str, main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    from arktos.wire.logs import configure

    configure(component)
    uvloop.run(main)


@click.command()
@click.option("--store", type=_FILE, required=True, help="File of the embedded store.")
@click.option("--bind-address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--secure-port", type=click.IntRange(0, 65535), default=6443, show_default=True, help="HTTPS port; 0 takes any."
)
@click.option("--tls-cert-file", type=_EXISTING, required=True, help="The server's certificate, PEM.")
@click.option("--tls-private-key-file", type=_EXISTING, required=True, help="Its key, PEM.")
@click.option("--client-ca-file", type=_EXISTING, help="CA whose client certificates are trusted, PEM.")
@click.option("--root-ca-file", type=_EXISTING, help="CA that pods shall trust; the client CA by default.")
@click.option("--token-auth-file", type=_EXISTING, help='Static tokens, a line each: token,user,uid,"groups",tenant.')
@click.option(
    "--service-account-key-file",
    type=_EXISTING,
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
@click.option("--authorization-mode", default="RBAC", show_default=True, help="RBAC, AlwaysAllow or AlwaysDeny.")
@click.option(
    "--max-request-bytes",
    type=click.IntRange(min=1024),
    default=3 << 20,
    show_default=True,
    help="Largest request body.",
)
def apiserver(**options: Any) -> None:
    """Serve the API."""
    from arktos.apiserver.options import Options
    from arktos.apiserver.server import run

    _run("apiserver", run(Options(**options)))


@click.command()
@click.option("--kubeconfig", type=_EXISTING, required=True, help="How to reach the API server.")
@click.option(
    "--controllers",
    "names",
    default="*",
    show_default=True,
    help="Comma list of controllers to run; `*` for all, `-name` to leave one out.",
)
@click.option("--health-address", default="127.0.0.1", show_default=True, help="Where health and metrics are served.")
@click.option("--health-port", type=click.IntRange(0, 65535), default=10257, show_default=True)
def controllers(kubeconfig: Path, names: str, health_address: str, health_port: int) -> None:
    """Run control loops, beside others of their kind if there are any."""
    from arktos.controllers.process import run, select

    try:
        chosen = select(names)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--controllers") from error
    _run("controllers", run(kubeconfig, chosen, health_address, health_port))


@click.command()
@click.option("--kubeconfig", type=_EXISTING, required=True, help="How to reach the API server.")
@click.option("--health-address", default="127.0.0.1", show_default=True, help="Where health and metrics are served.")
@click.option("--health-port", type=click.IntRange(0, 65535), default=10259, show_default=True)
def scheduler(kubeconfig: Path, health_address: str, health_port: int) -> None:
    """Place pods on nodes; one instance works, others stand by."""
    from arktos.scheduler.process import run

    _run("scheduler", run(kubeconfig, health_address, health_port))
