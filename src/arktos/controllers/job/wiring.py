"""From events to keys, and from plans to pods and status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from arktos.client import Cached, Key
from arktos.controllers.actions import Patch, perform, perform_all
from arktos.controllers.context import Context, Unit
from arktos.controllers.freshness import OwnWrites
from arktos.controllers.job import facts
from arktos.controllers.job import plan as planning
from arktos.controllers.job.facts import FINALIZER, JobPod
from arktos.controllers.job.plan import Plan
from arktos.controllers.podcontrol import POD, PodControl
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import NotFound

NAME = "job"
JOB = registry.by_resource("jobs.batch")
_OURS = "kubernetes.io/job-controller"


class _Jobs:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.control = PodControl(context, JOB, "job-controller")
        self.statuses = OwnWrites(self.control.owners)

    async def reconcile(self, key: Key) -> float | None:
        control = self.control
        cached = control.owners.get(*key)
        if cached is None:
            control.writes.forget(key)
            self.statuses.forget(key)
            await self._let_orphans_go(key)
            return None
        # A status that lacks our last one would count pods again, or lose them.
        if not control.writes.seen(key) or not self.statuses.seen(key):
            return None
        job = cached.obj()
        if (job["spec"].get("managedBy") or _OURS) != _OURS:
            return None
        held = {pod.key: pod for pod in await control.claim(cached, job)}
        if cached.deleting:
            await self._release(key, [facts.view(pod) for pod in held.values()])
            return None
        pods = [facts.view(pod) for pod in held.values()]
        return await self._do(key, cached, job, planning.plan(job, pods, self.context.wall()), held)

    async def _do(self, key: Key, cached: Cached, job: Obj, plan: Plan, held: Mapping[Key, Cached]) -> float | None:
        tenant, namespace, _ = key
        dropped = plan.drop[: planning.BURST]
        await self._release(key, dropped)
        going = [held[tenant, namespace, pod.name] for pod in (*plan.delete[: planning.BURST], *dropped)]
        failure = await self.control.delete_all(key, job, going) if going else None
        if plan.create and failure is None:
            pods = [planning.pod_for(JOB, job, new) for new in plan.create]
            failure = await self.control.create_all(key, job, pods)
        if planning.differs(job.get("status"), plan.status):
            await self._report(cached, plan.status)
        for type, reason, message in plan.events:
            self.control.recorder.event(job, type, reason, message)
        # Only now, when the status holds them, may the pods that it counts go.
        await self._release(key, plan.release)
        if failure is not None:
            raise failure
        return plan.again

    async def _let_orphans_go(self, key: Key) -> None:
        """Nobody counts the pods of a Job that has gone: without our finalizer they can go, too."""
        tenant, namespace, name = key
        left = [
            pod
            for pod in self.control.pods.by_index("namespace", f"{tenant}/{namespace}")
            if pod.controller is not None and (pod.controller.kind, pod.controller.name) == (JOB.kind, name)
        ]
        tracked = [seen for pod in left if (seen := facts.view(pod)).tracked]
        if not tracked:
            return
        with suppress(NotFound):
            await self.context.client.get(JOB, name, tenant=tenant, namespace=namespace)
            return  # it is there: our mirror is behind
        await self._release(key, tracked)

    async def _report(self, cached: Cached, status: Obj) -> None:
        meta = {"uid": cached.uid, "resourceVersion": cached.resource_version}
        patch = Patch(JOB, cached.key, {"metadata": meta, "status": status}, subresource="status")
        self.statuses.wrote(cached.key, await perform(self.context.client, patch))

    async def _release(self, key: Key, pods: Sequence[JobPod]) -> None:
        tenant, namespace, _ = key
        patches = []
        for pod in pods:
            if pod.tracked:
                body = {"metadata": {"uid": pod.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
                patches.append(Patch(POD, (tenant, namespace, pod.name), body, "strategic"))
        failures = await perform_all(self.context.client, patches)
        if failures:
            raise failures[0]


def build(context: Context) -> Unit:
    work = _Jobs(context)
    return work.control.unit(context.controller(NAME, work.reconcile, workers=8))
