"""From events to keys, and from steps to claims and volumes. Keys of claims have a namespace, keys of volumes none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from arktos.client import Cached, Key
from arktos.controllers.actions import Create, Delete, Patch, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.freshness import OwnWrites
from arktos.controllers.persistentvolume import claims, matching, volumes
from arktos.controllers.persistentvolume.claims import BIND_COMPLETED, BOUND_BY_US, SELECTED_NODE
from arktos.controllers.volumeprotection import CLAIM, VOLUME, claims_of
from arktos.model import registry
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import AlreadyExists, NotFound

NAME = "persistentvolume"
_BY_CLAIM = "claim"
CLASS = registry.by_resource("storageclasses.storage.k8s.io")
_AGAIN = 15.0
"""Seconds until a claim that waits is looked at again, for the sake of what no event tells."""


class _Binder:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.claims = context.mirror(CLAIM.resource)
        self.volumes = context.mirror(VOLUME.resource)
        self.classes = context.mirror(CLASS.resource)
        self.nodes = context.mirror("nodes")
        self.pods = context.mirror("pods")
        self.pods.add_index(_BY_CLAIM, _by_claim)
        self.recorder = context.recorder("persistentvolume-controller")
        self.claims_written = OwnWrites(self.claims)
        self.volumes_written = OwnWrites(self.volumes)

    async def reconcile(self, key: Key) -> float | None:
        if not self.claims_written.seen(key) or not self.volumes_written.seen(key):
            return None
        return await (self._claim(key) if key[1] else self._volume(key))

    # claims

    async def _claim(self, key: Key) -> float | None:
        cached = self.claims.get(*key)
        if cached is None or cached.deleting:
            return None
        claim = cached.obj()
        tenant, namespace, name = key
        around = [each.obj() for each in self.volumes.by_index("tenant", tenant)]
        annotations = claim["metadata"].get("annotations") or {}
        chosen = annotations.get(SELECTED_NODE)
        node = self.nodes.get("", "", chosen) if chosen else None
        wanted = bool(self.pods.by_index(_BY_CLAIM, f"{tenant}/{namespace}/{name}"))
        storage_class = self._class(tenant, matching.class_of(claim))
        step = claims.step(claim, claims.World(around, storage_class, None if node is None else node.obj(), wanted))
        for type, reason, message in step.events:
            self.recorder.event(claim, type, reason, message)
        if step.make is not None:
            await self._make(key, claim, step.make)
        elif step.bind is not None:
            await self._bind(key, claim, step.bind)
        if step.annotate:
            body = {"metadata": {"uid": cached.uid, "annotations": step.annotate}}
            self._wrote(key, await perform(self.context.client, Patch(CLAIM, key, body)))
        if step.status is not None:
            await self._status(cached, step.status)
        return _AGAIN if step.bind is None and claims.BIND_COMPLETED not in annotations else None

    def _class(self, tenant: str, name: str) -> Obj | None:
        """A tenant's own class, or the operators'."""
        if not name:
            return None
        found = self.classes.get(tenant, "", name) or self.classes.get(SYSTEM_TENANT, "", name)
        return None if found is None else found.obj()

    async def _make(self, key: Key, claim: Obj, volume: Obj) -> None:
        try:
            made = await perform(self.context.client, Create(VOLUME, volume))
        except AlreadyExists:
            name = volume["metadata"]["name"]
            made = await self.context.client.get(VOLUME, name, tenant=key[0])
        else:
            said = f"Successfully provisioned volume {volume['metadata']['name']}"
            self.recorder.event(claim, "Normal", "ProvisioningSucceeded", said)
        await self._bind(key, claim, made)

    async def _bind(self, key: Key, claim: Obj, volume: Obj) -> None:
        """The volume first, then the claim: whatever crashes in between, the volume is nobody else's. Both are written
        only as they were seen."""
        meta, vmeta = claim["metadata"], volume["metadata"]
        volume_key = (key[0], "", vmeta["name"])
        named = volume["spec"].get("claimRef") or {}
        if named.get("uid") != meta["uid"]:
            reference = {
                "apiVersion": "v1",
                "kind": CLAIM.kind,
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            }
            told: Obj = {"uid": vmeta["uid"], "resourceVersion": vmeta["resourceVersion"]}
            if not named:
                told["annotations"] = {BOUND_BY_US: "yes"}
            body = {"metadata": told, "spec": {"claimRef": reference}}
            volume = await perform(self.context.client, Patch(VOLUME, volume_key, body))
            self.volumes_written.wrote(key, volume)
        await self._bind_claim(key, claim, volume)
        bound = Patch(VOLUME, volume_key, {"status": {"phase": "Bound"}}, subresource="status")
        self.volumes_written.wrote(key, await perform(self.context.client, bound))

    async def _bind_claim(self, key: Key, claim: Obj, volume: Obj) -> None:
        meta = claim["metadata"]
        annotations = {BIND_COMPLETED: "yes"}
        if not claim["spec"].get("volumeName"):
            annotations[BOUND_BY_US] = "yes"
        told = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "annotations": annotations}
        body = {"metadata": told, "spec": {"volumeName": volume["metadata"]["name"]}}
        self._wrote(key, await perform(self.context.client, Patch(CLAIM, key, body)))
        spec = volume["spec"]
        status = {"phase": "Bound", "accessModes": spec.get("accessModes"), "capacity": spec.get("capacity")}
        patch = Patch(CLAIM, key, {"metadata": {"uid": meta["uid"]}, "status": status}, subresource="status")
        self._wrote(key, await perform(self.context.client, patch))

    def _wrote(self, key: Key, answer: Obj) -> None:
        self.claims_written.wrote(key, answer)

    async def _status(self, cached: Cached, status: Obj) -> None:
        told = {"uid": cached.uid, "resourceVersion": cached.resource_version}
        patch = Patch(cached.kind, cached.key, {"metadata": told, "status": status}, subresource="status")
        written = self.claims_written if cached.namespace else self.volumes_written
        try:
            written.wrote(cached.key, await perform(self.context.client, patch))
        except NotFound:
            return

    # volumes

    async def _volume(self, key: Key) -> float | None:
        cached = self.volumes.get(*key)
        if cached is None:
            return None
        volume = cached.obj()
        claim = await self._named(key[0], volume)
        step = volumes.step(volume, claim)
        for type, reason, message in step.events:
            self.recorder.event(volume, type, reason, message)
        if step.status is not None:
            await self._status(cached, step.status)
        if step.free:
            told = {"uid": cached.uid, "resourceVersion": cached.resource_version, "annotations": {BOUND_BY_US: None}}
            body = {"metadata": told, "spec": {"claimRef": None}}
            self.volumes_written.wrote(key, await perform(self.context.client, Patch(VOLUME, key, body)))
        elif step.delete:
            await perform(self.context.client, Delete(VOLUME, key, uid=cached.uid))
        return None

    async def _named(self, tenant: str, volume: Obj) -> Obj | None:
        """The claim that a volume names. That it is gone is asked of the server: our mirror may be behind, and a volume
        that is let go cannot be taken back."""
        named = volume["spec"].get("claimRef")
        if not named:
            return None
        cached = self.claims.get(tenant, named.get("namespace") or "", named.get("name") or "")
        if cached is not None and matching.is_for(volume, cached.obj()):
            return cached.obj()
        try:
            return await self.context.client.get(CLAIM, named["name"], tenant=tenant, namespace=named["namespace"])
        except NotFound:
            return None

    # who has to be looked at

    def of_claim(self, claim: Cached) -> Iterable[Key]:
        """The claim itself, and its volume."""
        name = (claim.obj().get("spec") or {}).get("volumeName")
        return (claim.key, (claim.tenant, "", name)) if name else (claim.key,)

    def of_volume(self, volume: Cached) -> Iterable[Key]:
        """The volume itself, the claim that it names, or all claims of its tenant that wait."""
        yield volume.key
        named: dict[str, Any] = (volume.obj().get("spec") or {}).get("claimRef") or {}
        if named:
            yield (volume.tenant, named.get("namespace") or "", named.get("name") or "")
            return
        for claim in self.claims.items():
            if claim.tenant == volume.tenant and not (claim.obj().get("spec") or {}).get("volumeName"):
                yield claim.key

    def of_class(self, storage_class: Cached) -> Iterable[Key]:
        """The claims that wait for a class."""
        for claim in self.claims.items():
            if storage_class.tenant in (claim.tenant, SYSTEM_TENANT):
                obj = claim.obj()
                if not obj["spec"].get("volumeName") and matching.class_of(obj) == storage_class.name:
                    yield claim.key

    def of_pod(self, pod: Cached) -> Iterable[Key]:
        """The claims that a pod wants and that have no volume yet."""
        for value in _by_claim(pod):
            tenant, namespace, name = value.split("/")
            claim = self.claims.get(tenant, namespace, name)
            if claim is not None and not (claim.obj().get("spec") or {}).get("volumeName"):
                yield claim.key


def _by_claim(pod: Cached) -> Iterable[str]:
    """Index values: tenant/namespace/claim, for each claim that a pod wants."""
    return tuple(f"{pod.tenant}/{pod.namespace}/{name}" for name in claims_of(pod.obj()))


def build(context: Context) -> Unit:
    work = _Binder(context)
    controller = context.controller(NAME, work.reconcile)
    controller.watches(work.claims, work.of_claim)
    controller.watches(work.volumes, work.of_volume)
    controller.watches(work.classes, work.of_class)
    controller.watches(work.pods, work.of_pod, when=lambda old, new: old is None)
    controller.needs(work.nodes)

    def refresh() -> None:
        for known in (*work.claims.items(), *work.volumes.items()):
            controller.enqueue(known.key)

    # Which volume a claim gets is decided by one, lest two take the same.
    return Unit([controller], refresh=refresh, sharing=Sharing.WHOLE)
