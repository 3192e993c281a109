"""From events to keys, and from plans to claims and pods."""

from __future__ import annotations

from collections.abc import Mapping

from arktos.client import Cached, Key
from arktos.controllers.actions import FAILURES, Create, Patch, perform
from arktos.controllers.context import Context, Unit
from arktos.controllers.podcontrol import POD, PodControl, ends
from arktos.controllers.pods import PodView, next_available, view
from arktos.controllers.revisioncontrol import RevisionControl, Standing
from arktos.controllers.statefulset import identity
from arktos.controllers.statefulset import plan as planning
from arktos.controllers.statefulset.identity import CLAIM
from arktos.controllers.statefulset.plan import Plan, Revisions
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import AlreadyExists, NotFound

NAME = "statefulset"
STATEFULSET = registry.by_resource("statefulsets.apps")


class _StatefulSets:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.control = PodControl(context, STATEFULSET, "statefulset-controller")
        self.revisions = RevisionControl(context, STATEFULSET)
        self.claims = context.mirror("persistentvolumeclaims")

    async def reconcile(self, key: Key) -> float | None:
        control = self.control
        cached = control.owners.get(*key)
        if cached is None:
            control.writes.forget(key)
            return None
        if cached.deleting or not control.writes.seen(key):
            return None
        statefulset = cached.obj()

        def named(pod: Cached) -> bool:
            return identity.ordinal(statefulset, pod.name) is not None

        standing = await self.revisions.ensure(cached, statefulset)
        held = {pod.key: pod for pod in await control.claim(cached, statefulset, named)}
        return await self._work(key, cached, statefulset, standing, held)

    async def _work(
        self, key: Key, cached: Cached, statefulset: Obj, standing: Standing, held: Mapping[Key, Cached]
    ) -> float | None:
        now = self.context.wall()
        pods: dict[int, PodView] = {}
        for pod in held.values():
            number = identity.ordinal(statefulset, pod.name)
            if number is not None:
                pods[number] = view(pod)
        revisions, names = _revisions(statefulset, standing)
        plan = planning.plan(statefulset, pods, revisions, now)
        try:
            await self._mend(key, statefulset, pods)
            await self._create(key, statefulset, plan, standing)
            await self._delete(key, statefulset, plan, held)
        finally:
            # What went wrong with one pod is no reason not to tell what is there.
            status = planning.status_of(statefulset, pods, revisions, names, standing.collisions, now)
            if planning.differs(statefulset.get("status"), status):
                await self.control.report(cached, status)
        in_use = [planning.revision_of(pod) for pod in pods.values()]
        await self.revisions.trim(statefulset, standing, (*in_use, revisions.current))
        return next_available(pods.values(), int(statefulset["spec"].get("minReadySeconds") or 0), now)

    async def _mend(self, key: Key, statefulset: Obj, pods: Mapping[int, PodView]) -> None:
        """Puts back the labels by which a pod is known."""
        for number, pod in pods.items():
            labels = identity.labels_to_mend(statefulset, number, pod.labels)
            if labels and pod.active:
                body = {"metadata": {"uid": pod.uid, "labels": labels}}
                patch = Patch(POD, (key[0], key[1], pod.name), body)
                self.control.writes.wrote(key, await perform(self.context.client, patch))

    async def _create(self, key: Key, statefulset: Obj, plan: Plan, standing: Standing) -> None:
        templates = {each.hash: each.template for each in standing.revisions}
        for number, revision in plan.create:
            await self._claims(statefulset, number)
            template = templates.get(revision, statefulset["spec"]["template"])
            pod = identity.pod(STATEFULSET, statefulset, template, number, revision)
            try:
                await self.control.create(key, statefulset, pod)
            except FAILURES as error:
                if ends(error):
                    return
                raise

    async def _claims(self, statefulset: Obj, number: int) -> None:
        """Makes the claims of an ordinal that are not there, and gives those that are the owners they shall have."""
        meta = statefulset["metadata"]
        for claim in identity.claims(statefulset, number, STATEFULSET):
            name = claim["metadata"]["name"]
            known = self.claims.get(meta["tenant"], meta["namespace"], name)
            if known is not None:
                await self._own(statefulset, known, None)
                continue
            said = f"Claim {name} Pod {identity.pod_name(statefulset, number)} in StatefulSet {meta['name']}"
            try:
                await perform(self.context.client, Create(CLAIM, claim))
            except AlreadyExists:
                continue
            except FAILURES as error:
                text = f"create {said} failed error: {error}"
                self.control.recorder.event(statefulset, "Warning", "FailedCreate", text)
                raise
            self.control.recorder.event(statefulset, "Normal", "SuccessfulCreate", f"create {said} success")

    async def _own(self, statefulset: Obj, claim: Cached, condemned: Obj | None) -> None:
        wanted = identity.claim_owners(statefulset, STATEFULSET, claim.obj(), condemned)
        if wanted is None:
            return
        body = {
            "metadata": {
                "uid": claim.uid,
                "resourceVersion": claim.resource_version,
                "ownerReferences": wanted or None,
            }
        }
        await perform(self.context.client, Patch(CLAIM, claim.key, body))

    async def _delete(self, key: Key, statefulset: Obj, plan: Plan, held: Mapping[Key, Cached]) -> None:
        tenant, namespace, _ = key
        for pod in plan.replace:
            reason, word = (
                ("RecreatingFailedPod", "failed")
                if pod.phase == "Failed"
                else ("RecreatingTerminatedPod", "terminated")
            )
            name = statefulset["metadata"]["name"]
            text = f"StatefulSet {namespace}/{name} is recreating {word} Pod {pod.name}"
            self.control.recorder.event(statefulset, "Warning" if pod.phase == "Failed" else "Normal", reason, text)
        for pod in plan.condemn:
            await self._let_claims_go(statefulset, held[tenant, namespace, pod.name])
        going = [*plan.replace, *plan.condemn, *plan.update]
        failure = await self.control.delete_all(key, statefulset, [held[tenant, namespace, pod.name] for pod in going])
        if failure is not None:
            raise failure

    async def _let_claims_go(self, statefulset: Obj, pod: Cached) -> None:
        if identity.retention(statefulset)[1] != "Delete":
            return
        number = identity.ordinal(statefulset, pod.name)
        assert number is not None, "only pods with an ordinal are condemned"
        for template in identity.claim_templates(statefulset):
            name = identity.claim_name(statefulset, template, number)
            claim = self.claims.get(pod.tenant, pod.namespace, name)
            if claim is None:
                continue
            try:
                await self._own(statefulset, claim, pod.obj())
            except NotFound:
                continue


def _revisions(statefulset: Obj, standing: Standing) -> tuple[Revisions, dict[str, str]]:
    """The current and the newest revision. The status names the current one; where it does not, or that has gone, it is
    the newest."""
    names = {each.hash: each.name for each in standing.revisions}
    told = (statefulset.get("status") or {}).get("currentRevision")
    current = next((hash for hash, name in names.items() if name == told), standing.current.hash)
    return Revisions(current, standing.current.hash), names


def build(context: Context) -> Unit:
    work = _StatefulSets(context)
    controller = context.controller(NAME, work.reconcile).needs(work.claims)
    return work.control.unit(controller, work.revisions.mirror)
