"""How a pod's cgroup bounds it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from arktos.agent.cgroups.placing import pod_class
from arktos.agent.spec.resources import CPU_PERIOD, quota, shares
from arktos.model import workload
from arktos.model.kinds import Obj
from arktos.model.qos import BEST_EFFORT


@dataclass(frozen=True, slots=True)
class Limits:
    """`cpu_shares` as in cgroup v1; `cpu_quota` microseconds of each `cpu_period`; `memory` bytes; `processes` a
    number. 0 is no limit."""

    cpu_shares: int
    cpu_quota: int = 0
    cpu_period: int = CPU_PERIOD
    memory: int = 0
    processes: int = 0


def pod_limits(pod: Obj, processes: int = 0) -> Limits:
    """The bounds of a pod: CPU time and memory only where every container has such a limit, or the pod itself. Those of
    a virtual machine its runtime sets in the cgroup below, by the hardware that it has."""
    if workload.is_vm(pod):
        wanted = workload.requests(pod).get("cpu")
        return Limits(shares(wanted.milli if wanted is not None else 0), processes=processes)
    if pod_class(pod) == BEST_EFFORT:
        return Limits(shares(0), processes=processes)
    requests, limits = workload.requests(pod), workload.limits(pod)
    wanted, cpu, memory = requests.get("cpu"), limits.get("cpu"), limits.get("memory")
    return Limits(
        shares(wanted.milli if wanted is not None else 0),
        quota(cpu.milli if cpu is not None else 0),
        CPU_PERIOD,
        memory.value if memory is not None else 0,
        processes,
    )
