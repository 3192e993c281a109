"""Resources of pods and containers in the kernel's units: CPU shares and quota, memory limit, OOM score."""

from __future__ import annotations

from collections.abc import Mapping

from arktos.agent.spec.facts import NodeFacts, is_sidecar
from arktos.model import quantity, workload
from arktos.model.kinds import Obj
from arktos.model.qos import BEST_EFFORT, GUARANTEED, qos_class
from arktos.model.quantity import Quantity
from arktos.rpc.protos import cri_pb2 as pb

CPU_PERIOD = 100_000
"""Microseconds: the span over which a quota is counted."""

_MIN_SHARES, _MAX_SHARES, _SHARES_PER_CPU = 2, 262_144, 1024
_MIN_QUOTA = 1000
_GUARANTEED_SCORE, _BEST_EFFORT_SCORE = -997, 1000
_SYSTEM_NODE_CRITICAL = 2_000_001_000
_HUGE_PAGES = "hugepages-"
_POD_WIDE = ("cpu", "memory")

Amounts = Mapping[str, Quantity]


def shares(milli_cpu: int) -> int:
    """CPU shares (cgroup v1) of so many thousandths of a CPU; the least there is for none."""
    return max(_MIN_SHARES, min(_MAX_SHARES, milli_cpu * _SHARES_PER_CPU // 1000))


def quota(milli_cpu: int, period: int = CPU_PERIOD) -> int:
    """Microseconds of CPU time per `period`, 0 for no limit. The kernel takes no quota below a millisecond."""
    return max(_MIN_QUOTA, milli_cpu * period // 1000) if milli_cpu > 0 else 0


def weight(cpu_shares: int) -> int:
    """The cgroup v2 weight (1 to 10000) for v1 shares (2 to 262144), spread linearly as OCI runtimes do."""
    bounded = max(_MIN_SHARES, min(_MAX_SHARES, cpu_shares))
    return 1 + (bounded - _MIN_SHARES) * 9999 // (_MAX_SHARES - _MIN_SHARES)


def shares_of(cpu_weight: int) -> int:
    """The least shares that have this weight."""
    return _MIN_SHARES - (-(cpu_weight - 1) * (_MAX_SHARES - _MIN_SHARES) // 9999)


def linux_resources(pod: Obj, container: Obj, facts: NodeFacts) -> pb.LinuxContainerResources:
    """What one container may use. What it leaves open the pod's own resources (KEP-2837) decide, if it has any; a VM
    that states nothing has the runtime's default."""
    requests, limits = _effective(pod, container)
    made = _limited(requests.get("cpu"), limits.get("cpu"), limits.get("memory"))
    made.oom_score_adj = max(oom_score_adj(pod, container, facts), facts.lowest_oom_score_adj)
    if facts.swap_limits and made.memory_limit_in_bytes:
        made.memory_swap_limit_in_bytes = made.memory_limit_in_bytes
    if facts.cgroup_v2:
        made.unified["memory.oom.group"] = "1"
    for size in facts.huge_page_sizes:
        limit = limits.get(_HUGE_PAGES + size, quantity.ZERO)
        made.hugepage_limits.add(page_size=size.replace("i", "") + "B", limit=limit.value)
    return made


def pod_resources(pod: Obj) -> pb.LinuxContainerResources:
    """What all containers of a pod may use together, overhead apart: a hint for the sandbox."""
    overhead = _amounts(pod["spec"].get("overhead"))
    requests = _without(workload.requests(pod), overhead)
    limits = _without(workload.limits(pod), overhead)
    return _limited(requests.get("cpu"), limits.get("cpu"), limits.get("memory"))


def overhead_resources(pod: Obj) -> pb.LinuxContainerResources | None:
    """What the sandbox itself may use; None unless the pod states an overhead."""
    overhead = _amounts(pod["spec"].get("overhead"))
    if not overhead:
        return None
    return _limited(overhead.get("cpu"), overhead.get("cpu"), overhead.get("memory"))


def oom_score_adj(pod: Obj, container: Obj, facts: NodeFacts) -> int:
    """How early the kernel kills a container when memory runs out: never for what is guaranteed, first for what asks
    for nothing, between them by the part of the node's memory that it asks for."""
    spec = pod["spec"]
    if (spec.get("priority") or 0) >= _SYSTEM_NODE_CRITICAL:
        return _GUARANTEED_SCORE
    qos = qos_class(spec)
    if qos == GUARANTEED:
        return _GUARANTEED_SCORE
    if qos == BEST_EFFORT or facts.memory_capacity <= 0:
        return _BEST_EFFORT_SCORE
    capacity = facts.memory_capacity
    share = _remaining_share(pod)
    score = 1000 - 1000 * (_memory_request(pod, container) + share) // capacity
    if is_sidecar(container) and container in (spec.get("initContainers") or ()):
        least = min((_memory_request(pod, each) for each in workload.workloads(pod)), default=0)
        score = min(score, 1000 - 1000 * (least + share) // capacity)
    lowest = 1000 + _GUARANTEED_SCORE
    return max(lowest, min(score, _BEST_EFFORT_SCORE - 1))


def _effective(pod: Obj, container: Obj) -> tuple[Amounts, Amounts]:
    resources = container.get("resources") or {}
    requests, limits = _amounts(resources.get("requests")), _amounts(resources.get("limits"))
    if workload.is_vm(pod) and container is pod["spec"].get("virtualMachine"):
        return requests, {**workload.DEFAULT_VM, **requests, **limits}
    whole = pod["spec"].get("resources") or {}
    for stated, part in ((requests, "requests"), (limits, "limits")):
        for name, amount in _amounts(whole.get(part)).items():
            if (name in _POD_WIDE or name.startswith(_HUGE_PAGES)) and name not in stated:
                stated[name] = amount
    return requests, limits


def _limited(request: Quantity | None, cpu: Quantity | None, memory: Quantity | None) -> pb.LinuxContainerResources:
    wanted = request if request is not None else cpu
    return pb.LinuxContainerResources(
        cpu_shares=shares(wanted.milli if wanted is not None else 0),
        cpu_period=CPU_PERIOD,
        cpu_quota=quota(cpu.milli if cpu is not None else 0),
        memory_limit_in_bytes=memory.value if memory is not None else 0,
    )


def _remaining_share(pod: Obj) -> int:
    """Bytes that the pod asks for beyond what its containers ask for, per container."""
    spec = pod["spec"]
    whole = _amounts((spec.get("resources") or {}).get("requests")).get("memory")
    if whole is None:
        return 0
    counted = [*workload.workloads(pod), *(each for each in spec.get("initContainers") or () if is_sidecar(each))]
    beyond = whole.value - sum(_memory_request(pod, each) for each in counted)
    return max(0, beyond) // max(1, len(counted))


def _memory_request(pod: Obj, container: Obj) -> int:
    resources = container.get("resources") or {}
    stated = _amounts(resources.get("requests")).get("memory") or _amounts(resources.get("limits")).get("memory")
    if stated is None and workload.is_vm(pod):
        stated = workload.DEFAULT_VM["memory"]
    return stated.value if stated is not None else 0


def _without(amounts: Amounts, taken: Amounts) -> dict[str, Quantity]:
    return {name: amount - taken[name] if name in taken else amount for name, amount in amounts.items()}


def _amounts(stated: Mapping[str, object] | None) -> dict[str, Quantity]:
    return {name: quantity.parse(str(amount)) for name, amount in (stated or {}).items()}
