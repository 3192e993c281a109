"""Claims that pods use and volumes that claims are bound to stay, when deleted, until that has ended.

As Kubernetes' controllers pvc-protection and pv-protection. The API server puts a finalizer on each new claim and
volume; here it comes off. What is deleted is rare, so the API server itself is asked then, and no pod is kept in mind.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from arktos.client import Cached, Key
from arktos.controllers.actions import Patch, perform
from arktos.controllers.context import Context, Unit
from arktos.model import registry
from arktos.model.kinds import Kind, Obj
from arktos.model.status import NotFound

NAME = "volumeprotection"
CLAIM, VOLUME, POD = (registry.by_resource(name) for name in ("persistentvolumeclaims", "persistentvolumes", "pods"))
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"

_ENDED = frozenset({"Succeeded", "Failed"})


def claims_of(pod: Obj) -> set[str]:
    """The names of the claims that a pod uses, those of its ephemeral volumes included."""
    name = (pod.get("metadata") or {}).get("name", "")
    ended = (pod.get("status") or {}).get("phase") in _ENDED
    found: set[str] = set()
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        claim = volume.get("persistentVolumeClaim")
        if claim is not None:
            found.add(claim.get("claimName", ""))
        elif volume.get("ephemeral") is not None and not ended:
            found.add(f"{name}-{volume['name']}")
    return found


def is_used(claim: str, pods: Iterable[Obj]) -> bool:
    """Whether a pod that has a node uses a claim. One without a node gets none: nodes start no pod whose claim is being
    deleted."""
    return any((pod.get("spec") or {}).get("nodeName") and claim in claims_of(pod) for pod in pods)


def release(kind: Kind, obj: Obj, finalizer: str) -> Patch | None:
    """The removal of a finalizer from an object that is being deleted; None where there is none to remove."""
    meta = obj["metadata"]
    held = meta.get("finalizers") or []
    if finalizer not in held or "deletionTimestamp" not in meta:
        return None
    kept = [each for each in held if each != finalizer]
    body = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": kept or None}}
    return Patch(kind, (meta.get("tenant", ""), meta.get("namespace", ""), meta["name"]), body)


class _Protection:
    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.claims = context.mirror("persistentvolumeclaims")
        self.volumes = context.mirror("persistentvolumes")
        self.pods = context.mirror("pods")

    async def claim(self, key: Key) -> None:
        tenant, namespace, name = key
        cached = self.claims.get(*key)
        if cached is None or not cached.deleting:
            return
        try:
            obj = await self.client.get(CLAIM, name, tenant=tenant, namespace=namespace)
            patch = release(CLAIM, obj, CLAIM_FINALIZER)
            if patch is None:
                return
            listed = await self.client.list_raw(POD, tenant=tenant, namespace=namespace)
            if not is_used(name, (msgspec.json.decode(item) for item in listed.items)):
                await perform(self.client, patch)
        except NotFound:
            return

    async def volume(self, key: Key) -> None:
        tenant, _, name = key
        cached = self.volumes.get(*key)
        if cached is None or not cached.deleting:
            return
        try:
            obj = await self.client.get(VOLUME, name, tenant=tenant)
            patch = release(VOLUME, obj, VOLUME_FINALIZER)
            if patch is not None and (obj.get("status") or {}).get("phase") != "Bound":
                await perform(self.client, patch)
        except NotFound:
            return


def _claims_of(pod: Cached) -> Iterable[Key]:
    return [(pod.tenant, pod.namespace, name) for name in claims_of(pod.obj())]


def build(context: Context) -> Unit:
    work = _Protection(context)
    claims = context.controller("pvcprotection", work.claim)
    claims.watches(work.claims, when=_is_deleted)
    claims.watches(work.pods, _claims_of, when=lambda old, new: new is None)
    volumes = context.controller("pvprotection", work.volume)
    volumes.watches(work.volumes, when=_is_deleted)

    def refresh() -> None:
        for controller, mirror in ((claims, work.claims), (volumes, work.volumes)):
            for cached in mirror.items():
                if cached.deleting:
                    controller.enqueue(cached.key)

    return Unit([claims, volumes], refresh=refresh)


def _is_deleted(old: Cached | None, new: Cached | None) -> bool:
    return new is not None and new.deleting
