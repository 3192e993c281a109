"""From events to keys, and from steps to claims and volumes. Keys of claims have a namespace, keys of volumes none."""

from __future__ import annotations

from collections.abc import Iterable

from arktos.client import Cached, Key
from arktos.controllers.actions import FAILURES, Create, Delete, Patch, perform
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.freshness import OwnWrites
from arktos.controllers.persistentvolume import claims, provisioning, volumes
from arktos.controllers.persistentvolume.claims import BIND_COMPLETED, BOUND_BY_US, SELECTED_NODE, Event, World
from arktos.controllers.persistentvolume.known import Known
from arktos.controllers.persistentvolume.measuring import Measuring, plugin_of
from arktos.controllers.volumeprotection import CLAIM, VOLUME
from arktos.model import volumematching as matching
from arktos.model.kinds import Obj
from arktos.model.status import AlreadyExists, ApiError, Conflict, NotFound

NAME = "persistentvolume"
_AGAIN = 15.0
"""Seconds until a claim that waits is looked at again, for the sake of what no event tells."""


class _Binder:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.known = Known(context)
        self.recorder = context.recorder("persistentvolume-controller")
        self.expanding = context.recorder("volume_expand")
        self.claims_written = OwnWrites(self.known.claims)
        self.volumes_written = OwnWrites(self.known.volumes)
        self.measuring = Measuring(context, self.known.claims, self.known.volumes)
        self.controller = context.controller(NAME, self.reconcile)

    async def reconcile(self, key: Key) -> float | None:
        if not self.claims_written.seen(key) or not self.volumes_written.seen(key):
            return None
        return await (self._claim(key) if key[1] else self._volume(key))

    def _say(self, about: Obj, events: Iterable[Event]) -> None:
        for type, reason, message in events:
            recorder = self.expanding if reason == "ExternalExpanding" else self.recorder
            recorder.event(about, type, reason, message)

    # claims

    async def _claim(self, key: Key) -> float | None:
        cached = self.known.claims.get(*key)
        if cached is None or cached.deleting:
            self._forget(key)
            return None
        claim = cached.obj()
        step = claims.step(claim, self._world(key, claim))
        self._say(claim, step.events)
        if step.make is not None:
            await self._make(key, claim, step.make, step.annotate)
        elif step.bind is not None:
            await self._bind(key, claim, step.bind, step.annotate)
        elif step.state_class:
            await self._state_class(key, claim, step.state_class)
        elif step.grow:
            await self._grow(key, claim, step.grow)
        elif step.annotate:
            told = {"uid": cached.uid, "resourceVersion": cached.resource_version, "annotations": step.annotate}
            self._wrote(key, await perform(self.context.client, Patch(CLAIM, key, {"metadata": told})))
        if step.status is not None:
            await self._status(cached, step.status)
        bound = step.bind or step.make or BIND_COMPLETED in (claim["metadata"].get("annotations") or {})
        return None if bound else _AGAIN

    def _world(self, key: Key, claim: Obj) -> World:
        known, tenant = self.known, key[0]
        storage_class = known.storage_class(tenant, matching.class_of(claim))
        around = known.around(claim)
        if claim["spec"].get("volumeName"):
            return World(around, storage_class, None)
        chosen = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
        node = known.nodes.get("", "", chosen) if chosen else None
        default = "" if matching.states_class(claim) else known.default_class(tenant)
        pods = known.waiting_pods(key) if storage_class is not None else ()
        return World(around, storage_class, None if node is None else node.obj(), pods, default)

    def _forget(self, key: Key) -> None:
        self.claims_written.forget(key)
        self.volumes_written.forget(key)
        self.measuring.forget("provision", key)

    async def _make(self, key: Key, claim: Obj, volume: Obj, told: dict[str, str | None]) -> None:
        name = volume["metadata"]["name"]
        self.measuring.began("provision", key)
        try:
            made = await perform(self.context.client, Create(VOLUME, volume))
        except AlreadyExists as error:
            made = await self.context.client.get(VOLUME, name, tenant=key[0])
            if not (provisioning.is_ours(made) and matching.is_for(made, claim)):
                # Somebody of the tenant took the name.
                self._not_made(claim, error)
                raise
        except ApiError as error:
            self._not_made(claim, error)
            raise
        else:
            said = f"Successfully provisioned volume {name} using {provisioning.PROVISIONER}"
            self.recorder.event(claim, "Normal", "ProvisioningSucceeded", said)
        await self._bind(key, claim, made, told)
        self.measuring.ended("provision", key, provisioning.PROVISIONER)

    def _not_made(self, claim: Obj, error: ApiError) -> None:
        self.measuring.failed("provision", provisioning.PROVISIONER)
        said = f"Error creating provisioned PV object for claim {_path(claim)}: {error}."
        self.recorder.event(claim, "Warning", "ProvisioningFailed", said)

    async def _bind(self, key: Key, claim: Obj, volume: Obj, told: dict[str, str | None]) -> None:
        """The volume first, then the claim: whatever crashes in between, the volume is nobody else's. Both are written
        only as they were seen."""
        meta, vmeta = claim["metadata"], volume["metadata"]
        volume_key = (key[0], "", vmeta["name"])
        try:
            if (volume["spec"].get("claimRef") or {}).get("uid") != meta["uid"]:
                about: Obj = {"uid": vmeta["uid"], "resourceVersion": vmeta["resourceVersion"]}
                if not volume["spec"].get("claimRef"):
                    about["annotations"] = {BOUND_BY_US: "yes"}
                body = {"metadata": about, "spec": {"claimRef": provisioning.reference(claim)}}
                volume = await perform(self.context.client, Patch(VOLUME, volume_key, body))
                self.volumes_written.wrote(key, volume)
            if (volume.get("status") or {}).get("phase") != "Bound":
                bound = {"metadata": {"uid": vmeta["uid"]}, "status": {"phase": "Bound", "message": None}}
                answer = await perform(self.context.client, Patch(VOLUME, volume_key, bound, subresource="status"))
                self.volumes_written.wrote(key, answer)
            await self._bind_claim(key, claim, volume, told)
        except FAILURES as error:
            if not isinstance(error, Conflict):
                self.measuring.failed("binding", plugin_of(volume))
            raise

    async def _bind_claim(self, key: Key, claim: Obj, volume: Obj, told: dict[str, str | None]) -> None:
        meta = claim["metadata"]
        annotations = {**told, BIND_COMPLETED: "yes"}
        if not claim["spec"].get("volumeName"):
            annotations[BOUND_BY_US] = "yes"
        about = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "annotations": annotations}
        body = {"metadata": about, "spec": {"volumeName": volume["metadata"]["name"]}}
        self._wrote(key, await perform(self.context.client, Patch(CLAIM, key, body)))
        status = claims.bound(claim, volume)
        if status is not None:
            patch = Patch(CLAIM, key, {"metadata": {"uid": meta["uid"]}, "status": status}, subresource="status")
            self._wrote(key, await perform(self.context.client, patch))

    async def _state_class(self, key: Key, claim: Obj, name: str) -> None:
        """A claim that was made before there was a default class gets it now."""
        meta = claim["metadata"]
        about = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        body = {"metadata": about, "spec": {"storageClassName": name}}
        try:
            self._wrote(key, await perform(self.context.client, Patch(CLAIM, key, body)))
        except FAILURES:
            self.measuring.retroactive_errors.add()
            raise
        self.measuring.retroactive.add()

    async def _grow(self, key: Key, claim: Obj, size: str) -> None:
        """The volume first: a claim never says that it has what its volume does not say."""
        volume_key, uid = (key[0], "", claim["spec"]["volumeName"]), claim["metadata"]["uid"]
        body = {"spec": {"capacity": {"storage": size}}}
        self.volumes_written.wrote(key, await perform(self.context.client, Patch(VOLUME, volume_key, body)))
        status: Obj = {"capacity": {"storage": size}, "conditions": None}
        patch = Patch(CLAIM, key, {"metadata": {"uid": uid}, "status": status}, subresource="status")
        self._wrote(key, await perform(self.context.client, patch))
        self.expanding.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")

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
        cached = self.known.volumes.get(*key)
        if cached is None:
            self.measuring.ended("delete", key, provisioning.PROVISIONER)
            return None
        volume = cached.obj()
        claim = await self._named(key[0], volume)
        step = volumes.step(volume, claim)
        self._say(volume, step.events)
        if claim is not None:
            self._say(claim, step.claim_events)
        if step.look:
            named = volume["spec"]["claimRef"]
            self.controller.enqueue((key[0], named.get("namespace") or "", named.get("name") or ""))
        if step.status is not None:
            await self._status(cached, step.status)
        if step.free is not None:
            about = {"uid": cached.uid, "resourceVersion": cached.resource_version, **step.free.get("metadata", {})}
            body = {**step.free, "metadata": about}
            self.volumes_written.wrote(key, await perform(self.context.client, Patch(VOLUME, key, body)))
        elif step.delete:
            await self._delete(key, cached)
        return None

    async def _delete(self, key: Key, cached: Cached) -> None:
        self.measuring.began("delete", key)
        try:
            await perform(self.context.client, Delete(VOLUME, key, uid=cached.uid))
        except NotFound:
            return
        except FAILURES:
            self.measuring.failed("delete", provisioning.PROVISIONER)
            raise

    async def _named(self, tenant: str, volume: Obj) -> Obj | None:
        """The claim that a volume names. That it is gone is asked of the server: our mirror may be behind, and a volume
        that is let go cannot be taken back."""
        named = volume["spec"].get("claimRef")
        if not named or not named.get("uid"):
            return None
        namespace, name = named.get("namespace") or "", named.get("name") or ""
        cached = self.known.claims.get(tenant, namespace, name)
        if cached is not None and matching.is_for(volume, cached.obj()):
            return cached.obj()
        if not namespace or not name:
            return None
        try:
            return await self.context.client.get(CLAIM, name, tenant=tenant, namespace=namespace)
        except NotFound:
            return None


def _path(claim: Obj) -> str:
    return f"{claim['metadata']['namespace']}/{claim['metadata']['name']}"


def build(context: Context) -> Unit:
    work = _Binder(context)
    controller, known = work.controller, work.known
    controller.watches(known.claims, known.of_claim)
    controller.watches(known.volumes, known.of_volume)
    controller.watches(known.classes, known.of_class)
    controller.watches(known.pods, known.of_pod, when=lambda old, new: old is None)
    controller.needs(known.nodes)

    def refresh() -> None:
        for each in (*known.claims.items(), *known.volumes.items()):
            controller.enqueue(each.key)

    # Which volume a claim gets is decided by one, lest two take the same.
    return Unit([controller], [work.measuring.run], refresh=refresh, sharing=Sharing.WHOLE)
