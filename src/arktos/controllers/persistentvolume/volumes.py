"""What a volume needs next: pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from arktos.controllers.persistentvolume import provisioning
from arktos.controllers.persistentvolume.claims import BOUND_BY_US, Event
from arktos.controllers.persistentvolume.provisioning import PROVISIONED_BY
from arktos.model import volumematching as matching
from arktos.model.kinds import Obj


@dataclass(slots=True)
class Step:
    """At most one of: a status, an end, or a new `claimRef` (what a merge patch of the spec says) with which the volume
    is nobody's again. `look` has the claim looked at. Events are of the volume, and of the claim that it names."""

    status: Obj | None = None
    delete: bool = False
    free: Obj | None = None
    look: bool = False
    events: list[Event] = field(default_factory=list)
    claim_events: list[Event] = field(default_factory=list)


def step(volume: Obj, claim: Obj | None) -> Step:
    """`claim` is the one that the volume names, if it is there."""
    named = volume["spec"].get("claimRef")
    if not named or not named.get("uid"):
        return Step(status=_status(volume, "Available"), look=bool(named))
    if claim is None or not matching.is_for(volume, claim):
        return _released(volume)
    name = volume["metadata"]["name"]
    told = claim["spec"].get("volumeName") or ""
    if told == name:
        return Step(status=_status(volume, "Bound"))
    if not told:
        return _dangling(volume, claim, name)
    # The claim found another volume. What was made for it alone has no use; what we bound is free again.
    if PROVISIONED_BY in _annotations(volume) and _policy(volume) == "Delete":
        return _released(volume)
    return Step(free=_freed(volume))


def _dangling(volume: Obj, claim: Obj, name: str) -> Step:
    """The volume names the claim, which does not name the volume yet."""
    if matching.same_mode(volume, claim):
        return Step(look=True)
    about_claim = (
        f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{claim["metadata"]["name"]}" due to '
        "incompatible volumeMode."
    )
    about_volume = (
        f'Cannot bind PersistentVolume "{name}" to requested PersistentVolumeClaim due to incompatible volumeMode.'
    )
    return Step(
        events=[("Warning", "VolumeMismatch", about_claim)], claim_events=[("Warning", "VolumeMismatch", about_volume)]
    )


def _freed(volume: Obj) -> Obj:
    """As a merge patch. Who tied a volume to a claim by hand wants it to stay so: only the uid goes."""
    if BOUND_BY_US not in _annotations(volume):
        return {"spec": {"claimRef": {"uid": None, "resourceVersion": None}}}
    return {"metadata": {"annotations": {BOUND_BY_US: None}}, "spec": {"claimRef": None}}


def _released(volume: Obj) -> Step:
    """Its claim has gone."""
    annotations = _annotations(volume)
    # What went wrong stays to be seen.
    status = None if _phase(volume) == "Failed" else _status(volume, "Released")
    policy = _policy(volume)
    if policy == "Retain":
        return Step(status=status)
    if policy == "Recycle":
        return _failed(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
    if policy != "Delete":
        return _failed(volume, "VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy")
    if provisioning.is_ours(volume):
        return Step(status=status, delete="deletionTimestamp" not in volume["metadata"])
    if not annotations.get(PROVISIONED_BY, "kubernetes.io/").startswith("kubernetes.io/") or "csi" in volume["spec"]:
        # An external provisioner deletes what it made.
        return Step(status=status)
    name = volume["metadata"]["name"]
    said = f'error getting deleter volume plugin for volume "{name}": no deletable volume plugin matched'
    return _failed(volume, "VolumeFailedDelete", said)


def _failed(volume: Obj, reason: str, said: str) -> Step:
    status = _status(volume, "Failed", said)
    return Step(status=status, events=[("Warning", reason, said)] if status is not None else [])


def _policy(volume: Obj) -> str:
    return str(volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain")


def _annotations(volume: Obj) -> dict[str, Any]:
    return volume["metadata"].get("annotations") or {}


def _phase(volume: Obj) -> str:
    return str((volume.get("status") or {}).get("phase") or "")


def _status(volume: Obj, phase: str, message: str | None = None) -> Obj | None:
    """The status as a merge patch, None where it says so already."""
    if _phase(volume) == phase:
        return None
    return {"phase": phase, "message": message, "reason": None}
