"""Which pods nobody else will remove."""

from __future__ import annotations

import json
from typing import Any

from arktos.client import Cached
from arktos.controllers import podgc
from arktos.controllers.pods import view
from arktos.model import registry

POD = registry.by_resource("pods")


def pod(name: str, tenant: str = "acme", **facts: Any) -> Cached:
    meta = {"name": name, "namespace": "d", "tenant": tenant, "uid": name, "resourceVersion": "1"}
    meta |= {"creationTimestamp": facts.get("born", "2026-01-01T00:00:00Z")}
    if facts.get("deleting"):
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    obj = {
        "metadata": meta,
        "spec": {"nodeName": facts.get("node", "")},
        "status": {"phase": facts.get("phase", "Running"), "reason": facts.get("reason", "")},
    }
    return Cached.from_raw(POD, json.dumps(obj).encode())


def seen(*pods: Cached) -> podgc.Seen:
    return [(each, view(each)) for each in pods]


def names(pods: list[Cached]) -> list[str]:
    return [each.name for each in pods]


def test_deleted_before_they_had_a_node() -> None:
    found = podgc.unscheduled_terminating(seen(pod("a", deleting=True), pod("b", deleting=True, node="n"), pod("c")))
    assert names(found) == ["a"]


def test_on_nodes_that_are_gone() -> None:
    pods = seen(pod("a", node="gone"), pod("b", node="n1"), pod("c"))
    assert names(podgc.orphaned(pods, {"gone"})) == ["a"]
    first = podgc.missing(pods, {"n1"}, {}, 100.0)
    assert first == {"gone": 100.0}
    assert podgc.missing(pods, {"n1"}, first, 150.0) == {"gone": 100.0}
    assert podgc.missing(pods, {"n1", "gone"}, first, 150.0) == {}


def test_on_nodes_declared_dead() -> None:
    pods = seen(pod("a", node="dead", deleting=True), pod("b", node="dead"))
    assert names(podgc.terminating_out_of_service(pods, {"dead"})) == ["a"]


def test_the_oldest_ended_pods_of_the_fullest_tenant_go() -> None:
    pods = [pod(f"a{i}", phase="Succeeded", born=f"2026-01-01T00:00:0{i}Z") for i in range(5)]
    pods += [pod("b0", "blue", phase="Failed", born="2025-01-01T00:00:00Z"), pod("running")]
    assert podgc.surplus(seen(*pods), 6) == []
    assert names(podgc.surplus(seen(*pods), 4)) == ["a0", "a1"]


def test_evicted_pods_go_before_older_ones() -> None:
    pods = [pod(f"a{i}", phase="Failed", born=f"2026-01-01T00:00:0{i}Z") for i in range(3)]
    pods.append(pod("evicted", phase="Failed", born="2026-01-02T00:00:00Z", reason="Evicted"))
    assert names(podgc.surplus(seen(*pods), 3)) == ["evicted"]
    assert names(podgc.surplus(seen(*pods), 2)) == ["evicted", "a0"]


def test_why_it_is_removed() -> None:
    patch = podgc.failed(pod("a"), "PodGC: node no longer exists", "2026-01-01T00:00:00Z")
    assert patch is not None and patch.body["status"]["phase"] == "Failed"
    assert patch.body["status"]["conditions"][0]["reason"] == "DeletionByPodGC"
    silent = podgc.failed(pod("a"), "", "2026-01-01T00:00:00Z")
    assert silent is not None and silent.body["status"] == {"phase": "Failed"}
    assert podgc.failed(pod("b", phase="Succeeded"), "x", "2026-01-01T00:00:00Z") is None
