"""The quality-of-service class of a pod, from its requests and limits."""

from __future__ import annotations

from arktos.model import quantity
from arktos.model.kinds import Obj

GUARANTEED = "Guaranteed"
BURSTABLE = "Burstable"
BEST_EFFORT = "BestEffort"

_COUNTED = ("cpu", "memory")


def qos_class(spec: Obj) -> str:
    """Guaranteed, Burstable or BestEffort, by CPU and memory of all containers or of the virtual machine.

    Guaranteed: each limits both, and requests what it limits. BestEffort: none asks for any. Pod-level resources
    (KEP-2837), where given, count alone.
    """
    whole = spec.get("resources")
    if whole and (whole.get("requests") or whole.get("limits")):
        parts = [whole]
    else:
        workloads = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        machine = spec.get("virtualMachine")
        if machine is not None:
            workloads.append(machine)
        parts = [each.get("resources") or {} for each in workloads]
    asks, guaranteed = False, bool(parts)
    for needs in parts:
        requests, limits = _positive(needs.get("requests")), _positive(needs.get("limits"))
        asks = asks or bool(requests or limits)
        guaranteed = guaranteed and len(limits) == len(_COUNTED) and {**limits, **requests} == limits
    if not asks:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE


def _positive(amounts: Obj | None) -> dict[str, quantity.Quantity]:
    if not amounts:
        return {}
    found: dict[str, quantity.Quantity] = {}
    for name in _COUNTED:
        if name in amounts:
            try:
                value = quantity.parse(str(amounts[name]))
            except ValueError:
                continue
            if value > quantity.ZERO:
                found[name] = value
    return found
