"""What the API server asks for to serve metrics.k8s.io: rates and working sets, nothing else. Pure.

    {"node": {"time", "window", "cpu", "memory"},
     "pods": [{"uid", "tenant", "namespace", "name", "time", "window", "containers": [{"name", "cpu", "memory"}]}]}

`time` is seconds since the epoch, `window` seconds, `cpu` nanocores, `memory` bytes. A pod is left out until each of
its running containers has a rate; the node's entry is null until it has one.
"""

from __future__ import annotations

import msgspec

from arktos.agent.node.stats.samples import PodReading, Rate, Sample, container_rate, rate
from arktos.model.kinds import Obj


def usage(now: Sample, before: Sample | None) -> bytes:
    pods = [found for pod in now.pods.values() if (found := _pod(pod, before)) is not None]
    return msgspec.json.encode({"node": _node(now, before), "pods": pods})


def _node(now: Sample, before: Sample | None) -> Obj | None:
    found = rate(now.node.cpu, before.node.cpu if before is not None else None)
    if found is None:
        return None
    return {**_when(found), "cpu": found.nanocores, "memory": now.node.memory.working_set}


def _pod(pod: PodReading, before: Sample | None) -> Obj | None:
    containers: list[Obj] = []
    rates: list[Rate] = []
    for container in pod.containers.values():
        found = container_rate(container, before, pod.ref.uid)
        if found is None or container.memory is None:
            return None
        rates.append(found)
        containers.append({"name": container.name, "cpu": found.nanocores, "memory": container.memory.working_set})
    if not rates:
        return None
    # The oldest of the readings, as it is true of all of them.
    return {**pod.ref._asdict(), **_when(min(rates, key=lambda r: r.at)), "containers": containers}


def _when(found: Rate) -> Obj:
    return {"time": round(found.at, 6), "window": round(found.window, 6)}
