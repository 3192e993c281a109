"""From events to keys, and from plans to pods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arktos.client import Cached, Key
from arktos.controllers.context import Context, Unit
from arktos.controllers.podcontrol import PodControl, Selects, by_labels, by_selector
from arktos.controllers.pods import PodView, Views, next_available
from arktos.controllers.replicaset import reconcile
from arktos.controllers.replicaset.reconcile import Plan
from arktos.model import dates, registry
from arktos.model.kinds import Kind, Obj

NAME = "replicaset"
REPLICASET = registry.by_resource("replicasets.apps")
REPLICATION_CONTROLLER = registry.by_resource("replicationcontrollers")


class _ReplicaSets:
    """ReplicaSets, or the ReplicationControllers that they came from."""

    def __init__(self, context: Context, kind: Kind, component: str, selects: Selects) -> None:
        self.context = context
        self.kind = kind
        self.control = PodControl(context, kind, component, selects)
        self.view = Views(self.control.pods)

    async def reconcile(self, key: Key) -> float | None:
        control = self.control
        cached = control.owners.get(*key)
        if cached is None:
            control.writes.forget(key)
            return None
        if not control.writes.seen(key):
            return None
        replicaset = cached.obj()
        held = await control.claim(cached, replicaset, lambda pod: self.view(pod).active)
        pods = [self.view(pod) for pod in held]
        now = self.context.wall()
        failure: Exception | None = None
        reason = ""
        if not cached.deleting:
            plan = reconcile.plan(replicaset, pods, self._related(cached), now)
            reason = "FailedCreate" if plan.create else "FailedDelete"
            failure = await self._do(key, replicaset, plan, held)
        await self._report(cached, replicaset, pods, None if failure is None else (reason, str(failure)))
        if failure is not None:
            raise failure
        return next_available(pods, reconcile.min_ready(replicaset), now)

    async def _do(self, key: Key, replicaset: Obj, plan: Plan, held: Sequence[Cached]) -> Exception | None:
        if plan.create:
            pod = reconcile.pod_from(self.kind, replicaset)
            return await self.control.create_all(key, replicaset, [pod] * plan.create)
        going = {pod.uid for pod in plan.delete}
        return await self.control.delete_all(key, replicaset, [pod for pod in held if pod.uid in going])

    def _related(self, cached: Cached) -> Iterator[PodView]:
        """The pods of all ReplicaSets with our own's owner, ours included, as far as they are in our range: only the
        order of victims depends on it. Decoded only if somebody asks."""
        managing = cached.controller
        siblings = [cached] if managing is None else self.control.owners.by_index("controller", managing.uid)
        for sibling in siblings:
            yield from map(self.view, self.control.pods.by_index("controller", sibling.uid))

    async def _report(
        self, cached: Cached, replicaset: Obj, pods: Sequence[PodView], failure: tuple[str, str] | None
    ) -> None:
        now = self.context.wall()
        status = reconcile.status_of(replicaset, pods, failure, now, dates.rfc3339(dates.from_unix(now)))
        if reconcile.differs(replicaset.get("status"), status):
            await self.control.report(cached, reconcile.body_of(status))


def build(context: Context) -> Unit:
    work = _ReplicaSets(context, REPLICASET, "replicaset-controller", by_selector)
    return work.control.unit(context.controller(NAME, work.reconcile, workers=32))


def build_replication(context: Context) -> Unit:
    """The unit for ReplicationControllers, whose selectors are plain maps."""
    work = _ReplicaSets(context, REPLICATION_CONTROLLER, "replication-controller", by_labels)
    return work.control.unit(context.controller("replicationcontroller", work.reconcile))
