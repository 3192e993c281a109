"""What pods and claims say of each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from arktos.controllers import owners
from arktos.model import registry
from arktos.model.kinds import Obj

POD, CLAIM = registry.by_resource("pods"), registry.by_resource("resourceclaims.resource.k8s.io")
POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
"""On a claim that was made for a pod: which of the pod's claims it is."""
FINALIZER = "resource.kubernetes.io/delete-protection"
"""On a claim that is allocated."""
EXTENDED = "resource.kubernetes.io/extended-resource-claim"
"""On a claim that the scheduler made for a pod's extended resources."""
CONSUMERS = 256
"""Pods that may share a claim."""

_ENDED = frozenset({"Succeeded", "Failed"})
_BASE = 57
"""What is left of a name of 63 characters beside a hyphen and five that are drawn."""


def recorded(pod: Obj) -> dict[str, str | None]:
    """By the pod's names: the claims that were made for it. None where it was found that none is needed."""
    statuses = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    return {each["name"]: each.get("resourceClaimName") for each in statuses}


def named(pod: Obj) -> Iterator[str]:
    """The names of all claims that a pod uses, as far as they have one."""
    known = recorded(pod)
    for each in (pod.get("spec") or {}).get("resourceClaims") or ():
        name = each.get("resourceClaimName") or known.get(each["name"])
        if name:
            yield name
    extended = ((pod.get("status") or {}).get("extendedResourceClaimStatus") or {}).get("resourceClaimName")
    if extended:
        yield extended


def done(pod: Obj) -> bool:
    """Whether a pod will never use its claims again: it has ended, or was deleted before it had a node."""
    if (pod.get("status") or {}).get("phase") in _ENDED:
        return True
    return "deletionTimestamp" in pod["metadata"] and not (pod.get("spec") or {}).get("nodeName")


def generate_name(pod: str, claim: str) -> str:
    """The beginning of the name of a claim that is made. Of long names both parts keep their share."""
    whole = f"{pod}-{claim}-"
    if len(whole) <= _BASE:
        return whole
    first, second = (part[: len(part) * _BASE // len(whole)] for part in (pod, claim))
    return f"{first}-{second}"


def from_template(pod: Obj, name: str, template: Obj) -> Obj:
    """The claim that a template makes for a pod, which calls it `name`."""
    meta, spec = pod["metadata"], template.get("spec") or {}
    told = spec.get("metadata") or {}
    metadata: Obj = {
        "generateName": generate_name(meta["name"], name),
        "namespace": meta["namespace"],
        "tenant": meta["tenant"],
        "ownerReferences": [owners.managing(POD, pod)],
        "annotations": {**(told.get("annotations") or {}), POD_CLAIM: name},
    }
    if told.get("labels"):
        metadata["labels"] = told["labels"]
    return {
        "apiVersion": CLAIM.api_version,
        "kind": CLAIM.kind,
        "metadata": metadata,
        "spec": spec.get("spec") or {},
    }


def owner(claim: Obj) -> tuple[str, str]:
    """Name and uid of the pod that a claim was made for; empty if it was not."""
    for each in claim["metadata"].get("ownerReferences") or ():
        if each.get("controller") and each.get("kind") == POD.kind and each.get("apiVersion") == POD.api_version:
            return each["name"], each["uid"]
    return "", ""


def made_for(claims: Iterable[Obj], pod_uid: str, name: str) -> str | None:
    """The name of the claim that was made for a pod's claim `name`, be it recorded or not."""
    for claim in claims:
        meta = claim["metadata"]
        if owner(claim)[1] == pod_uid and (meta.get("annotations") or {}).get(POD_CLAIM) == name:
            found: str = meta["name"]
            return found
    return None


def has_admin_access(claim: Obj) -> bool:
    """Whether a claim asks for devices that others use already."""
    requests = ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ()
    return any((each.get("exactly") or {}).get("adminAccess") for each in requests)


def counted_as(claim: Obj) -> tuple[str, str, str]:
    """Whether a claim is allocated, whether it has admin access, and where it comes from ("" for people)."""
    annotations = claim["metadata"].get("annotations") or {}
    source = "resource_claim_template" if POD_CLAIM in annotations else ""
    if EXTENDED in annotations:
        source = "extended_resource"
    allocated = bool((claim.get("status") or {}).get("allocation"))
    return _word(allocated), _word(has_admin_access(claim)), source


def _word(yes: bool) -> str:
    return "true" if yes else "false"


def consumers(claim: Obj) -> list[Obj]:
    found: list[Obj] = (claim.get("status") or {}).get("reservedFor") or []
    return found


def is_pod(consumer: Obj) -> bool:
    return not consumer.get("apiGroup") and consumer.get("resource") == "pods"


def reserved_for(claim: Obj, pod: Obj) -> Obj | None:
    """An allocated claim with a pod among its consumers; None where that is so, or cannot be."""
    status, uid = claim.get("status") or {}, pod["metadata"]["uid"]
    held = consumers(claim)
    if not status.get("allocation") or len(held) >= CONSUMERS or any(each.get("uid") == uid for each in held):
        return None
    consumer = {"resource": "pods", "name": pod["metadata"]["name"], "uid": uid}
    return claim | {"status": status | {"reservedFor": [*held, consumer]}}


def released(claim: Obj, kept: list[Obj]) -> Obj | None:
    """A claim with these consumers only. With the last one the allocation goes, and so does that of a claim that is
    being deleted and has none; None where nothing changes. Only what the scheduler has allocated is taken back."""
    status = claim.get("status") or {}
    changed = {**status, "reservedFor": kept}
    ours = FINALIZER in (claim["metadata"].get("finalizers") or ())
    left = len(kept) < len(consumers(claim))
    if not kept:
        del changed["reservedFor"]
        if ours and (left or "deletionTimestamp" in claim["metadata"]):
            changed.pop("allocation", None)
    same = not left and status.get("allocation") == changed.get("allocation")
    return None if same else claim | {"status": changed}


def unprotected(claim: Obj, *, left: bool) -> Obj | None:
    """A claim without its finalizer, where consumers have `left` or it is being deleted; None where that must stay."""
    meta, held = claim["metadata"], claim["metadata"].get("finalizers") or []
    if FINALIZER not in held or (claim.get("status") or {}).get("allocation") or consumers(claim):
        return None
    if not left and "deletionTimestamp" not in meta:
        return None
    return claim | {"metadata": {**meta, "finalizers": [each for each in held if each != FINALIZER]}}
