"""ClusterRoles that are made of others: their rules are those of all roles that they select."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from arktos.client import Cached, Key
from arktos.controllers.actions import Patch, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.model import registry, selectors
from arktos.model.kinds import Obj
from arktos.model.status import NotFound

NAME = "clusterroleaggregation"
ROLE = registry.by_resource("clusterroles.rbac.authorization.k8s.io")
_told = msgspec.json.encode


def aggregated(role: Obj, others: Sequence[Obj]) -> list[Obj]:
    """The rules of the roles that a role selects, by their names, each once. A role never selects itself."""
    chosen: dict[str, Obj] = {}
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        matches = selectors.from_label_selector(selector).matches_labels
        for other in others:
            name = other["metadata"]["name"]
            if name != role["metadata"]["name"] and matches(other["metadata"].get("labels") or {}):
                chosen[name] = other
    # By what they say: a tenant may have written very many.
    rules: dict[bytes, Obj] = {}
    for name in sorted(chosen):
        for rule in chosen[name].get("rules") or ():
            rules.setdefault(_told(rule, order="sorted"), rule)
    return list(rules.values())


def _is_made(role: Cached) -> bool:
    return b'"aggregationRule"' in role.raw and bool(role.obj().get("aggregationRule"))


def build(context: Context) -> Unit:
    roles = context.mirror(ROLE.resource)

    async def reconcile(key: Key) -> float | None:
        cached = roles.get(*key)
        if cached is None or cached.deleting or not _is_made(cached):
            return None
        role = cached.obj()
        # Roles that every tenant has are not stored: the server knows them.
        listed = await context.client.list(ROLE, tenant=key[0])
        rules = aggregated(role, listed.items)
        if rules == (role.get("rules") or []):
            return None
        meta = {"uid": cached.uid, "resourceVersion": cached.resource_version}
        try:
            await perform(context.client, Patch(ROLE, key, {"metadata": meta, "rules": rules}))
        except NotFound:
            return None
        return None

    def concerned(changed: Cached) -> Iterable[Key]:
        return [role.key for role in roles.by_index("tenant", changed.tenant) if _is_made(role)]

    controller = context.controller(NAME, reconcile)
    controller.watches(roles, concerned)

    def refresh() -> None:
        for role in roles.items():
            controller.enqueue(role.key)

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=roles, parts=[])
