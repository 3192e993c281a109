"""Claims that pods use, volumes that claims are bound to, and classes of attributes that either has stay, when deleted,
until that has ended.

As Kubernetes' controllers pvc-protection, pv-protection and volumeattributesclass-protection. The API server puts a
finalizer on each new one; here it is put back where somebody took it off, and comes off in the end. What is deleted is
rare, so the API server itself is asked then, and no pod is kept in mind.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from arktos.client import Cached, Key
from arktos.client.controller import Predicate
from arktos.controllers.actions import Patch, perform
from arktos.controllers.context import Context, Unit
from arktos.controllers.freshness import revision
from arktos.model import registry
from arktos.model.kinds import SYSTEM_TENANT, Kind, Obj
from arktos.model.status import NotFound

NAME = "volumeprotection"
CLAIM, VOLUME, POD = (registry.by_resource(name) for name in ("persistentvolumeclaims", "persistentvolumes", "pods"))
CLASS = registry.by_resource("volumeattributesclasses.storage.k8s.io")
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
ATTRIBUTES_FINALIZER = "kubernetes.io/vac-protection"

_ATTRIBUTES = "attributes-class"


def claims_of(pod: Obj) -> set[str]:
    """The names of the claims that a pod uses, those of its ephemeral volumes included."""
    name = (pod.get("metadata") or {}).get("name", "")
    found: set[str] = set()
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        claim = volume.get("persistentVolumeClaim")
        if claim is not None:
            found.add(claim.get("claimName", ""))
        elif volume.get("ephemeral") is not None:
            found.add(f"{name}-{volume['name']}")
    return found


def is_used(claim: Obj, pods: Iterable[Obj]) -> bool:
    """Whether a pod that has a node uses a claim. One without a node gets none: nodes start no pod whose claim is being
    deleted."""
    return any((pod.get("spec") or {}).get("nodeName") and _uses(pod, claim) for pod in pods)


def _uses(pod: Obj, claim: Obj) -> bool:
    meta = claim["metadata"]
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        named = volume.get("persistentVolumeClaim")
        if named is not None:
            if named.get("claimName") == meta["name"]:
                return True
        elif volume.get("ephemeral") is not None and f"{pod['metadata']['name']}-{volume['name']}" == meta["name"]:
            owners = meta.get("ownerReferences") or ()
            owned = any(each.get("controller") and each.get("uid") == pod["metadata"].get("uid") for each in owners)
            if owned and not _is_shut_down(pod):
                return True
    return False


def _is_shut_down(pod: Obj) -> bool:
    """Whether nothing of a deleted pod runs any more: only finalizers keep it. Its own claims go before it."""
    return "deletionTimestamp" in pod["metadata"] and pod["metadata"].get("deletionGracePeriodSeconds") == 0


def attribute_classes(obj: Obj) -> set[str]:
    """The classes of attributes that a claim or a volume has, had until now, or is to have."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    target = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    named = (spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName"), target)
    return {name for name in named if name}


def release(kind: Kind, obj: Obj, finalizer: str) -> Patch | None:
    """The removal of a finalizer from an object that is being deleted; None where there is none to remove."""
    meta = obj["metadata"]
    held = meta.get("finalizers") or []
    if finalizer not in held or "deletionTimestamp" not in meta:
        return None
    kept = [each for each in held if each != finalizer]
    body = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": kept or None}}
    return Patch(kind, (meta.get("tenant", ""), meta.get("namespace", ""), meta["name"]), body)


def protect(cached: Cached, finalizer: str) -> Patch | None:
    """The finalizer back on an object that lacks it; None where it is there, or comes too late."""
    meta = cached.meta
    held = meta.finalizers or []
    if cached.deleting or finalizer in held:
        return None
    body = {"metadata": {"resourceVersion": cached.resource_version, "finalizers": [*held, finalizer]}}
    return Patch(cached.kind, cached.key, body)


class _Protection:
    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.claims = context.mirror("persistentvolumeclaims")
        self.volumes = context.mirror("persistentvolumes")
        self.pods = context.mirror("pods")
        self.classes = context.mirror(CLASS.resource)
        for mirror in (self.claims, self.volumes):
            mirror.add_index(_ATTRIBUTES, _has_attributes)

    async def claim(self, key: Key) -> None:
        tenant, namespace, name = key
        cached = self.claims.get(*key)
        if cached is None or await self._protected(cached, CLAIM_FINALIZER):
            return
        try:
            obj = await self.client.get(CLAIM, name, tenant=tenant, namespace=namespace)
            patch = release(CLAIM, obj, CLAIM_FINALIZER)
            if patch is None:
                return
            listed = await self.client.list_raw(POD, tenant=tenant, namespace=namespace)
            if not is_used(obj, (msgspec.json.decode(item) for item in listed.items)):
                await perform(self.client, patch)
        except NotFound:
            return

    async def volume(self, key: Key) -> None:
        tenant, _, name = key
        cached = self.volumes.get(*key)
        if cached is None or await self._protected(cached, VOLUME_FINALIZER):
            return
        try:
            obj = await self.client.get(VOLUME, name, tenant=tenant)
            patch = release(VOLUME, obj, VOLUME_FINALIZER)
            if patch is not None and (obj.get("status") or {}).get("phase") != "Bound":
                await perform(self.client, patch)
        except NotFound:
            return

    async def attributes(self, key: Key) -> None:
        cached = self.classes.get(*key)
        if cached is None or await self._protected(cached, ATTRIBUTES_FINALIZER):
            return
        # Who came before the deletion is to be seen.
        for mirror in (self.claims, self.volumes):
            await mirror.reach(revision(cached.resource_version))
            if mirror.by_index(_ATTRIBUTES, _users_of(key)):
                return
        with suppress(NotFound):
            patch = release(CLASS, await self.client.get(CLASS, key[2], tenant=key[0]), ATTRIBUTES_FINALIZER)
            if patch is not None:
                await perform(self.client, patch)

    async def _protected(self, cached: Cached, finalizer: str) -> bool:
        """Whether an object stays anyhow; it has its finalizer then."""
        if cached.deleting:
            return False
        patch = protect(cached, finalizer)
        if patch is not None:
            with suppress(NotFound):
                await perform(self.client, patch)
        return True


def _users_of(key: Key) -> str:
    """Classes of `system` are everybody's."""
    return f"{'' if key[0] == SYSTEM_TENANT else key[0]}/{key[2]}"


def _has_attributes(cached: Cached) -> Iterable[str]:
    """Index values: tenant/class and /class."""
    if b"AttributesClassName" not in cached.raw:
        return ()
    names = attribute_classes(cached.obj())
    return [f"{tenant}/{name}" for name in names for tenant in (cached.tenant, "")]


def _classes_of(cached: Cached) -> Iterable[Key]:
    if b"AttributesClassName" not in cached.raw:
        return ()
    return [(tenant, "", name) for name in attribute_classes(cached.obj()) for tenant in (cached.tenant, SYSTEM_TENANT)]


def _claims_of(pod: Cached) -> Iterable[Key]:
    return [(pod.tenant, pod.namespace, name) for name in claims_of(pod.obj())]


def _is_done(_: Cached | None, new: Cached | None) -> bool:
    """Whether a pod has gone, or keeps its own claims no longer."""
    return new is None or (new.deleting and new.meta.deletion_grace_period_seconds == 0)


def _matters(finalizer: str) -> Predicate:
    """What is being deleted, or has lost its finalizer."""
    sought = finalizer.encode()
    return lambda _, new: new is not None and (new.deleting or sought not in new.raw)


def build(context: Context) -> Unit:
    work = _Protection(context)
    claims = context.controller("pvcprotection", work.claim)
    claims.watches(work.claims, when=_matters(CLAIM_FINALIZER))
    claims.watches(work.pods, _claims_of, when=_is_done)
    volumes = context.controller("pvprotection", work.volume)
    volumes.watches(work.volumes, when=_matters(VOLUME_FINALIZER))
    attributes = context.controller("vacprotection", work.attributes)
    attributes.watches(work.classes, when=_matters(ATTRIBUTES_FINALIZER))
    attributes.watches(work.claims, _classes_of, when=_leaves_attributes)
    attributes.watches(work.volumes, _classes_of, when=_leaves_attributes)

    def refresh() -> None:
        for controller, mirror, finalizer in (
            (claims, work.claims, CLAIM_FINALIZER),
            (volumes, work.volumes, VOLUME_FINALIZER),
            (attributes, work.classes, ATTRIBUTES_FINALIZER),
        ):
            matters = _matters(finalizer)
            for cached in mirror.items():
                if matters(None, cached):
                    controller.enqueue(cached.key)

    return Unit([claims, volumes, attributes], refresh=refresh)


def _leaves_attributes(old: Cached | None, new: Cached | None) -> bool:
    return old is not None and b"AttributesClassName" in old.raw and (new is None or new.raw != old.raw)
