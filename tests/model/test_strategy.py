"""What each verb may change, and what a new object starts with."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from arktos.model import metadata, strategy
from arktos.model.kinds import Kind, Obj
from arktos.model.registry import by_gvk
from arktos.model.status import BadRequest


def kind_of(obj: Obj) -> Kind:
    kind = by_gvk(obj["apiVersion"], obj["kind"])
    assert kind is not None
    return kind


def new(api_version: str, kind: str, **fields: Any) -> Obj:
    obj: Obj = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **fields}
    metadata.fill(kind_of(obj), obj, uid="u-1", now="2026-01-01T00:00:00Z", tenant="acme", namespace="ns")
    strategy.prepare_create(kind_of(obj), obj)
    strategy.finish_create(kind_of(obj), obj)
    return obj


def put(old: Obj, subresource: str = "", *, keep_unknown: bool = True, **changes: Any) -> Obj:
    """`old` after an update that sends it with other top-level fields; None removes one."""
    obj = {**copy.deepcopy(old), **changes}
    obj = {key: value for key, value in obj.items() if value is not None}
    strategy.prepare_update(kind_of(old), obj, copy.deepcopy(old), subresource, keep_unknown=keep_unknown)
    return obj


POD = {"containers": [{"name": "c", "image": "i"}]}


def test_a_new_object_has_system_fields_and_no_others() -> None:
    obj: Obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "web-",
            "uid": "mine",
            "hashKey": 3,
            "selfLink": "/x",
            "generation": 9,
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "deletionGracePeriodSeconds": 3,
            "ownerReferences": [{"uid": "u-0"}],
        },
    }
    metadata.fill(
        kind_of(obj), obj, uid="u-1", now="2026-01-01T00:00:00Z", suffix="abcde", tenant="acme", namespace="ns"
    )
    made = obj["metadata"]
    assert made == {
        "generateName": "web-",
        "name": "web-abcde",
        "uid": "u-1",
        "hashKey": metadata.hash_key("u-1"),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "tenant": "acme",
        "namespace": "ns",
        "ownerReferences": [{"uid": "u-0", "hashKey": metadata.hash_key("u-0")}],
    }


def test_a_generated_name_has_at_most_63_bytes() -> None:
    obj: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x" * 100}}
    metadata.fill(kind_of(obj), obj, uid="u", now="n", suffix="abcde")
    assert obj["metadata"]["name"] == "x" * 58 + "abcde"


def test_a_new_object_has_no_revision() -> None:
    obj: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "resourceVersion": "7"}}
    with pytest.raises(BadRequest):
        metadata.fill(kind_of(obj), obj, uid="u", now="n")


def test_cluster_objects_have_no_tenant() -> None:
    node = new("v1", "Node", status={"capacity": {"cpu": "1"}})
    assert "tenant" not in node["metadata"]
    assert node["status"] == {"capacity": {"cpu": "1"}}


@pytest.mark.parametrize(
    ("api_version", "kind", "status"),
    [
        ("v1", "Namespace", {"phase": "Active"}),
        ("v1", "Tenant", {"phase": "Active"}),
        ("v1", "PersistentVolumeClaim", {"phase": "Pending"}),
        ("v1", "PersistentVolume", {"phase": "Pending"}),
        ("v1", "Service", {"loadBalancer": {}}),
        ("v1", "Action", {}),
        ("apps/v1", "Deployment", {}),
        ("apps/v1", "ReplicaSet", {"replicas": 0}),
        ("batch/v1", "Job", {}),
    ],
)
def test_a_client_does_not_choose_the_first_status(api_version: str, kind: str, status: Obj) -> None:
    assert new(api_version, kind, spec={}, status={"phase": "Mine", "replicas": 9})["status"] == status


@pytest.mark.parametrize(
    ("spec", "quality"),
    [
        (POD, "BestEffort"),
        ({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}, "Burstable"),
        ({"containers": [{"name": "c", "resources": {"limits": {"cpu": "1", "memory": "1"}}}]}, "Guaranteed"),
        (
            {
                "containers": [
                    {"name": "c", "resources": {"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "500m"}}}
                ]
            },
            "Burstable",
        ),
        ({"virtualMachine": {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}}, "Guaranteed"),
        ({"virtualMachine": {}}, "BestEffort"),
    ],
)
def test_a_new_pod_is_pending_with_its_quality_of_service(spec: Obj, quality: str) -> None:
    pod = new("v1", "Pod", spec=spec, status={"phase": "Running"})
    assert pod["status"] == {"phase": "Pending", "qosClass": quality}
    assert pod["metadata"]["generation"] == 1


def test_a_gated_pod_says_so() -> None:
    pod = new("v1", "Pod", spec={**POD, "schedulingGates": [{"name": "a"}]})
    (condition,) = pod["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "SchedulingGated")


def test_match_label_keys_become_requirements() -> None:
    term = {"topologyKey": "z", "matchLabelKeys": ["app"], "mismatchLabelKeys": ["tier", "none"], "labelSelector": {}}
    pod: Obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "labels": {"app": "a", "tier": "t"}},
        "spec": {
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
            "topologySpreadConstraints": [{"matchLabelKeys": ["app"], "labelSelector": {}}],
        },
    }
    strategy.prepare_create(kind_of(pod), pod)
    strategy.finish_create(kind_of(pod), pod)
    assert term["labelSelector"] == {
        "matchExpressions": [
            {"key": "app", "operator": "In", "values": ["a"]},
            {"key": "tier", "operator": "NotIn", "values": ["t"]},
        ]
    }
    (constraint,) = pod["spec"]["topologySpreadConstraints"]
    assert constraint["labelSelector"]["matchExpressions"] == [{"key": "app", "operator": "In", "values": ["a"]}]


def test_namespaces_and_tenants_start_with_a_finalizer_that_only_finalize_changes() -> None:
    for kind in ("Namespace", "Tenant"):
        obj = new("v1", kind)
        assert obj["spec"]["finalizers"] == ["kubernetes"]
        assert put(obj, spec={})["spec"] == {"finalizers": ["kubernetes"]}
        assert put(obj, spec={"finalizers": ["a/b"]})["spec"] == {"finalizers": ["kubernetes"]}
        ended = put(obj, "finalize", spec={}, metadata={**obj["metadata"], "labels": {"a": "b"}})
        assert ended["spec"] == {}
        assert ended["metadata"] == obj["metadata"]
        assert put(obj, "status", spec={}, status={"phase": "Terminating"})["spec"] == {"finalizers": ["kubernetes"]}


def test_a_job_selects_its_own_pods() -> None:
    job = new("batch/v1", "Job", spec={"template": {"metadata": {"labels": {"a": "b"}}, "spec": POD}})
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "a": "b",
        "batch.kubernetes.io/controller-uid": "u-1",
        "controller-uid": "u-1",
        "batch.kubernetes.io/job-name": "x",
        "job-name": "x",
    }
    manual = new("batch/v1", "Job", spec={"manualSelector": True, "template": {}})
    assert manual["spec"] == {"manualSelector": True, "template": {}}


def test_an_update_keeps_status_and_system_fields() -> None:
    pod = new("v1", "Pod", spec=POD)
    pod["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    pod["metadata"]["deletionGracePeriodSeconds"] = 30
    sent = {"name": "x", "labels": {"a": "b"}, "hashKey": 5, "generation": 77, "resourceVersion": "3", "selfLink": "/"}
    changed = put(pod, metadata=sent, status={"phase": "Running"})
    assert changed["status"] == pod["status"]
    assert changed["metadata"] == {**pod["metadata"], "labels": {"a": "b"}, "resourceVersion": "3"}


def test_owners_keep_their_hash_keys() -> None:
    pod = new("v1", "Pod", spec=POD)
    pod["metadata"]["ownerReferences"] = [{"uid": "o", "hashKey": 42}]
    sent = {"name": "x", "ownerReferences": [{"uid": "o"}, {"uid": "new"}]}
    owners = put(pod, metadata=sent)["metadata"]["ownerReferences"]
    assert [each["hashKey"] for each in owners] == [42, metadata.hash_key("new")]


def test_a_generation_counts_changes_of_the_desired_state() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
    deployment = new("apps/v1", "Deployment", spec={"replicas": 1, "template": template})
    generation = [
        put(deployment)["metadata"]["generation"],
        put(deployment, spec={"replicas": 2, "template": template})["metadata"]["generation"],
        put(deployment, metadata={**deployment["metadata"], "labels": {"a": "b"}})["metadata"]["generation"],
        put(deployment, metadata={**deployment["metadata"], "annotations": {"a": "b"}})["metadata"]["generation"],
        put(deployment, "status", spec={"replicas": 5}, status={"replicas": 1})["metadata"]["generation"],
    ]
    assert generation == [1, 2, 1, 2, 1]
    config = new("v1", "ConfigMap", data={"a": "b"})
    assert "generation" not in put(config, data={"a": "c"})["metadata"]


def test_an_update_of_status_changes_status_and_some_metadata() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
    sent = {
        "name": "x",
        "labels": {"l": "1"},
        "annotations": {"a": "1"},
        "ownerReferences": [{"uid": "o", "hashKey": 1}],
    }
    for api_version, kind, kept in (("v1", "Pod", "ownerReferences"), ("apps/v1", "Deployment", "labels")):
        obj = new(api_version, kind, spec={"template": template} if kind != "Pod" else POD)
        changed = put(obj, "status", spec={"x": "y"}, status={"phase": "Running"}, metadata=copy.deepcopy(sent))
        assert changed["spec"] == obj["spec"]
        assert changed["status"] == {"phase": "Running"}
        assert kept not in changed["metadata"]
        assert changed["metadata"]["annotations"] == {"a": "1"}
        assert put(obj, "status", status=None)["status"] == {}


MACHINE = {"name": "vm", "keyPairName": "k"}
VM_POD = {"containers": [], "virtualMachine": MACHINE, "nics": [{"name": "eth0"}], "vpc": "v"}


def test_a_put_that_does_not_know_our_fields_leaves_them() -> None:
    pod = new("v1", "Pod", spec=VM_POD)
    meta = {k: v for k, v in pod["metadata"].items() if k not in ("tenant", "hashKey")}
    changed = put(pod, spec={"containers": []}, metadata=meta)
    assert changed == pod
    template = {"metadata": {}, "spec": VM_POD}
    for api_version, kind, spec in (
        ("apps/v1", "Deployment", {"template": template}),
        ("batch/v1", "CronJob", {"jobTemplate": {"spec": {"template": template}}}),
    ):
        obj = new(api_version, kind, spec=spec)
        stripped = copy.deepcopy(obj["spec"])
        for each in _pod_specs(stripped):
            for name in ("virtualMachine", "nics", "vpc"):
                del each[name]
        assert put(obj, spec=stripped)["spec"] == obj["spec"]


def _pod_specs(spec: Obj) -> list[Obj]:
    template = spec["template"] if "template" in spec else spec["jobTemplate"]["spec"]["template"]
    return [template["spec"]]


def test_a_patch_may_remove_our_fields() -> None:
    template = {"metadata": {}, "spec": VM_POD}
    obj = new("apps/v1", "Deployment", spec={"template": template})
    changed = put(obj, keep_unknown=False, spec={"template": {"metadata": {}, "spec": POD}})
    assert changed["spec"]["template"]["spec"] == POD


def test_a_template_with_containers_is_no_longer_a_machine() -> None:
    obj = new("apps/v1", "Deployment", spec={"template": {"metadata": {}, "spec": VM_POD}})
    changed = put(obj, spec={"template": {"metadata": {}, "spec": POD}})["spec"]["template"]["spec"]
    assert "virtualMachine" not in changed
    assert changed["containers"] == POD["containers"]


def test_nics_can_be_emptied() -> None:
    pod = new("v1", "Pod", spec=VM_POD)
    assert put(pod, spec={**VM_POD, "nics": []})["spec"]["nics"] == []


def test_ephemeral_containers_are_all_that_their_subresource_changes() -> None:
    pod = new("v1", "Pod", spec=POD)
    sent = {"containers": [], "nodeName": "n", "ephemeralContainers": [{"name": "debug"}]}
    changed = put(
        pod, "ephemeralcontainers", spec=sent, metadata={"name": "x", "labels": {"a": "b"}, "resourceVersion": "9"}
    )
    assert changed["spec"] == {**POD, "ephemeralContainers": [{"name": "debug"}]}
    assert changed["metadata"] == {**pod["metadata"], "generation": 2, "resourceVersion": "9"}


def test_resize_takes_resources_only() -> None:
    pod = new("v1", "Pod", spec={"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]})
    sent = {"containers": [{"name": "c", "image": "other", "resources": {"limits": {"cpu": "2"}}}], "nodeName": "n"}
    changed = put(pod, "resize", spec=sent)
    assert changed["spec"] == {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "2"}}}]}
    assert changed["metadata"]["generation"] == 2
    machine = new("v1", "Pod", spec=VM_POD)
    wanted = {"name": "other", "resources": {"limits": {"cpu": "2"}}}
    grown = put(machine, "resize", spec={**VM_POD, "virtualMachine": wanted})
    assert grown["spec"] == {**VM_POD, "virtualMachine": {**MACHINE, "resources": wanted["resources"]}}


PORT = {"port": 80, "protocol": "TCP", "targetPort": 80}


def service(**spec: Any) -> Obj:
    return new("v1", "Service", spec={"type": "ClusterIP", "ports": [dict(PORT)], **spec})


def test_a_new_service_has_families() -> None:
    assert service()["spec"]["ipFamilies"] == ["IPv4"]
    assert service()["spec"]["ipFamilyPolicy"] == "SingleStack"
    assert service(clusterIP="None")["spec"]["clusterIPs"] == ["None"]
    assert service(clusterIP="None")["spec"]["ipFamilyPolicy"] == "RequireDualStack"
    assert service(clusterIP="None", selector={"a": "b"})["spec"]["ipFamilies"] == ["IPv4"]
    assert "ipFamilies" not in service(type="ExternalName")["spec"]


def test_a_service_keeps_what_was_allocated() -> None:
    old = service(type="NodePort", clusterIP="10.0.0.1", externalTrafficPolicy="Cluster")
    old["spec"]["ports"][0]["nodePort"] = 30000
    changed = put(old, spec={"type": "NodePort", "ports": [dict(PORT)], "externalTrafficPolicy": "Cluster"})
    assert changed["spec"] == old["spec"]


def test_a_service_that_becomes_a_name_loses_its_addresses_and_ports() -> None:
    old = service(type="NodePort", clusterIP="10.0.0.1", externalTrafficPolicy="Cluster")
    old["spec"]["ports"][0]["nodePort"] = 30000
    changed = put(old, spec={**copy.deepcopy(old["spec"]), "type": "ExternalName", "externalName": "a.b"})["spec"]
    assert changed == {"type": "ExternalName", "externalName": "a.b", "ports": [PORT]}
    inner = put(old, spec={**copy.deepcopy(old["spec"]), "type": "ClusterIP"})["spec"]
    assert "nodePort" not in inner["ports"][0]
    assert "externalTrafficPolicy" not in inner
    assert inner["clusterIP"] == "10.0.0.1"
