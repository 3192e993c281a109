"""Which volume fits a claim: pure."""

from __future__ import annotations

from collections.abc import Iterable

from arktos.model import placement, quantity, selectors
from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity

_CLASS = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: Obj) -> str:
    """The storage class of a claim or a volume, "" for none."""
    old = (obj["metadata"].get("annotations") or {}).get(_CLASS)
    return str(old if old is not None else (obj["spec"].get("storageClassName") or ""))


def requested(claim: Obj) -> Quantity:
    asked = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage") or "0"
    return quantity.parse(str(asked))


def capacity(volume: Obj) -> Quantity:
    return quantity.parse(str((volume["spec"].get("capacity") or {}).get("storage") or "0"))


def is_for(volume: Obj, claim: Obj) -> bool:
    """Whether a volume names this claim: by uid, or by name where it names no uid yet."""
    named = volume["spec"].get("claimRef")
    meta = claim["metadata"]
    if not named or (named.get("namespace"), named.get("name")) != (meta["namespace"], meta["name"]):
        return False
    return not named.get("uid") or bool(named["uid"] == meta["uid"])


def fits(volume: Obj, claim: Obj) -> bool:
    """Whether a volume can be the claim's, whoever has it now."""
    spec, wanted = volume["spec"], claim["spec"]
    modes = set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())
    kinds = (spec.get("volumeMode") or "Filesystem") == (wanted.get("volumeMode") or "Filesystem")
    classes = class_of(volume) == class_of(claim)
    attributes = (spec.get("volumeAttributesClassName") or "") == (wanted.get("volumeAttributesClassName") or "")
    return modes and kinds and classes and attributes and not requested(claim) > capacity(volume)


def best(claim: Obj, volumes: Iterable[Obj], node: Obj | None, *, only_named: bool = False) -> Obj | None:
    """The volume for an unbound claim: one that names it; else (unless `only_named`) the smallest free one that fits,
    is selected, and can be reached from `node`, where one was chosen."""
    selector = claim["spec"].get("selector")
    selects = selectors.from_label_selector(selector).matches_labels if selector is not None else None
    found: Obj | None = None
    for volume in volumes:
        if "deletionTimestamp" in volume["metadata"] or not fits(volume, claim):
            continue
        if is_for(volume, claim):
            return volume
        if only_named or volume["spec"].get("claimRef") or _phase(volume) != "Available":
            continue
        if selects is not None and not selects(volume["metadata"].get("labels") or {}):
            continue
        if node is not None and not reaches(volume, node):
            continue
        if found is None or _order(volume) < _order(found):
            found = volume
    return found


def reaches(volume: Obj, node: Obj) -> bool:
    """Whether a node is among those that a volume can be reached from."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if required is None:
        return True
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return placement.matches_node({"affinity": affinity}, node)


def _order(volume: Obj) -> tuple[Quantity, str]:
    return capacity(volume), volume["metadata"]["name"]


def _phase(volume: Obj) -> str:
    return str((volume.get("status") or {}).get("phase") or "Available")
