"""Defaults of resource lists: whole thousandths, requests from limits, and pod-level resources."""

from __future__ import annotations

from arktos.model import quantity
from arktos.model.kinds import Obj

_POD_LEVEL = ("cpu", "memory")


def round_up(amounts: Obj) -> None:
    """Bring each quantity of a resource list up to whole thousandths, finer ones being nobody's to give."""
    for name, value in amounts.items():
        if type(value) is str and (value[-1:] in ("n", "u") or "e-" in value):
            try:
                exact = quantity.parse(value)
            except quantity.QuantityError:
                continue
            amounts[name] = str(quantity.Quantity.of_milli(exact.milli, exact.format))


def requirements(needs: Obj) -> None:
    """The `limits` and `requests` of one ResourceRequirements."""
    if needs.get("limits"):
        round_up(needs["limits"])
    if needs.get("requests"):
        round_up(needs["requests"])


def requests_from_limits(container: Obj) -> None:
    """Request whatever is limited and not requested."""
    needs = container.get("resources")
    if not needs:
        return
    limits = needs.get("limits")
    if not limits:
        return
    requests = needs.get("requests")
    if requests is None:
        needs["requests"] = dict(limits)
        return
    for name, value in limits.items():
        requests.setdefault(name, value)


def pod_level(spec: Obj) -> None:
    """`spec.resources` (KEP-2837): with limits given, requests follow the containers' sum, then the limits."""
    needs = spec["resources"]
    requirements(needs)
    limits = needs.get("limits")
    if not limits:
        return
    requests = dict(needs.get("requests") or {})
    for name in _POD_LEVEL:
        if name not in requests:
            total = _containers_request(spec, name)
            if total is not None:
                requests[name] = total
    for name, value in limits.items():
        if name not in requests and (name in _POD_LEVEL or name.startswith("hugepages-")):
            requests[name] = value
    if requests:
        needs["requests"] = requests


def _containers_request(spec: Obj, name: str) -> str | None:
    """What the containers request together: the sum of those that run, or the largest init step if that is more."""
    try:
        running = _sum(spec.get("containers") or (), name)
        peak = running
        sidecars: quantity.Quantity | None = None
        for container in spec.get("initContainers") or ():
            amount = _request(container, name)
            if amount is None:
                continue
            step = amount if sidecars is None else sidecars + amount
            if container.get("restartPolicy") == "Always":
                sidecars = step
            peak = step if peak is None or step > peak else peak
    except ValueError:
        return None
    if sidecars is not None:
        running = sidecars if running is None else running + sidecars
    if running is not None and (peak is None or running > peak):
        peak = running
    return None if peak is None else str(peak)


def _sum(containers: list[Obj] | tuple[Obj, ...], name: str) -> quantity.Quantity | None:
    total: quantity.Quantity | None = None
    for container in containers:
        amount = _request(container, name)
        if amount is not None:
            total = amount if total is None else total + amount
    return total


def _request(container: Obj, name: str) -> quantity.Quantity | None:
    requests = (container.get("resources") or {}).get("requests") or {}
    return quantity.parse(str(requests[name])) if name in requests else None
