"""The scale subresource: both directions, and ownership across them."""

import copy
from typing import Any

import pytest

from arktos.model import apply, managed, scale
from arktos.model.schema import named
from arktos.model.status import BadRequest, Conflict, Invalid

Obj = dict[str, Any]
T = [f"2026-01-01T00:00:0{second}Z" for second in range(9)]
DEPLOYMENT = named("io.k8s.api.apps.v1.Deployment")
SCALE = named("io.k8s.api.autoscaling.v1.Scale")


def workload(kind: str = "Deployment", **rest: Any) -> Obj:
    return {
        "apiVersion": "v1" if kind == "ReplicationController" else "apps/v1",
        "kind": kind,
        "metadata": {
            "name": "web",
            "namespace": "default",
            "tenant": "acme",
            "uid": "u1",
            "resourceVersion": "7",
            "creationTimestamp": T[0],
            "labels": {"not": "carried"},
        },
        "spec": {"replicas": 3, "selector": {"matchLabels": {"b": "1", "a": "2"}}, **rest},
        "status": {"replicas": 2},
    }


def test_the_scale_of_a_workload() -> None:
    assert scale.of(workload()) == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "tenant": "acme",
            "uid": "u1",
            "resourceVersion": "7",
            "creationTimestamp": T[0],
        },
        "spec": {"replicas": 3},
        "status": {"replicas": 2, "selector": "a=2,b=1"},
    }


def test_the_selector_of_a_replication_controller_is_a_set_of_labels() -> None:
    controller = workload("ReplicationController", selector={"z": "1", "y": "2"})
    assert scale.of(controller)["status"]["selector"] == "y=2,z=1"


def test_expressions_in_the_selector() -> None:
    expressions = [{"key": "x", "operator": "In", "values": ["q", "p"]}, {"key": "z", "operator": "DoesNotExist"}]
    found = scale.of(workload(selector={"matchExpressions": expressions}))
    assert found["status"]["selector"] == "x in (p,q),!z"


def test_an_empty_selector_is_left_out() -> None:
    assert "selector" not in scale.of(workload(selector={}))["status"]


@pytest.mark.parametrize("replicas", [0, 5])
def test_writing_a_scale_changes_replicas_only(replicas: int) -> None:
    before = workload()
    original = copy.deepcopy(before)
    sent = scale.of(before)
    sent["spec"]["replicas"] = replicas
    after = scale.applied(before, sent)
    assert after == {**original, "spec": {**original["spec"], "replicas": replicas}}
    assert before == original


def test_the_resource_version_of_the_scale_counts() -> None:
    sent = scale.of(workload())
    sent["metadata"]["resourceVersion"] = "6"
    assert scale.applied(workload(), sent)["metadata"]["resourceVersion"] == "6"
    del sent["metadata"]["resourceVersion"]
    assert scale.applied(workload(), sent)["metadata"]["resourceVersion"] == "7"


def test_replicas_left_out_are_zero() -> None:
    sent = scale.of(workload())
    del sent["spec"]
    assert scale.applied(workload(), sent)["spec"]["replicas"] == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"kind": "Deployment"}, BadRequest, "expected a Scale"),
        ({"apiVersion": "autoscaling/v2"}, BadRequest, "expected a Scale"),
        ({"metadata": {"uid": "u2"}}, Conflict, "UID in precondition: u2, UID in object meta: u1"),
        ({"metadata": "x"}, BadRequest, "are objects"),
        ({"spec": {"replicas": "3"}}, BadRequest, "int32"),
        ({"spec": {"replicas": True}}, BadRequest, "int32"),
        ({"spec": {"replicas": 1 << 31}}, BadRequest, "int32"),
        ({"spec": {"replicas": -1}}, Invalid, 'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1'),
        ({"spec": 3}, BadRequest, "are objects"),
    ],
)
def test_refused(change: Obj, error: type[Exception], message: str) -> None:
    sent = {**scale.of(workload()), **change}
    with pytest.raises(error) as caught:
        scale.applied(workload(), sent)
    assert message in str(caught.value)


def applied(who: str, replicas: int | None, live: Obj | None, when: int) -> Obj:
    config: Obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"l": who}}}
    config["spec"] = {} if replicas is None else {"replicas": replicas}
    return apply.apply(DEPLOYMENT, live, config, manager=who, api_version="apps/v1", force=True, now=T[when]).obj


def owners(entries: list[Obj]) -> list[tuple[str, str, str | None]]:
    return [(e["manager"], e["apiVersion"], e.get("subresource")) for e in entries if "f:spec" in e["fieldsV1"]]


def scale_applied(live: Obj, who: str, replicas: int, when: int, force: bool) -> Obj:
    """Server-side apply on the scale subresource, as a server does it."""
    seen = scale.of(live)
    seen["metadata"]["managedFields"] = scale.managed_fields(live)
    config = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {}, "spec": {"replicas": replicas}}
    result = apply.apply(
        SCALE,
        seen,
        config,
        manager=who,
        api_version="autoscaling/v1",
        force=force,
        now=T[when],
        subresource="scale",
        ignored=("status",),
    ).obj
    after = scale.applied(live, result)
    after["metadata"] = {
        **after["metadata"],
        "managedFields": scale.workload_managed_fields(live, result["metadata"]["managedFields"]),
    }
    return after


def test_a_scale_shows_the_owners_of_replicas() -> None:
    live = applied("ann", 3, None, 1)
    assert scale.managed_fields(live) == [
        {
            "manager": "ann",
            "operation": "Apply",
            "apiVersion": "autoscaling/v1",
            "time": T[1],
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
    ]
    assert scale.managed_fields(applied("ann", None, None, 1)) == []


def test_applying_a_scale_conflicts_with_the_owner_of_the_workload() -> None:
    live = applied("ann", 3, None, 1)
    with pytest.raises(Conflict, match=r'conflict with "ann": \.spec\.replicas'):
        scale_applied(live, "hpa", 5, 2, force=False)


def test_applying_a_scale_takes_the_replicas_over() -> None:
    live = applied("ann", 3, None, 1)
    after = scale_applied(live, "hpa", 5, 2, force=True)
    assert after["spec"]["replicas"] == 5
    entries = after["metadata"]["managedFields"]
    assert owners(entries) == [("hpa", "apps/v1", "scale")]
    assert [entry["manager"] for entry in entries] == ["ann", "hpa"]
    assert [entry["time"] for entry in entries] == [T[1], T[2]]
    with pytest.raises(Conflict, match=r'conflict with "hpa" with subresource "scale": \.spec\.replicas'):
        apply.apply(
            DEPLOYMENT,
            after,
            {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 1}},
            manager="ann",
            api_version="apps/v1",
            force=False,
            now=T[3],
        )


def test_applying_the_same_scale_again_changes_nothing() -> None:
    live = scale_applied(applied("ann", 3, None, 1), "hpa", 5, 2, force=True)
    assert scale_applied(live, "hpa", 5, 4, force=False) == live


def test_an_update_of_the_scale_is_an_update_of_the_workload() -> None:
    live = applied("ann", 3, None, 1)
    sent = scale.of({**live, "spec": {"replicas": 9}})
    after = scale.applied(live, sent)
    entries = managed.update(
        DEPLOYMENT, live, after, manager="kubectl", api_version="apps/v1", now=T[2], subresource="scale"
    )
    assert owners(entries) == [("kubectl", "apps/v1", "scale")]
