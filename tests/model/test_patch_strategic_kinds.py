"""Strategic merge patches as clients send them, against the real schemas."""

from typing import Any

import pytest

from arktos.model import patch_strategic
from arktos.model.schema import named

CORE = "io.k8s.api.core.v1."
Obj = dict[str, Any]


def pod_spec(**fields: Any) -> Obj:
    return {"spec": fields}


def template(**fields: Any) -> Obj:
    return {"spec": {"template": {"spec": fields}}}


TABLE: list[tuple[str, str, Obj, Obj, Obj]] = [
    (
        "kubectl set image",
        "io.k8s.api.apps.v1.Deployment",
        template(containers=[{"name": "web", "image": "a"}, {"name": "side", "image": "b"}]),
        template(
            **{
                "$setElementOrder/containers": [{"name": "web"}, {"name": "side"}],
                "containers": [{"name": "web", "image": "c"}],
            }
        ),
        template(containers=[{"name": "web", "image": "c"}, {"name": "side", "image": "b"}]),
    ),
    (
        "kubectl rollout restart",
        "io.k8s.api.apps.v1.Deployment",
        {"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}},
        {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}},
        {
            "spec": {
                "template": {
                    "metadata": {
                        "labels": {"a": "b"},
                        "annotations": {"kubectl.kubernetes.io/restartedAt": "now"},
                    }
                }
            }
        },
    ),
    (
        "kubectl apply switches the strategy",
        "io.k8s.api.apps.v1.Deployment",
        {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
        {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
        {"spec": {"strategy": {"type": "Recreate"}}},
    ),
    (
        "kubectl cordon",
        CORE + "Node",
        {"spec": {"podCIDR": "10.0.0.0/24"}},
        {"spec": {"unschedulable": True}},
        {"spec": {"podCIDR": "10.0.0.0/24", "unschedulable": True}},
    ),
    (
        "kubectl taint sends all taints",
        CORE + "Node",
        {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}},
        {"spec": {"taints": [{"key": "b", "effect": "NoSchedule"}]}},
        {"spec": {"taints": [{"key": "b", "effect": "NoSchedule"}]}},
    ),
    (
        "a kubelet's conditions merge by type",
        CORE + "Node",
        {"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "DiskPressure", "status": "False"}]}},
        {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
        {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]}},
    ),
    (
        "service ports merge by port",
        CORE + "Service",
        {"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}},
        {"spec": {"ports": [{"port": 80, "targetPort": "http"}, {"port": 443}]}},
        {"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}, {"port": 443}]}},
    ),
    (
        "container ports merge by containerPort",
        CORE + "Pod",
        pod_spec(containers=[{"name": "c", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]),
        pod_spec(containers=[{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}]),
        pod_spec(containers=[{"name": "c", "ports": [{"containerPort": 80, "protocol": "TCP", "hostPort": 8080}]}]),
    ),
    (
        "tolerations are replaced",
        CORE + "Pod",
        pod_spec(tolerations=[{"key": "a"}]),
        pod_spec(tolerations=[{"key": "b"}]),
        pod_spec(tolerations=[{"key": "b"}]),
    ),
    (
        "volume mounts merge by mountPath",
        CORE + "Pod",
        pod_spec(containers=[{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/a"}]}]),
        pod_spec(containers=[{"name": "c", "volumeMounts": [{"name": "w", "mountPath": "/a"}]}]),
        pod_spec(containers=[{"name": "c", "volumeMounts": [{"name": "w", "mountPath": "/a"}]}]),
    ),
    (
        "kubectl debug adds an ephemeral container",
        CORE + "Pod",
        pod_spec(containers=[{"name": "c"}]),
        pod_spec(
            **{
                "$setElementOrder/ephemeralContainers": [{"name": "d"}],
                "ephemeralContainers": [{"name": "d", "image": "i"}],
            }
        ),
        pod_spec(containers=[{"name": "c"}], ephemeralContainers=[{"name": "d", "image": "i"}]),
    ),
    (
        "the port controller sets a nic's port",
        CORE + "Pod",
        pod_spec(nics=[{"name": "eth0", "subnetName": "s"}]),
        pod_spec(nics=[{"name": "eth0", "portId": "p"}]),
        pod_spec(nics=[{"name": "eth0", "subnetName": "s", "portId": "p"}]),
    ),
    (
        "an owner is removed by uid",
        CORE + "Pod",
        {"metadata": {"uid": "u", "ownerReferences": [{"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}]}},
        {"metadata": {"uid": "u", "ownerReferences": [{"$patch": "delete", "uid": "1"}]}},
        {"metadata": {"uid": "u", "ownerReferences": [{"uid": "2", "name": "b"}]}},
    ),
    (
        "a finalizer is removed",
        CORE + "Namespace",
        {"metadata": {"finalizers": ["a", "b"]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
        {"metadata": {"finalizers": ["b"]}},
    ),
    (
        "data of a ConfigMap",
        CORE + "ConfigMap",
        {"data": {"a": "1", "b": "2"}},
        {"data": {"a": None, "c": "3"}},
        {"data": {"b": "2", "c": "3"}},
    ),
]


@pytest.mark.parametrize(
    ("kind", "live", "patch", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_patches_of_clients(kind: str, live: Obj, patch: Obj, expected: Obj) -> None:
    assert patch_strategic.apply(named(kind), live, patch) == expected
