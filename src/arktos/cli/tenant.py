"""`arktos tenant`: create, list, delete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from arktos.bootstrap.components import Settings
from arktos.cli.data_dir import data_dir_option, installed
from arktos.client.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError, NotFound

READY_SECONDS = 30.0
_Result = TypeVar("_Result")

_TENANTS = registry.by_resource("tenants")


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
    settings = installed(data_dir)
    began = time.monotonic()
    created = _call(settings, lambda client: _create(client, name))
    target = kubeconfig or settings.layout.tenant_kubeconfig(name)
    write_kubeconfig(settings, name, target)
    done = f"is ready (in {time.monotonic() - began:.2f} s)" if created else "was there already"
    click.echo(f"Tenant {name} {done}.")
    click.echo(f"  kubectl --kubeconfig {target} get namespaces")


@tenant.command("list")
@data_dir_option
def list_tenants(data_dir: Path) -> None:
    """List the tenants."""
    listing = _call(installed(data_dir), lambda client: client.list(_TENANTS))
    click.echo(f"{'NAME':<32}{'STATUS':<14}READY")
    for found in listing.items:
        status = found.get("status") or {}
        click.echo(f"{found['metadata']['name']:<32}{status.get('phase', ''):<14}{'yes' if is_ready(found) else 'no'}")


@tenant.command()
@click.argument("name")
@data_dir_option
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until everything in it is gone.")
def delete(name: str, data_dir: Path, wait: bool) -> None:
    """Delete a tenant and everything in it."""
    settings = installed(data_dir)
    _call(settings, lambda client: _delete(client, name, wait))
    settings.layout.tenant_kubeconfig(name).unlink(missing_ok=True)
    click.echo(f"Tenant {name} is {'gone' if wait else 'being deleted'}.")


def write_kubeconfig(settings: Settings, name: str, target: Path) -> None:
    from arktos.bootstrap.addresses import client_address
    from arktos.bootstrap.credentials import tenant_kubeconfig
    from arktos.bootstrap.pki import write_private

    server = f"https://{client_address(settings.address)}:{settings.port}"
    write_private(target, tenant_kubeconfig(settings.layout, server, name))


def is_ready(found: Obj) -> bool:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


async def _create(client: Client, name: str) -> bool:
    """Whether the tenant was made now."""
    created = True
    try:
        found = await client.create(_TENANTS, {"kind": "Tenant", "apiVersion": "v1", "metadata": {"name": name}})
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        found, created = await client.get(_TENANTS, name), False
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready(found):
        if time.monotonic() > deadline:
            raise click.ClickException(f"tenant {name} exists, but is not ready after {READY_SECONDS:.0f} s")
        await asyncio.sleep(0.01)
        found = await client.get(_TENANTS, name)
    return created


async def _delete(client: Client, name: str, wait: bool) -> None:
    await client.delete(_TENANTS, name)
    while wait:
        try:
            await client.get(_TENANTS, name)
        except NotFound:
            return
        await asyncio.sleep(0.05)


def _call(settings: Settings, work: Callable[[Client], Awaitable[_Result]]) -> _Result:
    async def run() -> _Result:
        async with Client.from_kubeconfig(settings.layout.admin_kubeconfig) as client:
            return await work(client)

    try:
        return asyncio.run(run())
    except ApiError as error:
        raise click.ClickException(error.message) from error
    except ConnectionFailed as error:
        raise click.ClickException(f"the API server does not answer ({error}); `arktos status` tells more") from error
