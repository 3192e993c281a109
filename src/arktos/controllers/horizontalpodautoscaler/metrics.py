"""One metric of an autoscaler: what it proposes, and what the status says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arktos.controllers.horizontalpodautoscaler import replicas
from arktos.controllers.horizontalpodautoscaler.measuring import Measuring
from arktos.controllers.horizontalpodautoscaler.replicas import Tolerances, Unmeasured
from arktos.model import quantity, registry
from arktos.model.kinds import Obj
from arktos.model.quantity import Format, Quantity


@dataclass(frozen=True, slots=True)
class World:
    """What metrics are measured against: the target's pods, found by `selector`, and how many it has."""

    measuring: Measuring
    pods: Sequence[Obj]
    selector: str
    current: int
    tolerances: Tolerances
    now: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """`status` is the metric's entry in `status.currentMetrics`; `name` is how messages speak of it."""

    replicas: int
    name: str
    status: Obj


REASONS = {
    "Resource": "FailedGetResourceMetric",
    "ContainerResource": "FailedGetContainerResourceMetric",
    "Pods": "FailedGetPodsMetric",
    "Object": "FailedGetObjectMetric",
    "External": "FailedGetExternalMetric",
}


async def propose(metric: Obj, world: World) -> Proposal:
    """Raises Unmeasured."""
    match metric["type"]:
        case "Resource":
            return await _resource(metric["resource"], world, "Resource", "")
        case "ContainerResource":
            told = metric["containerResource"]
            return await _resource(told, world, "ContainerResource", told["container"])
        case "Pods":
            return await _pods(metric["pods"], world)
        case "Object":
            return await _object(metric["object"], world)
        case "External":
            return await _external(metric["external"], world)
    raise Unmeasured(f'unknown metric source type "{metric["type"]}"')


async def _resource(told: Obj, world: World, type: str, container: str) -> Proposal:
    resource, target = told["name"], told["target"]
    used = await world.measuring.resource(resource, world.selector, container)
    groups = replicas.group(world.pods, used, resource == "cpu", world.now)
    counted = {name: value for name, value in used.items() if name not in groups.ignored | groups.unready}
    average = sum(counted.values()) / len(counted) if counted else 0.0
    current: Obj = {"averageValue": _written(average, resource)}
    if target.get("averageUtilization") is not None:
        asked = replicas.requests([pod for pod in world.pods if _counts(pod, groups.ignored)], resource, container)
        goal = int(target["averageUtilization"])

        def utilization(of: Mapping[str, float]) -> float:
            total = sum(asked.get(name, 0.0) for name in of)
            if not total:
                raise Unmeasured("no metrics returned matched known pods")
            return 100 * sum(of.values()) / total

        found = replicas.proposed(
            world.current,
            groups,
            used,
            lambda of: utilization(of) / goal,
            lambda name: asked.get(name, 0.0) * max(100, goal) / 100,
            world.tolerances,
        )
        current["averageUtilization"] = int(utilization(counted))
        name = f"{resource} resource utilization (percentage of request)"
    else:
        found = _by_pods(target, groups, used, world)
        name = f"{resource} resource"
    if container:
        name = f"{resource} container resource" + name.removeprefix(f"{resource} resource")
    entry: Obj = {"name": resource, "current": current} | ({"container": container} if container else {})
    return Proposal(found, name, {"type": type, _field(type): entry})


def _counts(pod: Obj, ignored: frozenset[str]) -> bool:
    return pod["metadata"]["name"] not in ignored


def _by_pods(target: Obj, groups: replicas.Groups, used: Mapping[str, float], world: World) -> int:
    goal = _goal(target["averageValue"])

    def ratio(of: Mapping[str, float]) -> float:
        return sum(of.values()) / len(of) / goal

    return replicas.proposed(world.current, groups, used, ratio, lambda _: goal, world.tolerances)


async def _pods(told: Obj, world: World) -> Proposal:
    used = await world.measuring.pods(told["metric"], world.selector)
    groups = replicas.group(world.pods, used, False, world.now)
    found = _by_pods(told["target"], groups, used, world)
    entry = {"metric": told["metric"], "current": {"averageValue": _written(sum(used.values()) / len(used))}}
    return Proposal(found, f"pods metric {told['metric']['name']}", {"type": "Pods", "pods": entry})


async def _object(told: Obj, world: World) -> Proposal:
    described = told["describedObject"]
    kind = registry.by_gvk(described.get("apiVersion") or "v1", described["kind"])
    resource = kind.resource if kind is not None else f"{described['kind'].lower()}s"
    value = await world.measuring.object(told["metric"], resource, described["name"])
    found, current = _one_value(told["target"], value, world)
    entry = {"metric": told["metric"], "describedObject": described, "current": current}
    name = f"{described['kind']} metric {told['metric']['name']}"
    return Proposal(found, name, {"type": "Object", "object": entry})


async def _external(told: Obj, world: World) -> Proposal:
    value = await world.measuring.external(told["metric"])
    found, current = _one_value(told["target"], value, world)
    entry = {"metric": told["metric"], "current": current}
    return Proposal(found, f"external metric {told['metric']['name']}", {"type": "External", "external": entry})


def _one_value(target: Obj, value: float, world: World) -> tuple[int, Obj]:
    if target.get("averageValue") is not None:
        found = replicas.by_average(world.current, value, _goal(target["averageValue"]), world.tolerances)
        share = value / world.current if world.current else value
        return found, {"averageValue": _written(share)}
    ready = sum(1 for pod in world.pods if _is_ready(pod))
    found = replicas.by_value(world.current, ready, value, _goal(target["value"]), world.tolerances)
    return found, {"value": _written(value)}


def _is_ready(pod: Obj) -> bool:
    status = pod.get("status") or {}
    found = status.get("conditions") or ()
    return status.get("phase") == "Running" and any(
        each.get("type") == "Ready" and each.get("status") == "True" for each in found
    )


def _goal(amount: object) -> float:
    found = quantity.parse(str(amount)).milli / 1000
    if found <= 0:
        raise Unmeasured(f"the target {amount} is not more than zero")
    return found


def _written(value: float, resource: str = "") -> str:
    form = Format.BINARY if resource == "memory" else Format.DECIMAL
    return str(Quantity.of_milli(round(value * 1000), form))


def _field(type: str) -> str:
    return type[0].lower() + type[1:]
