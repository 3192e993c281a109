"""What a volume needs next: pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from arktos.controllers.persistentvolume import matching, provisioning
from arktos.controllers.persistentvolume.claims import BOUND_BY_US
from arktos.model.kinds import Obj


@dataclass(slots=True)
class Step:
    """At most one of: a status, an end, or to be nobody's again (`free`). `events` are (type, reason, message)."""

    status: Obj | None = None
    delete: bool = False
    free: bool = False
    events: list[tuple[Any, str, str]] = field(default_factory=list)


def step(volume: Obj, claim: Obj | None) -> Step:
    """`claim` is the one that the volume names, if it is there."""
    named = volume["spec"].get("claimRef")
    if not named or (not named.get("uid") and claim is None):
        return Step(status=_status(volume, "Available"))
    if claim is None or not matching.is_for(volume, claim):
        return _released(volume)
    if not named.get("uid"):
        return Step(status=_status(volume, "Available"))
    told = claim["spec"].get("volumeName") or ""
    if told in ("", volume["metadata"]["name"]):
        return Step(status=_status(volume, "Bound"))
    # The claim found another volume. What was made for it alone has no use; what we bound is free again.
    annotations = volume["metadata"].get("annotations") or {}
    if provisioning.PROVISIONED_BY in annotations and _policy(volume) == "Delete":
        return _released(volume)
    return Step(free=True) if BOUND_BY_US in annotations else Step(status=_status(volume, "Available"))


def _released(volume: Obj) -> Step:
    """Its claim has gone."""
    annotations = volume["metadata"].get("annotations") or {}
    status = _status(volume, "Released")
    match _policy(volume):
        case "Delete" if annotations.get(provisioning.PROVISIONED_BY) == provisioning.PROVISIONER:
            return Step(status=status, delete="deletionTimestamp" not in volume["metadata"])
        case "Delete" if provisioning.PROVISIONED_BY not in annotations:
            said = "error getting deleter volume plugin for volume: no deletable volume plugin matched"
            return _failed(volume, "VolumeFailedDelete", said)
        case "Recycle":
            return _failed(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
    return Step(status=status)


def _failed(volume: Obj, reason: str, said: str) -> Step:
    status = _status(volume, "Failed", reason=reason, message=said)
    return Step(status=status, events=[("Warning", reason, said)] if status is not None else [])


def _policy(volume: Obj) -> str:
    return str(volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain")


def _status(volume: Obj, phase: str, **more: str) -> Obj | None:
    """The status as a merge patch, None where it says so already."""
    old = volume.get("status") or {}
    wanted = {"phase": phase, "reason": more.get("reason"), "message": more.get("message")}
    return None if all(old.get(name) == value for name, value in wanted.items()) else wanted
