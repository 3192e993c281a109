"""kubelet's Summary API object (`/stats/summary`): field names and meanings are of `stats/v1alpha1`; `podRef` has the
tenant as well. Pure."""

from __future__ import annotations

from arktos.agent.node.machine import Filesystem
from arktos.agent.node.stats.samples import (
    ContainerReading,
    Cpu,
    Disk,
    Memory,
    Network,
    PodReading,
    Rate,
    Sample,
    container_rate,
    pod_rate,
    rate,
)
from arktos.model.dates import from_unix, rfc3339
from arktos.model.kinds import Obj


def summary(now: Sample, before: Sample | None, node_name: str) -> Obj:
    return {
        "node": _node(now, before, node_name),
        "pods": [_pod(pod, now, before) for pod in now.pods.values()],
    }


def _node(now: Sample, before: Sample | None, name: str) -> Obj:
    node = now.node
    found: Obj = {
        "nodeName": name,
        "startTime": _time(node.started_at),
        "cpu": _cpu(node.cpu, rate(node.cpu, before.node.cpu if before is not None else None)),
        "memory": _memory(node.memory),
        "swap": {
            "time": _time(node.memory.at),
            "swapAvailableBytes": node.swap_free,
            "swapUsageBytes": node.swap_used,
        },
        "rlimit": {"time": _time(now.at), "maxpid": node.pid_max, "curproc": node.processes},
    }
    if node.network is not None:
        found["network"] = _network(node.network)
    if node.nodefs is not None:
        found["fs"] = _filesystem(now.at, node.nodefs)
    if node.imagefs is not None:
        images = _filesystem(now.at, node.imagefs)
        if node.images is not None:
            images["usedBytes"] = node.images.used
            if node.images.inodes_used is not None:
                images["inodesUsed"] = node.images.inodes_used
        found["runtime"] = {"imageFs": images, "containerFs": dict(images)}
    return found


def _pod(pod: PodReading, now: Sample, before: Sample | None) -> Obj:
    found: Obj = {
        "podRef": {
            "name": pod.ref.name,
            "namespace": pod.ref.namespace,
            "tenant": pod.ref.tenant,
            "uid": pod.ref.uid,
        },
        "startTime": _time(pod.started_at),
        "containers": [_container(each, pod, now, before) for each in pod.containers.values()],
    }
    cpu, memory = pod.whole_cpu, pod.whole_memory
    if cpu is not None:
        found["cpu"] = _cpu(cpu, pod_rate(pod, before))
    if memory is not None:
        found["memory"] = _memory(memory)
    if pod.network is not None:
        found["network"] = _network(pod.network)
    if pod.volumes:
        found["volume"] = [{"name": name, **_used(disk, now.node.nodefs)} for name, disk in sorted(pod.volumes.items())]
    ephemeral = pod.ephemeral
    if ephemeral is not None:
        found["ephemeral-storage"] = _used(ephemeral, now.node.nodefs)
    if pod.processes is not None:
        found["process_stats"] = {"process_count": pod.processes}
    return found


def _container(container: ContainerReading, pod: PodReading, now: Sample, before: Sample | None) -> Obj:
    found: Obj = {"name": container.name, "startTime": _time(container.started_at)}
    if container.cpu is not None:
        found["cpu"] = _cpu(container.cpu, container_rate(container, before, pod.ref.uid))
    if container.memory is not None:
        found["memory"] = _memory(container.memory)
        if container.swap is not None:
            found["swap"] = {"time": _time(container.memory.at), "swapUsageBytes": container.swap}
    if container.rootfs is not None:
        found["rootfs"] = _used(container.rootfs, now.node.imagefs)
    if container.logs is not None:
        found["logs"] = _used(container.logs, now.node.nodefs)
    return found


def _cpu(cpu: Cpu, found: Rate | None) -> Obj:
    made: Obj = {"time": _time(cpu.at), "usageCoreNanoSeconds": cpu.nanoseconds}
    if found is not None:
        made["usageNanoCores"] = found.nanocores
    return made


_MEMORY = {
    "available": "availableBytes",
    "usage": "usageBytes",
    "working_set": "workingSetBytes",
    "rss": "rssBytes",
    "page_faults": "pageFaults",
    "major_page_faults": "majorPageFaults",
}


def _memory(memory: Memory) -> Obj:
    told = {field: getattr(memory, name) for name, field in _MEMORY.items()}
    return {"time": _time(memory.at), **{field: value for field, value in told.items() if value is not None}}


def _network(network: Network) -> Obj:
    interfaces = [
        {
            "name": each.name,
            "rxBytes": each.rx_bytes,
            "rxErrors": each.rx_errors,
            "txBytes": each.tx_bytes,
            "txErrors": each.tx_errors,
        }
        for each in network.interfaces
    ]
    default = next((each for each in interfaces if each["name"] == network.default), {"name": network.default})
    return {"time": _time(network.at), **default, "interfaces": interfaces}


def _filesystem(at: float, found: Filesystem) -> Obj:
    return {
        "time": _time(at),
        "availableBytes": found.available,
        "capacityBytes": found.capacity,
        "usedBytes": found.used,
        "inodesFree": found.inodes_free,
        "inodes": found.inodes,
        "inodesUsed": found.inodes_used,
    }


def _used(disk: Disk, on: Filesystem | None) -> Obj:
    made: Obj = {"time": _time(disk.at), "usedBytes": disk.used}
    if disk.inodes_used is not None:
        made["inodesUsed"] = disk.inodes_used
    if on is not None:
        made.update(availableBytes=on.available, capacityBytes=on.capacity, inodesFree=on.inodes_free, inodes=on.inodes)
    return made


def _time(at: float) -> str | None:
    return rfc3339(from_unix(at)) if at else None
