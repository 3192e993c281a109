"""Which endpoints a service has, and how they come into slices."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.client import Cached
from arktos.controllers.backends import Selecting, matters, view_pod, view_service
from arktos.controllers.endpointslice import content, mirroring, reconcile
from arktos.controllers.endpointslice.content import Group
from arktos.controllers.endpointslice.measuring import Measures
from arktos.controllers.metrics import Metrics
from arktos.model import registry

Obj = dict[str, Any]
SERVICE, POD = registry.by_resource("services"), registry.by_resource("pods")
REFERENCE = {"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "s", "controller": True}
OWNER = reconcile.Owner("acme", "default", "web", {"kubernetes.io/service-name": "web"}, REFERENCE)


def cached(kind: Any, name: str, labels: Obj | None = None, deleting: bool = False, **body: Any) -> Cached:
    meta: Obj = {"name": name, "namespace": "default", "tenant": "acme", "uid": f"uid-{name}", "resourceVersion": "1"}
    meta["labels"] = labels or {}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return Cached.from_raw(kind, json.dumps({"metadata": meta, **body}).encode())


def service(**spec: Any) -> Cached:
    ports = [{"port": 80, "protocol": "TCP", "targetPort": "http", "name": "web"}]
    base = {"clusterIP": "10.96.0.7", "ipFamilies": ["IPv4"], "selector": {"app": "web"}, "ports": ports}
    return cached(SERVICE, "web", {"team": "a"}, spec=base | spec)


def pod(name: str, ip: str = "10.244.0.5", *, ready: bool = True, deleting: bool = False, **more: Any) -> Cached:
    spec: Obj = {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]}
    status = {
        "phase": more.pop("phase", "Running"),
        "podIPs": [{"ip": ip}] if ip else [],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    return cached(POD, name, {"app": "web"}, deleting, spec=spec | more, status=status)


def groups(of: Cached, *pods: Cached, zones: dict[str, str] | None = None) -> list[Group]:
    known = {"n1": "z1"} if zones is None else zones
    return content.groups(view_service(of), map(view_pod, pods), known)


def test_an_endpoint_says_what_its_pod_is() -> None:
    (group,) = groups(service(), pod("p"))
    assert (group.family, group.ports) == ("IPv4", (("web", 8080, "TCP", None),))
    assert group.endpoints == [
        {
            "addresses": ["10.244.0.5"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "p", "uid": "uid-p"},
            "nodeName": "n1",
            "zone": "z1",
        }
    ]


def conditions(of: Cached, one: Cached) -> tuple[bool, bool, bool]:
    (group,) = groups(of, one)
    said = group.endpoints[0]["conditions"]
    return said["ready"], said["serving"], said["terminating"]


def test_conditions() -> None:
    assert conditions(service(), pod("p", ready=False)) == (False, False, False)
    assert conditions(service(), pod("p", deleting=True)) == (False, True, True)
    assert conditions(service(publishNotReadyAddresses=True), pod("p", ready=False)) == (True, False, False)
    assert conditions(service(publishNotReadyAddresses=True), pod("p", deleting=True)) == (True, True, True)


def test_who_does_not_count() -> None:
    assert groups(service(), pod("a", ""), pod("b", phase="Succeeded"), pod("c", phase="Failed")) == []
    assert groups(service(), pod("p"), zones={}) == []
    assert len(groups(service(publishNotReadyAddresses=True), pod("p"), zones={})) == 1


def test_a_virtual_machine_stands_behind_a_service_and_so_does_a_sidecars_port() -> None:
    machine = {"name": "vm", "ports": [{"name": "http", "containerPort": 22}]}
    (group,) = groups(service(), pod("p", containers=[], virtualMachine=machine))
    assert group.ports == (("web", 22, "TCP", None),)
    sidecar = {"name": "s", "restartPolicy": "Always", "ports": [{"name": "http", "containerPort": 9}]}
    (group,) = groups(service(), pod("p", containers=[], initContainers=[sidecar]))
    assert group.ports == (("web", 9, "TCP", None),)


def test_named_ports_differ_by_pod_and_may_be_missing() -> None:
    other = {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 9090}]}]}
    found = groups(service(), pod("a"), pod("b", "10.244.0.6", **other), pod("c", "10.244.0.7", containers=[]))
    assert [[port[1] for port in group.ports] for group in found] == [[8080], [9090], []]
    udp = service(ports=[{"port": 53, "protocol": "UDP", "targetPort": "http"}])
    assert groups(udp, pod("a"))[0].ports == ()


def test_hostnames_belong_to_the_services_subdomain() -> None:
    (mine,) = groups(service(clusterIP="None"), pod("p", hostname="db-0", subdomain="web"))
    (others,) = groups(service(clusterIP="None"), pod("p", hostname="db-0", subdomain="else"))
    assert mine.endpoints[0]["hostname"] == "db-0"
    assert "hostname" not in others.endpoints[0]


def test_hints_follow_the_traffic_distribution() -> None:
    (group,) = groups(service(trafficDistribution="PreferClose"), pod("p"), pod("q", "10.244.0.6", ready=False))
    assert [each.get("hints") for each in group.endpoints] == [{"forZones": [{"name": "z1"}]}, None]
    (group,) = groups(service(trafficDistribution="PreferSameNode"), pod("p"))
    assert group.endpoints[0]["hints"] == {"forZones": [{"name": "z1"}], "forNodes": [{"name": "n1"}]}


def test_both_families() -> None:
    both = pod("p")
    two = cached(POD, "p", {"app": "web"}, spec=both.obj()["spec"], status=both.obj()["status"])
    status = two.obj()["status"] | {"podIPs": [{"ip": "10.244.0.5"}, {"ip": "fd00::5"}]}
    found = groups(service(ipFamilies=["IPv4", "IPv6"]), cached(POD, "p", spec=two.obj()["spec"], status=status))
    assert [(g.family, g.endpoints[0]["addresses"]) for g in found] == [("IPv4", ["10.244.0.5"]), ("IPv6", ["fd00::5"])]


def test_which_services_select_a_pod_and_which_changes_matter() -> None:
    selecting = Selecting()
    selecting.changed(None, service())
    assert list(selecting.keys(pod("p"))) == [("acme", "default", "web")]
    selecting.changed(service(), service(type="ExternalName"))
    assert list(selecting.keys(pod("p"))) == []
    assert not matters(pod("p"), pod("p"))
    assert matters(pod("p"), pod("p", ready=False)) and matters(pod("p"), pod("p", "10.244.9.9"))


def test_labels_are_the_services_but_for_those_that_say_what_a_slice_is() -> None:
    own = {"team": "a", "kubernetes.io/service-name": "liar", "endpointslice.kubernetes.io/managed-by": "liar"}
    assert reconcile.labels_of(own, "web", "m", headless=True) == {
        "team": "a",
        "service.kubernetes.io/headless": "",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "m",
    }


# --- into slices ------------------------------------------------------------------------------------------------------


def endpoint(number: int, ready: bool = True) -> Obj:
    address = f"10.244.{number // 250}.{number % 250}"
    return {
        "addresses": [address],
        "conditions": {"ready": ready},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": f"p{number}", "uid": f"u{number}"},
    }


class Server:
    """Slices as a server keeps them."""

    def __init__(self) -> None:
        self.slices: dict[str, Obj] = {}
        self.names = itertools.count()

    def take(self, plan: reconcile.Plan) -> tuple[int, int, int]:
        for made in plan.create:
            name = f"{made['metadata']['generateName']}{next(self.names):05}"
            kept = {k: v for k, v in made["metadata"].items() if k != "generateName"}
            self.slices[name] = copy.deepcopy({**made, "metadata": {**kept, "name": name, "uid": name}})
        for changed in plan.update:
            assert self.slices[changed["metadata"]["name"]]["addressType"] == changed["addressType"]
            self.slices[changed["metadata"]["name"]] = copy.deepcopy(changed)
        for gone in plan.delete:
            del self.slices[gone["metadata"]["name"]]
        return len(plan.create), len(plan.update), len(plan.delete)

    def want(self, *wanted: Group) -> tuple[int, int, int]:
        return self.take(reconcile.reconcile(OWNER, wanted, self.slices.values(), per_slice=10))

    def sizes(self) -> list[int]:
        return sorted(len(each["endpoints"]) for each in self.slices.values())


def group(numbers: Any, port: int = 80, ready: bool = True) -> Group:
    return Group("IPv4", (("", port, "TCP", None),), [endpoint(number, ready) for number in numbers])


def test_the_fewest_writes() -> None:
    server = Server()
    assert server.want() == (1, 0, 0)  # a placeholder
    assert server.want() == (0, 0, 0)
    assert server.want(group(range(25))) == (2, 1, 0)  # which is used
    assert server.sizes() == [5, 10, 10]
    assert server.want(group(range(25))) == (0, 0, 0)
    assert server.want(group(range(27))) == (0, 1, 0)  # into the slice with room
    assert server.want(group(range(1, 27))) == (0, 1, 0)
    assert server.want(group([*range(1, 27), 40])) == (0, 1, 0)
    assert server.want(group(range(3))) == (0, 1, 2)
    assert server.want(group(range(3), ready=False)) == (0, 1, 0)
    assert server.want() == (0, 1, 0)
    assert server.sizes() == [0]


def test_an_update_is_used_before_another_slice_is_touched() -> None:
    server = Server()
    server.want(group(range(24)))
    # One goes from a full slice, one comes: the same slice is written, the one with room is left alone.
    assert server.want(group([*range(1, 24), 99])) == (0, 1, 0)
    assert server.sizes() == [4, 10, 10]


def test_labels_that_somebody_changed_come_back() -> None:
    server = Server()
    server.want(group(range(2)))
    (only,) = server.slices.values()
    only["metadata"]["labels"] = {"mine": "now"}
    assert server.want(group(range(2))) == (0, 1, 0)
    (only,) = server.slices.values()
    assert only["metadata"]["labels"] == OWNER.labels


def test_a_new_slice_names_its_owner() -> None:
    plan = reconcile.reconcile(OWNER, [group(range(1))], [])
    (made,) = plan.create
    assert made["metadata"]["generateName"] == "web-"
    assert (made["metadata"]["tenant"], made["metadata"]["namespace"]) == ("acme", "default")
    assert made["metadata"]["ownerReferences"] == [REFERENCE]
    assert made["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]


def test_each_family_without_endpoints_keeps_an_empty_slice() -> None:
    both = dataclasses.replace(OWNER, families=("IPv4", "IPv6"))
    plan = reconcile.reconcile(both, [], [])
    assert [(made["addressType"], made["endpoints"]) for made in plan.create] == [("IPv4", []), ("IPv6", [])]
    server = Server()
    server.take(plan)
    assert server.take(reconcile.reconcile(both, [], server.slices.values())) == (0, 0, 0)
    assert server.take(reconcile.reconcile(both, [group(range(2))], server.slices.values())) == (0, 1, 0)
    assert sorted(each["addressType"] for each in server.slices.values()) == ["IPv4", "IPv6"]
    nobody = dataclasses.replace(OWNER, families=())
    assert server.take(reconcile.reconcile(nobody, [], server.slices.values())) == (0, 0, 2)


def test_what_came_and_went_is_counted() -> None:
    numbers = Metrics()
    measures = Measures(numbers, "endpoint_slice_controller")
    server, key = Server(), ("acme", "default", "web")

    def want(*wanted: Group) -> None:
        slices = list(server.slices.values())
        plan = reconcile.reconcile(OWNER, wanted, slices)
        server.take(plan)
        measures.synced(key, wanted, len(slices), plan)

    want(group(range(150)))
    want(group(range(100, 160)))
    text = numbers.render("")[0].decode()
    assert 'endpoint_slice_controller_changes{operation="create"} 2.0' in text
    assert "endpoint_slice_controller_endpoints_added_per_sync_sum 160.0" in text
    assert "endpoint_slice_controller_endpoints_removed_per_sync_sum 100.0" in text
    assert "endpoint_slice_controller_endpoints_desired 60.0" in text
    assert f"endpoint_slice_controller_num_endpoint_slices {len(server.slices)}.0" in text
    measures.forget(key)
    assert "endpoint_slice_controller_endpoints_desired 0.0" in numbers.render("")[0].decode()


worlds = st.lists(
    st.dictionaries(st.sampled_from([80, 81, 82]), st.sets(st.integers(0, 60), max_size=45), max_size=3),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(worlds, st.data())
def test_no_endpoint_is_lost_or_doubled(steps: list[dict[int, set[int]]], data: st.DataObject) -> None:
    server = Server()
    for step in steps:
        wanted = [group(sorted(numbers), port, ready=data.draw(st.booleans())) for port, numbers in step.items()]
        wanted = [each for each in wanted if each.endpoints]
        if server.slices and data.draw(st.booleans()):
            # Somebody empties a slice, or writes an endpoint that is there already into it.
            victim = data.draw(st.sampled_from(sorted(server.slices)))
            extra = data.draw(st.lists(st.integers(0, 60), max_size=3))
            server.slices[victim]["endpoints"] = [endpoint(number) for number in extra]
        server.want(*wanted)
        told = [
            (content.ports_of(each), json.dumps(one, sort_keys=True))
            for each in server.slices.values()
            for one in each["endpoints"]
        ]
        expected = [(each.ports, json.dumps(one, sort_keys=True)) for each in wanted for one in each.endpoints]
        assert sorted(told) == sorted(expected)
        assert all(len(each["endpoints"]) <= 10 for each in server.slices.values())
        assert server.slices
        assert server.want(*wanted) == (0, 0, 0)


def test_endpoints_written_by_hand_are_copied() -> None:
    subset = {
        "addresses": [{"ip": "192.0.2.1", "nodeName": "n1"}],
        "notReadyAddresses": [{"ip": "192.0.2.2", "hostname": "b"}],
        "ports": [{"port": 443, "name": "https"}],
    }
    (found,), skipped = mirroring.groups({"metadata": {}, "subsets": [subset]})
    assert skipped == (0, 0)
    assert found.ports == (("https", 443, "TCP", None),)
    assert found.endpoints == [
        {"addresses": ["192.0.2.1"], "conditions": {"ready": True}, "nodeName": "n1"},
        {"addresses": ["192.0.2.2"], "conditions": {"ready": False}, "hostname": "b"},
    ]
    assert not mirroring.mirrored({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}})
    assert not mirroring.mirrored({"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": "x"}}})
    assert mirroring.mirrored({"metadata": {}})


def test_what_is_not_copied_is_counted() -> None:
    many = [{"ip": f"10.0.{number // 250}.{number % 250}"} for number in range(1003)]
    subset = {"addresses": [{"ip": "none"}, *many], "ports": [{"port": 443}]}
    (found,), skipped = mirroring.groups({"metadata": {}, "subsets": [subset]})
    assert (len(found.endpoints), skipped) == (1000, (1, 3))


def test_a_copy_has_the_annotations_of_what_it_copies() -> None:
    server, owner = Server(), dataclasses.replace(OWNER, families=(), annotations={"a": "b"})
    server.take(reconcile.reconcile(owner, [group(range(1))], []))
    (only,) = server.slices.values()
    assert only["metadata"]["annotations"] == {"a": "b"}
    assert server.take(reconcile.reconcile(owner, [group(range(1))], server.slices.values())) == (0, 0, 0)
    other = dataclasses.replace(owner, annotations={})
    assert server.take(reconcile.reconcile(other, [group(range(1))], server.slices.values())) == (0, 1, 0)
