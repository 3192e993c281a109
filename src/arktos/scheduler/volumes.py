"""Volumes and where they can be reached. Knows claims, volumes and storage classes of all tenants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from arktos.model import volumematching
from arktos.model.kinds import Obj
from arktos.scheduler import terms
from arktos.scheduler.pods import Pod
from arktos.scheduler.terms import NodeTerm, Requirement

PLUGIN = "VolumeBinding"
CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
_UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
_NO_PROVISIONER = "kubernetes.io/no-provisioner"
ClaimKey = tuple[str, str, str]
Terms = tuple[NodeTerm, ...]
"""One of them must match a node."""


class Claim(NamedTuple):
    """`volume` is "" until it is bound, and `obj` None from then on; `selected` is the node that was chosen for it."""

    volume: str
    storage_class: str
    lost: bool
    deleting: bool
    selected: str = ""
    revision: str = ""
    obj: Obj | None = None


class Class(NamedTuple):
    """`makes`: whether volumes are made for claims, where `allowed` (None: anywhere)."""

    late: bool
    makes: bool
    allowed: Terms | None


class Blocked(NamedTuple):
    """No node will do, for this reason."""

    reason: str


class Reach(NamedTuple):
    """Each entry of `selectors` must match the node, and each of `offers`, where `waiting` claims can get a volume.
    Those are to be bound for the node that is chosen."""

    selectors: tuple[Terms, ...]
    waiting: tuple[str, ...]
    offers: tuple[Terms, ...] = ()


ANYWHERE = Reach((), ())


class Volumes:
    """What events told of claims, volumes and classes."""

    def __init__(self) -> None:
        self._claims: dict[ClaimKey, Claim] = {}
        self._volumes: dict[tuple[str, str], Terms | None] = {}
        self._unbound: dict[tuple[str, str], dict[str, Obj]] = {}
        self._places: dict[tuple[str, str], tuple[str, str]] = {}
        self._classes: dict[tuple[str, str], Class] = {}

    def claim_changed(self, key: ClaimKey, claim: Obj | None) -> None:
        if claim is None:
            self._claims.pop(key, None)
            return
        spec, meta = claim.get("spec") or {}, claim["metadata"]
        phase = (claim.get("status") or {}).get("phase")
        bound = (spec.get("volumeName") or "") if phase == "Bound" else ""
        named = dict(zip(("tenant", "namespace", "name"), key, strict=True))
        unbound: Obj = {"metadata": {"uid": "", **meta, **named}, "spec": spec}
        self._claims[key] = Claim(
            bound or (spec.get("volumeName") or "" if phase == "Lost" else ""),
            volumematching.class_of(unbound),
            phase == "Lost",
            "deletionTimestamp" in meta,
            (meta.get("annotations") or {}).get(SELECTED_NODE) or "",
            meta.get("resourceVersion") or "",
            None if bound else unbound,
        )

    def volume_changed(self, tenant: str, name: str, volume: Obj | None) -> None:
        key = tenant, name
        place = self._places.pop(key, None)
        if place is not None:
            self._unbound[place].pop(name)
            if not self._unbound[place]:
                del self._unbound[place]
        if volume is None:
            self._volumes.pop(key, None)
            return
        spec = volume.get("spec") or {}
        self._volumes[key] = terms.node_terms((spec.get("nodeAffinity") or {}).get("required"))
        if (volume.get("status") or {}).get("phase") in ("Available", "Pending"):
            place = self._places[key] = tenant, _place(volume)
            self._unbound.setdefault(place, {})[name] = volume

    def class_changed(self, tenant: str, name: str, storage_class: Obj | None) -> None:
        if storage_class is None:
            self._classes.pop((tenant, name), None)
            return
        self._classes[tenant, name] = Class(
            storage_class.get("volumeBindingMode") == "WaitForFirstConsumer",
            storage_class.get("provisioner") != _NO_PROVISIONER,
            _topologies(storage_class.get("allowedTopologies")),
        )

    def claim(self, key: ClaimKey) -> Claim | None:
        return self._claims.get(key)

    def is_bound(self, key: ClaimKey) -> bool:
        """Whether a claim has a volume, of which we know where it is."""
        claim = self._claims.get(key)
        return claim is not None and bool(claim.volume) and (key[0], claim.volume) in self._volumes

    def reach(self, pod: Pod) -> Reach | Blocked:
        """Which nodes reach all volumes of the pod."""
        if not pod.template.claims:
            return ANYWHERE
        tenant, namespace, _ = pod.key
        selectors: list[Terms] = []
        offers: list[Terms] = []
        waiting: list[str] = []
        for name in pod.template.claims:
            claim = self._claims.get((tenant, namespace, name))
            if claim is None:
                return Blocked(f'persistentvolumeclaim "{name}" not found')
            if claim.deleting:
                return Blocked(f'persistentvolumeclaim "{name}" is being deleted')
            if claim.lost:
                return Blocked(
                    f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.volume}"'
                )
            if not claim.volume:
                offered = self._offered(tenant, claim)
                if isinstance(offered, Blocked):
                    return offered
                waiting.append(name)
                offers += offered
                continue
            if (tenant, claim.volume) not in self._volumes:
                return Blocked(f'persistentvolume "{claim.volume}" not found')
            required = self._volumes[tenant, claim.volume]
            if required is not None:
                selectors.append(required)
        return Reach(tuple(selectors), tuple(waiting), tuple(offers))

    def _offered(self, tenant: str, claim: Claim) -> Sequence[Terms] | Blocked:
        """Where a claim that has no volume can get one: at most one entry."""
        known = self._class(tenant, claim.storage_class)
        assert claim.obj is not None
        if known is None or not known.late or claim.obj["spec"].get("volumeName"):
            return Blocked(_UNBOUND)
        if claim.selected:
            # For another pod, or for this one before we were started: the volume may be in the making there.
            return [(NodeTerm((), (Requirement("metadata.name", "In", (claim.selected,)),)),)]
        meta = claim.obj["metadata"]
        tied = self._unbound.get((tenant, f"{meta['namespace']}/{meta['name']}"), {})
        found = volumematching.tied(claim.obj, tied.values())
        if not found:
            if known.makes and known.allowed is None:
                return ()
            free = self._unbound.get((tenant, claim.storage_class), {})
            found = volumematching.fitting(claim.obj, free.values())
        places = [self._volumes[tenant, each["metadata"]["name"]] for each in found]
        if None in places:
            return ()
        allowed = (known.allowed or ()) if known.makes else ()
        return [tuple(term for place in places for term in place or ()) + allowed]

    def _class(self, tenant: str, name: str) -> Class | None:
        """The operators' classes are everybody's."""
        return self._classes.get((tenant, name), self._classes.get(("system", name))) if name else None


def _place(volume: Obj) -> str:
    """Under what an unbound volume is found: the claim that it names, or its class."""
    named = volume["spec"].get("claimRef")
    return f"{named.get('namespace')}/{named.get('name')}" if named else volumematching.class_of(volume)


def _topologies(allowed: Sequence[Obj] | None) -> Terms | None:
    if not allowed:
        return None
    return tuple(
        NodeTerm(
            tuple(
                Requirement(each.get("key") or "", "In", tuple(each.get("values") or ()))
                for each in term.get("matchLabelExpressions") or ()
            )
        )
        for term in allowed
    )
