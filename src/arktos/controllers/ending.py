"""How a place ends, the same for namespaces and tenants: conditions that say what is left, and the last finalizer.
Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from arktos.client import Cached
from arktos.controllers import conditions
from arktos.controllers.actions import Delete, Patch, Replace
from arktos.model.kinds import Kind, Obj

FINALIZER = "kubernetes"
PATIENCE = 0.25
"""Seconds that content may take to go before a status is written about it: most places are gone by then."""


def deletions(left: Iterable[Cached]) -> list[Delete]:
    """Deletes what is not being deleted yet; the uid makes sure that it is this object."""
    return [Delete(c.kind, c.key, uid=c.uid, propagation="Background") for c in left if not c.deleting]


def report(
    status: Obj, left: Sequence[Cached], failures: Sequence[Exception], now: str, word: str = "Namespace"
) -> list[Obj]:
    """The conditions of a place that is waiting (or, with nothing left, of one that is about to go). `word` begins
    their types, as in NamespaceContentRemaining."""
    found: Sequence[Obj] = status.get("conditions") or ()
    failed = bool(failures)
    message = f"Failed to delete all resource types, {len(failures)} remaining: " + "; ".join(
        sorted({str(failure) for failure in failures})[:5]
    )
    rows = [
        ("DeletionDiscoveryFailure", False, "", "ResourcesDiscovered", "All resources successfully discovered"),
        ("DeletionGroupVersionParsingFailure", False, "", "ParsedGroupVersions", "All types successfully parsed"),
        ("DeletionContentFailure", failed, "ContentDeletionFailed", "ContentDeleted", message)
        if failed
        else (
            "DeletionContentFailure",
            False,
            "",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
    ]
    remaining = Counter(_resource(c.kind) for c in left)
    counts = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remaining.items()))
    rows.append(
        ("ContentRemaining", True, "SomeResourcesRemain", "", f"Some resources are remaining: {counts}")
        if remaining
        else ("ContentRemaining", False, "", "ContentRemoved", "All content successfully removed")
    )
    held = Counter(finalizer for c in left for finalizer in c.meta.finalizers or () if c.deleting)
    counts = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
    content = "namespace" if word == "Namespace" else "tenant"
    rows.append(
        (
            "FinalizersRemaining",
            True,
            "SomeFinalizersRemain",
            "",
            f"Some content in the {content} has finalizers remaining: {counts}",
        )
        if held
        else ("FinalizersRemaining", False, "", "ContentHasNoFinalizers", "All content-preserving finalizers finished")
    )
    for name, true, when_true, when_false, said in rows:
        status_text = "True" if true else "False"
        found = conditions.put(found, word + name, status_text, when_true if true else when_false, said, now)
    return list(found)


def _resource(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}"


def differs(old: Sequence[Obj] | None, new: Sequence[Obj]) -> bool:
    """Whether the written conditions differ from those to write."""
    return list(old or ()) != list(new)


def status_patch(cached: Cached, conditions_now: Sequence[Obj]) -> Patch:
    """Writes conditions, of this very object."""
    body = {"metadata": {"uid": cached.uid}, "status": {"conditions": list(conditions_now)}}
    return Patch(cached.kind, cached.key, body, subresource="status")


def finalize(cached: Cached, obj: Obj) -> Replace | None:
    """Takes our finalizer off; None where it is off already."""
    finalizers = (obj.get("spec") or {}).get("finalizers") or []
    if FINALIZER not in finalizers:
        return None
    metadata = {"name": cached.name, "uid": cached.uid}
    if cached.tenant:
        metadata["tenant"] = cached.tenant
    body = {
        "apiVersion": cached.kind.api_version,
        "kind": cached.kind.kind,
        "metadata": metadata,
        "spec": {"finalizers": [f for f in finalizers if f != FINALIZER]},
    }
    return Replace(cached.kind, body, "finalize")


class Ends:
    """When we first saw each place going: the revision that its deletion is not newer than, and the time."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def of(self, cached: Cached, revision: int, now: float) -> tuple[int, float]:
        return self._seen.setdefault(cached.uid, (revision, now))

    def forget(self, uid: str) -> None:
        self._seen.pop(uid, None)
