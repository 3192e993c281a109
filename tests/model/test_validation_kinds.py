"""All other kinds: objects that pass, objects that don't, and changes that may not be."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from arktos.model import cron, defaults, metadata, strategy, validation
from arktos.model.kinds import Kind, Obj, Scope
from arktos.model.registry import by_gvk

GROUP = {
    "Action": "v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "ControllerRevision": "apps/v1",
    "CronJob": "batch/v1",
    "CSIDriver": "storage.k8s.io/v1",
    "CSINode": "storage.k8s.io/v1",
    "DaemonSet": "apps/v1",
    "Deployment": "apps/v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Ingress": "networking.k8s.io/v1",
    "IngressClass": "networking.k8s.io/v1",
    "IPAddress": "networking.k8s.io/v1",
    "Job": "batch/v1",
    "Lease": "coordination.k8s.io/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "PriorityClass": "scheduling.k8s.io/v1",
    "ReplicaSet": "apps/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "RuntimeClass": "node.k8s.io/v1",
    "ServiceCIDR": "networking.k8s.io/v1",
    "StatefulSet": "apps/v1",
    "StorageClass": "storage.k8s.io/v1",
    "VolumeAttachment": "storage.k8s.io/v1",
    "VolumeAttributesClass": "storage.k8s.io/v1",
}


def kind_of(name: str) -> Kind:
    kind = by_gvk(GROUP.get(name, "v1"), name)
    assert kind is not None
    return kind


def made(name: str, fields: Obj) -> Obj:
    kind = kind_of(name)
    meta = {"name": "x", **fields.get("metadata", {})}
    obj: Obj = {**copy.deepcopy(fields), "apiVersion": kind.api_version, "kind": name, "metadata": meta}
    defaults.apply(kind, obj)
    namespace = "default" if kind.scope is Scope.NAMESPACE else ""
    metadata.fill(kind, obj, uid="u-1", now="2026-01-01T00:00:00Z", tenant="acme", namespace=namespace)
    strategy.prepare_create(kind, obj)
    obj["metadata"]["resourceVersion"] = "1"
    return obj


def told(found: list[Any]) -> list[str]:
    return [f"{e.field} {e.reason.removeprefix('FieldValue')}" for e in found]


def errors(name: str, fields: Obj) -> list[str]:
    return told(validation.validate_create(kind_of(name), made(name, fields)))


def update(name: str, old: Obj, new: Obj, subresource: str = "") -> list[str]:
    kind, before, after = kind_of(name), made(name, old), made(name, new)
    if subresource == "status":
        before["status"], after["status"] = old.get("status", {}), new.get("status", {})
    strategy.prepare_update(kind, after, before, subresource, keep_unknown=False)
    return told(validation.validate_update(kind, after, before, subresource))


LABELS = {"app": "x"}
SELECTOR = {"matchLabels": LABELS}
POD = {"containers": [{"name": "c", "image": "i"}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
MACHINE = {"metadata": {"labels": LABELS}, "spec": {"virtualMachine": {"name": "vm", "publicKey": "k"}}}
OWNED = {"selector": SELECTOR, "template": TEMPLATE}
PORTS = [{"port": 80}]
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
ONCE = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}
HPA = {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}
ROLE_REF = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}


def spec(**fields: Any) -> Obj:
    return {"spec": fields}


GOOD: list[tuple[str, Obj]] = [
    ("Action", spec(podName="p", rebootAction={})),
    ("Action", spec(podName="p", nodeName="n", restoreAction={"snapshotID": "s"})),
    ("ClusterRole", {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}], "metadata": {"name": "system:x"}}),
    ("ClusterRole", {"aggregationRule": {"clusterRoleSelectors": [SELECTOR]}}),
    ("ConfigMap", {"data": {"a.b": "c"}, "binaryData": {"b": "YQ=="}}),
    ("ControllerInstance", {"controllerType": "ReplicaSet", "controllerKey": 5, "workloadNum": 0}),
    ("ControllerRevision", {"data": {"a": 1}, "revision": 1}),
    ("CronJob", spec(schedule="*/5 * * * *", timeZone="UTC", jobTemplate={"spec": ONCE})),
    ("CSIDriver", {"metadata": {"name": "a.b"}, "spec": {}}),
    ("CSINode", spec(drivers=[{"name": "a.b", "nodeID": "n", "topologyKeys": ["a/b"]}])),
    ("DaemonSet", spec(**OWNED)),
    ("Deployment", spec(**OWNED)),
    ("Deployment", spec(selector=SELECTOR, template=MACHINE)),
    ("Deployment", spec(**OWNED, strategy={"type": "Recreate"})),
    ("Endpoints", {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]}),
    ("EndpointSlice", {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 1}]}),
    ("Event", {"involvedObject": {"namespace": "default", "kind": "Pod"}}),
    ("HorizontalPodAutoscaler", {"spec": HPA}),
    ("Ingress", spec(defaultBackend={"service": {"name": "s", "port": {"number": 80}}})),
    (
        "Ingress",
        spec(
            rules=[
                {
                    "host": "*.a.b",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "s", "port": {"name": "p"}}},
                            }
                        ]
                    },
                }
            ]
        ),
    ),
    ("IngressClass", spec(controller="a.b/c")),
    ("IPAddress", {"metadata": {"name": "10.0.0.1"}, **spec(parentRef={"resource": "services", "name": "s"})}),
    ("Job", {"spec": ONCE}),
    ("Job", {"spec": {**ONCE, "completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 1}}),
    ("Lease", spec(holderIdentity="a", leaseDurationSeconds=40)),
    ("LimitRange", spec(limits=[{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}}])),
    ("Namespace", {}),
    (
        "NetworkPolicy",
        spec(podSelector={}, ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]),
    ),
    ("Node", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}], "podCIDRs": ["10.0.0.0/24"]}}),
    ("PersistentVolume", spec(accessModes=["ReadWriteOnce"], capacity={"storage": "1Gi"}, hostPath={"path": "/x"})),
    ("PersistentVolumeClaim", {"spec": CLAIM}),
    ("PodDisruptionBudget", spec(minAvailable="50%", selector=SELECTOR)),
    ("PodTemplate", {"template": TEMPLATE}),
    ("PriorityClass", {"value": 1000}),
    ("PriorityClass", {"metadata": {"name": "system-node-critical"}, "value": 2000001000}),
    ("ReplicaSet", spec(**OWNED)),
    ("ReplicationController", spec(template=TEMPLATE)),
    ("ResourceQuota", spec(hard={"pods": "5", "requests.cpu": "2", "count/deployments.apps": "3"})),
    ("Role", {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
    ("RoleBinding", {"roleRef": ROLE_REF, "subjects": [{"kind": "ServiceAccount", "name": "default"}]}),
    ("RuntimeClass", {"handler": "kata"}),
    ("Secret", {"data": {"a": "YQ=="}}),
    ("Secret", {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{}"}}),
    ("Service", spec(ports=PORTS)),
    ("Service", spec(ports=PORTS, clusterIP="None")),
    ("Service", spec(type="ExternalName", externalName="a.b.")),
    ("Service", spec(type="LoadBalancer", ports=PORTS, loadBalancerSourceRanges=["10.0.0.0/8 "])),
    ("ServiceAccount", {}),
    ("ServiceCIDR", spec(cidrs=["10.0.0.0/16", "fd00::/112"])),
    (
        "StatefulSet",
        spec(
            selector=SELECTOR,
            template={
                **TEMPLATE,
                "spec": {"containers": [{**POD["containers"][0], "volumeMounts": [{"name": "d", "mountPath": "/d"}]}]},
            },
            volumeClaimTemplates=[{"metadata": {"name": "d"}, "spec": CLAIM}],
        ),
    ),
    ("StorageClass", {"provisioner": "a.b/c"}),
    ("Tenant", spec(quota={"pods": "10"}, network={"cidrs": ["10.0.0.0/8"]})),
    ("VolumeAttachment", spec(attacher="a", nodeName="n", source={"persistentVolumeName": "v"})),
    ("VolumeAttributesClass", {"driverName": "a.b", "parameters": {"a": "b"}}),
]


@pytest.mark.parametrize(("name", "fields"), GOOD, ids=lambda v: v if isinstance(v, str) else "")
def test_good_objects_pass_and_may_be_put_again(name: str, fields: Obj) -> None:
    assert errors(name, fields) == []
    assert update(name, fields, fields) == []


NO_SELECTOR = {"template": TEMPLATE}
BAD: list[tuple[str, Obj, list[str]]] = [
    ("Action", spec(podName="p"), ["spec Required"]),
    ("Action", spec(rebootAction={}, snapshotAction={}), ["spec.podName Required", "spec.snapshotAction Forbidden"]),
    ("ControllerInstance", {"controllerKey": -1}, ["controllerKey Invalid", "controllerType Required"]),
    ("Tenant", {"metadata": {"name": "all"}}, ["metadata.name Invalid"]),
    ("Tenant", {"metadata": {"name": "a.b"}}, ["metadata.name Invalid"]),
    ("Tenant", spec(finalizers=["own"]), ["spec.finalizers[0] Invalid"]),
    ("Namespace", {"metadata": {"name": "A"}}, ["metadata.name Invalid"]),
    (
        "ClusterRole",
        {"rules": [{"verbs": ["get"], "apiGroups": [""], "nonResourceURLs": ["/"]}]},
        ["rules[0].nonResourceURLs Invalid"],
    ),
    ("Role", {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/"]}]}, ["rules[0].nonResourceURLs Invalid"]),
    ("Role", {"rules": [{"apiGroups": [""], "resources": ["pods"]}]}, ["rules[0].verbs Required"]),
    ("Role", {"rules": [{"verbs": ["get"]}]}, ["rules[0].apiGroups Required", "rules[0].resources Required"]),
    ("Role", {"metadata": {"name": "a/b"}}, ["metadata.name Invalid"]),
    ("RoleBinding", {"roleRef": {"kind": "Thing", "name": "r"}}, ["roleRef.kind NotSupported"]),
    ("ClusterRoleBinding", {"roleRef": ROLE_REF}, ["roleRef.kind NotSupported"]),
    (
        "ClusterRoleBinding",
        {"roleRef": {**ROLE_REF, "kind": "ClusterRole"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]},
        ["subjects[0].namespace Required"],
    ),
    ("RoleBinding", {"roleRef": ROLE_REF, "subjects": [{"kind": "X", "name": "s"}]}, ["subjects[0].kind NotSupported"]),
    (
        "RoleBinding",
        {"roleRef": ROLE_REF, "subjects": [{"kind": "User", "name": "s", "apiGroup": "x"}]},
        ["subjects[0].apiGroup NotSupported"],
    ),
    ("ConfigMap", {"data": {"a b": "c"}}, ["data[a b] Invalid"]),
    ("ConfigMap", {"data": {"..": "c"}}, ["data[..] Invalid"]),
    ("ConfigMap", {"data": {"a": "c"}, "binaryData": {"a": ""}}, ["data[a] Invalid"]),
    ("ConfigMap", {"data": {"a": "x" * (1 << 20) + "y"}}, [" TooLong"]),
    ("Secret", {"type": "kubernetes.io/tls"}, ["data[tls.crt] Required", "data[tls.key] Required"]),
    ("Secret", {"type": "kubernetes.io/basic-auth"}, ["data[username] Required", "data[password] Required"]),
    (
        "Secret",
        {"type": "kubernetes.io/service-account-token"},
        ["metadata.annotations[kubernetes.io/service-account.name] Required"],
    ),
    ("Secret", {"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "x"}}, ["data[.dockercfg] Invalid"]),
    ("Deployment", {"spec": NO_SELECTOR}, ["spec.selector Required"]),
    ("Deployment", spec(selector=SELECTOR), ["spec.template Required"]),
    ("Deployment", spec(selector={}, template=TEMPLATE), ["spec.selector Invalid"]),
    (
        "Deployment",
        spec(selector={"matchLabels": {"a": "b"}}, template=TEMPLATE),
        ["spec.template.metadata.labels Invalid"],
    ),
    ("Deployment", spec(**OWNED, replicas=-1), ["spec.replicas Invalid"]),
    ("Deployment", spec(**OWNED, strategy={"type": "x"}), ["spec.strategy.type NotSupported"]),
    (
        "Deployment",
        spec(**OWNED, strategy={"type": "Recreate", "rollingUpdate": {}}),
        ["spec.strategy.rollingUpdate Forbidden"],
    ),
    (
        "Deployment",
        spec(**OWNED, strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
        ["spec.strategy.rollingUpdate.maxUnavailable Invalid"],
    ),
    (
        "Deployment",
        spec(**OWNED, strategy={"rollingUpdate": {"maxUnavailable": "101%"}}),
        ["spec.strategy.rollingUpdate.maxUnavailable Invalid"],
    ),
    (
        "Deployment",
        spec(**OWNED, strategy={"rollingUpdate": {"maxUnavailable": "x"}}),
        ["spec.strategy.rollingUpdate.maxUnavailable Invalid"],
    ),
    (
        "Deployment",
        spec(**OWNED, progressDeadlineSeconds=5, minReadySeconds=5),
        ["spec.progressDeadlineSeconds Invalid"],
    ),
    (
        "Deployment",
        spec(selector=SELECTOR, template={**TEMPLATE, "spec": {**POD, "restartPolicy": "Never"}}),
        ["spec.template.spec.restartPolicy NotSupported"],
    ),
    (
        "Deployment",
        spec(selector=SELECTOR, template={"metadata": {"labels": LABELS}, "spec": {"virtualMachine": {"name": "vm"}}}),
        ["spec.template.spec.virtualMachine.keyPairName Required"],
    ),
    (
        "Deployment",
        spec(selector=SELECTOR, template={"metadata": {"labels": LABELS}, "spec": {}}),
        ["spec.template.spec.containers Required"],
    ),
    ("ReplicaSet", spec(template=TEMPLATE), ["spec.selector Required"]),
    (
        "DaemonSet",
        spec(**OWNED, updateStrategy={"rollingUpdate": {"maxSurge": 1}}),
        ["spec.updateStrategy.rollingUpdate.maxSurge Invalid"],
    ),
    ("StatefulSet", spec(**OWNED, podManagementPolicy="x"), ["spec.podManagementPolicy NotSupported"]),
    (
        "StatefulSet",
        spec(**OWNED, updateStrategy={"type": "OnDelete", "rollingUpdate": {}}),
        ["spec.updateStrategy.rollingUpdate Invalid"],
    ),
    ("ReplicationController", spec(template={"spec": POD}), ["spec.selector Required"]),
    ("ControllerRevision", {"revision": -1}, ["data Required", "revision Invalid"]),
    ("Job", spec(template={"spec": POD}), ["spec.template.spec.restartPolicy NotSupported"]),
    ("Job", {"spec": {**ONCE, "completionMode": "Indexed", "parallelism": 1}}, ["spec.completions Required"]),
    ("Job", {"spec": {**ONCE, "backoffLimit": -1}}, ["spec.backoffLimit Invalid"]),
    ("Job", {"spec": {**ONCE, "manualSelector": True}}, ["spec.selector Required"]),
    ("Job", {"spec": {**ONCE, "managedBy": "me"}}, ["spec.managedBy Invalid"]),
    ("Job", {"spec": {**ONCE, "maxFailedIndexes": 1}}, ["spec.backoffLimitPerIndex Required"]),
    (
        "Job",
        {"spec": {**ONCE, "podFailurePolicy": {"rules": [{"action": "FailJob"}]}}},
        ["spec.podFailurePolicy.rules[0] Invalid"],
    ),
    ("CronJob", spec(schedule="x", jobTemplate={"spec": ONCE}), ["spec.schedule Invalid"]),
    ("CronJob", spec(schedule="TZ=UTC 0 * * * *", jobTemplate={"spec": ONCE}), ["spec.schedule Invalid"]),
    ("CronJob", spec(schedule="@daily", timeZone="Moon/Base", jobTemplate={"spec": ONCE}), ["spec.timeZone Invalid"]),
    (
        "CronJob",
        {"metadata": {"name": "x" * 53}, **spec(schedule="@daily", jobTemplate={"spec": ONCE})},
        ["metadata.name Invalid"],
    ),
    (
        "CronJob",
        spec(schedule="@daily", concurrencyPolicy="x", jobTemplate={"spec": ONCE}),
        ["spec.concurrencyPolicy NotSupported"],
    ),
    ("Service", {"spec": {}}, ["spec.ports Required"]),
    ("Service", {"metadata": {"name": "1a"}, **spec(ports=PORTS)}, ["metadata.name Invalid"]),
    ("Service", spec(type="x", ports=PORTS), ["spec.type NotSupported"]),
    ("Service", spec(ports=[{"port": 0}]), ["spec.ports[0].port Invalid"]),
    ("Service", spec(ports=[{"port": 1}, {"port": 2}]), ["spec.ports[0].name Required", "spec.ports[1].name Required"]),
    ("Service", spec(ports=[{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]), ["spec.ports[1] Duplicate"]),
    ("Service", spec(ports=[{"port": 1, "nodePort": 30000}]), ["spec.ports[0].nodePort Forbidden"]),
    ("Service", spec(ports=[{"port": 1, "targetPort": "-a"}]), ["spec.ports[0].targetPort Invalid"]),
    ("Service", spec(ports=PORTS, clusterIP="x"), ["spec.clusterIPs[0] Invalid"]),
    ("Service", spec(ports=PORTS, sessionAffinity="x"), ["spec.sessionAffinity NotSupported"]),
    ("Service", spec(ports=PORTS, externalIPs=["127.0.0.1"]), ["spec.externalIPs[0] Invalid"]),
    ("Service", spec(ports=PORTS, externalTrafficPolicy="Local"), ["spec.externalTrafficPolicy Invalid"]),
    ("Service", spec(ports=PORTS, loadBalancerClass="a"), ["spec.loadBalancerClass Forbidden"]),
    ("Service", spec(type="NodePort", ports=PORTS, clusterIP="None"), ["spec.clusterIPs[0] Invalid"]),
    ("Service", spec(type="ExternalName"), ["spec.externalName Required"]),
    ("Service", spec(ports=PORTS, ipFamilies=["IPv4", "IPv4"]), ["spec.ipFamilies[1] Duplicate"]),
    ("Service", spec(ports=PORTS, trafficDistribution="x"), ["spec.trafficDistribution NotSupported"]),
    ("Endpoints", {"subsets": [{}]}, ["subsets[0] Required"]),
    ("Endpoints", {"subsets": [{"addresses": [{"ip": "169.254.1.1"}]}]}, ["subsets[0].addresses[0].ip Invalid"]),
    ("EndpointSlice", {"addressType": "x"}, ["addressType NotSupported"]),
    ("EndpointSlice", {"endpoints": []}, ["addressType Required"]),
    (
        "EndpointSlice",
        {"addressType": "IPv6", "endpoints": [{"addresses": ["1.2.3.4"]}]},
        ["endpoints[0].addresses[0] Invalid"],
    ),
    ("EndpointSlice", {"addressType": "IPv4", "endpoints": [{"addresses": []}]}, ["endpoints[0].addresses Required"]),
    ("Event", {"involvedObject": {"namespace": "other"}}, ["involvedObject.namespace Invalid"]),
    (
        "Event",
        {"involvedObject": {}, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "x"},
        [
            "reportingController Required",
            "reportingInstance Required",
            "action Required",
            "reason Required",
            "type NotSupported",
        ],
    ),
    ("Node", {"spec": {"taints": [{"key": "a", "effect": "x"}]}}, ["spec.taints[0].effect NotSupported"]),
    ("Node", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}] * 2}}, ["metadata.taints[1] Duplicate"]),
    ("Node", {"spec": {"podCIDRs": ["x"]}}, ["spec.podCIDRs[0] Invalid"]),
    ("Node", {"status": {"capacity": {"cpu": "-1"}, "allocatable": {}}}, ["status.capacity.cpu Invalid"]),
    (
        "PersistentVolume",
        {"spec": {}},
        ["spec.accessModes Required", "spec.capacity Required", "spec.capacity NotSupported", "spec Required"],
    ),
    (
        "PersistentVolume",
        spec(accessModes=["x"], capacity={"storage": "0"}, local={"path": "/x"}),
        ["spec.accessModes[0] NotSupported", "spec.capacity[storage] Invalid", "spec.nodeAffinity Required"],
    ),
    ("PersistentVolumeClaim", {"spec": {}}, ["spec.accessModes Required", "spec.resources[storage] Required"]),
    (
        "PersistentVolumeClaim",
        {"spec": {**CLAIM, "accessModes": ["ReadWriteOncePod", "ReadWriteMany"]}},
        ["spec.accessModes Forbidden"],
    ),
    ("PersistentVolumeClaim", {"spec": {**CLAIM, "volumeMode": "x"}}, ["spec.volumeMode NotSupported"]),
    (
        "PersistentVolumeClaim",
        {"spec": {**CLAIM, "dataSource": {"kind": "X", "name": "n"}}},
        ["spec.dataSource Invalid"],
    ),
    ("LimitRange", spec(limits=[{"type": "x"}]), ["spec.limits[0].type Invalid"]),
    ("LimitRange", spec(limits=[{"type": "Pod"}, {"type": "Pod"}]), ["spec.limits[1].type Duplicate"]),
    (
        "LimitRange",
        spec(limits=[{"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "2"}}]),
        ["spec.limits[0].min[cpu] Invalid"],
    ),
    ("LimitRange", spec(limits=[{"type": "PersistentVolumeClaim"}]), ["spec.limits[0].limits Required"]),
    ("ResourceQuota", spec(hard={"x": "1"}), ["spec.hard[x] Invalid"]),
    ("ResourceQuota", spec(hard={"pods": "1.5"}), ["spec.hard[pods] Invalid"]),
    ("ResourceQuota", spec(hard={"cpu": "1"}, scopes=["BestEffort"]), ["spec.scopes Invalid"]),
    ("ResourceQuota", spec(scopes=["Terminating", "NotTerminating"]), ["spec.scopes Invalid"]),
    ("PodDisruptionBudget", spec(minAvailable=1, maxUnavailable=1), ["spec Invalid"]),
    ("PodDisruptionBudget", spec(minAvailable="110%"), ["spec.minAvailable Invalid"]),
    ("HorizontalPodAutoscaler", {"spec": {**HPA, "maxReplicas": 0}}, ["spec.maxReplicas Invalid"]),
    ("HorizontalPodAutoscaler", {"spec": {**HPA, "minReplicas": 4}}, ["spec.maxReplicas Invalid"]),
    ("HorizontalPodAutoscaler", {"spec": {**HPA, "minReplicas": 0}}, ["spec.minReplicas Invalid"]),
    (
        "HorizontalPodAutoscaler",
        {"spec": {**HPA, "metrics": [{"type": "Resource"}]}},
        ["spec.metrics[0].resource Required"],
    ),
    ("Ingress", {"spec": {}}, ["spec Invalid"]),
    ("Ingress", spec(defaultBackend={}), ["spec.defaultBackend Invalid"]),
    ("Ingress", spec(rules=[{"host": "10.0.0.1"}]), ["spec.rules[0].host Invalid"]),
    (
        "Ingress",
        spec(
            rules=[
                {
                    "http": {
                        "paths": [{"path": "x", "pathType": "Exact", "backend": {"service": {"name": "s", "port": {}}}}]
                    }
                }
            ]
        ),
        ["spec.rules[0].http.paths[0].path Invalid", "spec.rules[0].http.paths[0].backend.service.port Required"],
    ),
    ("IngressClass", {"spec": {}}, ["spec.controller Required"]),
    ("IngressClass", spec(controller="x"), ["spec.controller Invalid"]),
    ("NetworkPolicy", spec(podSelector={}, ingress=[{"from": [{}]}]), ["spec.ingress[0].from[0] Required"]),
    (
        "NetworkPolicy",
        spec(podSelector={}, egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]),
        ["spec.egress[0].to[0].ipBlock.except[0] Invalid"],
    ),
    (
        "NetworkPolicy",
        spec(podSelector={}, ingress=[{"ports": [{"port": 5, "endPort": 4}]}]),
        ["spec.ingress[0].ports[0].endPort Invalid"],
    ),
    (
        "IPAddress",
        {"metadata": {"name": "x"}, "spec": {}},
        ["metadata.name Invalid", "spec.parentRef.name Required", "spec.parentRef.resource Required"],
    ),
    ("ServiceCIDR", spec(cidrs=["10.0.0.1/16"]), ["spec.cidrs[0] Invalid"]),
    ("PriorityClass", {"value": 2000000000}, ["value Forbidden"]),
    ("PriorityClass", {"metadata": {"name": "system-mine"}, "value": 1}, ["metadata.name Forbidden"]),
    ("RuntimeClass", {"handler": "A"}, ["handler Invalid"]),
    ("Lease", spec(leaseDurationSeconds=0), ["spec.leaseDurationSeconds Invalid"]),
    ("StorageClass", {"provisioner": ""}, ["provisioner Required"]),
    ("StorageClass", {"provisioner": "a", "reclaimPolicy": "x"}, ["reclaimPolicy NotSupported"]),
    ("VolumeAttributesClass", {"driverName": "a"}, ["parameters Required"]),
    ("CSINode", spec(drivers=[{"name": "a", "nodeID": ""}]), ["spec.drivers[0].nodeID Required"]),
]


@pytest.mark.parametrize(("name", "fields", "expected"), BAD, ids=lambda v: v if isinstance(v, str) else "")
def test_bad_objects_are_told_why(name: str, fields: Obj, expected: list[str]) -> None:
    assert sorted(set(errors(name, fields))) == sorted(expected)


IMMUTABLE = {"immutable": True, "data": {"a": "YQ=="}}
SERVICE = {"ports": PORTS, "clusterIP": "10.0.0.1"}
VOLUME = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}
CHANGES: list[tuple[str, Obj, Obj, list[str]]] = [
    ("ConfigMap", {"data": {"a": "b"}}, {"data": {"a": "c"}}, []),
    ("ConfigMap", IMMUTABLE, {**IMMUTABLE, "data": {}}, ["data Forbidden"]),
    ("ConfigMap", IMMUTABLE, {"data": {"a": "YQ=="}}, ["immutable Forbidden"]),
    ("Secret", IMMUTABLE, {**IMMUTABLE, "data": {}}, ["data Forbidden"]),
    ("Secret", {}, {"type": "other"}, ["type Invalid"]),
    ("Deployment", spec(**OWNED), spec(**OWNED, replicas=5), []),
    (
        "Deployment",
        spec(**OWNED),
        spec(selector={"matchExpressions": [{"key": "app", "operator": "Exists"}]}, template=TEMPLATE),
        ["spec.selector Invalid"],
    ),
    ("Deployment", spec(**OWNED), spec(selector=SELECTOR, template=MACHINE), []),
    ("StatefulSet", spec(**OWNED), spec(**OWNED, replicas=2, minReadySeconds=3), []),
    ("StatefulSet", spec(**OWNED), spec(**OWNED, serviceName="s"), ["spec Forbidden"]),
    ("Job", {"spec": ONCE}, {"spec": {**ONCE, "parallelism": 5, "completions": 1, "suspend": True}}, []),
    ("Job", {"spec": ONCE}, {"spec": {**ONCE, "completions": 5, "parallelism": 1}}, ["spec.completions Invalid"]),
    (
        "Job",
        {"spec": ONCE},
        {"spec": {"template": {"spec": {**POD, "restartPolicy": "OnFailure"}}}},
        ["spec.template Invalid"],
    ),
    (
        "Job",
        {"spec": {**ONCE, "suspend": True}},
        {
            "spec": {
                "suspend": False,
                "template": {"spec": {**POD, "restartPolicy": "Never", "nodeSelector": {"a": "b"}}},
            }
        },
        [],
    ),
    ("Service", {"spec": SERVICE}, spec(ports=PORTS), []),
    ("Service", {"spec": SERVICE}, {"spec": {**SERVICE, "clusterIP": "10.0.0.2"}}, ["spec.clusterIPs[0] Invalid"]),
    ("Service", {"spec": SERVICE}, spec(type="ExternalName", externalName="a.b"), []),
    ("Namespace", {}, {"metadata": {"labels": {"a": "b"}}}, []),
    ("Node", spec(podCIDRs=["10.0.0.0/24"]), spec(podCIDRs=["10.0.1.0/24"]), ["spec.podCIDRs Forbidden"]),
    ("Node", spec(providerID="a"), spec(providerID="b"), ["spec.providerID Forbidden"]),
    ("PersistentVolumeClaim", {"spec": CLAIM}, {"spec": {**CLAIM, "volumeName": "v"}}, []),
    (
        "PersistentVolumeClaim",
        {"spec": CLAIM},
        {"spec": {**CLAIM, "accessModes": ["ReadWriteMany"]}},
        ["spec Forbidden"],
    ),
    (
        "PersistentVolumeClaim",
        {"spec": CLAIM},
        {"spec": {**CLAIM, "resources": {"requests": {"storage": "2Gi"}}}},
        ["spec Forbidden"],
    ),
    ("PersistentVolume", {"spec": VOLUME}, {"spec": {**VOLUME, "capacity": {"storage": "2Gi"}}}, []),
    (
        "PersistentVolume",
        {"spec": VOLUME},
        {"spec": {**VOLUME, "hostPath": {"path": "/y"}}},
        ["spec.persistentvolumesource Forbidden"],
    ),
    ("StorageClass", {"provisioner": "a"}, {"provisioner": "b"}, ["provisioner Forbidden"]),
    (
        "StorageClass",
        {"provisioner": "a"},
        {"provisioner": "a", "volumeBindingMode": "WaitForFirstConsumer"},
        ["volumeBindingMode Invalid"],
    ),
    ("PriorityClass", {"value": 1}, {"value": 2}, ["value Forbidden"]),
    ("RuntimeClass", {"handler": "a"}, {"handler": "b"}, ["handler Invalid"]),
    ("RoleBinding", {"roleRef": ROLE_REF}, {"roleRef": {**ROLE_REF, "name": "s"}}, ["roleRef Invalid"]),
    ("ControllerRevision", {"data": {"a": 1}}, {"data": {"a": 2}}, ["data Invalid"]),
    ("EndpointSlice", {"addressType": "IPv4"}, {"addressType": "IPv6"}, ["addressType Invalid"]),
    ("ResourceQuota", spec(scopes=["BestEffort"]), {"spec": {}}, ["spec.scopes Invalid"]),
    ("IngressClass", spec(controller="a.b/c"), spec(controller="a.b/d"), ["spec.controller Invalid"]),
    ("Tenant", spec(storageClusterId="1"), spec(storageClusterId="2"), ["spec.storageClusterId Invalid"]),
    ("ControllerInstance", {"controllerType": "A"}, {"controllerType": "B"}, ["controllerType Invalid"]),
    ("Action", spec(podName="p", rebootAction={}), spec(podName="q", rebootAction={}), ["spec.podName Invalid"]),
]


@pytest.mark.parametrize(("name", "old", "new", "expected"), CHANGES, ids=lambda v: v if isinstance(v, str) else "")
def test_changes(name: str, old: Obj, new: Obj, expected: list[str]) -> None:
    assert update(name, old, new) == expected


STATUS: list[tuple[str, Obj, Obj, list[str]]] = [
    ("Namespace", {"phase": "Active"}, {"phase": "Terminating"}, ["status.Phase Invalid"]),
    ("Tenant", {"phase": "Active"}, {"phase": "Active", "conditions": []}, []),
    ("Deployment", {}, {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}, []),
    ("Deployment", {}, {"replicas": -1}, ["status.replicas Invalid"]),
    (
        "Deployment",
        {"collisionCount": 2},
        {"replicas": 1, "readyReplicas": 2, "collisionCount": 1},
        ["status.readyReplicas Invalid", "status.collisionCount Invalid"],
    ),
    ("Node", {}, {"addresses": [{"type": "a", "address": "b"}] * 2}, ["status.addresses[1] Duplicate"]),
    ("Service", {}, {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}, ["status.loadBalancer.ingress Forbidden"]),
    ("ResourceQuota", {}, {"used": {"pods": "x"}}, ["status.used[pods] Invalid"]),
    ("PodDisruptionBudget", {}, {"disruptionsAllowed": -1}, ["status.disruptionsAllowed Invalid"]),
    ("Action", {}, {"complete": True}, []),
]
SPECS = {"Deployment": OWNED, "Service": SERVICE, "Action": {"podName": "p", "rebootAction": {}}}


@pytest.mark.parametrize(("name", "before", "after", "expected"), STATUS, ids=lambda v: v if isinstance(v, str) else "")
def test_status(name: str, before: Obj, after: Obj, expected: list[str]) -> None:
    wanted = {"spec": SPECS.get(name, {})}
    assert update(name, {**wanted, "status": before}, {**wanted, "status": after}, "status") == expected


def test_finalize_checks_the_finalizers() -> None:
    assert update("Namespace", {}, spec(finalizers=["own"]), "finalize") == ["spec.finalizers[0] Invalid"]
    assert update("Tenant", {}, {"spec": {}}, "finalize") == []


def test_metadata_of_an_update() -> None:
    kind = kind_of("ConfigMap")
    old = made("ConfigMap", {})
    old["metadata"]["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    sent = made("ConfigMap", {"metadata": {"finalizers": ["a.b/c"]}})
    strategy.prepare_update(kind, sent, old)
    (error,) = validation.validate_update(kind, sent, old)
    assert str(error) == (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers ["a.b/c"]'
    )
    other = made("ConfigMap", {})
    other["metadata"] |= {"uid": "other", "creationTimestamp": "2020-01-01T00:00:00Z", "tenant": "globex"}
    strategy.prepare_update(kind, other, old)
    assert told(validation.validate_update(kind, other, old)) == [
        "metadata.uid Invalid",
        "metadata.tenant Invalid",
        "metadata.creationTimestamp Invalid",
    ]


def test_kinds_without_unconditional_update_want_a_revision() -> None:
    kind = kind_of("Lease")
    old, new = made("Lease", {}), made("Lease", {})
    del new["metadata"]["resourceVersion"]
    (error,) = validation.validate_update(kind, new, old)
    assert str(error) == "metadata.resourceVersion: Invalid value: 0: must be specified for an update"


@pytest.mark.parametrize(
    ("schedule", "good"),
    [
        ("* * * * *", True),
        ("*/15 0-6,12 1 jan-mar MON", True),
        ("0 0 ? * 5/1", True),
        ("@hourly", True),
        ("@every 1h30m", True),
        ("@every soon", False),
        ("@sometimes", False),
        ("* * * *", False),
        ("* * * * * *", False),
        ("60 * * * *", False),
        ("* 24 * * *", False),
        ("* * 0 * *", False),
        ("* * * * 7", False),
        ("5-1 * * * *", False),
        ("*/0 * * * *", False),
        ("1-2-3 * * * *", False),
        ("1/2/3 * * * *", False),
        ("a * * * *", False),
        ("", False),
    ],
)
def test_cron_schedules(schedule: str, good: bool) -> None:
    assert (cron.problem(schedule) == "") is good
