"""What to count for a quota, and what the count makes of its status: pure."""

from __future__ import annotations

from collections.abc import Mapping

from arktos.model import quota as quotas
from arktos.model.kinds import Obj
from arktos.model.quantity import ZERO, Quantity
from arktos.model.quota import COUNTED_AT, Amounts, Quota

RECOUNT = 1800.0
"""Seconds after which a quota is counted again though nothing asks for it."""

WHOLE = frozenset({"pods", "services", "persistentvolumeclaims"})
"""Resources of which more counts than their number."""


def wanted(quota: Quota) -> list[str]:
    """The group-resources whose objects have to be looked at, in order. Scopes are those of pods and claims: under
    one, nothing else counts."""
    scoped = {"pods", "persistentvolumeclaims"}
    return sorted(each for each in quotas.resources_of(quota.names) if not quota.scopes or each in scoped)


def of_number(quota: Quota, resource: str, number: int) -> Amounts:
    """What objects of a resource outside `WHOLE` use, which is a matter of how many there are."""
    one = quotas.change(quota, resource, None, {"metadata": {}})
    return {name: Quantity.of(amount.value * number) for name, amount in one.items()}


def total(quota: Quota, counts: Mapping[str, Amounts]) -> Amounts:
    """All that is used of what the quota limits; zero of what nothing uses."""
    result = dict.fromkeys(quota.names, ZERO)
    for found in counts.values():
        for name, amount in found.items():
            result[name] = result[name] + amount
    return result


def patch(obj: Obj, used: Amounts, revision: str) -> Obj | None:
    """The merge patch of a quota's status after a count as of `revision`, at which it was `obj`; None where that says
    so already."""
    hard, status = obj["spec"].get("hard") or {}, obj.get("status") or {}
    if quotas.is_counted(obj) and quotas.amounts(status.get("used")) == used:
        return None
    gone = {side: dict.fromkeys(set(status.get(side) or ()) - set(hard)) for side in ("hard", "used")}
    return {
        "metadata": {
            "uid": obj["metadata"]["uid"],
            "annotations": {COUNTED_AT: revision},
        },
        "status": {"hard": {**gone["hard"], **hard}, "used": {**gone["used"], **quotas.written(used)}},
    }
