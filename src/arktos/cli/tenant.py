"""`arktos tenant`: create, list, delete."""

from __future__ import annotations

import time
from pathlib import Path

import click

from arktos.bootstrap.components import Settings
from arktos.cli.data_dir import data_dir_option, installed


@click.group()
def tenant() -> None:
    """Create, list and delete tenants."""


@tenant.command()
@click.argument("name")
@data_dir_option
@click.option(
    "--kubeconfig",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the admin's kubeconfig.",
    show_default="tenants/NAME.kubeconfig in the data directory",
)
def create(name: str, data_dir: Path, kubeconfig: Path | None) -> None:
    """Create a tenant, wait until it is ready, write its admin's kubeconfig."""
    from arktos.cli import tenant_calls

    settings = installed(data_dir)
    began = time.monotonic()
    created = tenant_calls.create(settings, name)
    target = kubeconfig or settings.layout.tenant_kubeconfig(name)
    write_kubeconfig(settings, name, target)
    done = f"is ready (in {time.monotonic() - began:.2f} s)" if created else "was there already"
    click.echo(f"Tenant {name} {done}.")
    click.echo(f"  kubectl --kubeconfig {target} get namespaces")


@tenant.command("list")
@data_dir_option
def list_tenants(data_dir: Path) -> None:
    """List the tenants."""
    from arktos.cli import tenant_calls

    found = tenant_calls.listed(installed(data_dir))
    click.echo(f"{'NAME':<32}{'STATUS':<14}READY")
    for name, phase, ready in found:
        click.echo(f"{name:<32}{phase:<14}{'yes' if ready else 'no'}")


@tenant.command()
@click.argument("name")
@data_dir_option
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until everything in it is gone.")
def delete(name: str, data_dir: Path, wait: bool) -> None:
    """Delete a tenant and everything in it."""
    from arktos.cli import tenant_calls

    settings = installed(data_dir)
    tenant_calls.delete(settings, name, wait=wait)
    settings.layout.tenant_kubeconfig(name).unlink(missing_ok=True)
    click.echo(f"Tenant {name} is {'gone' if wait else 'being deleted'}.")


def write_kubeconfig(settings: Settings, name: str, target: Path) -> None:
    from arktos.bootstrap.credentials import tenant_kubeconfig
    from arktos.bootstrap.pki import write_private

    try:
        write_private(target, tenant_kubeconfig(settings.layout, settings.server, name))
    except OSError as error:
        raise click.ClickException(f"{target}: {error.strerror}") from error
