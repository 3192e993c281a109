"""RuntimeClass (KEP-585, KEP-688): what the class of a pod adds to it: overhead, node selector, tolerations.

Classes are a tenant's own, or those that `system` shares.
"""

from __future__ import annotations

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.encoding import decode
from arktos.model import quantity
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import Forbidden, forbidden
from arktos.store.records import Key, Store

CLASSES = "runtimeclasses.node.k8s.io"


class RuntimeClasses:
    """A step for new pods. Forbidden for a class that there is not, and for a pod that contradicts its class."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def step(self, attempt: Attempt, effects: Effects) -> None:
        if attempt.operation != "create":
            return
        spec = attempt.obj.get("spec") or {}
        named = spec.get("runtimeClassName")
        if not named:
            if spec.get("overhead"):
                why = "Pod Overhead set without corresponding RuntimeClass defining Overhead"
                raise _rejected(attempt, why)
            return
        found = self._find(attempt.call.tenant, named)
        if found is None:
            raise _rejected(attempt, f'RuntimeClass "{named}" not found')
        _overhead(attempt, spec, (found.get("overhead") or {}).get("podFixed") or {})
        scheduling = found.get("scheduling") or {}
        _node_selector(attempt, spec, scheduling.get("nodeSelector") or {})
        _tolerations(spec, scheduling.get("tolerations") or [])

    def _find(self, tenant: str, name: str) -> Obj | None:
        for owner in dict.fromkeys((tenant, SYSTEM_TENANT)):
            record = self._store.get(Key(CLASSES, owner, "", name))
            if record is not None:
                return decode(record)
        return None


def _overhead(attempt: Attempt, spec: Obj, fixed: Obj) -> None:
    stated = spec.get("overhead")
    if stated and _amounts(stated) != _amounts(fixed):
        if not fixed:
            raise _rejected(attempt, "Pod Overhead set without corresponding RuntimeClass defining Overhead")
        raise _rejected(attempt, "Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if fixed:
        spec["overhead"] = fixed


def _amounts(stated: Obj) -> dict[str, quantity.Quantity]:
    return {name: quantity.parse(str(text)) for name, text in stated.items()}


def _node_selector(attempt: Attempt, spec: Obj, wanted: Obj) -> None:
    selector = spec.get("nodeSelector") or {}
    for name, value in wanted.items():
        if selector.get(name, value) != value:
            why = f"conflict: runtimeClass.scheduling.nodeSelector[{name}] = {value}; "
            raise _rejected(attempt, why + f"pod.spec.nodeSelector[{name}] = {selector[name]}")
    if wanted:
        spec["nodeSelector"] = {**selector, **wanted}


def _tolerations(spec: Obj, wanted: list[Obj]) -> None:
    tolerations = spec.get("tolerations") or []
    added = [each for each in wanted if each not in tolerations]
    if added:
        spec["tolerations"] = [*tolerations, *added]


def _rejected(attempt: Attempt, why: str) -> Forbidden:
    meta = attempt.obj["metadata"]
    return forbidden("pods", meta.get("name") or meta.get("generateName", ""), f"pod rejected: {why}")
