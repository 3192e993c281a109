"""Minimal objects of each kind become exactly what Kubernetes 1.36 makes of them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from arktos.model import defaults
from arktos.model.defaults.images import pull_policy
from arktos.model.kinds import Obj
from arktos.model.registry import by_gvk


def defaulted(obj: Obj) -> Obj:
    kind = by_gvk(obj["apiVersion"], obj["kind"])
    assert kind is not None
    result = copy.deepcopy(obj)
    defaults.apply(kind, result)
    return result


def spec_of(api_version: str, kind: str, spec: Obj) -> Any:
    return defaulted({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, "spec": spec})["spec"]


CONTAINER = {
    "name": "c",
    "image": "nginx:1",
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
TEMPLATE_SPEC = {
    "containers": [CONTAINER],
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
PLAIN = {"containers": [{"name": "c", "image": "nginx:1"}]}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": PLAIN}
FULL_TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": TEMPLATE_SPEC}
SELECTOR = {"matchLabels": {"app": "x"}}


def test_a_minimal_pod() -> None:
    assert spec_of("v1", "Pod", PLAIN) == {**TEMPLATE_SPEC, "enableServiceLinks": True}


def test_a_virtual_machine_has_an_empty_list_of_containers() -> None:
    machine = {"name": "vm", "keyPairName": "k"}
    for given in ({}, {"containers": []}):
        spec = spec_of("v1", "Pod", {**given, "virtualMachine": machine})
        assert spec["containers"] == []
        assert spec["virtualMachine"] == {
            **machine,
            "imagePullPolicy": "IfNotPresent",
            "shutdownBehavior": "stop",
            "powerSpec": "Running",
        }


def test_a_virtual_machine_in_a_template_has_the_same_defaults() -> None:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"virtualMachine": {"name": "vm"}}}
    spec = spec_of("apps/v1", "Deployment", {"selector": SELECTOR, "template": template})
    assert spec["template"]["spec"]["containers"] == []
    assert spec["template"]["spec"]["virtualMachine"]["powerSpec"] == "Running"


def test_requests_of_a_virtual_machine_do_not_follow_its_limits() -> None:
    needs = {"limits": {"cpu": "1"}}
    spec = spec_of("v1", "Pod", {"virtualMachine": {"name": "vm", "resources": needs}})
    assert spec["virtualMachine"]["resources"] == needs


def test_requests_follow_limits_in_pods_only() -> None:
    container = {
        "name": "c",
        "image": "i",
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1m"}},
    }
    pod = spec_of("v1", "Pod", {"containers": [container], "initContainers": [container]})
    for each in (pod["containers"][0], pod["initContainers"][0]):
        assert each["resources"]["requests"] == {"cpu": "1m", "memory": "1Gi"}
    template = {"metadata": {}, "spec": {"containers": [container]}}
    spec = spec_of("apps/v1", "ReplicaSet", {"selector": SELECTOR, "template": template})
    assert spec["template"]["spec"]["containers"][0]["resources"] == container["resources"]
    assert "enableServiceLinks" not in spec["template"]["spec"]


def test_host_ports_under_host_network_in_pods_only() -> None:
    given = {"hostNetwork": True, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}
    pod = spec_of("v1", "Pod", given)
    assert pod["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    spec = spec_of("apps/v1", "ReplicaSet", {"selector": SELECTOR, "template": {"spec": given}})
    assert spec["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


def test_a_container_in_full() -> None:
    container = {
        "name": "c",
        "image": "nginx",
        "env": [
            {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "C", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}},
        ],
        "livenessProbe": {"httpGet": {"port": 80}},
        "readinessProbe": {"grpc": {"port": 80}, "periodSeconds": 3},
        "lifecycle": {
            "preStop": {"httpGet": {"port": 80, "scheme": "HTTPS"}},
            "postStart": {"exec": {"command": ["x"]}},
        },
    }
    made = spec_of("v1", "Pod", {"containers": [container]})["containers"][0]
    probe = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    assert made["imagePullPolicy"] == "Always"
    assert [each["valueFrom"] for each in made["env"]] == [
        {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
        {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}},
        {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k", "optional": False}},
    ]
    assert made["livenessProbe"] == {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, **probe}
    assert made["readinessProbe"] == {"grpc": {"port": 80, "service": ""}, **probe, "periodSeconds": 3}
    assert made["lifecycle"] == {
        "preStop": {"httpGet": {"port": 80, "scheme": "HTTPS", "path": "/"}},
        "postStart": {"exec": {"command": ["x"]}},
    }


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("registry:5000/a/b", "Always"),
        ("registry:5000/a/b:v1", "IfNotPresent"),
        ("nginx@sha256:" + "a" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "a" * 64, "Always"),
        ("", "IfNotPresent"),
        ("Not An Image", "IfNotPresent"),
        ("example.com/Upper", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({}, {"emptyDir": {}}),
        ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
        ({"configMap": {"name": "s"}}, {"configMap": {"name": "s", "defaultMode": 420}}),
        ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
        (
            {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {
                "downwardAPI": {
                    "defaultMode": 420,
                    "items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.labels", "apiVersion": "v1"}}],
                }
            },
        ),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "defaultMode": 420,
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                }
            },
        ),
        (
            {"iscsi": {"targetPortal": "t", "iqn": "i", "lun": 0}},
            {"iscsi": {"targetPortal": "t", "iqn": "i", "lun": 0, "iscsiInterface": "default"}},
        ),
        ({"image": {"reference": "a"}}, {"image": {"reference": "a", "pullPolicy": "Always"}}),
        (
            {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            {"ephemeral": {"volumeClaimTemplate": {"spec": {"volumeMode": "Filesystem"}}}},
        ),
    ],
)
def test_volumes(volume: Obj, expected: Obj) -> None:
    spec = spec_of("v1", "Pod", {**PLAIN, "volumes": [{"name": "v", **volume}]})
    assert spec["volumes"] == [{"name": "v", **expected}]


def test_both_names_of_the_service_account() -> None:
    assert spec_of("v1", "Pod", {**PLAIN, "serviceAccount": "a"})["serviceAccountName"] == "a"
    assert spec_of("v1", "Pod", {**PLAIN, "serviceAccountName": "a"})["serviceAccount"] == "a"


def test_amounts_come_in_whole_thousandths() -> None:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100u"}}}
    assert spec_of("v1", "Pod", {"containers": [container]})["containers"][0]["resources"] == {
        "requests": {"cpu": "1m"}
    }


def test_pod_level_requests_follow_the_containers_then_the_limits() -> None:
    containers = [{"name": n, "image": "i", "resources": {"requests": {"cpu": "100m"}}} for n in "ab"]
    spec = spec_of("v1", "Pod", {"containers": containers, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}})
    assert spec["resources"]["requests"] == {"cpu": "200m", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("api_version", "kind", "spec", "expected"),
    [
        (
            "apps/v1",
            "Deployment",
            {"selector": SELECTOR, "template": TEMPLATE},
            {
                "selector": SELECTOR,
                "template": FULL_TEMPLATE,
                "replicas": 1,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
            },
        ),
        (
            "apps/v1",
            "ReplicaSet",
            {"selector": SELECTOR, "template": TEMPLATE, "replicas": 0},
            {"selector": SELECTOR, "template": FULL_TEMPLATE, "replicas": 0},
        ),
        (
            "apps/v1",
            "DaemonSet",
            {"selector": SELECTOR, "template": TEMPLATE},
            {
                "selector": SELECTOR,
                "template": FULL_TEMPLATE,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
                "revisionHistoryLimit": 10,
            },
        ),
        (
            "apps/v1",
            "StatefulSet",
            {
                "selector": SELECTOR,
                "template": TEMPLATE,
                "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {}}],
            },
            {
                "selector": SELECTOR,
                "template": FULL_TEMPLATE,
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "volumeClaimTemplates": [
                    {
                        "apiVersion": "v1",
                        "kind": "PersistentVolumeClaim",
                        "metadata": {"name": "d"},
                        "spec": {"volumeMode": "Filesystem"},
                        "status": {"phase": "Pending"},
                    }
                ],
            },
        ),
        (
            "batch/v1",
            "Job",
            {"template": {"spec": {**PLAIN, "restartPolicy": "Never"}}},
            {
                "template": {"spec": {**TEMPLATE_SPEC, "restartPolicy": "Never"}},
                "completions": 1,
                "parallelism": 1,
                "backoffLimit": 6,
                "completionMode": "NonIndexed",
                "suspend": False,
                "podReplacementPolicy": "TerminatingOrFailed",
            },
        ),
        (
            "batch/v1",
            "CronJob",
            {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": PLAIN}}}},
            {
                "schedule": "* * * * *",
                "jobTemplate": {"spec": {"template": {"spec": TEMPLATE_SPEC}}},
                "concurrencyPolicy": "Allow",
                "suspend": False,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
            },
        ),
        (
            "v1",
            "Service",
            {"ports": [{"port": 80}]},
            {
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
            },
        ),
        (
            "v1",
            "Service",
            {"type": "LoadBalancer", "sessionAffinity": "ClientIP", "ports": []},
            {
                "type": "LoadBalancer",
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                "externalTrafficPolicy": "Cluster",
                "internalTrafficPolicy": "Cluster",
                "allocateLoadBalancerNodePorts": True,
                "ports": [],
            },
        ),
        ("v1", "Service", {"type": "ExternalName"}, {"type": "ExternalName", "sessionAffinity": "None"}),
        ("v1", "PersistentVolumeClaim", {}, {"volumeMode": "Filesystem"}),
        (
            "v1",
            "PersistentVolume",
            {"hostPath": {"path": "/x"}},
            {
                "hostPath": {"path": "/x", "type": ""},
                "persistentVolumeReclaimPolicy": "Retain",
                "volumeMode": "Filesystem",
            },
        ),
        (
            "v1",
            "LimitRange",
            {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}, {"type": "Pod"}]},
            {
                "limits": [
                    {
                        "type": "Container",
                        "max": {"cpu": "2"},
                        "min": {"memory": "1Mi"},
                        "default": {"cpu": "2"},
                        "defaultRequest": {"cpu": "2", "memory": "1Mi"},
                    },
                    {"type": "Pod"},
                ]
            },
        ),
        (
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            {"maxReplicas": 3, "behavior": {"scaleUp": {}}},
            {
                "maxReplicas": 3,
                "minReplicas": 1,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                    }
                ],
                "behavior": {
                    "scaleUp": {
                        "stabilizationWindowSeconds": 0,
                        "selectPolicy": "Max",
                        "policies": [
                            {"type": "Pods", "value": 4, "periodSeconds": 15},
                            {"type": "Percent", "value": 100, "periodSeconds": 15},
                        ],
                    },
                    "scaleDown": {
                        "selectPolicy": "Max",
                        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                    },
                },
            },
        ),
        (
            "networking.k8s.io/v1",
            "NetworkPolicy",
            {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]},
            {
                "podSelector": {},
                "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}],
                "policyTypes": ["Ingress", "Egress"],
            },
        ),
        (
            "networking.k8s.io/v1",
            "IngressClass",
            {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n"}},
            {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "scope": "Cluster"}},
        ),
        (
            "storage.k8s.io/v1",
            "CSIDriver",
            {},
            {
                "attachRequired": True,
                "podInfoOnMount": False,
                "storageCapacity": False,
                "fsGroupPolicy": "ReadWriteOnceWithFSType",
                "volumeLifecycleModes": ["Persistent"],
                "requiresRepublish": False,
                "seLinuxMount": False,
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_specs(api_version: str, kind: str, spec: Obj, expected: Obj) -> None:
    assert spec_of(api_version, kind, spec) == expected


def test_a_job_with_a_failure_policy_replaces_failed_pods_only() -> None:
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    spec = spec_of("batch/v1", "Job", {"template": TEMPLATE, "podFailurePolicy": policy, "backoffLimitPerIndex": 1})
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["backoffLimit"] == 2**31 - 1
    assert spec["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"] == "True"


def test_a_replication_controller_takes_selector_and_labels_from_its_template() -> None:
    obj = defaulted(
        {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "x"}, "spec": {"template": TEMPLATE}}
    )
    assert obj["metadata"]["labels"] == {"app": "x"}
    assert obj["spec"]["selector"] == {"app": "x"}
    assert obj["spec"]["replicas"] == 1
    assert obj["spec"]["selector"] is not obj["spec"]["template"]["metadata"]["labels"]


def test_a_secret_folds_string_data_into_data() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
    assert defaulted(secret)["type"] == "Opaque"
    made = defaulted({**secret, "data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new"}})
    assert made["data"] == {"a": "bmV3", "b": "Yg=="}
    assert "stringData" not in made


def test_a_namespace_is_labelled_with_its_name() -> None:
    obj = defaulted({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    assert obj["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}
    assert obj["status"] == {"phase": "Active"}
    assert (
        "labels"
        not in defaulted({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "n-"}})["metadata"]
    )


def test_finalizers_are_not_put_back() -> None:
    for kind in ("Namespace", "Tenant"):
        obj = defaulted({"apiVersion": "v1", "kind": kind, "metadata": {"name": "n"}, "spec": {}})
        assert obj["spec"] == {}


def test_allocatable_follows_capacity() -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4"}}}
    assert defaulted(node)["status"]["allocatable"] == {"cpu": "4"}


def test_role_bindings_name_their_groups() -> None:
    subjects = [{"kind": "User", "name": "u"}, {"kind": "Group", "name": "g"}, {"kind": "ServiceAccount", "name": "s"}]
    obj = defaulted(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "b"},
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": subjects,
        }
    )
    group = "rbac.authorization.k8s.io"
    assert obj["roleRef"] == {"kind": "Role", "name": "r", "apiGroup": group}
    assert [each.get("apiGroup") for each in obj["subjects"]] == [group, group, None]


@pytest.mark.parametrize(
    ("obj", "added"),
    [
        (
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "p"},
            {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
        ),
        (
            {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1},
            {"preemptionPolicy": "PreemptLowerPriority"},
        ),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, {}),
        ({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {}}, {}),
        (
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "ports": [{"port": 1}]},
            {"ports": [{"port": 1, "name": "", "protocol": "TCP"}]},
        ),
        (
            {"apiVersion": "v1", "kind": "Endpoints", "subsets": [{"ports": [{"port": 1}]}]},
            {"subsets": [{"ports": [{"port": 1, "protocol": "TCP"}]}]},
        ),
    ],
)
def test_top_level_defaults(obj: Obj, added: Obj) -> None:
    assert defaulted(obj) == {**obj, **added}
