"""How many replicas load asks for, and how fast they may change."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from arktos.client import Client
from arktos.controllers.horizontalpodautoscaler import behavior, metrics, replicas
from arktos.controllers.horizontalpodautoscaler.behavior import Memory
from arktos.controllers.horizontalpodautoscaler.measuring import Away, Measuring
from arktos.controllers.horizontalpodautoscaler.metrics import World
from arktos.controllers.horizontalpodautoscaler.replicas import Tolerances, Unmeasured
from arktos.model import dates
from arktos.model.status import NotFound

NOW = dates.unix("2026-01-01T01:00:00Z")
Obj = dict[str, Any]


def pod(name: str, cpu: str = "100m", *, phase: str = "Running", ready: bool = True, age: float = 3600) -> Obj:
    started = dates.rfc3339(dates.from_unix(NOW - age))
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": started}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        "status": {"phase": phase, "startTime": started, "conditions": [condition]},
    }


class Server:
    """Answers of metrics APIs, by path; and what was asked."""

    def __init__(self, **items: list[Obj]) -> None:
        self.items = items
        self.asked: list[str] = []

    async def request(self, method: str, path: str, body: Obj | None = None) -> Obj:
        self.asked.append(path)
        group = path.removeprefix("/tenants/acme/apis/").partition(".")[0]
        if group not in self.items:
            raise NotFound("the server could not find the requested resource")
        return {"items": self.items[group]}


def uses(**cpu: str) -> list[Obj]:
    return [
        {"metadata": {"name": name}, "containers": [{"name": "c", "usage": {"cpu": value}}]}
        for name, value in cpu.items()
    ]


def world(pods: list[Obj], server: Any, current: int | None = None) -> World:
    client: Client = server
    measuring = Measuring(client, "acme", "default", Away())
    return World(measuring, pods, "app=web", len(pods) if current is None else current, Tolerances(), NOW)


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}


@pytest.mark.parametrize(
    ("pods", "used", "wanted"),
    [
        ([pod("a"), pod("b")], {"a": "50m", "b": "50m"}, 2),
        ([pod("a"), pod("b")], {"a": "54m", "b": "52m"}, 2),  # within the tolerance
        ([pod("a"), pod("b")], {"a": "100m", "b": "100m"}, 4),
        ([pod("a"), pod("b")], {"a": "10m", "b": "10m"}, 1),
        ([pod("a"), pod("b")], {"a": "10m"}, 2),  # who says nothing may be busy
        ([pod("a"), pod("b")], {"a": "100m"}, 2),  # or idle
        ([pod("a"), pod("b", ready=False, age=10)], {"a": "150m", "b": "200m"}, 3),
        ([pod("a"), pod("b", phase="Failed")], {"a": "100m"}, 2),
    ],
)
async def test_by_utilization(pods: list[Obj], used: dict[str, str], wanted: int) -> None:
    found = await metrics.propose(CPU, world(pods, Server(metrics=uses(**used))))
    assert found.replicas == wanted


async def test_the_status_tells_what_was_measured() -> None:
    server = Server(metrics=uses(a="100m", b="50m"))
    found = await metrics.propose(CPU, world([pod("a"), pod("b")], server))
    assert found.status == {
        "type": "Resource",
        "resource": {"name": "cpu", "current": {"averageValue": "75m", "averageUtilization": 75}},
    }
    assert found.name == "cpu resource utilization (percentage of request)"
    assert server.asked == ["/tenants/acme/apis/metrics.k8s.io/v1beta1/namespaces/default/pods?labelSelector=app%3Dweb"]


async def test_what_cannot_be_measured_says_why() -> None:
    with pytest.raises(Unmeasured, match="unable to get metrics for resource cpu: "):
        await metrics.propose(CPU, world([pod("a")], Server()))
    with pytest.raises(Unmeasured, match="no metrics returned from resource metrics API"):
        await metrics.propose(CPU, world([pod("a")], Server(metrics=[])))
    bare = pod("a")
    bare["spec"]["containers"][0]["resources"] = {}
    with pytest.raises(Unmeasured, match="missing request for cpu in container c of Pod a"):
        await metrics.propose(CPU, world([bare], Server(metrics=uses(a="1m"))))


async def test_machines_have_a_load_too() -> None:
    machine = pod("vm")
    machine["spec"] = {"virtualMachine": {"name": "vm", "resources": {"requests": {"cpu": "2"}}}}
    found = await metrics.propose(CPU, world([machine], Server(metrics=uses(vm="2"))))
    assert found.replicas == 2


async def test_by_values_of_pods_objects_and_others() -> None:
    rate = {"name": "rate"}
    items = [{"describedObject": {"name": name}, "value": value} for name, value in (("a", "30"), ("b", "10"))]
    per_pod = {"type": "Pods", "pods": {"metric": rate, "target": {"type": "AverageValue", "averageValue": "10"}}}
    pods = [pod("a"), pod("b")]
    assert (await metrics.propose(per_pod, world(pods, Server(custom=items)))).replicas == 4
    described = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "front"}
    one = {
        "type": "Object",
        "object": {"metric": rate, "describedObject": described, "target": {"type": "Value", "value": "10"}},
    }
    server = Server(custom=items[:1])
    assert (await metrics.propose(one, world(pods, server))).replicas == 6
    assert "/ingresses.networking.k8s.io/front/rate" in server.asked[0]
    queue = {"type": "External", "external": {"metric": rate, "target": {"type": "AverageValue", "averageValue": "10"}}}
    found = await metrics.propose(queue, world(pods, Server(external=[{"value": "25"}, {"value": "20"}])))
    assert found.replicas == 5
    assert found.status["external"]["current"] == {"averageValue": "22500m"}


def autoscaler(**rules: Any) -> Obj:
    return {"spec": {"behavior": rules} if rules else {}}


def stepped(owner: Obj, memory: Memory, current: int, proposal: int, now: float, most: int = 100) -> behavior.Step:
    return behavior.step(owner, memory, current, proposal, 1, most, now)


def test_growth_is_at_once_but_not_without_measure() -> None:
    found = stepped(autoscaler(), Memory(), 1, 50, NOW)
    assert found.replicas == 5 and found.limited is not None and found.limited[0] == "ScaleUpLimit"
    assert stepped(autoscaler(), Memory(), 10, 50, NOW).replicas == 20
    assert stepped(autoscaler(), Memory(), 10, 12, NOW) == behavior.Step(12)
    most = stepped(autoscaler(), Memory(), 10, 50, NOW, most=15)
    assert most.replicas == 15 and most.limited is not None and most.limited[0] == "TooManyReplicas"


def test_what_changed_a_moment_ago_counts() -> None:
    memory = Memory(changes=[(NOW - 5, 5)])
    assert stepped(autoscaler(), memory, 10, 50, NOW).replicas == 10
    assert stepped(autoscaler(), memory, 10, 50, NOW + 11).replicas == 20


def test_shrinking_waits_for_the_whole_window() -> None:
    memory = Memory()
    assert stepped(autoscaler(), memory, 10, 10, NOW).replicas == 10
    held = stepped(autoscaler(), memory, 10, 2, NOW + 200)
    assert held.replicas == 10 and held.steadied == "ScaleDownStabilized"
    assert stepped(autoscaler(), memory, 10, 2, NOW + 301).replicas == 2


def test_rules_of_ones_own() -> None:
    slow = {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}], "stabilizationWindowSeconds": 0}
    assert stepped(autoscaler(scaleDown=slow), Memory(), 10, 1, NOW).replicas == 9
    off = {"selectPolicy": "Disabled"}
    assert stepped(autoscaler(scaleDown=off | slow), Memory(), 10, 1, NOW).replicas == 10
    both = {
        "policies": [
            {"type": "Pods", "value": 2, "periodSeconds": 60},
            {"type": "Percent", "value": 50, "periodSeconds": 60},
        ],
        "selectPolicy": "Min",
    }
    assert stepped(autoscaler(scaleUp=both), Memory(), 10, 50, NOW).replicas == 12
    patient = {"stabilizationWindowSeconds": 60}
    memory = Memory(proposals=[(NOW - 30, 3)])
    found = stepped(autoscaler(scaleUp=patient), memory, 3, 6, NOW)
    assert found.replicas == 3 and found.steadied == "ScaleUpStabilized"


def test_tolerances() -> None:
    assert replicas.by_value(4, 4, 10.9, 10.0, Tolerances()) == 4
    assert replicas.by_value(4, 4, 10.9, 10.0, Tolerances(up=0.05)) == 5
    assert replicas.by_average(2, 45.0, 10.0, Tolerances()) == 5
    assert replicas.by_average(0, 1.0, 10.0, Tolerances()) == 1


async def test_extensions_that_hang_are_not_waited_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arktos.controllers.horizontalpodautoscaler.measuring._PATIENCE", 0.01)
    asked: list[str] = []

    class Hanging:
        async def request(self, method: str, path: str, body: Obj | None = None) -> Obj:
            asked.append(path)
            if path.startswith("/tenants/acme/apis/external"):
                await asyncio.Event().wait()
            return {"items": [{"value": "3"}]}

    client, away = cast(Client, Hanging()), Away()
    with pytest.raises(Unmeasured, match="did not answer in time"):
        await Measuring(client, "acme", "default", away).external({"name": "queue"})
    for measure in ("external", "pods"):
        with pytest.raises(Unmeasured, match="did not answer of late"):
            measuring: Any = Measuring(client, "acme", "other", away)
            await getattr(measuring, measure)({"name": "queue"}, *["a=b"][: measure == "pods"])
    assert await Measuring(client, "globex", "default", away).external({"name": "queue"}) == 3
    assert len(asked) == 2
