"""Limit ranges as a pure matter."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.model import limits

Obj = dict[str, Any]


def pod(*containers: Obj, **spec: Any) -> Obj:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers), **spec}}


def container(name: str = "c", requests: Obj | None = None, bounds: Obj | None = None) -> Obj:
    needs = {side: amounts for side, amounts in (("requests", requests), ("limits", bounds)) if amounts}
    return {"name": name, "image": "i", **({"resources": needs} if needs else {})}


def test_defaults_are_given_and_told() -> None:
    items = [
        {"type": "Pod", "max": {"cpu": "9"}},
        {
            "type": "Container",
            "default": {"cpu": "500m", "memory": "1Gi"},
            "defaultRequest": {"cpu": "100m", "memory": "1Gi"},
        },
    ]
    new = pod(container("a"), container("b", {"cpu": "1"}, {"cpu": "2"}), initContainers=[container("i")])
    limits.set_defaults(new, items)
    first, second = new["spec"]["containers"]
    assert first["resources"] == {
        "requests": {"cpu": "100m", "memory": "1Gi"},
        "limits": {"cpu": "500m", "memory": "1Gi"},
    }
    assert second["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    assert new["metadata"]["annotations"] == {
        limits.ANNOTATION: "LimitRanger plugin set: cpu, memory request for container a; cpu, memory limit for "
        "container a; memory request for container b; memory limit for container b; "
        "cpu, memory request for init container i; cpu, memory limit for init container i"
    }
    again = pod(container("a", {"cpu": "1", "memory": "1"}, {"cpu": "1", "memory": "1"}))
    limits.set_defaults(again, items)
    assert "annotations" not in again["metadata"]


def test_a_virtual_machine_is_a_container() -> None:
    machine: Obj = {"metadata": {"name": "v"}, "spec": {"virtualMachine": {"name": "vm", "image": "i"}}}
    limits.set_defaults(machine, [{"type": "Container", "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2"}}])
    assert machine["spec"]["virtualMachine"]["resources"] == {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}
    assert limits.pod_faults(machine, [{"type": "Container", "max": {"cpu": "1"}}]) == [
        "maximum cpu usage per Container is 1, but limit is 2"
    ]
    assert limits.pod_faults(machine, [{"type": "Pod", "min": {"memory": "2Gi"}}]) == [
        "minimum memory usage per Pod is 2Gi, but request is 1Gi"
    ]


@pytest.mark.parametrize(
    ("item", "requests", "bounds", "fault"),
    [
        ({"min": {"cpu": "100m"}}, {}, {}, "minimum cpu usage per Container is 100m.  No request is specified"),
        ({"min": {"cpu": "100m"}}, {"cpu": "50m"}, {}, "minimum cpu usage per Container is 100m, but request is 50m"),
        (
            {"min": {"cpu": "100m"}},
            {"cpu": "100m"},
            {"cpu": "60m"},
            "minimum cpu usage per Container is 100m, but limit is 60m",
        ),
        ({"min": {"cpu": "100m"}}, {"cpu": "0.1"}, {}, ""),
        (
            {"max": {"memory": "1Gi"}},
            {"memory": "1"},
            {},
            "maximum memory usage per Container is 1Gi.  No limit is specified",
        ),
        (
            {"max": {"memory": "1Gi"}},
            {},
            {"memory": "2Gi"},
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        (
            {"max": {"memory": "1Gi"}},
            {"memory": "2Gi"},
            {"memory": "1Gi"},
            "maximum memory usage per Container is 1Gi, but request is 2Gi",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {},
            {"cpu": "1"},
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"cpu": "1"},
            {},
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "1500m"}},
            {"cpu": "1"},
            {"cpu": "2"},
            "cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000",
        ),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, {"cpu": "1"}, {"cpu": "2"}, ""),
    ],
)
def test_bounds_of_containers(item: Obj, requests: Obj, bounds: Obj, fault: str) -> None:
    found = limits.pod_faults(pod(container("c", requests, bounds)), [{"type": "Container", **item}])
    assert found == ([fault] if fault else [])
    started = pod(initContainers=[container("c", requests, bounds)])
    assert limits.pod_faults(started, [{"type": "Container", **item}]) == found


def test_bounds_of_pods_are_of_the_sum() -> None:
    two = pod(container("a", {"cpu": "1"}, {"cpu": "1"}), container("b", {"cpu": "1"}, {"cpu": "2"}))
    faults = limits.pod_faults(two, [{"type": "Pod", "max": {"cpu": "2"}, "min": {"cpu": "3"}}])
    assert faults == [
        "minimum cpu usage per Pod is 3, but request is 2",
        "maximum cpu usage per Pod is 2, but limit is 3",
    ]
    assert limits.sentence(faults) == f"[{faults[0]}, {faults[1]}]"


def test_bounds_of_claims() -> None:
    def claim(**requests: str) -> Obj:
        return {"metadata": {"name": "c"}, "spec": {"resources": {"requests": requests}}}

    items = [{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]
    assert limits.claim_faults(claim(storage="1Gi"), items) == []
    assert limits.claim_faults(claim(storage="1"), items) == [
        "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1"
    ]
    assert limits.claim_faults(claim(storage="3Gi"), items) == [
        "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
    ]
    assert limits.claim_faults(claim(), items) == [
        "minimum storage usage per PersistentVolumeClaim is 1Gi.  No request is specified",
        "maximum storage usage per PersistentVolumeClaim is 2Gi.  No request is specified",
    ]
