"""What a claim needs next: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from arktos.controllers.persistentvolume import matching, provisioning
from arktos.model.kinds import Obj

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_US = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass(slots=True)
class Step:
    """At most one of: a volume to bind the claim to, a volume to make, a status. `events` are (type, reason, message);
    `annotate` are annotations of the claim to set, None ones to take away."""

    bind: Obj | None = None
    make: Obj | None = None
    status: Obj | None = None
    annotate: dict[str, str | None] = field(default_factory=dict)
    events: list[tuple[Any, str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class World:
    """What a claim sees: the volumes of its tenant, its class and the node chosen for it (None where there is none),
    and whether some pod wants it."""

    volumes: Sequence[Obj]
    storage_class: Obj | None
    node: Obj | None
    wanted: bool


def step(claim: Obj, world: World) -> Step:
    """From what is there to what is to be done."""
    name = claim["spec"].get("volumeName") or ""
    annotations = claim["metadata"].get("annotations") or {}
    if BIND_COMPLETED in annotations:
        return _bound(claim, world, name)
    if name:
        return _named(claim, world, name)
    late = (world.storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    chosen = SELECTED_NODE in annotations
    found = matching.best(claim, world.volumes, world.node, only_named=late and not chosen)
    if found is not None:
        return Step(bind=found)
    pending = _status(claim, "Pending")
    if late and not chosen:
        said = "waiting for first consumer to be created before binding"
        if world.wanted:
            said = "waiting for pod to be scheduled"
        reason = "WaitForPodScheduled" if world.wanted else "WaitForFirstConsumer"
        return Step(status=pending, events=[("Normal", reason, said)])
    return _made(claim, world, pending, chosen)


def _made(claim: Obj, world: World, pending: Obj | None, chosen: bool) -> Step:
    """No volume fits: one is made, or somebody is waited for."""
    provisioner = str((world.storage_class or {}).get("provisioner") or "")
    if provisioner == provisioning.PROVISIONER:
        if not chosen:
            # A volume on a node needs to know which: a class that binds at once cannot have one made.
            said = f'storageclass "{matching.class_of(claim)}" must have volumeBindingMode WaitForFirstConsumer'
            return Step(status=pending, events=[("Warning", "ProvisioningFailed", said)])
        if world.node is None or world.storage_class is None:
            said = "the node that was chosen is gone"
            return Step(annotate={SELECTED_NODE: None}, events=[("Warning", "ProvisioningFailed", said)])
        return Step(make=provisioning.volume(claim, world.storage_class, world.node))
    if provisioner and provisioner != NO_PROVISIONER:
        said = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
            "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
            "correctly registered."
        )
        annotations = claim["metadata"].get("annotations") or {}
        told: dict[str, str | None] = {} if annotations.get(PROVISIONER) == provisioner else {PROVISIONER: provisioner}
        return Step(status=pending, annotate=told, events=[("Normal", "ExternalProvisioning", said)])
    if chosen:
        said = "no persistent volumes on the node that was chosen are available for this claim"
        return Step(annotate={SELECTED_NODE: None}, events=[("Warning", "FailedBinding", said)])
    said = "no persistent volumes available for this claim"
    if not matching.class_of(claim):
        said += " and no storage class is set"
    elif world.storage_class is None:
        said = f'storageclass.storage.k8s.io "{matching.class_of(claim)}" not found'
        return Step(status=pending, events=[("Warning", "ProvisioningFailed", said)])
    return Step(status=pending, events=[("Normal", "FailedBinding", said)])


def _named(claim: Obj, world: World, name: str) -> Step:
    """Somebody asked for a volume by name."""
    volume = next((each for each in world.volumes if each["metadata"]["name"] == name), None)
    if volume is None:
        return Step(status=_status(claim, "Pending"))
    if volume["spec"].get("claimRef") and not matching.is_for(volume, claim):
        said = f'volume "{name}" already bound to a different claim.'
        return Step(status=_status(claim, "Pending"), events=[("Warning", "FailedBinding", said)])
    if not matching.fits(volume, claim):
        said = f'Cannot bind to requested volume "{name}": it does not fit the claim'
        return Step(status=_status(claim, "Pending"), events=[("Warning", "VolumeMismatch", said)])
    return Step(bind=volume)


def _bound(claim: Obj, world: World, name: str) -> Step:
    volume = next((each for each in world.volumes if each["metadata"]["name"] == name), None)
    if volume is None:
        said = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        return _lost(claim, said) if name else _lost(claim, "Bound claim has lost reference to PersistentVolume.")
    if volume["spec"].get("claimRef") and not matching.is_for(volume, claim):
        return _lost(claim, "Two claims are bound to the same volume, this one is bound incorrectly", "ClaimMisbound")
    if not (volume["spec"].get("claimRef") or {}).get("uid"):
        return Step(bind=volume)
    return Step(status=_status(claim, "Bound", volume))


def _lost(claim: Obj, said: str, reason: str = "ClaimLost") -> Step:
    status = _status(claim, "Lost")
    return Step(status=status, events=[("Warning", reason, said)] if status is not None else [])


def _status(claim: Obj, phase: str, volume: Obj | None = None) -> Obj | None:
    """The status as a merge patch, None where it says so already."""
    old = claim.get("status") or {}
    wanted: Obj = {"phase": phase}
    if volume is not None:
        wanted["accessModes"] = volume["spec"].get("accessModes") or []
        wanted["capacity"] = volume["spec"].get("capacity") or {}
    return None if all(old.get(name) == value for name, value in wanted.items()) else wanted
