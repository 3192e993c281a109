"""From changes to service keys, and from subsets to Endpoints."""

from __future__ import annotations

from contextlib import suppress

from arktos.client import Cached, Key
from arktos.controllers.actions import Create, Delete, Replace, into_the_ending, perform
from arktos.controllers.backends import HEADLESS, Selecting, ServiceView, matters, view_pod, view_service
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.endpoints import subsets
from arktos.controllers.freshness import OwnWrites
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError, NotFound

NAME = "endpoints"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
ENDPOINTS = registry.by_resource("endpoints")


def endpoints_of(service: ServiceView, found: list[Obj], old: Obj | None) -> Obj:
    """The object as it shall be. Annotations of others stay; labels are the service's."""
    tenant, namespace, name = service.key
    kept, cut = subsets.truncated(found)
    labels = {key: value for key, value in service.labels.items() if key != HEADLESS} | {MANAGED_BY: MANAGER}
    if service.headless:
        labels[HEADLESS] = ""
    meta = dict((old or {}).get("metadata") or {"name": name, "namespace": namespace, "tenant": tenant})
    notes = {key: value for key, value in (meta.pop("annotations", None) or {}).items() if key != OVER_CAPACITY}
    if cut:
        notes[OVER_CAPACITY] = "truncated"
    meta["labels"] = labels
    if notes:
        meta["annotations"] = notes
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": kept}


def differs(old: Obj, new: Obj) -> bool:
    """Whether a write is worth it."""
    before, after = old["metadata"], new["metadata"]
    said = any((before.get(part) or {}) != (after.get(part) or {}) for part in ("labels", "annotations"))
    return said or (old.get("subsets") or []) != new["subsets"]


class _Endpoints:
    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.services = context.mirror("services")
        self.pods = context.mirror("pods")
        self.endpoints = context.mirror("endpoints")
        self.recorder = context.recorder("endpoint-controller")
        self.writes = OwnWrites(self.endpoints)
        self.selecting = Selecting()
        self.gone: set[Key] = set()
        self.services.add_handler(self.selecting.changed)
        self.services.add_handler(self._service_changed)

    def _service_changed(self, old: Cached | None, new: Cached | None) -> None:
        if new is not None:
            self.gone.discard(new.key)
        elif old is not None and self.endpoints.get(*old.key) is not None:
            self.gone.add(old.key)

    async def reconcile(self, key: Key) -> None:
        if not self.writes.seen(key):
            return
        cached, known = self.services.get(*key), self.endpoints.get(*key)
        if cached is None:
            await self._remove(key, known)
            return
        service = view_service(cached)
        if service.selector is None or cached.deleting:
            return
        old = None if known is None else known.obj()
        new = endpoints_of(service, self._subsets(service, service.selector), old)
        if old is not None and not differs(old, new):
            return
        try:
            action = Create(ENDPOINTS, new) if old is None else Replace(ENDPOINTS, new)
            self.writes.wrote(key, await perform(self.client, action))
        except ApiError as error:
            if into_the_ending(error):
                return
            reason = "FailedToCreateEndpoint" if old is None else "FailedToUpdateEndpoint"
            verb = "create endpoint for service" if old is None else "update endpoint"
            self.recorder.event(new, "Warning", reason, f"Failed to {verb} {key[1]}/{key[2]}: {error}")
            raise

    def _subsets(self, service: ServiceView, selector: dict[str, str]) -> list[Obj]:
        mine = self.pods.by_index("namespace", "/".join(service.key[:2]))
        return subsets.subsets(service, (view_pod(pod) for pod in mine if selector.items() <= pod.labels.items()))

    async def _remove(self, key: Key, known: Cached | None) -> None:
        """Endpoints go with their service, whoever wrote them; those that never had one are their author's."""
        ours = known is not None and known.labels.get(MANAGED_BY) == MANAGER
        if known is not None and (ours or key in self.gone):
            with suppress(NotFound):
                self.writes.wrote(key, await perform(self.client, Delete(ENDPOINTS, key, uid=known.uid)))
        self.gone.discard(key)


def build(context: Context) -> Unit:
    work = _Endpoints(context)
    controller = context.controller(NAME, work.reconcile, workers=16, backoff=(1.0, 1000.0))
    controller.watches(work.services)
    controller.watches(work.pods, work.selecting.keys, when=matters)
    controller.watches(work.endpoints)

    def refresh() -> None:
        for known in (*work.services.items(), *work.endpoints.items()):
            controller.enqueue(known.key)

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=work.services, parts=[work.endpoints])
