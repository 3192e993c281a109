"""What a claim needs next: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from arktos.controllers.persistentvolume import provisioning
from arktos.controllers.persistentvolume.provisioning import NO_PROVISIONER
from arktos.model import quantity
from arktos.model import volumematching as matching
from arktos.model.kinds import Obj

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_US = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONERS = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
"""Annotations that tell who is to make a volume for a claim."""

Event = tuple[Any, str, str]
"""Type, reason, message."""


@dataclass(slots=True)
class Step:
    """At most one of: a volume to bind the claim to, a volume to make, a class to state, a size that the claim's
    volume has from now on (`grow`), a status. `annotate` are annotations of the claim to set, None ones to take
    away."""

    bind: Obj | None = None
    make: Obj | None = None
    state_class: str = ""
    grow: str = ""
    status: Obj | None = None
    annotate: dict[str, str | None] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class World:
    """What a claim sees: the volumes that might be its (the one that it names, those that name it, free ones of its
    class), its class and the node chosen for it (None where there is none), the pods without a node that want it, and
    the default class for claims that state none."""

    volumes: Sequence[Obj]
    storage_class: Obj | None
    node: Obj | None
    waiting: Sequence[str] = ()
    default: str = ""


def step(claim: Obj, world: World) -> Step:
    """From what is there to what is to be done."""
    name = claim["spec"].get("volumeName") or ""
    annotations = claim["metadata"].get("annotations") or {}
    if BIND_COMPLETED in annotations:
        return _bound(claim, world, name)
    if name:
        return _named(claim, world, name)
    late = (world.storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    chosen = annotations.get(SELECTED_NODE) or ""
    found = matching.best(claim, world.volumes, world.node, only_named=late and world.node is None)
    if found is not None:
        return Step(bind=found)
    if world.default and not matching.states_class(claim):
        return Step(state_class=world.default)
    pending = unbound(claim, "Pending")
    if late and not chosen:
        return Step(status=pending, events=[_waits(world.waiting)])
    if matching.class_of(claim):
        return _made(claim, world, pending, chosen)
    said = "no persistent volumes available for this claim and no storage class is set"
    return Step(status=pending, events=[("Normal", "FailedBinding", said)])


def _waits(pods: Sequence[str]) -> Event:
    if not pods:
        return "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding"
    called = "pod" if len(pods) == 1 else "pods"
    return "Normal", "WaitForPodScheduled", f"waiting for {called} {','.join(sorted(pods))} to be scheduled"


def _made(claim: Obj, world: World, pending: Obj | None, chosen: str) -> Step:
    """No volume fits: one is made, or somebody is waited for."""
    named = matching.class_of(claim)
    if world.storage_class is None:
        return _not_made(pending, f'storageclass.storage.k8s.io "{named}" not found')
    provisioner = str(world.storage_class.get("provisioner") or "")
    if provisioner == NO_PROVISIONER:
        failed = _not_made(pending, f"no volume plugin matched name: {NO_PROVISIONER}")
        if chosen:
            # Another node may have one: the scheduler chooses anew.
            failed.annotate[SELECTED_NODE] = None
        return failed
    annotations = claim["metadata"].get("annotations") or {}
    told: dict[str, str | None] = {key: provisioner for key in PROVISIONERS if annotations.get(key) != provisioner}
    if provisioner == provisioning.PROVISIONER:
        return _made_here(claim, world, world.storage_class, pending, chosen, told)
    said = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    return Step(status=pending, annotate=told, events=[("Normal", "ExternalProvisioning", said)])


def _made_here(
    claim: Obj, world: World, storage_class: Obj, pending: Obj | None, chosen: str, told: dict[str, str | None]
) -> Step:
    why = provisioning.refusal(claim, storage_class)
    if why:
        return _not_made(pending, why)
    if not chosen:
        # A volume on a node needs to know which: a class that binds at once cannot have one made.
        why = "no node was selected: the class must have volumeBindingMode WaitForFirstConsumer"
        return _not_made(pending, provisioning.failed(storage_class, why))
    if world.node is None:
        failed = _not_made(pending, f'Failed to get target node: nodes "{chosen}" not found')
        failed.annotate[SELECTED_NODE] = None
        return failed
    return Step(make=provisioning.volume(claim, storage_class, world.node), annotate=told)


def _not_made(pending: Obj | None, said: str) -> Step:
    return Step(status=pending, events=[("Warning", "ProvisioningFailed", said)])


def _named(claim: Obj, world: World, name: str) -> Step:
    """Somebody asked for a volume by name."""
    volume = next((each for each in world.volumes if each["metadata"]["name"] == name), None)
    pending = unbound(claim, "Pending")
    if volume is None:
        return Step(status=pending)
    if volume["spec"].get("claimRef"):
        if matching.is_for(volume, claim):
            return Step(bind=volume)
        said = f'volume "{name}" already bound to a different claim.'
        return Step(status=pending, events=[("Warning", "FailedBinding", said)])
    why = matching.mismatch(volume, claim)
    if why:
        said = f'Cannot bind to requested volume "{name}": {why}'
        return Step(status=pending, events=[("Warning", "VolumeMismatch", said)])
    return Step(bind=volume)


def _bound(claim: Obj, world: World, name: str) -> Step:
    if not name:
        return _lost(claim, "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
    volume = next((each for each in world.volumes if each["metadata"]["name"] == name), None)
    if volume is None:
        return _lost(claim, "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    if volume["spec"].get("claimRef") and not matching.is_for(volume, claim):
        return _lost(claim, "Two claims are bound to the same volume, this one is bound incorrectly", "ClaimMisbound")
    if not (volume["spec"].get("claimRef") or {}).get("uid"):
        return Step(bind=volume)
    status = bound(claim, volume)
    if status is not None:
        return Step(status=status)
    return _grown(claim, world, volume)


def _grown(claim: Obj, world: World, volume: Obj) -> Step:
    """Its owner may have asked for more than there is."""
    given = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    if given is None or not matching.requested(claim) > quantity.parse(str(given)):
        return Step()
    if provisioning.is_ours(volume):
        return Step(grow=str(claim["spec"]["resources"]["requests"]["storage"]))
    if (world.storage_class or {}).get("allowVolumeExpansion"):
        said = "waiting for an external controller to expand this PVC"
        return Step(events=[("Normal", "ExternalExpanding", said)])
    return Step()


def _lost(claim: Obj, said: str, reason: str = "ClaimLost") -> Step:
    status = unbound(claim, "Lost")
    return Step(status=status, events=[("Warning", reason, said)] if status is not None else [])


_OF_A_VOLUME = ("accessModes", "capacity", "currentVolumeAttributesClassName")


def unbound(claim: Obj, phase: str) -> Obj | None:
    """The status of a claim without a volume as a merge patch, None where it says so already."""
    old = claim.get("status") or {}
    gone: Obj = {name: None for name in _OF_A_VOLUME if old.get(name)}
    return None if old.get("phase") == phase and not gone else {"phase": phase, **gone}


def bound(claim: Obj, volume: Obj) -> Obj | None:
    """The status of a claim that has this volume as a merge patch, None where it says so already. What it holds is said
    when it becomes bound; later it is for those to say who enlarge it."""
    old, spec = claim.get("status") or {}, volume["spec"]
    wanted: Obj = {"phase": "Bound", "accessModes": spec.get("accessModes") or []}
    if old.get("phase") != "Bound":
        wanted["capacity"] = spec.get("capacity") or {}
        if spec.get("volumeAttributesClassName"):
            wanted["currentVolumeAttributesClassName"] = spec["volumeAttributesClassName"]
    return None if all(old.get(name) == value for name, value in wanted.items()) else wanted
