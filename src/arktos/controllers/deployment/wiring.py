"""From events to keys, and from plans to ReplicaSets."""

from __future__ import annotations

from collections.abc import Iterable

from arktos.client import Cached, Key
from arktos.client.controller import controller_key
from arktos.controllers import owners
from arktos.controllers.actions import FAILURES, Create, Delete, Patch, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.deployment import progress, sets
from arktos.controllers.deployment.hashing import same_template
from arktos.controllers.deployment.reconcile import Plan, Scale, World, plan
from arktos.controllers.deployment.revisions import replica_annotations
from arktos.controllers.deployment.rolling import recreates
from arktos.controllers.freshness import OwnWrites
from arktos.model import dates, registry, selectors
from arktos.model.kinds import Obj
from arktos.model.status import AlreadyExists, NotFound

NAME = "deployment"
TYPE = "Deployment"
DEPLOYMENT = registry.by_resource("deployments.apps")
REPLICASET = registry.by_resource("replicasets.apps")
_ORPHANS = "unmanaged"


class _Deployments:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.deployments = context.part(TYPE, "deployments.apps")
        self.replicasets = context.part(TYPE, "replicasets.apps", "Deployment")
        self.replicasets.add_index(_ORPHANS, owners.unmanaged_in_namespace)
        self.recorder = context.recorder("deployment-controller")
        self.writes = OwnWrites(self.replicasets)
        self.statuses = OwnWrites(self.deployments)

    def rivals(self, replicaset: Cached) -> Iterable[Key]:
        candidates = self.deployments.by_index("namespace", f"{replicaset.tenant}/{replicaset.namespace}")
        return owners.orphan_rivals(replicaset, candidates)

    async def reconcile(self, key: Key) -> float | None:
        cached = self.deployments.get(*key)
        if cached is None:
            self.writes.forget(key)
            self.statuses.forget(key)
            return None
        if not (self.writes.seen(key) and self.statuses.seen(key)):
            return None
        deployment = cached.obj()
        if not deployment["spec"].get("selector"):
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self.recorder.event(deployment, "Warning", "SelectingAll", message)
            return None
        held = await self._claim(key, cached, deployment)
        now = self.context.wall()
        text = dates.rfc3339(dates.from_unix(now))
        views = [sets.view(each) for each in held]
        pods = {each.uid: sets.unfinished(each.obj()) for each in held} if recreates(deployment) else {}
        step = plan(World(DEPLOYMENT, deployment, views, pods, now, text))
        await self._do(key, deployment, step)
        return step.again

    async def _claim(self, key: Key, cached: Cached, deployment: Obj) -> list[Cached]:
        matches = selectors.from_label_selector(deployment["spec"]["selector"]).matches_labels
        owned = self.replicasets.by_index("controller", cached.uid)
        orphans = self.replicasets.by_index(_ORPHANS, f"{cached.tenant}/{cached.namespace}")
        claims = owners.claim(DEPLOYMENT, deployment, owned, orphans, matches)
        if claims.adopt:
            fresh = await self.context.client.get(
                DEPLOYMENT, cached.name, tenant=cached.tenant, namespace=cached.namespace
            )
            if fresh["metadata"].get("uid") != cached.uid or "deletionTimestamp" in fresh["metadata"]:
                raise NotFound(f"{cached.namespace}/{cached.name} is not what it was, or is being deleted")
        for patch in (*claims.adopt, *claims.release):
            await self._patch(key, patch)
        adopted = {patch.key for patch in claims.adopt}
        return [*claims.held, *(each for each in orphans if each.key in adopted)]

    async def _patch(self, key: Key, patch: Patch) -> None:
        try:
            self.writes.wrote(key, await perform(self.context.client, patch))
        except NotFound:
            return

    async def _do(self, key: Key, deployment: Obj, step: Plan) -> None:
        if step.create is not None and not await self._create(key, deployment, step.create):
            return
        if step.amend is not None:
            each, annotations, min_ready = step.amend
            await self._amend(key, each, {"minReadySeconds": min_ready}, annotations)
        for each in step.remember:
            await self._amend(key, each, {}, replica_annotations(deployment))
        for change in step.scale:
            await self._scale(key, deployment, change)
        for each in step.delete:
            try:
                target = (key[0], key[1], each.name)
                self.writes.wrote(key, await perform(self.context.client, Delete(REPLICASET, target, uid=each.uid)))
            except NotFound:
                continue
        await self._report(key, deployment, step)

    async def _create(self, key: Key, deployment: Obj, replicaset: Obj) -> bool:
        """Makes the new ReplicaSet. False where its name is another's: the hash is then to be another."""
        try:
            made = await perform(self.context.client, Create(REPLICASET, replicaset))
        except AlreadyExists:
            return await self._taken(key, deployment, replicaset)
        except FAILURES as error:
            message = f'Failed to create new replica set "{replicaset["metadata"]["name"]}": {error}'
            self.recorder.event(deployment, "Warning", "ReplicaSetCreateError", message)
            await self._say_failed(key, deployment, message)
            raise
        self.writes.wrote(key, made)
        size = made["spec"].get("replicas") or 0
        if size:
            self._tell(deployment, made["metadata"]["name"], 0, size)
        return True

    async def _taken(self, key: Key, deployment: Obj, replicaset: Obj) -> bool:
        meta = replicaset["metadata"]
        there = await self.context.client.get(
            REPLICASET, meta["name"], tenant=meta["tenant"], namespace=meta["namespace"]
        )
        ours = any(
            reference.get("controller") and reference.get("uid") == deployment["metadata"]["uid"]
            for reference in there["metadata"].get("ownerReferences") or ()
        )
        if ours and same_template(there["spec"]["template"], deployment["spec"]["template"]):
            self.writes.wrote(key, there)
            return True
        count = (deployment.get("status") or {}).get("collisionCount") or 0
        await self._status(key, deployment, {"status": {"collisionCount": count + 1}})
        return False

    async def _say_failed(self, key: Key, deployment: Obj, message: str) -> None:
        if not progress.has_deadline(deployment):
            return
        found = (deployment.get("status") or {}).get("conditions")
        now = dates.rfc3339(dates.from_unix(self.context.wall()))
        said = progress.set_condition(found, progress.PROGRESSING, "False", "ReplicaSetCreateError", message, now)
        if said != list(found or ()):
            await self._status(key, deployment, {"status": {"conditions": said}})

    async def _amend(self, key: Key, each: sets.SetView, spec: Obj, annotations: dict[str, str]) -> None:
        metadata = {"resourceVersion": each.obj["metadata"]["resourceVersion"], "annotations": annotations}
        target = (key[0], key[1], each.name)
        await self._patch(key, Patch(REPLICASET, target, {"metadata": metadata, "spec": spec}))

    async def _scale(self, key: Key, deployment: Obj, change: Scale) -> None:
        await self._amend(key, change.set, {"replicas": change.after}, replica_annotations(deployment))
        self._tell(deployment, change.set.name, change.before, change.after)

    def _tell(self, deployment: Obj, name: str, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {name} from {before} to {after}"
        self.recorder.event(deployment, "Normal", "ScalingReplicaSet", message)

    async def _report(self, key: Key, deployment: Obj, step: Plan) -> None:
        body: Obj = {}
        if step.status is not None and progress.differs(deployment.get("status"), step.status):
            body["status"] = progress.body_of(step.status)
        annotations = deployment["metadata"].get("annotations") or {}
        if step.revision and annotations.get(sets.REVISION) != step.revision:
            body["metadata"] = {"annotations": {sets.REVISION: step.revision}}
        if body:
            await self._status(key, deployment, body)

    async def _status(self, key: Key, deployment: Obj, body: Obj) -> None:
        body = {**body, "metadata": {**body.get("metadata", {}), "uid": deployment["metadata"]["uid"]}}
        try:
            answer = await perform(self.context.client, Patch(DEPLOYMENT, key, body, subresource="status"))
        except NotFound:
            return
        self.statuses.wrote(key, answer)


def build(context: Context) -> Unit:
    work = _Deployments(context)
    controller = context.controller(NAME, work.reconcile, workers=32)
    controller.watches(work.deployments)
    controller.watches(work.replicasets, controller_key("Deployment"))
    controller.watches(work.replicasets, work.rivals)

    def refresh() -> None:
        for deployment in work.deployments.items():
            controller.enqueue(deployment.key)

    parts = [work.deployments, work.replicasets]
    return Unit([controller], [], refresh, Sharing.RANGES, TYPE, work.deployments, parts)
