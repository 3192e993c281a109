"""What is counted, and what the count makes of a status."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from arktos.controllers.resourcequota import reconcile
from arktos.model import quota as quotas
from arktos.model.quota import COUNTED_AT

Obj = dict[str, Any]


def quota(hard: dict[str, str], status: Obj | None = None, **spec: Any) -> Obj:
    return {
        "metadata": {"name": "q", "uid": "u", "resourceVersion": "7"},
        "spec": {"hard": hard, **spec},
        "status": status or {},
    }


def test_what_has_to_be_looked_at() -> None:
    def names(*hard: str, **spec: Any) -> list[str]:
        return reconcile.wanted(quotas.parse(quota(dict.fromkeys(hard, "1"), **spec)))

    assert names("pods", "requests.cpu", "requests.nvidia.com/gpu", "hugepages-2Mi") == ["pods"]
    assert names("services.nodeports", "configmaps") == ["configmaps", "services"]
    assert names("requests.storage", "gold.storageclass.storage.k8s.io/requests.storage") == ["persistentvolumeclaims"]
    assert names("count/widgets.example.com", "count/pods") == ["pods", "widgets.example.com"]
    assert names("pods", "count/pods", scopes=["BestEffort"]) == ["pods"]


def test_a_new_quota_is_put_in_force() -> None:
    obj = quota({"pods": "2", "configmaps": "3"})
    parsed = quotas.parse(obj)
    counts = {"configmaps": reconcile.of_number(parsed, "configmaps", 2), "pods": {}}
    used = reconcile.total(parsed, counts)
    assert reconcile.patch(obj, used, "9") == {
        "metadata": {"uid": "u", "annotations": {COUNTED_AT: "9"}},
        "status": {"hard": {"pods": "2", "configmaps": "3"}, "used": {"configmaps": "2", "pods": "0"}},
    }


def test_what_is_right_is_left_alone() -> None:
    obj = quota({"pods": "2"}, {"hard": {"pods": "2"}, "used": {"pods": "1"}})
    assert reconcile.patch(obj, quotas.amounts({"pods": "1"}), "9") is None
    assert reconcile.patch(obj, quotas.amounts({"pods": "2"}), "9") is not None


def test_limits_that_went_go_from_the_status() -> None:
    obj = quota({"pods": "2"}, {"hard": {"secrets": "1"}, "used": {"secrets": "1", "pods": "-1"}})
    found = reconcile.patch(obj, quotas.amounts({"pods": "4"}), "9")
    assert found is not None
    assert found["status"] == {"hard": {"secrets": None, "pods": "2"}, "used": {"secrets": None, "pods": "4"}}


_pods = st.builds(
    lambda cpu, memory, phase, seconds, name: {
        "metadata": {"name": "p"},
        "status": {"phase": phase},
        "spec": {
            "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}],
            **({"activeDeadlineSeconds": seconds} if seconds else {}),
            **({"priorityClassName": name} if name else {}),
        },
    },
    st.sampled_from(["100m", "0.25", "1", "2"]),
    st.sampled_from(["1Mi", "1Gi", "1000k", "0"]),
    st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
    st.sampled_from([0, 5]),
    st.sampled_from(["", "high"]),
)
_scopes = st.sampled_from(
    [[], ["Terminating"], ["NotTerminating"], ["BestEffort"], ["NotBestEffort"], ["PriorityClass"]]
)


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | _pods), max_size=30), _scopes)
def test_a_total_kept_by_differences_is_the_one_counted(
    writes: list[tuple[int, Obj | None]], scopes: list[str]
) -> None:
    """Whatever is created, changed and deleted."""
    hard = dict.fromkeys(("pods", "count/pods", "requests.cpu", "memory"), "1")
    parsed = quotas.parse(quota(hard, scopes=scopes))
    stored: dict[int, Obj] = {}
    kept = dict.fromkeys(parsed.names, quotas._ZERO)
    for key, new in writes:
        for name, amount in quotas.change(parsed, "pods", stored.get(key), new).items():
            kept[name] = kept[name] + amount
        if new is None:
            stored.pop(key, None)
        else:
            stored[key] = new
    assert kept == reconcile.total(parsed, {"pods": quotas.count(parsed, "pods", stored.values())})
