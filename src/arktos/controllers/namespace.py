"""A namespace that is being deleted: its pods go first (KEP-5080), then the rest, then the namespace.

Event-driven: whatever goes from a namespace that is going queues it. The last finalizer comes off when it is proven
(`content`) that nothing is left.
"""

from __future__ import annotations

from collections.abc import Sequence

from arktos.client import Cached, Key
from arktos.controllers import ending
from arktos.controllers.actions import Delete, perform, perform_all
from arktos.controllers.content import Content
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.ending import PATIENCE
from arktos.controllers.freshness import revision
from arktos.model import dates, registry
from arktos.model.kinds import Scope
from arktos.model.status import NotFound

NAME = "namespace"
_EVENTS = registry.by_resource("events")
_LOOK_AGAIN = 15.0


def deletions(left: Sequence[Cached]) -> list[Delete]:
    """What to delete next: while there are pods, only they."""
    pods = [cached for cached in left if cached.kind.resource == "pods"]
    return ending.deletions(pods or left)


class _Namespaces:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.namespaces = context.mirror("namespaces")
        self.content = Content(context, Scope.NAMESPACE)
        self.ends = ending.Ends()

    async def reconcile(self, key: Key) -> float | None:
        namespace = self.namespaces.get(*key)
        if namespace is None or not namespace.deleting:
            return None
        client, wall = self.context.client, self.context.wall()
        since, began = self.ends.of(namespace, revision(namespace.resource_version), wall)
        place = f"{namespace.tenant}/{namespace.name}"
        left = self.content.left(place)
        failures = await perform_all(client, deletions(left))
        if not left and await self.content.absent(place, since):
            await self._finish(namespace)
            return None
        if failures or wall >= began + PATIENCE:
            await self._say(namespace, self.content.left(place), failures)
        if failures:
            raise failures[0]
        return PATIENCE if wall < began + PATIENCE else _LOOK_AGAIN

    async def _finish(self, namespace: Cached) -> None:
        client = self.context.client
        last = ending.finalize(namespace, namespace.obj())
        if last is None:
            return
        try:
            await client.delete_collection(_EVENTS, tenant=namespace.tenant, namespace=namespace.name)
            await perform(client, last)
        except NotFound:
            self.ends.forget(namespace.uid)

    async def _say(self, namespace: Cached, left: Sequence[Cached], failures: Sequence[Exception]) -> None:
        status = namespace.obj().get("status") or {}
        now = dates.rfc3339(dates.from_unix(self.context.wall()))
        said = ending.report(status, left, failures, now)
        if ending.differs(status.get("conditions"), said):
            await perform_all(self.context.client, [ending.status_patch(namespace, said)])


def build(context: Context) -> Unit:
    work = _Namespaces(context)
    controller = context.controller(NAME, work.reconcile, workers=48)
    controller.watches(work.namespaces, when=lambda old, new: new is not None and new.deleting)
    work.namespaces.add_handler(lambda old, new: work.ends.forget(old.uid) if old is not None and new is None else None)
    work.content.report(controller, lambda cached: work.namespaces.get(cached.tenant, "", cached.namespace))

    def refresh() -> None:
        for namespace in work.namespaces.items():
            if namespace.deleting:
                controller.enqueue(namespace.key)

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=work.namespaces, parts=[])
