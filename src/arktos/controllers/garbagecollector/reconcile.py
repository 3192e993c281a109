"""What happens to one object: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from arktos.client import Cached, Key, Owner
from arktos.client.client import Propagation
from arktos.controllers.actions import Delete, Patch
from arktos.controllers.customkinds import is_custom
from arktos.controllers.garbagecollector.graph import FOREGROUND, ORPHAN, Item, State, is_waiting, item_of
from arktos.model.kinds import Kind, Obj


@dataclass(frozen=True, slots=True)
class Judged:
    """The object as the server has it now; `owners` with what each is to it; `dependents` as the mirrors know them."""

    kind: Kind
    key: Key
    uid: str
    resource_version: str
    deleting: bool
    finalizers: Sequence[str] = ()
    owners: Sequence[tuple[Owner, State]] = ()
    dependents: Sequence[Cached] = ()


@dataclass(slots=True)
class Verdict:
    """`first` must all succeed before `then` is done. `look_at` are objects whose turn it is now."""

    first: list[Patch] = field(default_factory=list)
    then: list[Patch | Delete] = field(default_factory=list)
    look_at: list[Item] = field(default_factory=list)


def judge(case: Judged) -> Verdict:
    """Kubernetes' rules in their order: orphan, foreground, owners."""
    if case.deleting:
        if ORPHAN in case.finalizers:
            return _orphan(case)
        if FOREGROUND in case.finalizers:
            return _foreground(case)
        return Verdict()
    return _by_owners(case)


def _orphan(case: Judged) -> Verdict:
    first = [_without_owners(c.kind, c.key, c.uid, [case.uid], c.owners, c.resource_version) for c in case.dependents]
    return Verdict(first, [_without_finalizer(case, ORPHAN)])


def _foreground(case: Judged) -> Verdict:
    blocking = [cached for cached in case.dependents if _blocks(cached, case.uid)]
    if not blocking:
        return Verdict(then=[_without_finalizer(case, FOREGROUND)])
    return Verdict(look_at=[item_of(cached) for cached in case.dependents if not cached.deleting])


def _blocks(cached: Cached, uid: str) -> bool:
    return any(owner.uid == uid and owner.block_owner_deletion for owner in cached.owners)


def _by_owners(case: Judged) -> Verdict:
    states = {state for _, state in case.owners}
    gone = [owner.uid for owner, state in case.owners if state in (State.ABSENT, State.WAITING)]
    if State.SOLID in states and gone:
        owners = [owner for owner, _ in case.owners]
        return Verdict(then=[_without_owners(case.kind, case.key, case.uid, gone, owners, case.resource_version)])
    if not gone or states - {State.ABSENT, State.WAITING}:
        return Verdict()
    if State.WAITING in states and case.dependents:
        # Its owner waits for it, so it waits for its own. In a circle it must not: nobody would ever go.
        circle = any(is_waiting(cached) for cached in case.dependents)
        return Verdict([_unblocking(case)] if circle else [], [_delete(case, "Foreground", pinned=not circle)])
    if ORPHAN in case.finalizers:
        return Verdict(then=[_delete(case, "Orphan")])
    return Verdict(then=[_delete(case, "Foreground" if FOREGROUND in case.finalizers else "Background")])


def _delete(case: Judged, propagation: Propagation, *, pinned: bool = True) -> Delete:
    """Of the very state that was judged: an owner that was added meanwhile makes it another."""
    version = case.resource_version if pinned else ""
    return Delete(case.kind, case.key, uid=case.uid, resource_version=version, propagation=propagation)


def _without_owners(kind: Kind, key: Key, uid: str, gone: Sequence[str], owners: Sequence[Owner], rv: str) -> Patch:
    if is_custom(kind):
        # How lists of custom resources merge, nobody says: the whole list, of the very state that was seen.
        kept: list[Obj] = [_reference(owner) for owner in owners if owner.uid not in gone]
        return Patch(kind, key, {"metadata": {"uid": uid, "resourceVersion": rv, "ownerReferences": kept}})
    references = [{"$patch": "delete", "uid": owner} for owner in gone]
    return Patch(kind, key, {"metadata": {"uid": uid, "ownerReferences": references}}, "strategic")


def _reference(owner: Owner, **more: bool) -> Obj:
    reference: Obj = {"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid}
    for name, value in (("controller", owner.controller), ("blockOwnerDeletion", owner.block_owner_deletion)):
        if value:
            reference[name] = value
    return {**reference, **more}


def _unblocking(case: Judged) -> Patch:
    if is_custom(case.kind):
        whole = [_reference(owner, blockOwnerDeletion=False) for owner, _ in case.owners]
        metadata = {"uid": case.uid, "resourceVersion": case.resource_version, "ownerReferences": whole}
        return Patch(case.kind, case.key, {"metadata": metadata})
    references = [{"uid": owner.uid, "blockOwnerDeletion": False} for owner, _ in case.owners]
    return Patch(case.kind, case.key, {"metadata": {"uid": case.uid, "ownerReferences": references}}, "strategic")


def _without_finalizer(case: Judged, finalizer: str) -> Patch:
    rest = [each for each in case.finalizers if each != finalizer]
    metadata = {"uid": case.uid, "resourceVersion": case.resource_version, "finalizers": rest}
    return Patch(case.kind, case.key, {"metadata": metadata})
