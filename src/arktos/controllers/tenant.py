"""Tenants: a new one gets its first namespaces and is Ready when pods can be created in them; one that is being deleted
loses its namespaces, then everything else that is its own, then itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from arktos.client import Cached, Key
from arktos.controllers import conditions, ending
from arktos.controllers.actions import Create, Delete, Patch, perform, perform_all
from arktos.controllers.content import Content
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.ending import PATIENCE
from arktos.controllers.freshness import revision
from arktos.controllers.serviceaccount import DEFAULT
from arktos.model import dates, registry
from arktos.model.kinds import Obj, Scope
from arktos.model.status import AlreadyExists

NAME = "tenant"
NAMESPACES = ("default", "kube-system", "kube-public")
NAMESPACE = registry.by_resource("namespaces")
_LOOK_AGAIN = 15.0


def found(tenant: Cached, there: Collection[str]) -> list[Create]:
    """The first namespaces that a tenant still lacks."""
    return [
        Create(
            NAMESPACE,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "tenant": tenant.name}, "spec": {}},
        )
        for name in NAMESPACES
        if name not in there
    ]


def readiness(tenant: Cached, obj: Obj, there: Collection[str], usable: Collection[str], now: str) -> Patch | None:
    """The status that says whether the tenant can be used: `there` are its namespaces, `usable` those with a default
    service account. None where it says so already."""
    missing = [name for name in NAMESPACES if name not in there]
    waiting = [name for name in NAMESPACES if name not in usable]
    if missing:
        row = ("False", "NamespacesMissing", f"Waiting for namespaces: {', '.join(missing)}")
    elif waiting:
        row = ("False", "ServiceAccountsMissing", f"Waiting for service accounts in: {', '.join(waiting)}")
    else:
        row = ("True", "TenantReady", "Namespaces and their default service accounts exist")
    old = (obj.get("status") or {}).get("conditions")
    new = conditions.put(old, "Ready", *row, now)
    if row[0] == "False" and conditions.find(old, "Ready") is None:
        # A tenant on its way to Ready says so once, at the end.
        return None
    return ending.status_patch(tenant, new) if ending.differs(old, new) else None


def deletions(namespaces: Sequence[Cached], left: Sequence[Cached]) -> list[Delete]:
    """What to delete next: the rest goes when the namespaces, whose content may need it, are gone."""
    return ending.deletions(namespaces or left)


class _Tenants:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.tenants = context.mirror("tenants")
        self.namespaces = context.mirror("namespaces")
        self.accounts = context.mirror("serviceaccounts")
        self.content = Content(context, Scope.TENANT)
        self.ends = ending.Ends()

    async def reconcile(self, key: Key) -> float | None:
        tenant = self.tenants.get(*key)
        if tenant is None:
            return None
        if tenant.deleting:
            return await self._end(tenant)
        await self._begin(tenant)
        return None

    async def _begin(self, tenant: Cached) -> None:
        there = [name for name in NAMESPACES if self.namespaces.get(tenant.name, "", name) is not None]
        failures = await perform_all(self.context.client, found(tenant, there))
        for failure in failures:
            if not isinstance(failure, AlreadyExists):
                raise failure
        usable = [name for name in there if self.accounts.get(tenant.name, name, DEFAULT) is not None]
        patch = readiness(tenant, tenant.obj(), there, usable, self._now())
        if patch is not None:
            await perform(self.context.client, patch)

    async def _end(self, tenant: Cached) -> float | None:
        client, wall = self.context.client, self.context.wall()
        since, began = self.ends.of(tenant, revision(tenant.resource_version), wall)
        left = self.content.left(tenant.name)
        namespaces = [cached for cached in left if cached.kind is NAMESPACE]
        failures = await perform_all(client, deletions(namespaces, left))
        if not left and await self.content.absent(tenant.name, since):
            last = ending.finalize(tenant, tenant.obj())
            if last is not None:
                await perform_all(client, [last])
            return None
        if failures or wall >= began + PATIENCE:
            await self._say(tenant, self.content.left(tenant.name), failures)
        if failures:
            raise failures[0]
        return PATIENCE if wall < began + PATIENCE else _LOOK_AGAIN

    async def _say(self, tenant: Cached, left: Sequence[Cached], failures: Sequence[Exception]) -> None:
        status = tenant.obj().get("status") or {}
        said = ending.report(status, left, failures, self._now(), "Tenant")
        if conditions.find(said, "Ready") is not None:
            said = conditions.put(
                said, "Ready", "False", "TenantTerminating", "The tenant is being deleted", self._now()
            )
        if ending.differs(status.get("conditions"), said):
            await perform_all(self.context.client, [ending.status_patch(tenant, said)])

    def _now(self) -> str:
        return dates.rfc3339(dates.from_unix(self.context.wall()))

    def of(self, cached: Cached) -> Cached | None:
        return self.tenants.get("", "", cached.tenant)


def build(context: Context) -> Unit:
    work = _Tenants(context)
    controller = context.controller(NAME, work.reconcile, workers=48)

    def first_namespace(cached: Cached) -> list[Key]:
        return [("", "", cached.tenant)] if cached.name in NAMESPACES else []

    def first_account(cached: Cached) -> list[Key]:
        return [("", "", cached.tenant)] if cached.name == DEFAULT and cached.namespace in NAMESPACES else []

    def came_or_went(old: Cached | None, new: Cached | None) -> bool:
        return old is None or new is None

    controller.watches(work.tenants)
    controller.watches(work.namespaces, first_namespace, when=came_or_went)
    controller.watches(work.accounts, first_account, when=came_or_went)
    work.tenants.add_handler(lambda old, new: work.ends.forget(old.uid) if old is not None and new is None else None)
    work.content.report(controller, work.of)

    def refresh() -> None:
        for tenant in work.tenants.items():
            controller.enqueue(tenant.key)

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=work.tenants, parts=[work.namespaces])
