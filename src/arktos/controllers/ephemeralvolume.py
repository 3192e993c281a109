"""Claims for the ephemeral volumes of pods: each is made for its pod, and goes with it. (KEP-1698)"""

from __future__ import annotations

from collections.abc import Iterable

from arktos.client import Cached, Key
from arktos.controllers import owners
from arktos.controllers.actions import FAILURES, Create, into_the_ending, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import AlreadyExists, Conflict

NAME = "ephemeralvolume"
POD, CLAIM = registry.by_resource("pods"), registry.by_resource("persistentvolumeclaims")


def claims_for(pod: Obj) -> list[Obj]:
    """The claims that a pod's ephemeral volumes mean."""
    meta = pod["metadata"]
    made = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template is None:
            continue
        told = template.get("metadata") or {}
        metadata: Obj = {
            "name": f"{meta['name']}-{volume['name']}",
            "namespace": meta["namespace"],
            "tenant": meta["tenant"],
            "ownerReferences": [owners.managing(POD, pod)],
        }
        for field in ("labels", "annotations"):
            if told.get(field):
                metadata[field] = told[field]
        made.append({"apiVersion": "v1", "kind": CLAIM.kind, "metadata": metadata, "spec": template["spec"]})
    return made


def _wants(pod: Cached) -> Iterable[Key]:
    return (pod.key,) if b'"ephemeral"' in pod.raw and claims_for(pod.obj()) else ()


class _Ephemeral:
    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.pods, self.claims = context.mirror("pods"), context.mirror(CLAIM.resource)
        self.recorder = context.recorder("ephemeral_volume")
        self.attempts = context.metrics.counter(
            "ephemeral_volume_controller_create_total", "Number of PersistentVolumeClaim creation requests"
        )
        self.failures = context.metrics.counter(
            "ephemeral_volume_controller_create_failures_total",
            "Number of PersistentVolumeClaim creation requests that failed",
        )

    async def reconcile(self, key: Key) -> float | None:
        cached = self.pods.get(*key)
        if cached is None or cached.deleting:
            return None
        pod = cached.obj()
        for claim in claims_for(pod):
            name = claim["metadata"]["name"]
            volume = name.removeprefix(f"{key[2]}-")
            known = self.claims.get(key[0], key[1], name)
            if known is None:
                managing = await self._make(key, pod, claim, volume)
            else:
                managing = known.controller.uid if known.controller else None
            if managing != cached.uid:
                said = f"PVC {key[1]}/{name} was not created for pod {key[1]}/{key[2]} (pod is not owner)"
                self._complain(pod, volume, said)
                # Whoever has the name may give it up; no event of ours tells.
                raise Conflict(said)
        return None

    async def _make(self, key: Key, pod: Obj, claim: Obj, volume: str) -> str | None:
        """The uid of the owner of the claim that is there after this."""
        name = claim["metadata"]["name"]
        self.attempts.add()
        try:
            found = await perform(self.client, Create(CLAIM, claim))
        except AlreadyExists:
            found = await self.client.get(CLAIM, name, tenant=key[0], namespace=key[1])
        except FAILURES as error:
            self.failures.add()
            if not into_the_ending(error):
                self._complain(pod, volume, f"create PVC {name}: {error}")
            raise
        held = found["metadata"].get("ownerReferences") or ()
        return next((str(each["uid"]) for each in held if each.get("controller")), None)

    def _complain(self, pod: Obj, volume: str, why: str) -> None:
        self.recorder.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume}: {why}")


def _owner(claim: Cached) -> Iterable[Key]:
    managing = claim.controller
    return ((claim.tenant, claim.namespace, managing.name),) if managing and managing.kind == POD.kind else ()


def build(context: Context) -> Unit:
    work = _Ephemeral(context)
    controller = context.controller(NAME, work.reconcile)
    controller.watches(work.pods, _wants, when=lambda old, new: old is None)
    controller.watches(work.claims, _owner, when=lambda old, new: new is None)

    def refresh() -> None:
        for pod in work.pods.items():
            for key in _wants(pod):
                controller.enqueue(key)

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=work.pods, parts=[work.claims])
