"""The status of a node object, from what is known of the machine and its runtimes; and the patch that brings it there.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from arktos.agent.node.conditions import RuntimeState, changed, conditions, timed
from arktos.agent.node.machine import Filesystem, Machine
from arktos.agent.node.options import NodeOptions
from arktos.agent.node.thresholds import MEMORY, NODEFS, hard_reserve
from arktos.model.kinds import Obj
from arktos.model.quantity import Format, Quantity

_KUBERNETES = "v1.36.0"
_MAX_NAMES_PER_IMAGE = 5


@cache
def kubelet_version() -> str:
    """The version of the kubelet's API that this agent speaks, with ours as build metadata."""
    from importlib import metadata  # slow to import, and needed once

    return f"{_KUBERNETES}+arktos-{metadata.version('arktos')}"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """Everything that a status is made from. `pressures` are the pressure conditions that hold; `images` are of all
    runtimes, as (names, bytes)."""

    machine: Machine
    nodefs: Filesystem | None = None
    runtimes: Sequence[RuntimeState] = ()
    pressures: frozenset[str] = frozenset()
    images: Sequence[tuple[tuple[str, ...], int]] = field(default=())


def labels(machine: Machine, options: NodeOptions) -> dict[str, str]:
    """The labels that every node has of itself, and those that it was given."""
    own = {
        "kubernetes.io/hostname": options.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine.architecture,
    }
    return {**own, **options.labels}


def capacity(facts: NodeFacts, options: NodeOptions) -> dict[str, str]:
    machine = facts.machine
    found = {
        "cpu": str(Quantity.of(machine.cpus)),
        "memory": str(Quantity.of(machine.memory, Format.BINARY)),
        "pods": str(options.max_pods),
    }
    if facts.nodefs is not None:
        found["ephemeral-storage"] = str(Quantity.of(facts.nodefs.capacity, Format.BINARY))
    for kib, pages in sorted(machine.hugepages.items()):
        found[_hugepages(kib)] = str(Quantity.of(pages * kib * 1024, Format.BINARY))
    return dict(sorted(found.items()))


def allocatable(facts: NodeFacts, options: NodeOptions) -> dict[str, str]:
    """The capacity without what is reserved, what hard eviction thresholds keep free, and (of the memory) the pages
    that are set aside as huge ones. Never less than nothing."""
    machine = facts.machine
    disk = facts.nodefs.capacity if facts.nodefs is not None else 0
    kept = hard_reserve(options.eviction.thresholds, {MEMORY: machine.memory, NODEFS: disk})
    huge = sum(pages * kib * 1024 for kib, pages in machine.hugepages.items())
    memory = machine.memory - options.reserved.get("memory", 0) - kept.get("memory", 0) - huge
    found = capacity(facts, options)
    found["cpu"] = str(Quantity.of_milli(max(0, machine.cpus * 1000 - options.reserved.get("cpu", 0))))
    found["memory"] = str(Quantity.of(max(0, memory), Format.BINARY))
    if facts.nodefs is not None:
        storage = "ephemeral-storage"
        left = disk - options.reserved.get(storage, 0) - kept.get(storage, 0)
        # As upstream: a plain number of bytes, since what is left of a percentage is seldom a round one.
        found[storage] = str(Quantity.of(max(0, left)))
    return found


def _hugepages(kib: int) -> str:
    return f"hugepages-{Quantity.of(kib * 1024, Format.BINARY)}"


def node_info(facts: NodeFacts) -> Obj:
    machine = facts.machine
    versions = [state.version for state in facts.runtimes if state.version and state.type == "container"]
    versions += [state.version for state in facts.runtimes if state.version and state.type == "vm"]
    return {
        "architecture": machine.architecture,
        "bootID": machine.boot_id,
        "containerRuntimeVersion": versions[0] if versions else "",
        "kernelVersion": machine.kernel,
        "kubeProxyVersion": "",
        "kubeletVersion": kubelet_version(),
        "machineID": machine.machine_id,
        "operatingSystem": "linux",
        "osImage": machine.os_image,
        "swap": {"capacity": machine.swap},
        "systemUUID": machine.system_uuid,
    }


def images(found: Iterable[tuple[tuple[str, ...], int]], most: int) -> list[Obj]:
    """The largest images, the largest first. Names with a digest come first, five of an image at most."""
    merged: dict[tuple[str, ...], int] = {}
    for names, size in found:
        merged[names] = max(size, merged.get(names, 0))
    ranked = sorted(merged.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = ranked if most < 0 else ranked[:most]
    return [{"names": list(names[:_MAX_NAMES_PER_IMAGE]), "sizeBytes": size} for names, size in shown if names]


def status(facts: NodeFacts, options: NodeOptions, current: Obj, now: str) -> Obj:
    """The status as it should be; `current` is the one that the object has, for the times of its conditions."""
    room = capacity(facts, options)
    missing = [name for name in ("cpu", "memory", "pods", "ephemeral-storage") if name not in room]
    made: Obj = {
        "addresses": [
            {"type": "InternalIP", "address": options.node_ip},
            {"type": "Hostname", "address": options.node_name},
        ],
        "allocatable": allocatable(facts, options),
        "capacity": room,
        "conditions": timed(conditions(facts.runtimes, facts.pressures, missing), current.get("conditions") or (), now),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": options.port}},
        "images": images(facts.images, options.max_images),
        "nodeInfo": node_info(facts),
    }
    handlers = [handler for state in facts.runtimes for handler in state.handlers]
    if handlers:
        made["runtimeHandlers"] = sorted(handlers, key=lambda handler: str(handler.get("name", "")))
    return made


def is_change(wanted: Obj, current: Obj) -> bool:
    """Whether the status says anything new, the heartbeats of its conditions apart."""
    if _differences(wanted, current):
        return True
    known = {condition.get("type"): condition for condition in current.get("conditions") or ()}
    return any(changed(condition, known.get(condition["type"])) for condition in wanted["conditions"])


def patch(wanted: Obj, current: Obj, uid: str) -> Obj:
    """A strategic merge patch of the node's status: conditions of others stay, and so does what is the same. The uid
    makes it miss a node that was deleted and made again."""
    return {
        "metadata": {"uid": uid},
        "status": {"conditions": wanted["conditions"], **_differences(wanted, current)},
    }


def _differences(wanted: Obj, current: Obj) -> Obj:
    """The fields, conditions apart, in which the statuses differ, as a strategic merge patch writes them."""
    found: Obj = {}
    for name, value in wanted.items():
        before = current.get(name)
        if name == "conditions" or value == before or (not value and not before):
            continue
        if name == "addresses":
            found[name] = [{"$patch": "replace"}, *value]
        elif name in ("capacity", "allocatable"):
            changes = _map_changes(value, before or {})
            if changes:
                found[name] = changes
        else:
            found[name] = value
    return found


def _map_changes(wanted: Mapping[str, str], current: Mapping[str, str]) -> dict[str, str | None]:
    """What is there of other programs' (device plug-ins, the operator's extended resources) is left alone: only what
    this agent itself may have written and no longer means goes."""
    gone = [name for name in current if name not in wanted and name.startswith("hugepages-")]
    changes: dict[str, str | None] = {name: value for name, value in wanted.items() if current.get(name) != value}
    return {**changes, **dict.fromkeys(gone)}
