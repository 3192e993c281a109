"""What a reconcile wants done, as data, and the one place that does it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from arktos.client import Client, ConnectionFailed, Key
from arktos.client.client import PatchType, Propagation
from arktos.model.kinds import Kind, Obj
from arktos.model.status import ApiError, NotFound

FAILURES = (ApiError, ConnectionFailed)
"""What a call can end with besides success."""

_ENDING = frozenset({"NamespaceTerminating", "TenantTerminating"})


def into_the_ending(error: Exception) -> bool:
    """Whether a create was refused because its namespace or tenant is on its way out: no retry will help."""
    return isinstance(error, ApiError) and any(cause.reason in _ENDING for cause in error.causes)


@dataclass(frozen=True, slots=True)
class Create:
    """Tenant and namespace are in the object's metadata."""

    kind: Kind
    obj: Obj


@dataclass(frozen=True, slots=True)
class Patch:
    """A body that names `metadata.uid` or `metadata.resourceVersion` is refused (Conflict) by any other object."""

    kind: Kind
    key: Key
    body: Obj
    type: PatchType = "merge"
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Replace:
    """A PUT of an object or its subresource."""

    kind: Kind
    obj: Obj
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """`grace` None is the object's own grace period."""

    kind: Kind
    key: Key
    uid: str = ""
    resource_version: str = ""
    propagation: Propagation = ""
    grace: int | None = None


Action = Create | Patch | Replace | Delete


async def perform(client: Client, action: Action) -> Obj:
    """Does it; the answer of the server. Raises as `Client` does."""
    match action:
        case Create(kind, obj):
            return await client.create(kind, obj)
        case Patch(kind, (tenant, namespace, name), body, patch_type, subresource):
            return await client.patch(
                kind, name, body, type=patch_type, tenant=tenant, namespace=namespace, subresource=subresource
            )
        case Replace(kind, obj, subresource):
            return await client.update(kind, obj, subresource=subresource)
        case Delete(kind, (tenant, namespace, name)):
            return await client.delete(
                kind,
                name,
                tenant=tenant,
                namespace=namespace,
                uid=action.uid,
                resource_version=action.resource_version,
                propagation=action.propagation,
                grace_period=action.grace,
            )


async def perform_all(client: Client, actions: Sequence[Action], at_once: int = 32) -> list[Exception]:
    """Does all of them, `at_once` at a time, whatever fails. What is gone needs no deletion and no patch, and a parent
    that is gone no child: NotFound is no failure. The failures, in no order."""
    failures: list[Exception] = []
    rest = iter(actions)

    async def work() -> None:
        for action in rest:
            try:
                await perform(client, action)
            except NotFound:
                continue
            except FAILURES as error:
                failures.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(actions))):
            group.create_task(work())
    return failures
