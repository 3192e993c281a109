"""Storage: a claim without a class gets the default one, grows where its class allows it, and what is in use is not
removed.

As Kubernetes' admission plugins DefaultStorageClass, PersistentVolumeClaimResize and StorageObjectInUseProtection.
Classes are a tenant's own, or those that `system` shares; a tenant's own default comes before that of `system`.
"""

from __future__ import annotations

import time

import msgspec

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.encoding import decode, stamp
from arktos.model import quantity
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.quota import CLASS_ANNOTATION
from arktos.model.status import forbidden
from arktos.store.records import Key, Query, Record, Store

CLASSES = "storageclasses.storage.k8s.io"
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
ATTRIBUTES_FINALIZER = "kubernetes.io/vac-protection"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BETA_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class"


class _Meta(msgspec.Struct, rename="camel"):
    annotations: dict[str, str] | None = None
    creation_timestamp: str = ""


class _Class(msgspec.Struct):
    metadata: _Meta


_decoder = msgspec.json.Decoder(_Class)


class StorageClasses:
    """Steps for claims, by the classes that there are."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def choose(self, attempt: Attempt, effects: Effects) -> None:
        """A new claim that names no class, not even "", gets the default class if there is one."""
        if attempt.operation != "create":
            return
        spec = attempt.obj.get("spec") or {}
        if spec.get("storageClassName") is not None:
            return
        if CLASS_ANNOTATION in (attempt.obj["metadata"].get("annotations") or {}):
            return
        name = self.default(attempt.call.tenant)
        if name:
            attempt.obj["spec"] = {**spec, "storageClassName": name}

    def default(self, tenant: str) -> str:
        """The default class of a tenant, the newest of several; "" if there is none."""
        for owner in dict.fromkeys((tenant, SYSTEM_TENANT)):
            marked = [found for record in self._store.list(Query(CLASSES, owner)).records if (found := _marked(record))]
            if marked:
                newest = max(created for created, _ in marked)
                return min(name for created, name in marked if created == newest)
        return ""

    def grow(self, attempt: Attempt, effects: Effects) -> None:
        """Whoever wants a larger volume has one already, of a class that allows it; Forbidden."""
        if attempt.old is None or attempt.subresource or attempt.operation == "delete":
            return
        wanted, before = _requested(attempt.obj), _requested(attempt.old)
        if wanted == before or not wanted or not before or not quantity.parse(wanted) > quantity.parse(before):
            return
        why = ""
        if (attempt.old.get("status") or {}).get("phase") != "Bound":
            why = "Only bound persistent volume claims can be expanded"
        elif not self._may_grow(attempt.call.tenant, _class_of(attempt.obj), _class_of(attempt.old)):
            why = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize"
            )
        if why:
            raise forbidden(attempt.kind.resource, str(attempt.obj["metadata"].get("name", "")), why)

    def _may_grow(self, tenant: str, now: str, before: str) -> bool:
        if not now or now != before:
            return False
        owners = dict.fromkeys((tenant, SYSTEM_TENANT))
        found = next((record for owner in owners if (record := self._store.get(Key(CLASSES, owner, "", now)))), None)
        return found is not None and bool(decode(found).get("allowVolumeExpansion"))


def _requested(claim: Obj) -> str:
    return str((((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage") or "")


def _class_of(claim: Obj) -> str:
    stated = (claim["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    return str(stated if stated is not None else (claim.get("spec") or {}).get("storageClassName") or "")


def _marked(record: Record) -> tuple[str, str] | None:
    """When a class was made and its name, if it says of itself that it is the default."""
    meta = _decoder.decode(record.body).metadata
    annotations = meta.annotations or {}
    if "true" in (annotations.get(DEFAULT_CLASS), annotations.get(_BETA_DEFAULT_CLASS)):
        return meta.creation_timestamp, record.key.name
    return None


def protect_claim(attempt: Attempt, effects: Effects) -> None:
    """A new claim stays, when deleted, until no pod uses it."""
    _protect(attempt, CLAIM_FINALIZER)


def protect_volume(attempt: Attempt, effects: Effects) -> None:
    """A new volume stays, when deleted, until no claim is bound to it."""
    _protect(attempt, VOLUME_FINALIZER)


def protect_attributes(attempt: Attempt, effects: Effects) -> None:
    """A new VolumeAttributesClass stays, when deleted, until no claim and no volume has it."""
    _protect(attempt, ATTRIBUTES_FINALIZER)


def date_phase(attempt: Attempt, effects: Effects) -> None:
    """A volume says since when it is in its phase, unless the writer of the phase does."""
    if attempt.operation == "delete" or (attempt.old is not None and attempt.subresource != "status"):
        return
    before: Obj = (attempt.old or {}).get("status") or {}
    status: Obj = attempt.obj.get("status") or {}
    told = "lastPhaseTransitionTime"
    if status.get("phase") == before.get("phase"):
        return
    if not status.get(told) or status[told] == before.get(told):
        attempt.obj["status"] = {**status, told: stamp(time.time())}


def _protect(attempt: Attempt, finalizer: str) -> None:
    if attempt.operation == "create":
        finalizers = attempt.obj["metadata"].get("finalizers") or []
        if finalizer not in finalizers:
            attempt.obj["metadata"]["finalizers"] = [*finalizers, finalizer]
