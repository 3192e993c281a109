"""`kubectl tenant`: tenants, with the credentials of a kubeconfig. A kubectl plugin: on PATH as `kubectl-tenant`."""

from __future__ import annotations

import click

from arktos.cli.cluster_access import Access, access_options


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Create, list and delete tenants. For operators: tenants see but their own."""


@main.command()
@click.argument("name")
@access_options
def create(access: Access, name: str) -> None:
    """Create a tenant, and wait until it is ready."""
    from arktos.cli import tenant_calls

    created = access.run(lambda client, _: tenant_calls.ensure(client, name))
    click.echo(f"tenant/{name} {'created' if created else 'unchanged'}")


@main.command("list")
@access_options
def list_tenants(access: Access) -> None:
    """List the tenants."""
    from arktos.cli import tenant_calls

    click.echo(f"{'NAME':<32}{'STATUS':<14}READY")
    for name, phase, ready in access.run(lambda client, _: tenant_calls.tenants(client)):
        click.echo(f"{name:<32}{phase:<14}{'yes' if ready else 'no'}")


@main.command()
@click.argument("name")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until everything in it is gone.")
@access_options
def delete(access: Access, name: str, wait: bool) -> None:
    """Delete a tenant and everything in it."""
    from arktos.cli import tenant_calls

    access.run(lambda client, _: tenant_calls.remove(client, name, wait))
    click.echo(f"tenant/{name} deleted")
