"""Whether a node takes a pod that was bound to it."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.agent.pods.admission import Admission
from arktos.agent.pods.table import Pods
from arktos.agent.spec.facts import NodeFacts
from arktos.model.placement import matches_node

NODE = {
    "metadata": {"name": "n1", "labels": {"zone": "a", "size": "7"}},
    "spec": {"taints": [{"key": "gone", "effect": "NoExecute"}]},
    "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}},
}
TOLERATES = {"tolerations": [{"operator": "Exists"}]}


def pod(uid: str, cpu: str = "", **spec: Any) -> Any:
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    whole = {"containers": [{"name": "c", "image": "i", "resources": resources}], **TOLERATES, **spec}
    return {"metadata": {"uid": uid, "name": uid, "namespace": "n"}, "spec": whole, "status": {}}


def admission(*here: Any, pressures: tuple[str, ...] = ()) -> Admission:
    pods = Pods()
    for each in here:
        pods.put(each).admitted = True
    return Admission(pods, lambda: NODE, lambda: NodeFacts("n1", ()), lambda: pressures)


@pytest.mark.parametrize(
    ("asked", "reason", "message"),
    [
        (pod("x", "1"), "", ""),
        (pod("x", "1500m"), "OutOfcpu", "cpu, requested: 1500, used: 1000, capacity: 2000"),
        (pod("x", tolerations=[]), "TaintToleration", "untolerated taint(s) {gone: }"),
        (pod("x", nodeSelector={"zone": "b"}), "NodeAffinity", "Predicate NodeAffinity failed"),
        (pod("x", os={"name": "windows"}), "PodOSNotSupported", "Failed to admit pod"),
    ],
)
def test_refusals(asked: Any, reason: str, message: str) -> None:
    refused = admission(pod("a", "1")).refuse(asked)
    assert (refused.reason if refused else "") == reason
    if refused:
        assert refused.phase == "Failed"
        assert refused.message.startswith("Pod was rejected: ")
        assert message in refused.message


def test_count_of_pods() -> None:
    refused = admission(*(pod(str(number)) for number in range(3))).refuse(pod("x"))
    assert refused is not None
    assert refused.reason == "OutOfpods"
    assert refused.message.endswith("Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3")


def test_pods_that_were_not_taken_or_have_ended_do_not_count() -> None:
    pods = Pods()
    pods.put(pod("a", "2"))
    ended = pods.put(pod("b", "2"))
    ended.admitted, ended.status = True, {"phase": "Failed"}
    assert Admission(pods, lambda: NODE, lambda: NodeFacts("n1", ())).refuse(pod("x", "2")) is None


def test_pressure() -> None:
    refused = admission(pressures=("DiskPressure",)).refuse(pod("x"))
    assert refused is not None
    assert (refused.reason, refused.message) == (
        "Evicted",
        "Pod was rejected: The node had condition: [DiskPressure]. ",
    )


def test_resizes() -> None:
    one = admission(pod("a", "1"))
    assert one.refuse_resize(pod("x", "1")) is None
    deferred, infeasible = one.refuse_resize(pod("x", "1500m")), one.refuse_resize(pod("x", "3"))
    assert deferred is not None
    assert deferred[0] == "Deferred"
    assert infeasible == (
        "Infeasible",
        "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000",
    )


@pytest.mark.parametrize(
    ("expressions", "fits"),
    [
        ([{"key": "zone", "operator": "In", "values": ["a", "b"]}], True),
        ([{"key": "zone", "operator": "NotIn", "values": ["a"]}], False),
        ([{"key": "size", "operator": "Gt", "values": ["6"]}], True),
        ([{"key": "size", "operator": "Lt", "values": ["6"]}], False),
        ([{"key": "none", "operator": "DoesNotExist"}], True),
        ([], False),
    ],
)
def test_node_affinity(expressions: list[Any], fits: bool) -> None:
    required = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    spec = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}
    assert matches_node(spec, NODE) is fits
