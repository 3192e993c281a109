"""Which volume fits a claim: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from arktos.model import placement, quantity, selectors
from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity

_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def class_of(obj: Obj) -> str:
    """The storage class of a claim or a volume, "" for none."""
    old = (obj["metadata"].get("annotations") or {}).get(_CLASS)
    return str(old if old is not None else (obj["spec"].get("storageClassName") or ""))


def states_class(claim: Obj) -> bool:
    """Whether a claim says which class it wants, be it none ("")."""
    return _CLASS in (claim["metadata"].get("annotations") or {}) or claim["spec"].get("storageClassName") is not None


def is_default(storage_class: Obj) -> bool:
    """Whether claims that name no class get this one."""
    annotations = storage_class["metadata"].get("annotations") or {}
    return any(annotations.get(name) == "true" for name in _DEFAULT)


def default_class(classes: Iterable[Obj]) -> str:
    """The newest of the default classes among a tenant's, by name where several are as new; "" if there is none."""
    marked = [each["metadata"] for each in classes if is_default(each)]
    newest = max((meta.get("creationTimestamp") or "" for meta in marked), default="")
    return min((meta["name"] for meta in marked if (meta.get("creationTimestamp") or "") == newest), default="")


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


def same_mode(volume: Obj, claim: Obj) -> bool:
    """Whether both are filesystems, or both block devices."""
    return (volume["spec"].get("volumeMode") or "Filesystem") == (claim["spec"].get("volumeMode") or "Filesystem")


def mismatch(volume: Obj, claim: Obj) -> str:
    """Why a volume cannot be what the claim asks for by name; "" if it can."""
    spec, wanted = volume["spec"], claim["spec"]
    if "deletionTimestamp" in volume["metadata"]:
        return f'the volume is marked for deletion "{volume["metadata"]["name"]}"'
    if requested(claim) > capacity(volume):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if (spec.get("volumeAttributesClassName") or "") != (wanted.get("volumeAttributesClassName") or ""):
        return "volumeAttributesClassName does not match"
    if not same_mode(volume, claim):
        return "incompatible volumeMode"
    if not _modes(claim) <= _modes(volume):
        return "incompatible accessMode"
    return ""


def tied(claim: Obj, volumes: Iterable[Obj]) -> list[Obj]:
    """The volumes that name an unbound claim and can be its, whatever their class and labels."""
    return [volume for volume in volumes if is_for(volume, claim) and _could_be(volume, claim)]


def fitting(claim: Obj, volumes: Iterable[Obj]) -> list[Obj]:
    """The free volumes that an unbound claim could have, wherever they are."""
    selector = claim["spec"].get("selector")
    selects = selectors.from_label_selector(selector).matches_labels if selector is not None else None
    return [
        volume
        for volume in volumes
        if not volume["spec"].get("claimRef")
        and _phase(volume) == "Available"
        and not mismatch(volume, claim)
        and (selects is None or selects(volume["metadata"].get("labels") or {}))
    ]


def best(claim: Obj, volumes: Sequence[Obj], node: Obj | None, *, only_named: bool = False) -> Obj | None:
    """The volume for an unbound claim: one that names it; else (unless `only_named`) the free one that fits and can be
    reached from `node` where one was chosen: of those with the fewest access modes the smallest."""
    named = tied(claim, volumes)
    if named or only_named:
        return named[0] if named else None
    reached = [volume for volume in fitting(claim, volumes) if node is None or reaches(volume, node)]
    return min(reached, key=_order, default=None)


def _could_be(volume: Obj, claim: Obj) -> bool:
    """Whether a volume that names a claim can be its: the class was its author's business."""
    return mismatch(volume, claim) in ("", "storageClassName does not match")


def reaches(volume: Obj, node: Obj) -> bool:
    """Whether a node is among those that a volume can be reached from."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if required is None:
        return True
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return placement.matches_node({"affinity": affinity}, node)


def _modes(obj: Obj) -> set[str]:
    return set(obj["spec"].get("accessModes") or ())


def _order(volume: Obj) -> tuple[int, Quantity, str]:
    return len(_modes(volume)), capacity(volume), volume["metadata"]["name"]


def _phase(volume: Obj) -> str:
    return str((volume.get("status") or {}).get("phase") or "Available")
