"""Revisions of a workload's template, as ControllerRevision objects: what StatefulSets and DaemonSets roll by. Pure.

A revision's `data` is a patch that restores the template (`{"spec": {"template": {..., "$patch": "replace"}}}`); equal
data is the same revision, however often it was returned to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from arktos.client import Cached
from arktos.controllers import owners
from arktos.controllers.deployment.hashing import template_hash
from arktos.model import registry
from arktos.model.kinds import Kind, Obj

REVISION = registry.by_resource("controllerrevisions.apps")
HASH_LABEL = "controller-revision-hash"
_KEEP = 10


@dataclass(frozen=True, slots=True)
class Revision:
    """One ControllerRevision. `hash` is its label, by which pods name it."""

    obj: Obj
    name: str
    number: int
    hash: str

    @property
    def template(self) -> Obj:
        restored: Obj = dict(self.obj["data"]["spec"]["template"])
        restored.pop("$patch", None)
        return restored


def view(cached: Cached) -> Revision:
    obj = cached.obj()
    return Revision(obj, cached.name, int(obj.get("revision") or 0), cached.labels.get(HASH_LABEL, ""))


def data_of(owner: Obj) -> Obj:
    """What a revision of the owner's template remembers."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def in_order(revisions: Iterable[Revision]) -> list[Revision]:
    """The oldest first."""
    return sorted(revisions, key=lambda each: (each.number, each.name))


def current(owner: Obj, revisions: Sequence[Revision]) -> Revision | None:
    """The revision that equals the owner's template now, if there is one."""
    wanted = _bytes(data_of(owner))
    return next((each for each in reversed(in_order(revisions)) if _bytes(each.obj["data"]) == wanted), None)


def new(kind: Kind, owner: Obj, revisions: Sequence[Revision], collisions: int) -> Obj:
    """The ControllerRevision of the template now, numbered after all others."""
    meta = owner["metadata"]
    digest = template_hash(owner["spec"]["template"], collisions)
    labels = {**(owner["spec"]["template"].get("metadata") or {}).get("labels", {}), HASH_LABEL: digest}
    metadata: Obj = {
        "name": f"{meta['name']}-{digest}",
        "namespace": meta["namespace"],
        "tenant": meta["tenant"],
        "labels": labels,
        "ownerReferences": [owners.managing(kind, owner)],
    }
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k == "kubernetes.io/change-cause"}
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": REVISION.api_version,
        "kind": REVISION.kind,
        "metadata": metadata,
        "data": data_of(owner),
        "revision": next_number(revisions),
    }


def next_number(revisions: Sequence[Revision]) -> int:
    return max((each.number for each in revisions), default=0) + 1


def expendable(owner: Obj, revisions: Sequence[Revision], in_use: Iterable[str]) -> list[Revision]:
    """Revisions beyond `revisionHistoryLimit`, the oldest; those whose hash is in use don't count and stay."""
    used = frozenset(in_use)
    idle = [each for each in in_order(revisions) if each.hash not in used]
    limit = owner["spec"].get("revisionHistoryLimit")
    surplus = len(idle) - (_KEEP if limit is None else int(limit))
    return idle[:surplus] if surplus > 0 else []


def _bytes(data: Obj) -> bytes:
    return msgspec.json.encode(data, order="deterministic")
