"""Storage: a claim without a class gets the default one, and what is in use is not removed.

As Kubernetes' admission plugins DefaultStorageClass and StorageObjectInUseProtection. Classes are a tenant's own, or
those that `system` shares; a tenant's own default comes before that of `system`.
"""

from __future__ import annotations

import msgspec

from arktos.apiserver.admission import Attempt, Effects
from arktos.model.kinds import SYSTEM_TENANT
from arktos.model.quota import CLASS_ANNOTATION
from arktos.store.records import Query, Record, Store

CLASSES = "storageclasses.storage.k8s.io"
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BETA_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class"


class _Meta(msgspec.Struct, rename="camel"):
    annotations: dict[str, str] | None = None
    creation_timestamp: str = ""


class _Class(msgspec.Struct):
    metadata: _Meta


_decoder = msgspec.json.Decoder(_Class)


class DefaultStorageClass:
    """A step for claims."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def step(self, attempt: Attempt, effects: Effects) -> None:
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


def _protect(attempt: Attempt, finalizer: str) -> None:
    if attempt.operation == "create":
        finalizers = attempt.obj["metadata"].get("finalizers") or []
        if finalizer not in finalizers:
            attempt.obj["metadata"]["finalizers"] = [*finalizers, finalizer]
