"""What a ReplicaSet needs, case by case."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arktos.controllers.podcontrol import ever_more
from arktos.controllers.pods import PodView, next_available
from arktos.controllers.replicaset import reconcile
from arktos.controllers.replicaset.wiring import REPLICASET
from arktos.model.status import Forbidden

NOW = 1_000_000.0
TEXT = "2026-01-01T00:00:00Z"
Obj = dict[str, Any]


def replicaset(replicas: int = 3, **spec: Any) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web", "namespace": "default", "tenant": "acme", "uid": "u1", "generation": 4},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}},
            **spec,
        },
    }


def pod(name: str, **facts: Any) -> PodView:
    return PodView(name, f"uid-{name}", {"app": "web"}, **{"phase": "Running", "ready_at": NOW - 60, **facts})


@pytest.mark.parametrize(
    ("wanted", "there", "create", "delete"),
    [(3, 0, 3, 0), (3, 3, 0, 0), (1, 3, 0, 2), (0, 2, 0, 2), (2000, 0, 500, 0), (0, 2000, 0, 500)],
)
def test_how_many(wanted: int, there: int, create: int, delete: int) -> None:
    pods = [pod(str(i)) for i in range(there)]
    plan = reconcile.plan(replicaset(wanted), pods, pods, NOW)
    assert (plan.create, len(plan.delete)) == (create, delete)


def test_pods_that_ended_or_go_do_not_count() -> None:
    pods = [pod("a"), pod("b", phase="Failed"), pod("c", phase="Succeeded"), pod("d", deleting=True)]
    assert reconcile.plan(replicaset(3), pods, pods, NOW).create == 2


def test_a_pod_is_its_template_with_our_reference() -> None:
    owner = replicaset(
        1,
        template={
            "metadata": {"labels": {"app": "web"}, "finalizers": ["x/y"]},
            "spec": {"virtualMachine": {"name": "vm"}},
        },
    )
    made = reconcile.pod_from(REPLICASET, owner)
    assert made["metadata"]["generateName"] == "web-"
    assert (made["metadata"]["tenant"], made["metadata"]["namespace"]) == ("acme", "default")
    assert made["metadata"]["finalizers"] == ["x/y"]
    assert made["spec"] == {"virtualMachine": {"name": "vm"}}
    (reference,) = made["metadata"]["ownerReferences"]
    assert reference["uid"] == "u1" and reference["controller"] and reference["blockOwnerDeletion"]


def test_status_counts() -> None:
    pods = [
        pod("a"),
        pod("b", ready_at=None),
        pod("c", ready_at=NOW - 5),
        pod("d", deleting=True),
        pod("e", phase="Failed"),
    ]
    status = reconcile.status_of(replicaset(3, minReadySeconds=10), pods, None, NOW, TEXT)
    assert status == {
        "replicas": 3,
        "fullyLabeledReplicas": 3,
        "readyReplicas": 2,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
        "observedGeneration": 4,
    }
    assert next_available(pods, 10, NOW) == pytest.approx(5.01)
    assert next_available(pods, 0, NOW) is None


def test_a_failure_comes_into_the_status_and_goes() -> None:
    broken = replicaset(1)
    broken["status"] = reconcile.status_of(broken, [], ("FailedCreate", "no quota"), NOW, TEXT)
    (condition,) = broken["status"]["conditions"]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "ReplicaFailure",
        "FailedCreate",
        "no quota",
    )
    healed = reconcile.status_of(broken, [], None, NOW, TEXT)
    assert "conditions" not in healed
    assert reconcile.differs(broken["status"], healed)


def test_zero_and_absent_are_the_same_status() -> None:
    status = reconcile.status_of(replicaset(0), [], None, NOW, TEXT)
    assert not reconcile.differs({"replicas": 0, "observedGeneration": 4}, status)
    assert reconcile.body_of(status)["readyReplicas"] is None


async def test_ever_more_at_once_until_the_first_failure() -> None:
    calls = under_way = most = 0

    async def some_fail() -> None:
        nonlocal calls, under_way, most
        calls += 1
        mine = calls
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        if failing <= mine:
            raise Forbidden("exceeded quota")

    failing = 1
    assert isinstance(await ever_more(100, some_fail), Forbidden)
    assert calls == 1
    calls, failing = 0, 5
    assert isinstance(await ever_more(100, some_fail), Forbidden)
    assert 5 <= calls <= 8  # those that were under way are not called off
    calls, failing = 0, 101
    assert await ever_more(100, some_fail, most=16) is None
    assert (calls, most) == (100, 16)
