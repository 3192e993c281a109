"""From events to keys, and from plans to pods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from arktos.client import Cached, Key
from arktos.controllers.context import Context, Unit
from arktos.controllers.daemonset import placing, rolling
from arktos.controllers.failures import Failures
from arktos.controllers.podcontrol import PodControl
from arktos.controllers.pods import PodView, next_available, view
from arktos.controllers.revisioncontrol import RevisionControl, Standing
from arktos.model import registry
from arktos.model.kinds import Obj

NAME = "daemonset"
DAEMONSET = registry.by_resource("daemonsets.apps")


class _DaemonSets:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.control = PodControl(context, DAEMONSET, "daemonset-controller")
        self.revisions = RevisionControl(context, DAEMONSET)
        self.nodes = context.mirror("nodes")
        self.failures = Failures(first=1.0, longest=900.0)

    async def reconcile(self, key: Key) -> float | None:
        control = self.control
        cached = control.owners.get(*key)
        if cached is None:
            control.writes.forget(key)
            return None
        if cached.deleting or not control.writes.seen(key):
            return None
        daemonset = cached.obj()
        if not daemonset["spec"].get("selector"):
            return None
        standing = await self.revisions.ensure(cached, daemonset)
        held = {pod.key: pod for pod in await control.claim(cached, daemonset)}
        again = await self._work(key, cached, daemonset, standing, held)
        in_use = {pod.labels.get("controller-revision-hash", "") for pod in held.values()}
        await self.revisions.trim(daemonset, standing, in_use)
        return again

    async def _work(
        self, key: Key, cached: Cached, daemonset: Obj, standing: Standing, held: dict[Key, Cached]
    ) -> float | None:
        now = self.context.wall()
        nodes = [node.obj() for node in self.nodes.items()]
        spec = placing.pod_spec(daemonset)
        by_node: dict[str, list[PodView]] = {}
        for pod in held.values():
            seen = view(pod)
            by_node.setdefault(seen.node or placing.meant_for(pod.obj()), []).append(seen)
        revision = standing.current.hash
        wanted = sum(placing.fits(spec, node)[0] for node in nodes)
        plan = placing.plan(spec, nodes, by_node, rolling.bounds(daemonset, wanted).surge > 0, revision)
        wait = self._failed(cached, daemonset, plan, now)
        failure = await self._do(key, daemonset, spec, revision, plan.create, plan.delete, held)
        if failure is None and not plan.create and not plan.delete:
            step = rolling.step(daemonset, spec, nodes, by_node, revision, now)
            failure = await self._do(key, daemonset, spec, revision, step.create, step.delete, held)
        status = placing.status_of(daemonset, spec, nodes, by_node, revision, standing.collisions, now)
        if placing.differs(daemonset.get("status"), status):
            await self.control.report(cached, status)
        if failure is not None:
            raise failure
        return _sooner(
            wait, next_available(map(view, held.values()), int(daemonset["spec"].get("minReadySeconds") or 0), now)
        )

    def _failed(self, cached: Cached, daemonset: Obj, plan: placing.Plan, now: float) -> float | None:
        """Adds to the plan the ended pods that may go now; seconds until the next may. Each failure on a node makes
        the next wait longer, so that a broken daemon does not come and go all the time."""
        waits = []
        for node, pod in plan.failed:
            failed = pod.phase == "Failed"
            wait = self.failures.wait((cached.uid, node), now) if failed else 0.0
            if wait > 0:
                waits.append(wait)
                continue
            if failed:
                self.failures.count((cached.uid, node), now)
            reason = "FailedDaemonPod" if failed else "SucceededDaemonPod"
            ended, doing = ("failed", "kill") if failed else ("succeeded", "delete")
            name = f"{daemonset['metadata']['namespace']}/{pod.name}"
            said = f"Found {ended} daemon pod {name} on node {node}, will try to {doing} it"
            self.control.recorder.event(daemonset, "Warning" if failed else "Normal", reason, said)
            plan.delete.append(pod)
        return min(waits) if waits else None

    async def _do(
        self,
        key: Key,
        daemonset: Obj,
        spec: Obj,
        revision: str,
        create: Sequence[str],
        delete: Iterable[PodView],
        held: dict[Key, Cached],
    ) -> Exception | None:
        tenant, namespace, _ = key
        pods = [placing.pod_for(DAEMONSET, daemonset, spec, node, revision) for node in create[: placing.BURST]]
        going = [held[tenant, namespace, pod.name] for pod in delete][: placing.BURST]
        failure = await self.control.create_all(key, daemonset, pods) if pods else None
        return (await self.control.delete_all(key, daemonset, going) if going else None) or failure


def _sooner(one: float | None, other: float | None) -> float | None:
    return min(one, other) if one is not None and other is not None else one or other


def _for_placing(node: Cached) -> tuple[object, object]:
    return node.labels, (node.obj().get("spec") or {}).get("taints")


def build(context: Context) -> Unit:
    work = _DaemonSets(context)
    controller = context.controller(NAME, work.reconcile)

    def matters(old: Cached | None, new: Cached | None) -> bool:
        # Heartbeats come all the time and move no daemon.
        return old is None or new is None or _for_placing(old) != _for_placing(new)

    def all_keys(_: Cached) -> list[Key]:
        return [daemonset.key for daemonset in work.control.owners.items()]

    controller.watches(work.nodes, all_keys, when=matters)
    return work.control.unit(controller, work.revisions.mirror)
