"""The one view of what a pod runs: a virtual machine or containers. Scheduler, quota and agent count by it alone.

A workload is the document's own VM or container: both have `name`, `image`, `resources`, `volumeMounts` and
`imagePullPolicy` in the same places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from arktos.model.kinds import Obj
from arktos.model.quantity import Quantity, parse

Resources = dict[str, Quantity]

DEFAULT_VM: Mapping[str, Quantity] = {"cpu": parse("1"), "memory": parse("1Gi")}
"""What a VM has that states neither request nor limit: the runtime boots it with this much."""

_POD_LEVEL = ("cpu", "memory")
_HUGE_PAGES = "hugepages-"
_ZERO = Quantity()


def is_vm(pod: Obj) -> bool:
    """Whether a pod runs a virtual machine. Also takes a pod template."""
    return (pod.get("spec") or {}).get("virtualMachine") is not None


def workloads(pod: Obj) -> list[Obj]:
    """The VM, or the containers (not the init and ephemeral ones), of a pod or pod template."""
    spec = pod.get("spec") or {}
    machine = spec.get("virtualMachine")
    return [machine] if machine is not None else list(spec.get("containers") or ())


def requests(pod: Obj) -> Resources:
    """What a node must have free for a pod, as the Kubernetes scheduler counts it.

    The sum over workloads and sidecars (init containers that restart always), or what the start needs where that is
    more: each init container beside the sidecars started before it. Requests at pod level take the place of that sum;
    overhead comes on top. A VM requests its limits where it states no requests, 1 CPU and 1 GiB where it states
    neither.
    """
    return _total(pod, "requests")


def limits(pod: Obj) -> Resources:
    """What a pod may use at most, counted in the same way. A resource is missing where some workload has no limit."""
    total = _total(pod, "limits")
    unlimited = {
        name
        for name in total
        for workload in workloads(pod)
        if name in _POD_LEVEL and name not in _stated(workload, "limits", pod) and name not in _pod_level(pod, "limits")
    }
    return {name: amount for name, amount in total.items() if name not in unlimited}


def stated_limits(pod: Obj) -> Resources:
    """The limits that a pod states, added up in the same way: what quotas and limit ranges count."""
    return _total(pod, "limits")


def _total(pod: Obj, which: str) -> Resources:
    spec = pod.get("spec") or {}
    running: Resources = {}
    for workload in workloads(pod):
        _add(running, _stated(workload, which, pod))
    total = _with_start(running, spec.get("initContainers") or (), which)
    total.update(_pod_level(pod, which))
    overhead = _quantities(spec.get("overhead"))
    if which == "limits":
        overhead = {name: amount for name, amount in overhead.items() if name in total}
    _add(total, overhead)
    return total


def _with_start(running: Resources, inits: Iterable[Obj], which: str) -> Resources:
    """The larger of what runs in the end and what each step of the start needs."""
    sidecars: Resources = {}
    peak: Resources = {}
    for init in inits:
        own = _quantities((init.get("resources") or {}).get(which))
        if init.get("restartPolicy") == "Always":
            _add(sidecars, own)
            own = dict(sidecars)
        else:
            _add(own, sidecars)
        _raise(peak, own)
    total = dict(running)
    _add(total, sidecars)
    _raise(total, peak)
    return total


def _stated(workload: Obj, which: str, pod: Obj) -> Resources:
    """What a workload asks for. Of a VM requests and limits stand for each other, then the runtime's default."""
    resources = workload.get("resources") or {}
    stated = _quantities(resources.get(which))
    if not is_vm(pod):
        return stated
    fallback = _quantities(resources.get("limits" if which == "requests" else "requests"))
    for name, amount in {**DEFAULT_VM, **fallback}.items():
        stated.setdefault(name, amount)
    return stated


def _pod_level(pod: Obj, which: str) -> Resources:
    """Resources stated for the pod as a whole; only those that may be."""
    resources = (pod.get("spec") or {}).get("resources") or {}
    return {
        name: amount
        for name, amount in _quantities(resources.get(which)).items()
        if name in _POD_LEVEL or name.startswith(_HUGE_PAGES)
    }


def _quantities(stated: Mapping[str, Any] | None) -> Resources:
    return {name: parse(str(text)) for name, text in stated.items()} if stated else {}


def _add(total: Resources, more: Mapping[str, Quantity]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, _ZERO) + amount


def _raise(total: Resources, floor: Mapping[str, Quantity]) -> None:
    for name, amount in floor.items():
        if amount > total.get(name, _ZERO):
            total[name] = amount
