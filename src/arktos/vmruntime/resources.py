"""vCPUs and memory of a machine from the resources that CRI names. Pure."""

from __future__ import annotations

from arktos.rpc.protos import cri_pb2 as pb

DEFAULT_CPUS, DEFAULT_MEMORY_MIB = 1, 1024
MOST_CPUS = 255
"""The `pc` machine's limit."""
_SHARES_PER_CPU = 1024
_MIB = 1 << 20


def cpus(resources: pb.LinuxContainerResources) -> int:
    """Whole vCPUs, rounded up: by quota, else by shares, else one."""
    if resources.cpu_quota > 0:
        period = resources.cpu_period if resources.cpu_period > 0 else 100_000
        wanted = -(-resources.cpu_quota // period)
    else:
        wanted = -(-resources.cpu_shares // _SHARES_PER_CPU) if resources.cpu_shares > 0 else DEFAULT_CPUS
    return min(max(wanted, 1), MOST_CPUS)


def memory_mib(resources: pb.LinuxContainerResources) -> int:
    """MiB, rounded up."""
    limit = resources.memory_limit_in_bytes
    return -(-limit // _MIB) if limit > 0 else DEFAULT_MEMORY_MIB
