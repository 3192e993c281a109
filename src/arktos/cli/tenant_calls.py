"""What `arktos tenant` asks of the API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from arktos.bootstrap.components import Settings
from arktos.client.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.client.kubeconfig import ConfigError
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError, NotFound

READY_SECONDS = 30.0
_Result = TypeVar("_Result")

_TENANTS = registry.by_resource("tenants")


def create(settings: Settings, name: str) -> bool:
    """Has a tenant, ready. Whether it was made now."""
    return _call(settings, lambda client: ensure(client, name))


def listed(settings: Settings) -> list[tuple[str, str, bool]]:
    """Name, phase and readiness of every tenant."""
    return _call(settings, tenants)


def delete(settings: Settings, name: str, *, wait: bool) -> None:
    """Deletes a tenant; with `wait`, returns when it is gone."""
    _call(settings, lambda client: remove(client, name, wait))


def _is_ready(found: Obj) -> bool:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


async def tenants(client: Client) -> list[tuple[str, str, bool]]:
    """Name, phase and readiness of every tenant that the caller may see."""
    listing = await client.list(_TENANTS)
    return [
        (item["metadata"]["name"], (item.get("status") or {}).get("phase", ""), _is_ready(item))
        for item in listing.items
    ]


async def ensure(client: Client, name: str) -> bool:
    """Has a tenant, ready. Whether it was made now."""
    created = True
    try:
        found = await client.create(_TENANTS, {"kind": "Tenant", "apiVersion": "v1", "metadata": {"name": name}})
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        found, created = await client.get(_TENANTS, name), False
    deadline = time.monotonic() + READY_SECONDS
    while not _is_ready(found):
        if time.monotonic() > deadline:
            raise click.ClickException(f"tenant {name} exists, but is not ready after {READY_SECONDS:.0f} s")
        await asyncio.sleep(0.01)
        found = await client.get(_TENANTS, name)
    return created


async def remove(client: Client, name: str, wait: bool) -> None:
    """Deletes a tenant; with `wait`, returns when it is gone."""
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
    except ConfigError as error:
        raise click.ClickException(f"{error}; `arktos up` writes it anew") from error
    except ConnectionFailed as error:
        raise click.ClickException(f"the API server does not answer ({error}); `arktos status` tells more") from error
