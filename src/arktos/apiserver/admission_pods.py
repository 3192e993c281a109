"""What new pods and nodes get from the cluster: how long they stand a silent node, how much they count, first taints.

As Kubernetes' admission plugins DefaultTolerationSeconds, Priority and TaintNodesByCondition.
"""

from __future__ import annotations

import msgspec

from arktos.apiserver.admission import Attempt, Effects
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import forbidden
from arktos.model.validation.policy import SYSTEM_CLASSES
from arktos.store.records import Key, Query, Store

PATIENCE = 300
"""Seconds that a pod stays on a node that is not ready or not reachable."""

_SILENT = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_CLASSES = "priorityclasses.scheduling.k8s.io"


class _Class(msgspec.Struct, rename="camel"):
    value: int = 0
    global_default: bool = False
    preemption_policy: str = "PreemptLowerPriority"


_decoder = msgspec.json.Decoder(_Class)


def tolerate(attempt: Attempt, effects: Effects) -> None:
    """A pod that does not say how long it stands a silent node stands it for `PATIENCE`."""
    if attempt.operation == "delete" or attempt.subresource:
        return
    spec = attempt.obj.get("spec") or {}
    tolerations = spec.get("tolerations") or []
    for key in _SILENT if attempt.operation == "create" else ():
        if not any(_covers(toleration, key) for toleration in tolerations):
            wait = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": PATIENCE}
            spec["tolerations"] = tolerations = [*tolerations, wait]


def _covers(toleration: Obj, key: str) -> bool:
    return toleration.get("key") in (key, "", None) and toleration.get("effect") in ("NoExecute", "", None)


class Priorities:
    """A step that resolves `priorityClassName`. Classes are a tenant's own, or those that `system` shares."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def step(self, attempt: Attempt, effects: Effects) -> None:
        if attempt.operation != "create":
            return
        spec = attempt.obj.setdefault("spec", {})
        name = attempt.obj["metadata"].get("name") or attempt.obj["metadata"].get("generateName", "")
        given = spec.get("priority")
        wanted = spec.get("priorityClassName") or ""
        class_name, found = self._named(attempt.call.tenant, wanted) if wanted else self._default(attempt.call.tenant)
        if found is None:
            raise forbidden("pods", name, f"no PriorityClass with name {wanted} was found")
        if given is not None and given != found.value:
            why = "the integer value of priority ({}) must not be provided in pod spec; priority admission controller "
            raise forbidden(
                "pods", name, why.format(given) + f"computed {found.value} from the given PriorityClass name"
            )
        if class_name:
            spec["priorityClassName"] = class_name
        spec["priority"] = found.value
        spec.setdefault("preemptionPolicy", found.preemption_policy)

    def _named(self, tenant: str, name: str) -> tuple[str, _Class | None]:
        if name in SYSTEM_CLASSES:
            # Above every tenant's pods: for those who run the machines.
            return name, _Class(SYSTEM_CLASSES[name]) if tenant == SYSTEM_TENANT else None
        for owner in dict.fromkeys((tenant, SYSTEM_TENANT)):
            record = self._store.get(Key(_CLASSES, owner, "", name))
            if record is not None:
                return name, _decoder.decode(record.body)
        return name, None

    def _default(self, tenant: str) -> tuple[str, _Class]:
        """The class that says so of itself, the lowest of several; the tenant's own before those of `system`."""
        for owner in dict.fromkeys((tenant, SYSTEM_TENANT)):
            records = self._store.list(Query(_CLASSES, owner)).records
            defaults = [(record.key.name, _decoder.decode(record.body)) for record in records]
            named = [pair for pair in defaults if pair[1].global_default]
            if named:
                return min(named, key=lambda pair: pair[1].value)
        return "", _Class()


def taint(attempt: Attempt, effects: Effects) -> None:
    """A new node takes no pods until it has been found ready."""
    if attempt.operation != "create":
        return
    spec = attempt.obj.setdefault("spec", {})
    taints = spec.get("taints") or []
    if not any(taint.get("key") == _SILENT[0] and taint.get("effect") == "NoSchedule" for taint in taints):
        spec["taints"] = [*taints, {"key": _SILENT[0], "effect": "NoSchedule"}]
