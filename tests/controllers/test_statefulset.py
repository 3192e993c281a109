"""What a StatefulSet does next, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.controllers.pods import PodView
from arktos.controllers.statefulset import identity
from arktos.controllers.statefulset.plan import Revisions, plan, status_of
from arktos.controllers.statefulset.wiring import STATEFULSET

NOW = 1_000_000.0
Obj = dict[str, Any]
BOTH = Revisions("old", "new")


def statefulset(replicas: int = 3, status: Obj | None = None, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default", "tenant": "acme", "uid": "u1", "generation": 3},
        "spec": {
            "replicas": replicas,
            "serviceName": "dbs",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template,
            **spec,
        },
        "status": status or {},
    }


def pod(number: int, revision: str = "new", **facts: Any) -> PodView:
    name = f"db-{number}"
    labels = {"app": "db", "controller-revision-hash": revision}
    return PodView(name, f"uid-{name}", labels, **{"phase": "Running", "ready_at": NOW - 60, **facts})


def of(*pods: PodView) -> dict[int, PodView]:
    return {int(each.name.rpartition("-")[2]): each for each in pods}


def names(pods: list[PodView]) -> list[str]:
    return [each.name for each in pods]


def test_one_after_the_other() -> None:
    owner = statefulset()
    assert plan(owner, {}, BOTH, NOW).create == [(0, "new")]
    waiting = plan(owner, of(pod(0, ready_at=None)), BOTH, NOW)
    assert not waiting.create and waiting.waits == "db-0"
    assert plan(owner, of(pod(0)), BOTH, NOW).create == [(1, "new")]


def test_a_parallel_set_makes_all_at_once_and_loses_all_at_once() -> None:
    assert plan(statefulset(podManagementPolicy="Parallel"), {}, BOTH, NOW).create == [(n, "new") for n in range(3)]
    going = plan(statefulset(1, podManagementPolicy="Parallel"), of(*map(pod, range(4))), BOTH, NOW)
    assert names(going.condemn) == ["db-3", "db-2", "db-1"]


def test_the_highest_goes_first_and_is_waited_for() -> None:
    assert names(plan(statefulset(1), of(*map(pod, range(3))), BOTH, NOW).condemn) == ["db-2"]
    waiting = plan(statefulset(1), of(pod(0), pod(1), pod(2, deleting=True)), BOTH, NOW)
    assert not waiting.condemn and waiting.waits == "db-2"


def test_ordinals_start_where_they_are_told() -> None:
    owner = statefulset(2, ordinals={"start": 5})
    assert plan(owner, {}, BOTH, NOW).create == [(5, "new")]
    assert names(plan(owner, of(pod(4), pod(5), pod(6)), BOTH, NOW).condemn) == ["db-4"]


def test_what_ended_is_replaced() -> None:
    assert names(plan(statefulset(2), of(pod(0, phase="Failed"), pod(1)), BOTH, NOW).replace) == ["db-0"]


def rolled(*pods: PodView, **strategy: Any) -> list[str]:
    owner = statefulset(len(pods), updateStrategy={"type": "RollingUpdate", "rollingUpdate": strategy or None})
    return names(plan(owner, of(*pods), BOTH, NOW).update)


@pytest.mark.parametrize(
    ("pods", "strategy", "going"),
    [
        ([pod(0, "old"), pod(1, "old"), pod(2, "old")], {}, ["db-2"]),
        ([pod(0, "old"), pod(1, "old"), pod(2)], {}, ["db-1"]),
        ([pod(0, "old"), pod(1, "old"), pod(2)], {"partition": 1}, ["db-1"]),
        ([pod(0, "old"), pod(1), pod(2)], {"partition": 1}, []),
        ([pod(0, "old"), pod(1, "old"), pod(2, "old")], {"maxUnavailable": 2}, ["db-2", "db-1"]),
        ([pod(0), pod(1), pod(2)], {}, []),
    ],
)
def test_rolling(pods: list[PodView], strategy: Obj, going: list[str]) -> None:
    assert rolled(*pods, **strategy) == going


def test_a_roll_out_waits_for_what_is_not_there_again() -> None:
    owner = statefulset(2, podManagementPolicy="Parallel")
    assert plan(owner, of(pod(0, "old"), pod(1, ready_at=None)), BOTH, NOW).update == []


def test_broken_pods_of_an_older_template_do_not_hold_the_roll_out() -> None:
    owner = statefulset(2, podManagementPolicy="Parallel")
    broken = of(pod(0, "old", ready_at=None), pod(1, "old", ready_at=None))
    assert names(plan(owner, broken, BOTH, NOW).update) == ["db-1", "db-0"]


def test_on_delete_waits_for_somebody_to_delete() -> None:
    owner = statefulset(2, updateStrategy={"type": "OnDelete"})
    assert plan(owner, of(pod(0, "old"), pod(1, "old")), BOTH, NOW).update == []
    assert plan(owner, of(pod(0, "old")), BOTH, NOW).create == [(1, "new")]


def test_below_the_partition_pods_come_back_as_they_were() -> None:
    owner = statefulset(3, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    assert plan(owner, of(pod(0, "old")), BOTH, NOW).create == [(1, "old")]
    assert plan(owner, of(pod(0, "old"), pod(1, "old")), BOTH, NOW).create == [(2, "new")]


def counted(owner: Obj, *pods: PodView) -> Obj:
    return status_of(owner, of(*pods), BOTH, {"old": "db-old", "new": "db-new"}, 0, NOW)


def test_status_while_rolling_and_when_done() -> None:
    owner = statefulset(2)
    half = counted(owner, pod(0, "old"), pod(1, ready_at=None))
    assert (half["currentRevision"], half["updateRevision"]) == ("db-old", "db-new")
    assert [half[f"{word}Replicas"] for word in ("ready", "available", "current", "updated")] == [1, 1, 1, 1]
    done = counted(owner, pod(0), pod(1))
    assert (done["currentRevision"], done["currentReplicas"], done["updatedReplicas"]) == ("db-new", 2, 2)


@pytest.mark.parametrize(
    ("name", "number"),
    [("db-0", 0), ("db-12", 12), ("db-01", None), ("db-", None), ("other-1", None), ("db-1-2", None), ("db", None)],
)
def test_ordinals_in_names(name: str, number: int | None) -> None:
    assert identity.ordinal(statefulset(), name) == number


def test_a_pod_is_known_by_name_host_and_claims() -> None:
    data = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    owner = statefulset(volumeClaimTemplates=[data])
    made = identity.pod(STATEFULSET, owner, owner["spec"]["template"], 4, "abc")
    assert made["metadata"]["name"] == made["spec"]["hostname"] == "db-4" and made["spec"]["subdomain"] == "dbs"
    assert made["metadata"]["labels"] == {
        "app": "db",
        "controller-revision-hash": "abc",
        "statefulset.kubernetes.io/pod-name": "db-4",
        "apps.kubernetes.io/pod-index": "4",
    }
    assert made["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-4"}}]
    (claim,) = identity.claims(owner, 4, STATEFULSET)
    assert claim["metadata"]["name"] == "data-db-4" and "ownerReferences" not in claim["metadata"]


def test_claims_go_with_what_they_are_told_to_go_with() -> None:
    claim: Obj = {"metadata": {"name": "data-db-1", "ownerReferences": []}}
    gone = {"metadata": {"name": "db-1", "uid": "p1"}}
    kept = statefulset()
    assert identity.claim_owners(kept, STATEFULSET, claim, gone) is None
    both = statefulset(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete", "whenScaled": "Delete"})
    owned = identity.claim_owners(both, STATEFULSET, claim, None)
    assert owned is not None and [each["kind"] for each in owned] == ["StatefulSet"]
    claim["metadata"]["ownerReferences"] = owned
    assert identity.claim_owners(both, STATEFULSET, claim, None) is None
    condemned = identity.claim_owners(both, STATEFULSET, claim, gone)
    assert condemned is not None and [each["uid"] for each in condemned] == ["p1"]
    claim["metadata"]["ownerReferences"] = condemned
    assert identity.claim_owners(kept, STATEFULSET, claim, None) == []
