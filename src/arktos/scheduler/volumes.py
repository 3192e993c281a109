"""Volumes and where they can be reached. Knows claims, volumes and storage classes of all tenants."""

from __future__ import annotations

from typing import NamedTuple

from arktos.model.kinds import Obj
from arktos.scheduler import terms
from arktos.scheduler.pods import Pod
from arktos.scheduler.terms import NodeTerm

PLUGIN = "VolumeBinding"
CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
_UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
ClaimKey = tuple[str, str, str]


class Claim(NamedTuple):
    """`volume` is "" until it is bound."""

    volume: str
    storage_class: str
    lost: bool
    deleting: bool


class Blocked(NamedTuple):
    """No node will do, for this reason."""

    reason: str


class Reach(NamedTuple):
    """Each entry of `selectors` must match the node; `waiting` claims are to be made for the node that is chosen."""

    selectors: tuple[tuple[NodeTerm, ...], ...]
    waiting: tuple[str, ...]


ANYWHERE = Reach((), ())


class Volumes:
    """What events told of claims, volumes and classes."""

    def __init__(self) -> None:
        self._claims: dict[ClaimKey, Claim] = {}
        self._volumes: dict[tuple[str, str], tuple[NodeTerm, ...] | None] = {}
        self._late: dict[tuple[str, str], bool] = {}

    def claim_changed(self, key: ClaimKey, claim: Obj | None) -> None:
        if claim is None:
            self._claims.pop(key, None)
            return
        spec, meta = claim.get("spec") or {}, claim["metadata"]
        named = (meta.get("annotations") or {}).get(_CLASS_ANNOTATION) or spec.get("storageClassName") or ""
        phase = (claim.get("status") or {}).get("phase")
        bound = (spec.get("volumeName") or "") if phase == "Bound" else ""
        self._claims[key] = Claim(bound, named, phase == "Lost", "deletionTimestamp" in meta)

    def volume_changed(self, tenant: str, name: str, volume: Obj | None) -> None:
        if volume is None:
            self._volumes.pop((tenant, name), None)
            return
        affinity = (volume.get("spec") or {}).get("nodeAffinity") or {}
        self._volumes[tenant, name] = terms.node_terms(affinity.get("required"))

    def class_changed(self, tenant: str, name: str, storage_class: Obj | None) -> None:
        if storage_class is None:
            self._late.pop((tenant, name), None)
        else:
            self._late[tenant, name] = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"

    def is_bound(self, key: ClaimKey) -> bool:
        claim = self._claims.get(key)
        return claim is not None and bool(claim.volume)

    def reach(self, pod: Pod) -> Reach | Blocked:
        """Which nodes reach all volumes of the pod."""
        if not pod.template.claims:
            return ANYWHERE
        tenant, namespace, _ = pod.key
        selectors: list[tuple[NodeTerm, ...]] = []
        waiting: list[str] = []
        for name in pod.template.claims:
            claim = self._claims.get((tenant, namespace, name))
            if claim is None:
                return Blocked(f'persistentvolumeclaim "{name}" not found')
            if claim.deleting:
                return Blocked(f'persistentvolumeclaim "{name}" is being deleted')
            if claim.lost:
                return Blocked(f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume')
            if not claim.volume:
                if not self._is_late(tenant, claim.storage_class):
                    return Blocked(_UNBOUND)
                waiting.append(name)
                continue
            if (tenant, claim.volume) not in self._volumes:
                return Blocked(f'persistentvolume "{claim.volume}" not found')
            required = self._volumes[tenant, claim.volume]
            if required is not None:
                selectors.append(required)
        return Reach(tuple(selectors), tuple(waiting))

    def _is_late(self, tenant: str, name: str) -> bool:
        """Whether a class waits for its consumer. The operators' classes are everybody's."""
        return bool(name) and self._late.get((tenant, name), self._late.get(("system", name), False))
