"""Copies of Endpoints that were written by hand, as slices: for services without a selector (KEP-752)."""

from __future__ import annotations

from typing import Any

from arktos.client import Cached, Key
from arktos.controllers import owners
from arktos.controllers.backends import canonical, family_of, view_service
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.endpointslice import content, reconcile
from arktos.controllers.endpointslice.wiring import Slices
from arktos.model import registry
from arktos.model.kinds import Obj

NAME = "endpointslicemirroring"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
PER_SUBSET = 1000
"""Addresses of a subset that are copied."""

ENDPOINTS = registry.by_resource("endpoints")


def mirrored(endpoints: Obj) -> bool:
    """Whether Endpoints are to be copied at all."""
    meta = endpoints["metadata"]
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    return labels.get(SKIP) != "true" and LEADER not in notes


def groups(endpoints: Obj) -> list[content.Group]:
    """The endpoints that Endpoints say, by address family and ports."""
    found: dict[tuple[str, content.Ports], content.Group] = {}
    for subset in endpoints.get("subsets") or ():
        ports = content.ports_of(subset)
        listed: list[tuple[dict[str, Any], bool]] = [(each, True) for each in subset.get("addresses") or ()]
        listed += [(each, False) for each in subset.get("notReadyAddresses") or ()]
        for address, ready in listed[:PER_SUBSET]:
            text = canonical(address.get("ip") or "")
            if text:
                family = family_of(text)
                group = found.setdefault((family, ports), content.Group(family, ports))
                group.endpoints.append(_endpoint(address, text, ready))
    return list(found.values())


def _endpoint(address: Obj, text: str, ready: bool) -> Obj:
    endpoint: Obj = {"addresses": [text], "conditions": {"ready": ready}}
    for name in ("hostname", "nodeName", "targetRef"):
        if address.get(name):
            endpoint[name] = address[name]
    return endpoint


class _Mirroring:
    def __init__(self, context: Context) -> None:
        self.services = context.mirror("services")
        self.endpoints = context.mirror("endpoints")
        self.slices = Slices(context, MANAGER, "endpoint-slice-mirroring-controller")

    def _source(self, key: Key) -> Cached | None:
        """The Endpoints to copy, None for none."""
        cached, service = self.endpoints.get(*key), self.services.get(*key)
        if cached is None or cached.deleting or service is None or service.deleting:
            return None
        # An ExternalName's view has no selector either, but its Endpoints were not written for it.
        by_hand = not (service.obj().get("spec") or {}).get("selector")
        return cached if by_hand and view_service(service).selector is None and mirrored(cached.obj()) else None

    async def reconcile(self, key: Key) -> None:
        if not self.slices.writes.seen(key):
            return
        source = self._source(key)
        if source is None:
            for each in self.slices.of(key):
                if not each.deleting:
                    await self.slices.remove(key, {"name": each.name, "uid": each.uid})
            return
        owner = reconcile.Owner(
            *key,
            labels=reconcile.labels_of(source.labels, key[2], MANAGER, False),
            reference=owners.managing(ENDPOINTS, {"metadata": {"name": key[2], "uid": source.uid}}),
        )
        await self.slices.make(key, source, owner, groups(source.obj()))


def build(context: Context) -> Unit:
    work = _Mirroring(context)
    controller = context.controller(NAME, work.reconcile, workers=4, backoff=(1.0, 1000.0))
    controller.watches(work.services).watches(work.endpoints).watches(work.slices.mirror, work.slices.key)

    def refresh() -> None:
        for each in work.endpoints.items():
            controller.enqueue(each.key)

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=work.services, parts=[work.slices.mirror])
