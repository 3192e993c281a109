"""Which ReplicaSet is the template's, what its annotations say, and which old ones are kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from arktos.controllers import owners
from arktos.controllers.deployment.hashing import LABEL, same_template, template_hash
from arktos.controllers.deployment.rolling import bounds, new_size, wanted
from arktos.controllers.deployment.sets import DESIRED, HISTORY, MAXIMUM, REVISION, SetView, by_age
from arktos.model.kinds import Kind, Obj

UNLIMITED = 2**31 - 1
_HISTORY_LENGTH = 2000
_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)


def split(deployment: Obj, sets: Sequence[SetView]) -> tuple[SetView | None, list[SetView]]:
    """(the new one, the old ones). New is the oldest whose template is the deployment's."""
    template = deployment["spec"]["template"]
    new = next((each for each in by_age(sets) if same_template(each.template, template)), None)
    return new, [each for each in sets if each is not new]


def next_revision(old: Sequence[SetView]) -> int:
    return max((each.revision for each in old), default=0) + 1


def new_annotations(deployment: Obj, current: dict[str, str], revision: int) -> dict[str, str]:
    """The annotations that the new ReplicaSet shall have: the deployment's, and its revision and earlier ones."""
    found = dict(current)
    for name, value in (deployment["metadata"].get("annotations") or {}).items():
        if name not in _NOT_COPIED:
            found[name] = value
    before = current.get(REVISION, "")
    if not before.isdecimal() or int(before) < revision:
        found[REVISION] = str(revision)
        if before.isdecimal():
            history = [*filter(None, current.get(HISTORY, "").split(",")), before]
            while len(",".join(history)) > _HISTORY_LENGTH:
                del history[0]
            found[HISTORY] = ",".join(history)
    return found


def replica_annotations(deployment: Obj) -> dict[str, str]:
    """What a ReplicaSet remembers of the deployment's size, for the next resize."""
    goal = wanted(deployment)
    return {DESIRED: str(goal), MAXIMUM: str(goal + bounds(deployment)[0])}


def new_set(kind: Kind, deployment: Obj, old: Sequence[SetView]) -> Obj:
    """The ReplicaSet of the deployment's template."""
    meta, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    hashed = template_hash(template, (deployment.get("status") or {}).get("collisionCount") or 0)
    labels = {**((template.get("metadata") or {}).get("labels") or {}), LABEL: hashed}
    selector = spec.get("selector") or {}
    annotations = new_annotations(deployment, {}, next_revision(old)) | replica_annotations(deployment)
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{hashed}",
            "namespace": meta["namespace"],
            "tenant": meta["tenant"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owners.managing(kind, deployment)],
        },
        "spec": {
            "replicas": new_size(deployment, 0, old),
            "minReadySeconds": spec.get("minReadySeconds") or 0,
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), LABEL: hashed}},
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
        },
    }


def expendable(deployment: Obj, old: Sequence[SetView]) -> list[SetView]:
    """Old ReplicaSets beyond the history limit, lowest revisions first; only those that have and want no pods."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == UNLIMITED:
        return []
    alive = [each for each in old if not each.deleting]
    surplus = sorted(alive, key=lambda each: (each.revision, each.created_at, each.name))[: max(0, len(alive) - limit)]
    return [each for each in surplus if not each.size and not each.replicas and _observed(each)]


def _observed(each: SetView) -> bool:
    seen = (each.obj.get("status") or {}).get("observedGeneration") or 0
    return bool((each.obj["metadata"].get("generation") or 0) <= seen)
