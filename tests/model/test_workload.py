"""The workload view: VM or containers, and what they ask of a node."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arktos.model import workload


def asks(cpu: str = "", **more: Any) -> dict[str, Any]:
    stated = {"cpu": cpu} if cpu else {}
    return {"name": "c", "resources": {"requests": stated}, **more}


def cpu_of(**spec: Any) -> str:
    return str(workload.requests({"spec": spec}).get("cpu", "none"))


def test_containers() -> None:
    pod = {"spec": {"containers": [asks("1"), asks("500m"), asks()]}}
    assert not workload.is_vm(pod)
    assert len(workload.workloads(pod)) == 3
    assert {name: str(amount) for name, amount in workload.requests(pod).items()} == {"cpu": "1500m"}


def test_an_init_container_that_needs_more() -> None:
    assert cpu_of(containers=[asks("1")], initContainers=[asks("3"), asks("2")]) == "3"
    assert cpu_of(containers=[asks("2"), asks("2")], initContainers=[asks("3")]) == "4"


def test_sidecars_run_beside_what_starts_after_them() -> None:
    sidecar = asks("1", restartPolicy="Always")
    assert cpu_of(containers=[asks("1")], initContainers=[sidecar]) == "2"
    assert cpu_of(containers=[asks("1")], initContainers=[sidecar, asks("5")]) == "6"
    assert cpu_of(containers=[asks("1")], initContainers=[asks("5"), sidecar]) == "5"


def test_pod_level_resources_take_the_place_of_the_sum() -> None:
    level = {"requests": {"cpu": "3", "example.com/gpu": "9"}}
    total = workload.requests({"spec": {"containers": [asks("1")], "resources": level, "overhead": {"cpu": "250m"}}})
    assert {name: str(amount) for name, amount in total.items()} == {"cpu": "3250m"}


def test_a_vm() -> None:
    pod: dict[str, Any] = {"spec": {"virtualMachine": {"name": "vm"}}}
    assert workload.is_vm(pod)
    assert workload.workloads(pod) == [{"name": "vm"}]
    assert {name: str(amount) for name, amount in workload.requests(pod).items()} == {"cpu": "1", "memory": "1Gi"}
    pod["spec"]["virtualMachine"]["resources"] = {"limits": {"cpu": "4"}, "requests": {"memory": "2Gi"}}
    assert {name: str(amount) for name, amount in workload.requests(pod).items()} == {"cpu": "4", "memory": "2Gi"}
    assert {name: str(amount) for name, amount in workload.limits(pod).items()} == {"cpu": "4", "memory": "2Gi"}


def test_limits_are_told_only_where_all_have_one() -> None:
    limited = {"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
    half = {"name": "b", "resources": {"limits": {"cpu": "2"}}}
    total = workload.limits({"spec": {"containers": [limited, half], "overhead": {"cpu": "1", "memory": "1Gi"}}})
    assert {name: str(amount) for name, amount in total.items()} == {"cpu": "4"}


def test_a_template_and_an_empty_pod() -> None:
    assert workload.workloads({}) == []
    assert workload.requests({"spec": None}) == {}


MILLI = st.integers(0, 5000)


@given(st.lists(MILLI, max_size=4), st.lists(st.tuples(MILLI, st.booleans()), max_size=4))
def test_a_node_that_holds_the_requests_holds_every_moment(running: list[int], inits: list[tuple[int, bool]]) -> None:
    pod = {
        "spec": {
            "containers": [asks(f"{milli}m") for milli in running],
            "initContainers": [
                asks(f"{milli}m", **({"restartPolicy": "Always"} if always else {})) for milli, always in inits
            ],
        }
    }
    found = workload.requests(pod).get("cpu")
    total = found.milli if found is not None else 0
    started = 0
    moments = [0]
    for milli, always in inits:
        moments.append(started + milli)
        started += milli if always else 0
    moments.append(started + sum(running))
    assert total == max(moments)
