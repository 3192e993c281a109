"""What `kubectl vm` asks of the API server."""

from __future__ import annotations

import asyncio

import click

from arktos.client.client import Client
from arktos.client.ratelimit import Backoff
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import NotFound

_PODS, _ACTIONS = registry.by_resource("pods"), registry.by_resource("actions")


async def act(client: Client, tenant: str, namespace: str, pod: str, operation: str, params: Obj, within: float) -> str:
    """Has an operation done; the name of its Action. With `within` seconds returns when it is done. Raises
    click.ClickException where it failed or takes longer, and as `Client`."""
    body: Obj = {"apiVersion": "v1", "kind": "CustomAction", "operation": operation, **params}
    created = await client.create(_PODS, body, tenant=tenant, namespace=namespace, subresource="action", name=pod)
    name = str(created["details"]["name"])
    if within:
        await _done(client, tenant, namespace, name, operation, within)
    return name


async def _done(client: Client, tenant: str, namespace: str, name: str, operation: str, within: float) -> None:
    backoff = Backoff(0.05, 1.0)
    status: Obj = {}
    try:
        async with asyncio.timeout(within):
            while not status.get("complete"):
                await asyncio.sleep(backoff.next())
                status = (await client.get(_ACTIONS, name, tenant=tenant, namespace=namespace)).get("status") or {}
    except TimeoutError:
        text = f"{operation} is not over after {within:.0f} s; `kubectl get action {name}` tells when it is"
        raise click.ClickException(text) from None
    except NotFound:
        raise click.ClickException(f"action {name} was deleted before it was over") from None
    if status.get("error"):
        raise click.ClickException(str(status["error"]))


async def snapshots(client: Client, tenant: str, namespace: str, pod: str) -> list[Obj]:
    """The snapshots of a machine. Raises click.ClickException for a pod that is none, and as `Client`."""
    found = await client.get(_PODS, pod, tenant=tenant, namespace=namespace)
    if found["spec"].get("virtualMachine") is None:
        raise click.ClickException(f"pod {pod} is not a virtual machine")
    machine = (found.get("status") or {}).get("virtualMachineStatus") or {}
    return list(machine.get("snapshots") or ())
