"""What the scheduler decides, seen through the harness: filters, scores, words, and who waits for what."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arktos.scheduler.engine import Bind
from arktos.scheduler.harness import Harness
from arktos.scheduler.pods import PodKey

HARD = "requiredDuringSchedulingIgnoredDuringExecution"
SOFT = "preferredDuringSchedulingIgnoredDuringExecution"


def node_affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {HARD: {"nodeSelectorTerms": list(terms)}}}


def labelled(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def pods(app: str, topology: str = "kubernetes.io/hostname", **more: Any) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": topology, **more}


def near(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"podAffinity": {HARD: list(terms)}}


def far(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"podAntiAffinity": {HARD: list(terms)}}


def why(harness: Harness, key: PodKey) -> str:
    return harness.refused[key].message


def test_three_lines_in_a_prompt() -> None:
    h = Harness()
    h.node("a", cpu="4")
    h.pod("p", cpu="1")
    assert h.run() == {"p": "a"}


def test_without_nodes_it_says_so_and_a_node_wakes_the_pod() -> None:
    h = Harness()
    key = h.pod("p")
    assert h.run() == {}
    assert why(h, key) == "no nodes available to schedule pods"
    h.now = 2.0
    h.node("a")
    assert h.run() == {"p": "a"}


def test_the_words_that_users_know() -> None:
    h = Harness()
    h.node("small", cpu="1")
    h.node("b", taints=["k=v:NoSchedule"])
    h.node("c", taints=["k=v:NoSchedule"])
    key = h.pod("p", cpu="2")
    h.run()
    assert why(h, key) == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {k: v}. preemption: "
        "0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )


@pytest.mark.parametrize(
    ("node", "pod", "reason"),
    [
        ({"cpu": "1"}, {"cpu": "1001m"}, "Insufficient cpu"),
        ({"memory": "1Gi"}, {"memory": "1025Mi"}, "Insufficient memory"),
        ({"pods": "0"}, {}, "Too many pods"),
        ({}, {"resources": {"requests": {"example.com/gpu": "1"}}, "cpu": "99"}, "Insufficient cpu"),
        ({"unschedulable": True}, {}, "node(s) were unschedulable"),
        ({"taints": ["a=b:NoExecute"]}, {}, "node(s) had untolerated taint {a: b}"),
        ({"ready": []}, {}, "node runtime is not ready"),
        ({"ready": ["VmRuntimeReady"]}, {}, "node runtime is not ready"),
        (
            {"ready": ["ContainerRuntimeReady"]},
            {"containers": None, "virtualMachine": {"name": "vm", "image": "i"}},
            "node runtime is not ready",
        ),
        ({}, {"nodeSelector": {"disk": "ssd"}}, "node(s) didn't match Pod's node affinity/selector"),
        ({}, {"affinity": node_affinity({})}, "node(s) didn't match Pod's node affinity/selector"),
        (
            {},
            {"affinity": near(pods("db"))},
            "node(s) didn't match pod affinity rules",
        ),
        (
            {},
            {
                "topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
                ]
            },
            "node(s) didn't match pod topology spread constraints (missing required label)",
        ),
    ],
)
def test_each_filter_names_its_reason(node: dict[str, Any], pod: dict[str, Any], reason: str) -> None:
    h = Harness()
    h.node("a", **node)
    key = h.pod("p", **pod)
    assert h.run() == {}
    assert why(h, key).startswith(f"0/1 nodes are available: 1 {reason}. preemption: ")


def test_extended_resources_count() -> None:
    h = Harness()
    h.node("a")
    node = h.node("b")
    node["status"]["allocatable"]["example.com/gpu"] = "1"
    h.put_node(node)
    gpu = [{"name": "c", "image": "i", "resources": {"requests": {"example.com/gpu": "1"}}}]
    first, second = h.pod("p", containers=gpu), h.pod("q", containers=gpu)
    assert h.run() == {"p": "b"}
    assert first in h.bound
    assert "2 Insufficient example.com/gpu" in why(h, second)


def test_a_vm_goes_where_vms_run_and_counts_by_its_own_resources() -> None:
    h = Harness()
    h.node("containers", ready=["ContainerRuntimeReady"])
    h.node("vms", ready=["VmRuntimeReady"], cpu="4")
    machine = {"name": "vm", "image": "i", "resources": {"limits": {"cpu": "3", "memory": "1Gi"}}}
    vm: dict[str, Any] = {"containers": None, "virtualMachine": machine}
    first, second = h.pod("vm", **vm), h.pod("more", **vm)
    h.pod("c")
    assert h.run() == {"vm": "vms", "c": "containers"}
    assert "1 Insufficient cpu, 1 node runtime is not ready" in why(h, second)
    # Shut down: it keeps its node and what it has booked there.
    stopped = h.pods[first]
    h.put_pod({**stopped, "status": {"phase": "NoSchedule"}})
    h.now = 20.0
    h.engine.queue.changed(second, h.now)
    assert h.run() == {"vm": "vms", "c": "containers"}


def test_a_pod_that_reports_noschedule_without_a_node_is_not_queued() -> None:
    h = Harness()
    h.node("a")
    key = h.pod("vm")
    h.put_pod({**h.pods[key], "status": {"phase": "NoSchedule"}})
    assert h.run() == {}


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (labelled("tier", "In", "gold", "none"), {"a"}),
        (labelled("tier", "NotIn", "gold"), {"b", "c"}),
        (labelled("tier", "Exists"), {"a", "b"}),
        (labelled("tier", "DoesNotExist"), {"c"}),
        (labelled("gen", "Gt", "3"), {"b"}),
        (labelled("gen", "Lt", "4"), {"a"}),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]}, {"c"}),
        ({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["c"]}]}, {"a", "b"}),
    ],
)
def test_node_affinity_operators(term: dict[str, Any], expected: set[str]) -> None:
    h = Harness()
    h.node("a", labels={"tier": "gold", "gen": "3"}, pods="1")
    h.node("b", labels={"tier": "lead", "gen": "12"}, pods="1")
    h.node("c", pods="1")
    for number in range(3):
        h.pod(f"p{number}", affinity=node_affinity(term))
    assert set(h.run().values()) == expected


def test_host_ports_exclude_each_other_by_address() -> None:
    h = Harness()
    h.node("a")
    h.pod("p", ports=[80])
    one = [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"}]}]
    two = [{"name": "c", "image": "i", "ports": [{"containerPort": 81, "hostPort": 81, "hostIP": "10.0.0.1"}]}]
    three = [{"name": "c", "image": "i", "ports": [{"containerPort": 81, "hostPort": 81, "hostIP": "10.0.0.2"}]}]
    taken = h.pod("q", containers=one)
    h.pod("r", containers=two)
    h.pod("s", containers=three)
    assert set(h.run()) == {"p", "r", "s"}
    assert "1 node(s) didn't have free ports for the requested pod ports" in why(h, taken)
    h.now = 20.0
    h.remove_pod(("system", "default", "p"))
    assert "q" in h.run()


def test_tolerations_let_pass() -> None:
    h = Harness()
    h.node("a", taints=["k=v:NoSchedule", "x=y:NoExecute"])
    h.pod("p", tolerations=[{"key": "k", "operator": "Equal", "value": "v"}, {"key": "x", "operator": "Exists"}])
    key = h.pod("q", tolerations=[{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}])
    assert h.run() == {"p": "a"}
    assert "untolerated taint {x: y}" in why(h, key)


def test_cordoned_nodes_take_those_who_tolerate_it() -> None:
    h = Harness()
    h.node("a", unschedulable=True)
    h.pod("p", tolerations=[{"operator": "Exists"}])
    assert h.run() == {"p": "a"}


def test_gates_and_other_schedulers_keep_pods_out() -> None:
    h = Harness()
    h.node("a")
    key = h.pod("gated", schedulingGates=[{"name": "wait"}])
    h.pod("foreign", schedulerName="other")
    assert h.run() == {}
    opened = h.pods[key]
    h.put_pod({**opened, "spec": {**opened["spec"], "schedulingGates": []}})
    assert h.run() == {"gated": "a"}


def test_anti_affinity_holds_both_ways_and_inside_one_tenant_only() -> None:
    h = Harness()
    h.node("a", labels={"zone": "1"})
    h.node("b", labels={"zone": "1"})
    h.pod("guard", labels={"app": "guard"}, node="a", affinity=far(pods("web", "zone")))
    refused = h.pod("web", labels={"app": "web"})
    h.pod("stranger", labels={"app": "web"}, tenant="acme")
    assert set(h.run()) == {"stranger"}
    assert "2 node(s) didn't satisfy existing pods anti-affinity rules" in why(h, refused)
    h.now = 20.0
    h.remove_pod(("system", "default", "guard"))
    assert set(h.run()) == {"stranger", "web"}


def test_affinity_goes_to_its_kind_and_the_first_may_go_anywhere() -> None:
    h = Harness(seed=3)
    for name, zone in (("a", "1"), ("b", "1"), ("c", "2")):
        h.node(name, labels={"zone": zone}, pods="2")
    for number in range(5):
        h.pod(f"p{number}", labels={"app": "x"}, affinity=near(pods("x", "zone")))
    zones = {h.nodes[node]["metadata"]["labels"]["zone"] for node in h.run().values()}
    assert len(zones) == 1


def test_affinity_over_namespaces() -> None:
    h = Harness()
    h.node("a")
    h.node("b")
    h.engine.namespace_changed("system", "data", {"team": "data"}, h.now)
    h.pod("db", namespace="data", labels={"app": "db"}, node="a")
    h.pod("p", affinity=near(pods("db", namespaceSelector={"matchLabels": {"team": "data"}})))
    h.pod("q", affinity=near(pods("db", namespaces=["data"])))
    lonely = h.pod("r", affinity=near(pods("db")))
    assert h.run() == {"p": "a", "q": "a"}
    assert "2 node(s) didn't match pod affinity rules" in why(h, lonely)
    h.engine.namespace_changed("system", "data", {}, h.now)
    late = h.pod("s", affinity=near(pods("db", namespaceSelector={"matchLabels": {"team": "data"}})))
    h.run()
    assert late in h.refused


def test_spread_holds_the_skew() -> None:
    h = Harness()
    for number in range(4):
        h.node(f"n{number}", labels={"zone": "a" if number < 3 else "b"}, pods="3")
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    constraint = {**spread, "labelSelector": {"matchLabels": {"app": "x"}}}
    keys = [h.pod(f"p{i}", labels={"app": "x"}, topologySpreadConstraints=[constraint]) for i in range(9)]
    placed = h.run()
    zones = [h.nodes[node]["metadata"]["labels"]["zone"] for node in placed.values()]
    assert (zones.count("a"), zones.count("b")) == (4, 3)
    assert "3 node(s) didn't match pod topology spread constraints" in why(h, keys[-1])


def test_min_domains_counts_missing_domains_as_empty() -> None:
    h = Harness()
    h.node("a", labels={"zone": "1"})
    spread = {"maxSkew": 1, "minDomains": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    constraint = {**spread, "labelSelector": {"matchLabels": {"app": "x"}}}
    for number in range(2):
        h.pod(f"p{number}", labels={"app": "x"}, topologySpreadConstraints=[constraint])
    assert list(h.run()) == ["p0"]


def test_preferences_decide_between_nodes_that_pass() -> None:
    h = Harness()
    h.node("plain")
    h.node("liked", labels={"tier": "gold"})
    h.node("disliked", labels={"tier": "gold"}, taints=["k=v:PreferNoSchedule"])
    wish = {"weight": 10, "preference": labelled("tier", "In", "gold")}
    h.pod("p", affinity={"nodeAffinity": {SOFT: [wish]}})
    assert h.run() == {"p": "liked"}


def test_preferred_neighbours() -> None:
    h = Harness()
    h.node("a")
    h.node("b")
    h.pod("db", labels={"app": "db"}, node="b")
    h.pod("p", affinity={"podAffinity": {SOFT: [{"weight": 50, "podAffinityTerm": pods("db")}]}})
    h.pod("q", affinity={"podAntiAffinity": {SOFT: [{"weight": 50, "podAffinityTerm": pods("db")}]}})
    assert h.run() == {"p": "b", "q": "a"}


def test_soft_spread_evens_out() -> None:
    h = Harness()
    for number in range(3):
        h.node(f"n{number}", labels={"zone": str(number)}, cpu=str(4 + 40 * number))
    soft = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    constraint = {**soft, "labelSelector": {"matchLabels": {"app": "x"}}}
    for number in range(9):
        h.pod(f"p{number}", labels={"app": "x"}, topologySpreadConstraints=[constraint], cpu="10m", memory="1Mi")
    placed = list(h.run().values())
    assert {placed.count(f"n{number}") for number in range(3)} == {3}


def test_images_that_are_there_attract() -> None:
    h = Harness()
    for name in ("a", "b", "c"):
        node = h.node(name)
        if name == "b":
            node["status"]["images"] = [{"names": ["img:latest"], "sizeBytes": 3_000_000_000}]
            h.put_node(node)
    h.pod("p")
    assert h.run() == {"p": "b"}


def test_claims() -> None:
    h = Harness()
    h.node("a", labels={"zone": "1"})
    h.node("b", labels={"zone": "2"})
    known = h.engine.volumes
    mount = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    key = h.pod("p", volumes=mount)
    h.run()
    assert why(h, key) == 'persistentvolumeclaim "data" not found'.join(("0/2 nodes are available: ", ".")) + (
        " preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    claim: dict[str, Any] = {"metadata": {"name": "data"}, "spec": {}, "status": {"phase": "Pending"}}
    known.claim_changed(("system", "default", "data"), claim)
    h.now = 10.0
    h.engine.volumes_changed(h.now)
    h.run()
    assert "pod has unbound immediate PersistentVolumeClaims" in why(h, key)
    known.volume_changed(
        "system", "pv", {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [labelled("zone", "In", "2")]}}}}
    )
    bound = {**claim, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}
    known.claim_changed(("system", "default", "data"), bound)
    h.now = 20.0
    h.engine.volumes_changed(h.now)
    assert h.run() == {"p": "b"}


def test_a_claim_that_waits_for_its_consumer_is_handed_to_the_binder() -> None:
    h = Harness()
    h.node("a")
    h.engine.volumes.class_changed("system", "late", {"volumeBindingMode": "WaitForFirstConsumer"})
    claim = {"metadata": {"name": "data"}, "spec": {"storageClassName": "late"}, "status": {"phase": "Pending"}}
    h.engine.volumes.claim_changed(("acme", "default", "data"), claim)
    h.pod("p", tenant="acme", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    decision = h.step()
    assert decision is not None and decision[1:] == ("a", ("data",))


def by_hand(name: str, node: str, size: str = "1Gi", claim: str = "", phase: str = "Available") -> dict[str, Any]:
    """A volume on a node, perhaps tied to a claim."""
    spec: dict[str, Any] = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "late",
        "nodeAffinity": {"required": {"nodeSelectorTerms": [labelled("kubernetes.io/hostname", "In", node)]}},
    }
    if claim:
        spec["claimRef"] = {"namespace": "default", "name": claim}
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}


def wanting(h: Harness, provisioner: str = "kubernetes.io/no-provisioner", **claim: Any) -> PodKey:
    """A pod whose claim waits for it, on three nodes."""
    for name, zone in (("a", "1"), ("b", "1"), ("c", "2")):
        h.node(name, labels={"zone": zone})
    volumes = h.engine.volumes
    late = {"volumeBindingMode": "WaitForFirstConsumer", "provisioner": provisioner, **claim.pop("of", {})}
    volumes.class_changed("system", "late", late)
    annotations = claim.pop("annotations", {})
    spec = {
        "storageClassName": "late",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        **claim,
    }
    meta = {"name": "data", "namespace": "default", "tenant": "system", "uid": "u", "annotations": annotations}
    volumes.claim_changed(
        ("system", "default", "data"), {"metadata": meta, "spec": spec, "status": {"phase": "Pending"}}
    )
    return h.pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])


def test_a_pod_goes_where_a_volume_for_its_claim_is() -> None:
    h = Harness()
    key = wanting(h)
    volumes = h.engine.volumes
    volumes.volume_changed("system", "small", by_hand("small", "a", "1Mi"))
    volumes.volume_changed("system", "taken", by_hand("taken", "a", claim="other"))
    volumes.volume_changed("system", "old", by_hand("old", "a", phase="Released"))
    volumes.volume_changed("other", "theirs", by_hand("theirs", "a"))
    h.run()
    assert "3 node(s) didn't find available persistent volumes to bind" in why(h, key)
    volumes.volume_changed("system", "right", by_hand("right", "b"))
    h.now = 20.0
    h.engine.volumes_changed(h.now)
    decision = h.step()
    assert decision is not None and decision[1:] == ("b", ("data",))


def test_a_volume_that_is_tied_to_the_claim_says_where() -> None:
    h = Harness()
    h.engine.volumes.volume_changed("system", "free", by_hand("free", "a"))
    h.engine.volumes.volume_changed("system", "tied", by_hand("tied", "c", claim="data"))
    wanting(h)
    decision = h.step()
    assert decision is not None and decision[1] == "c"


def test_a_node_that_was_chosen_for_a_claim_holds_for_all_its_pods() -> None:
    h = Harness()
    wanting(h, "example.com/p", annotations={"volume.kubernetes.io/selected-node": "b"})
    decision = h.step()
    assert decision is not None and decision[1] == "b"


def test_volumes_are_made_where_the_class_allows_it() -> None:
    h = Harness()
    topology = [{"matchLabelExpressions": [{"key": "zone", "values": ["2"]}]}]
    wanting(h, "example.com/p", of={"allowedTopologies": topology})
    decision = h.step()
    assert decision is not None and decision[1] == "c"


def test_a_claim_that_names_a_volume_is_not_chosen_a_node_for() -> None:
    h = Harness()
    key = wanting(h, volumeName="mine")
    h.run()
    assert "pod has unbound immediate PersistentVolumeClaims" in why(h, key)


def test_a_node_that_goes_takes_no_pods_and_gives_its_bookings_back_when_it_returns() -> None:
    h = Harness()
    h.node("a", cpu="2")
    h.pod("p", cpu="2")
    assert h.run() == {"p": "a"}
    h.remove_node("a")
    h.node("b", cpu="1")
    key = h.pod("q", cpu="2")
    h.now = 5.0
    h.node("a", cpu="2")
    h.run()
    assert "2 Insufficient cpu" in why(h, key)
    h.now = 30.0
    h.remove_pod(("system", "default", "p"))
    assert h.run() == {"q": "a"}


def test_a_binding_that_fails_gives_the_room_back_and_is_tried_again() -> None:
    h = Harness()
    h.node("a", cpu="1")
    h.pod("p", cpu="1")
    other = h.pod("q", cpu="1")
    bind = h.step(confirm=False)
    assert isinstance(bind, Bind)
    h.run(confirm=False)
    assert other in h.refused
    h.remove_pod(other)
    h.engine.bind_failed(bind, h.now)
    h.bound.clear()
    assert h.engine.assumed == 0
    assert h.run() == {}
    h.now = 1.0
    assert h.run() == {"p": "a"}


def test_a_heartbeat_is_no_change() -> None:
    h = Harness()
    node = h.node("a")
    cluster = h.engine.cluster
    assert cluster is not None
    version = cluster.version
    node["status"]["conditions"][0]["lastHeartbeatTime"] = "2030-01-01T00:00:00Z"
    h.put_node(node)
    assert cluster.version == version


def test_equal_pods_that_fail_are_told_the_same_until_something_changes() -> None:
    h = Harness()
    h.node("a", cpu="1")
    keys = [h.pod(f"p{number}", cpu="2") for number in range(3)]
    h.run()
    assert len({why(h, key) for key in keys}) == 1
    h.now = 20.0
    h.node("b", cpu="8")
    assert set(h.run().values()) == {"b"}
    assert len(h.bound) == 3


def test_absurd_amounts_fit_nowhere_and_break_nothing() -> None:
    h = Harness()
    h.node("a", memory="8Ei")
    huge = [{"name": f"c{n}", "image": "i", "resources": {"requests": {"memory": "7Ei"}}} for n in range(3)]
    key = h.pod("p", containers=huge)
    for number in range(20):
        h.pod(f"pinned{number}", containers=huge, node="a")
    other = h.pod("q", memory="1Gi")
    h.run()
    assert {key, other} <= h.refused.keys()


def test_a_pod_that_cannot_be_read_is_refused_at_the_door() -> None:
    h = Harness()
    with pytest.raises(msgspec.ValidationError):
        h.pod("p", cpu="many")
    with pytest.raises(msgspec.ValidationError):
        h.pod("q", affinity={"podAffinity": {SOFT: [{"weight": 1}]}})


def test_a_status_update_of_a_placed_pod_wakes_nobody() -> None:
    h = Harness()
    h.node("a")
    key = h.pod("db", labels={"app": "db"}, node="a")
    waiting = h.pod("p", affinity=near(pods("web")))
    h.run()
    h.now = 20.0
    h.put_pod({**h.pods[key], "status": {"phase": "Running"}})
    assert h.engine.queue.place(waiting) == "unschedulable"
    changed = h.pods[key]
    h.put_pod({**changed, "metadata": {**changed["metadata"], "labels": {"app": "web"}}})
    assert h.run() == {"p": "a"}


def test_a_smaller_pod_makes_room() -> None:
    h = Harness()
    h.node("a", cpu="2")
    key = h.pod("big", cpu="2", node="a")
    h.pod("p", cpu="1")
    h.run()
    h.now = 20.0
    shrunk = h.pods[key]
    small = [{"name": "main", "image": "img", "resources": {"requests": {"cpu": "1"}}}]
    h.put_pod({**shrunk, "spec": {**shrunk["spec"], "containers": small}})
    assert h.run() == {"p": "a"}


def test_replicas_spread_over_nodes_and_zones_by_themselves() -> None:
    h = Harness()
    for number in range(6):
        h.node(f"n{number}", cpu="64", memory="256Gi", labels={"topology.kubernetes.io/zone": str(number % 3)})
    for number in range(6):
        h.pod(f"p{number}", owner="web", cpu="10m", memory="1Mi")
    placed = list(h.run().values())
    assert len(set(placed)) == 6
    first = [h.nodes[node]["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in placed[:3]]
    assert len(set(first)) == 3
    for number in range(6):
        h.pod(f"q{number}", owner="other", tenant="acme", cpu="10m", memory="1Mi")
    assert len({node for name, node in h.run().items() if name.startswith("q")}) == 6
