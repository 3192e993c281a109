"""Limit ranges: what new workloads get that do not say what they need, and what no workload may need. Pure.

As Kubernetes' admission plugin LimitRanger, whose words these are. A virtual machine counts as a container.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from arktos.model import quantity, workload
from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity

ANNOTATION = "kubernetes.io/limit-ranger"

_ZERO = quantity.ZERO


def set_defaults(pod: Obj, limits: Sequence[Obj]) -> None:
    """Gives containers, init containers and the virtual machine of a new pod what the items `limits` of one limit range
    say of those that state nothing; an annotation says which."""
    requests: Obj = {}
    most: Obj = {}
    for item in limits:
        if item.get("type") == "Container":
            requests.update(item.get("defaultRequest") or {})
            most.update(item.get("default") or {})
    if not requests and not most:
        return
    told: list[str] = []
    for what, container in _containers(pod.get("spec") or {}):
        for side, defaults in (("requests", requests), ("limits", most)):
            given = _fill(container, side, defaults)
            if given:
                told.append(f"{', '.join(given)} {side[:-1]} for {what} {container.get('name', '')}")
    if told:
        annotations = pod["metadata"].get("annotations") or {}
        pod["metadata"]["annotations"] = {**annotations, ANNOTATION: f"LimitRanger plugin set: {'; '.join(told)}"}


def _containers(spec: Obj) -> Iterator[tuple[str, Obj]]:
    for container in spec.get("containers") or ():
        yield "container", container
    if spec.get("virtualMachine") is not None:
        yield "virtual machine", spec["virtualMachine"]
    for container in spec.get("initContainers") or ():
        yield "init container", container


def _fill(container: Obj, side: str, defaults: Obj) -> list[str]:
    needs = container.get("resources")
    stated = (needs or {}).get(side) or {}
    missing = sorted(name for name in defaults if name not in stated)
    if missing:
        if needs is None:
            needs = container["resources"] = {}
        needs[side] = {**stated, **{name: defaults[name] for name in missing}}
    return missing


def pod_faults(pod: Obj, limits: Sequence[Obj]) -> list[str]:
    """How a pod offends against the items of one limit range."""
    faults: list[str] = []
    for item in limits:
        if item.get("type") == "Container":
            for _, container in _containers(pod.get("spec") or {}):
                needs = container.get("resources") or {}
                _check(faults, item, _amounts(needs.get("requests")), _amounts(needs.get("limits")))
        elif item.get("type") == "Pod":
            _check(faults, item, workload.requests(pod), workload.stated_limits(pod))
    return faults


def claim_faults(claim: Obj, limits: Sequence[Obj]) -> list[str]:
    """How a PersistentVolumeClaim offends against the items of one limit range."""
    faults: list[str] = []
    requests = _amounts((((claim.get("spec") or {}).get("resources")) or {}).get("requests"))
    for item in limits:
        if item.get("type") != "PersistentVolumeClaim":
            continue
        for name, least in _bounds(item, "min"):
            _least(faults, name, item["type"], least, requests.get(name), None)
        for name, most in _bounds(item, "max"):
            request = requests.get(name)
            if request is None:
                faults.append(f"maximum {name} usage per {item['type']} is {most}.  No request is specified")
            elif request > most:
                faults.append(f"maximum {name} usage per {item['type']} is {most}, but request is {request}")
    return faults


def sentence(faults: Sequence[str]) -> str:
    """Several faults as Kubernetes lists them."""
    return faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"


def _amounts(stated: Mapping[str, Any] | None) -> dict[str, Quantity]:
    return {name: quantity.parse(str(text)) for name, text in stated.items()} if stated else {}


def _bounds(item: Obj, name: str) -> list[tuple[str, Quantity]]:
    return sorted(_amounts(item.get(name)).items())


def _check(faults: list[str], item: Obj, requests: Mapping[str, Quantity], limits: Mapping[str, Quantity]) -> None:
    kind = item["type"]
    for name, least in _bounds(item, "min"):
        _least(faults, name, kind, least, requests.get(name), limits.get(name))
    for name, most in _bounds(item, "max"):
        _most(faults, name, kind, most, requests.get(name), limits.get(name))
    for name, ratio in _bounds(item, "maxLimitRequestRatio"):
        _ratio(faults, name, kind, ratio, requests.get(name), limits.get(name))


def _least(
    faults: list[str], name: str, kind: str, least: Quantity, request: Quantity | None, limit: Quantity | None
) -> None:
    rule = f"minimum {name} usage per {kind} is {least}"
    if request is None:
        faults.append(f"{rule}.  No request is specified")
    elif request < least:
        faults.append(f"{rule}, but request is {request}")
    elif limit is not None and limit < least:
        faults.append(f"{rule}, but limit is {limit}")


def _most(
    faults: list[str], name: str, kind: str, most: Quantity, request: Quantity | None, limit: Quantity | None
) -> None:
    rule = f"maximum {name} usage per {kind} is {most}"
    if limit is None:
        faults.append(f"{rule}.  No limit is specified")
    elif limit > most:
        faults.append(f"{rule}, but limit is {limit}")
    elif request is not None and request > most:
        faults.append(f"{rule}, but request is {request}")


def _ratio(
    faults: list[str], name: str, kind: str, ratio: Quantity, request: Quantity | None, limit: Quantity | None
) -> None:
    rule = f"{name} max limit to request ratio per {kind} is {ratio}"
    if not request:
        faults.append(f"{rule}, but no request is specified or request is 0")
    elif not limit:
        faults.append(f"{rule}, but no limit is specified or limit is 0")
    elif limit.milli * 1000 > ratio.milli * request.milli:
        faults.append(f"{rule}, but provided ratio is {limit.milli / request.milli:f}")
