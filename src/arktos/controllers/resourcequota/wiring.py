"""From quotas to counts of their namespaces, and back as status."""

from __future__ import annotations

import asyncio
import random

import msgspec

from arktos.client import Cached, Key
from arktos.controllers.actions import Patch, perform
from arktos.controllers.context import Context, Unit
from arktos.controllers.resourcequota import reconcile
from arktos.model import quota as quotas
from arktos.model import registry
from arktos.model.kinds import Kind, Obj, Scope
from arktos.model.quota import Amounts, Quota
from arktos.model.status import NotFound

NAME = "resourcequota"
QUOTA = registry.by_resource("resourcequotas")

_PAGE = 500
_STRIDE = 50
"""Objects that are looked at before others get their turn."""


class _Quotas:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.quotas = context.mirror("resourcequotas")
        self.due: dict[Key, tuple[str, float]] = {}
        """The uid that was counted, and when it is to be counted again."""

    async def reconcile(self, key: Key) -> float | None:
        cached = self.quotas.get(*key)
        if cached is None or cached.deleting:
            self.due.pop(key, None)
            return None
        now = self.context.wall()
        uid, due = self.due.get(key, ("", 0.0))
        if quotas.is_counted(cached.obj()) and uid == cached.uid and now < due:
            return due - now
        try:
            await self._count(key)
        except NotFound:
            return None
        after = reconcile.RECOUNT * random.uniform(0.75, 1.0)
        self.due[key] = (cached.uid, now + after)
        return after

    async def _count(self, key: Key) -> None:
        """Counts everything as of one revision, and says which. NotFound where the quota has gone."""
        tenant, namespace, name = key
        found = await self.context.client.list(
            QUOTA, tenant=tenant, namespace=namespace, field_selector=f"metadata.name={name}"
        )
        if not found.items:
            raise NotFound(name)
        obj, revision = found.items[0], found.resource_version
        quota = quotas.parse(obj)
        counts = {each: await self._used(key, quota, each, revision) for each in reconcile.wanted(quota)}
        body = reconcile.patch(obj, reconcile.total(quota, counts), revision)
        if body is not None:
            await perform(self.context.client, Patch(QUOTA, key, body, subresource="status"))

    async def _used(self, key: Key, quota: Quota, resource: str, revision: str) -> Amounts:
        tenant, namespace, _ = key
        whole = resource in reconcile.WHOLE
        kind = await self._kind(tenant, resource)
        if kind is None or kind.scope is not Scope.NAMESPACE:
            return {}
        try:
            listed = await self.context.client.list_raw(
                kind,
                tenant=tenant,
                namespace=namespace,
                limit=_PAGE,
                resource_version=revision,
                resource_version_match="Exact",
                metadata_only=not whole,
            )
        except NotFound:
            return {}  # the group knows no such resource
        if not whole:
            return reconcile.of_number(quota, resource, len(listed.items))
        total: Amounts = {}
        for start in range(0, len(listed.items), _STRIDE):
            objects: list[Obj] = [msgspec.json.decode(item) for item in listed.items[start : start + _STRIDE]]
            for name, amount in quotas.count(quota, resource, objects).items():
                total[name] = total[name] + amount if name in total else amount
            await asyncio.sleep(0)
        return total

    async def _kind(self, tenant: str, resource: str) -> Kind | None:
        """A kind that is served; of one that is defined in the tenant, as much as a list needs. None for neither."""
        try:
            return registry.by_resource(resource)
        except KeyError:
            plural, _, group = resource.partition(".")
        try:
            found = await self.context.client.request("GET", f"/tenants/{tenant}/apis/{group}")
        except NotFound:
            return None
        version = (found.get("preferredVersion") or {}).get("version") or ""
        return Kind(group, version, "", plural, Scope.NAMESPACE, schema="") if version else None


def _uncounted(old: Cached | None, new: Cached | None) -> bool:
    """Whether a change leaves something to count; charges do not, and they are many."""
    return new is None or old is None or old.uid != new.uid or not quotas.is_counted(new.obj())


def build(context: Context) -> Unit:
    work = _Quotas(context)
    controller = context.controller(NAME, work.reconcile, workers=8)
    controller.watches(work.quotas, when=_uncounted)

    def refresh() -> None:
        for cached in work.quotas.items():
            controller.enqueue(cached.key)

    return Unit([controller], refresh=refresh)
