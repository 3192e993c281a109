"""Owner references, and the rule by which a controller comes to the objects that are its own. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from arktos.client import Cached, Key
from arktos.controllers.actions import Patch
from arktos.model.kinds import Kind, Obj


def managing(kind: Kind, owner: Obj) -> Obj:
    """The reference of a managing owner."""
    meta = owner["metadata"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


@dataclass(slots=True)
class Claims:
    """What a controller's objects are: `held` ones are its own, `adopt` and `release` are patches that make it so."""

    held: list[Cached] = field(default_factory=list)
    adopt: list[Patch] = field(default_factory=list)
    release: list[Patch] = field(default_factory=list)


def claim(
    owner_kind: Kind,
    owner: Obj,
    owned: Iterable[Cached],
    orphans: Iterable[Cached],
    matches: Callable[[Mapping[str, str]], bool],
) -> Claims:
    """Sorts objects by Kubernetes' rule: what we own and select is held; what we own and no longer select is let go;
    what nobody manages and we select is taken. An owner that is being deleted takes and lets go nothing."""
    found = Claims()
    deleting = "deletionTimestamp" in owner["metadata"]
    for cached in owned:
        if matches(cached.labels) or deleting:
            found.held.append(cached)
        elif not cached.deleting:
            found.release.append(_release(cached, owner["metadata"]["uid"]))
    if not deleting:
        reference = managing(owner_kind, owner)
        found.adopt = [_adopt(c, reference) for c in orphans if matches(c.labels) and not c.deleting]
    return found


def _adopt(cached: Cached, reference: Obj) -> Patch:
    body = {"metadata": {"uid": cached.uid, "ownerReferences": [reference]}}
    return Patch(cached.kind, cached.key, body, "strategic")


def _release(cached: Cached, uid: str) -> Patch:
    body = {"metadata": {"uid": cached.uid, "ownerReferences": [{"$patch": "delete", "uid": uid}]}}
    return Patch(cached.kind, cached.key, body, "strategic")


def unmanaged_in_namespace(cached: Cached) -> Iterable[str]:
    """Index values: tenant/namespace, for objects that nobody manages."""
    return () if cached.controller is not None else (f"{cached.tenant}/{cached.namespace}",)


def orphan_rivals(cached: Cached, candidates: Iterable[Cached]) -> Iterable[Key]:
    """The keys of those who might adopt `cached`: the candidates, if nobody manages it."""
    return () if cached.controller is not None else [candidate.key for candidate in candidates]
