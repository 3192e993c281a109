"""Pods: what is refused, under which field, for which reason, in which words."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from arktos.model import defaults, metadata, strategy, validation
from arktos.model.kinds import Obj
from arktos.model.registry import by_gvk

KIND = by_gvk("v1", "Pod")
assert KIND is not None
CONTAINER = {"name": "c", "image": "i"}
MACHINE = {"name": "vm", "image": "cirros", "keyPairName": "k"}


def pod(spec: Obj, **meta: Any) -> Obj:
    obj: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", **meta}, "spec": copy.deepcopy(spec)}
    defaults.apply(KIND, obj)
    metadata.fill(KIND, obj, uid="u-1", now="2026-01-01T00:00:00Z", tenant="acme", namespace="ns")
    strategy.prepare_create(KIND, obj)
    return obj


def errors(spec: Obj, **meta: Any) -> list[str]:
    return [
        f"{e.field} {e.reason.removeprefix('FieldValue')}" for e in validation.validate_create(KIND, pod(spec, **meta))
    ]


def with_container(**fields: Any) -> Obj:
    return {"containers": [{**CONTAINER, **fields}]}


def with_pod(**fields: Any) -> Obj:
    return {"containers": [dict(CONTAINER)], **fields}


VOLUMES = [{"name": "v", "emptyDir": {}}, {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}]

GOOD = [
    with_pod(),
    {"virtualMachine": MACHINE},
    {
        "containers": [],
        "virtualMachine": {**MACHINE, "powerSpec": "Shutdown"},
        "nics": [{"name": "eth0"}, {"portId": "p"}],
    },
    {"virtualMachine": {**MACHINE, "volumeMounts": [{"name": "none", "mountPath": "/x"}]}},
    {"virtualMachine": MACHINE, "initContainers": [CONTAINER]},
    with_container(ports=[{"containerPort": 80, "name": "http"}, {"containerPort": 81, "hostPort": 8081}]),
    with_container(
        env=[{"name": "A B", "value": "x"}, {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    ),
    with_container(env=[{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}]),
    with_container(resources={"limits": {"cpu": "1", "example.com/gpu": "1"}, "requests": {"cpu": "500m"}}),
    with_container(resources={"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}}),
    with_container(livenessProbe={"exec": {"command": ["x"]}}, lifecycle={"preStop": {"sleep": {"seconds": 5}}}),
    {
        **with_container(
            volumeMounts=[{"name": "v", "mountPath": "/v"}], volumeDevices=[{"name": "claim", "devicePath": "/d"}]
        ),
        "volumes": VOLUMES,
    },
    with_pod(
        initContainers=[
            {"name": "side", "image": "i", "restartPolicy": "Always", "readinessProbe": {"tcpSocket": {"port": 1}}}
        ]
    ),
    with_pod(
        tolerations=[{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5}]
    ),
    with_pod(topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]),
    with_pod(dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"], "searches": ["a_b.c.", "."]}),
    with_pod(securityContext={"runAsUser": 0, "sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}]}),
    with_pod(hostNetwork=True, containers=[{**CONTAINER, "ports": [{"containerPort": 80}]}]),
    with_pod(
        resourceClaims=[{"name": "a", "resourceClaimName": "b"}],
        containers=[{**CONTAINER, "resources": {"claims": [{"name": "a"}]}}],
    ),
    with_pod(
        affinity={
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}]
                }
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}}
                ]
            },
        }
    ),
]


@pytest.mark.parametrize("spec", GOOD)
def test_good_pods_pass(spec: Obj) -> None:
    assert errors(spec) == []


BAD: list[tuple[Obj, list[str]]] = [
    ({}, ["spec.containers Required"]),
    ({"containers": []}, ["spec.containers Required"]),
    ({**with_pod(), "virtualMachine": MACHINE}, ["spec.containers,virtualMachine Forbidden"]),
    ({"virtualMachine": {"image": "i", "publicKey": "k"}}, ["spec.virtualMachine.name Required"]),
    ({"virtualMachine": {**MACHINE, "name": "A"}}, ["spec.virtualMachine.name Invalid"]),
    ({"virtualMachine": {"name": "vm"}}, ["spec.virtualMachine.keyPairName Required"]),
    ({"virtualMachine": {**MACHINE, "powerSpec": "Off"}}, ["spec.virtualMachine.powerSpec NotSupported"]),
    ({"virtualMachine": {**MACHINE, "shutdownBehavior": "x"}}, ["spec.virtualMachine.shutdownBehavior NotSupported"]),
    (
        {"virtualMachine": {**MACHINE, "userData": base64.b64encode(b"x" * 65536).decode()}},
        ["spec.virtualMachine.userData TooLong"],
    ),
    (
        {"virtualMachine": {**MACHINE, "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}},
        ["spec.virtualMachine.resources.requests Invalid"],
    ),
    ({"virtualMachine": MACHINE, "nics": [{"name": "a"}, {"name": "a"}]}, ["spec.nics[1].name Duplicate"]),
    ({"virtualMachine": MACHINE, "nics": [{"ipAddress": "x"}]}, ["spec.nics[0].ipAddress Invalid"]),
    ({"containers": [{"image": "i"}]}, ["spec.containers[0].name Required"]),
    ({"containers": [{"name": "A", "image": "i"}]}, ["spec.containers[0].name Invalid"]),
    ({"containers": [{"name": "c"}]}, ["spec.containers[0].image Required"]),
    ({"containers": [{"name": "c", "image": " i"}]}, ["spec.containers[0].image Invalid"]),
    ({"containers": [CONTAINER, CONTAINER]}, ["spec.containers[1].name Duplicate"]),
    (with_pod(initContainers=[CONTAINER]), ["spec.initContainers[0].name Duplicate"]),
    (
        with_pod(initContainers=[{"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["x"]}}}]),
        ["spec.initContainers[0].livenessProbe Forbidden"],
    ),
    (with_pod(ephemeralContainers=[{"name": "e", "image": "i"}]), ["spec.ephemeralContainers Forbidden"]),
    (with_container(imagePullPolicy="Maybe"), ["spec.containers[0].imagePullPolicy NotSupported"]),
    (with_container(ports=[{"name": "x"}]), ["spec.containers[0].ports[0].containerPort Required"]),
    (with_container(ports=[{"containerPort": 70000}]), ["spec.containers[0].ports[0].containerPort Invalid"]),
    (
        with_container(ports=[{"containerPort": 1, "protocol": "x"}]),
        ["spec.containers[0].ports[0].protocol NotSupported"],
    ),
    (with_container(ports=[{"containerPort": 1, "name": "-x"}]), ["spec.containers[0].ports[0].name Invalid"]),
    (
        with_container(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]),
        ["spec.containers[0].ports[1].name Duplicate"],
    ),
    (
        with_container(ports=[{"containerPort": 1, "hostPort": 1}, {"containerPort": 2, "hostPort": 1}]),
        ["spec.containers[0].ports[1].hostPort Duplicate"],
    ),
    (
        with_pod(hostNetwork=True, containers=[{**CONTAINER, "ports": [{"containerPort": 80, "hostPort": 81}]}]),
        ["spec.containers[0].ports[0].hostPort Invalid"],
    ),
    (with_container(env=[{"value": "x"}]), ["spec.containers[0].env[0].name Required"]),
    (with_container(env=[{"name": "a=b"}]), ["spec.containers[0].env[0].name Invalid"]),
    (with_container(env=[{"name": "a", "valueFrom": {}}]), ["spec.containers[0].env[0].valueFrom Invalid"]),
    (
        with_container(env=[{"name": "a", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        ["spec.containers[0].env[0].valueFrom Invalid"],
    ),
    (
        with_container(env=[{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]),
        ["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath NotSupported"],
    ),
    (
        with_container(env=[{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]),
        ["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath Invalid"],
    ),
    (
        with_container(env=[{"name": "a", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a/b"}}}]),
        ["spec.containers[0].env[0].valueFrom.secretKeyRef.key Invalid"],
    ),
    (
        with_container(env=[{"name": "a", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]),
        ["spec.containers[0].env[0].valueFrom.resourceFieldRef.resource NotSupported"],
    ),
    (with_container(envFrom=[{}]), ["spec.containers[0].envFrom Invalid"]),
    (with_container(envFrom=[{"secretRef": {}}]), ["spec.containers[0].envFrom[0].secretRef.name Required"]),
    (with_container(livenessProbe={}), ["spec.containers[0].livenessProbe Required"]),
    (
        with_container(livenessProbe={"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}),
        ["spec.containers[0].livenessProbe.tcpSocket Forbidden"],
    ),
    (with_container(livenessProbe={"exec": {}}), ["spec.containers[0].livenessProbe.exec.command Required"]),
    (with_container(livenessProbe={"httpGet": {"port": 0}}), ["spec.containers[0].livenessProbe.httpGet.port Invalid"]),
    (
        with_container(livenessProbe={"tcpSocket": {"port": 1}, "successThreshold": 2}),
        ["spec.containers[0].livenessProbe.successThreshold Invalid"],
    ),
    (
        with_container(readinessProbe={"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 2}),
        ["spec.containers[0].readinessProbe.terminationGracePeriodSeconds Invalid"],
    ),
    (
        with_container(lifecycle={"preStop": {"sleep": {"seconds": 99}}}),
        ["spec.containers[0].lifecycle.preStop.sleep Invalid"],
    ),
    (
        with_container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
        ["spec.containers[0].resources.requests Invalid"],
    ),
    (
        with_container(resources={"limits": {"cpu": "-1"}, "requests": {"cpu": "-1"}}),
        [
            "spec.containers[0].resources.limits[cpu] Invalid",
            "spec.containers[0].resources.requests[cpu] Invalid",
        ],
    ),
    (
        with_container(resources={"requests": {"example.com/gpu": "1"}}),
        ["spec.containers[0].resources.limits Required"],
    ),
    (
        with_container(resources={"requests": {"storage": "1"}}),
        ["spec.containers[0].resources.requests[storage] Invalid"],
    ),
    (
        with_container(resources={"limits": {"hugepages-2Mi": "2Mi"}}),
        ["spec.containers[0].resources Forbidden"],
    ),
    (with_container(resources={"claims": [{"name": "a"}]}), ["spec.containers[0].resources.claims[0] NotFound"]),
    (
        with_container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        ["spec.containers[0].volumeMounts[0].name NotFound"],
    ),
    (
        {
            **with_container(volumeMounts=[{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}]),
            "volumes": VOLUMES,
        },
        ["spec.containers[0].volumeMounts[1].mountPath Invalid"],
    ),
    (
        {**with_container(volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "../x"}]), "volumes": VOLUMES},
        ["spec.containers[0].volumeMounts.subPath Invalid"],
    ),
    (
        {
            **with_container(volumeMounts=[{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]),
            "volumes": VOLUMES,
        },
        ["spec.containers[0].volumeMounts.mountPropagation Forbidden"],
    ),
    (
        {**with_container(volumeDevices=[{"name": "v", "devicePath": "/v"}]), "volumes": VOLUMES},
        ["spec.containers[0].volumeDevices[0].name Invalid"],
    ),
    (with_pod(volumes=[{"emptyDir": {}}]), ["spec.volumes[0].name Required"]),
    (with_pod(volumes=[{"name": "a", "emptyDir": {}}] * 2), ["spec.volumes[1].name Duplicate"]),
    (
        with_pod(volumes=[{"name": "a", "emptyDir": {}, "secret": {"secretName": "s"}}]),
        ["spec.volumes[0].secret Forbidden"],
    ),
    (with_pod(volumes=[{"name": "a", "secret": {}}]), ["spec.volumes[0].secret.secretName Required"]),
    (with_pod(volumes=[{"name": "a", "hostPath": {"path": "/a/../b"}}]), ["spec.volumes[0].hostPath.path Invalid"]),
    (
        with_pod(volumes=[{"name": "a", "hostPath": {"path": "/a", "type": "x"}}]),
        ["spec.volumes[0].hostPath.type NotSupported"],
    ),
    (
        with_pod(volumes=[{"name": "a", "configMap": {"name": "c", "defaultMode": 1000}}]),
        ["spec.volumes[0].configMap.defaultMode Invalid"],
    ),
    (
        with_pod(volumes=[{"name": "a", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]),
        [
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes Required",
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage] Required",
        ],
    ),
    (
        with_pod(
            serviceAccountName="s",
            volumes=[
                {
                    "name": "a",
                    "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 1}}]},
                }
            ],
        ),
        ["spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds Invalid"],
    ),
    (
        with_pod(volumes=[{"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
        ["spec.volumes[0].projected.sources[0].serviceAccountToken Forbidden"],
    ),
    (with_pod(restartPolicy="Sometimes"), ["spec.restartPolicy NotSupported"]),
    (with_pod(dnsPolicy="x"), ["spec.dnsPolicy NotSupported"]),
    (with_pod(dnsPolicy="None"), ["spec.dnsConfig Required"]),
    (with_pod(dnsConfig={"nameservers": ["x"]}), ["spec.dnsConfig.nameservers[0] Invalid"]),
    (with_pod(nodeSelector={"a b": "c"}), ["spec.nodeSelector Invalid"]),
    (with_pod(nodeName="A"), ["spec.nodeName Invalid"]),
    (with_pod(nodeName="n", schedulingGates=[{"name": "g"}]), ["spec.nodeName Forbidden"]),
    (with_pod(schedulingGates=[{"name": "g"}, {"name": "g"}]), ["spec.schedulingGates[1] Duplicate"]),
    (with_pod(hostname="a.b"), ["spec.hostname Invalid"]),
    (with_pod(activeDeadlineSeconds=0), ["spec.activeDeadlineSeconds Invalid"]),
    (
        with_pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
        ["spec.tolerations[0].operator Invalid"],
    ),
    (with_pod(tolerations=[{"operator": "Equal"}]), ["spec.tolerations[0].operator Invalid"]),
    (with_pod(tolerations=[{"key": "a", "tolerationSeconds": 1}]), ["spec.tolerations[0].effect Invalid"]),
    (with_pod(tolerations=[{"key": "a", "effect": "x"}]), ["spec.tolerations[0].effect NotSupported"]),
    (
        with_pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "x"}]),
        [
            "spec.topologySpreadConstraints[0].whenUnsatisfiable NotSupported",
            "spec.topologySpreadConstraints[0].maxSkew Invalid",
        ],
    ),
    (
        with_pod(
            affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}
        ),
        ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms Required"],
    ),
    (
        with_pod(
            affinity={
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 0, "podAffinityTerm": {"topologyKey": "a"}}
                    ]
                }
            }
        ),
        ["spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight Invalid"],
    ),
    (with_pod(securityContext={"runAsUser": -1}), ["spec.securityContext.runAsUser Invalid"]),
    (
        with_pod(securityContext={"seccompProfile": {"type": "Localhost"}}),
        ["spec.securityContext.seccompProfile.localhostProfile Required"],
    ),
    (
        with_container(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
        ["spec.containers[0].securityContext Invalid"],
    ),
    (
        with_pod(os={"name": "linux"}, securityContext={"windowsOptions": {}}),
        ["spec.securityContext.windowsOptions Forbidden"],
    ),
    (with_pod(hostUsers=False, hostNetwork=True), ["spec.hostNetwork Forbidden"]),
    (with_pod(priorityClassName="A"), ["spec.priorityClassName Invalid"]),
    (with_pod(overhead={"x": "1"}), ["spec.overhead.limits[x] Invalid"]),
    (with_pod(hostAliases=[{"ip": "x"}]), ["spec.hostAliases[0].ip Invalid"]),
    (
        with_pod(resources={"limits": {"cpu": "1"}}, containers=[{**CONTAINER, "resources": {"limits": {"cpu": "2"}}}]),
        ["spec.resources.requests Invalid", "spec.resources.containers[0][cpu].limits Invalid"],
    ),
]


@pytest.mark.parametrize(("spec", "expected"), BAD)
def test_bad_pods_are_told_why(spec: Obj, expected: list[str]) -> None:
    assert sorted(set(errors(spec))) == sorted(expected)


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"name": ""}, "metadata.name: Required value: name or generateName is required"),
        ({"name": "a_b"}, 'metadata.name: Invalid value: "a_b": a lowercase RFC 1123 subdomain must consist of'),
        ({"name": "a" * 254}, f'metadata.name: Invalid value: "{"a" * 254}": must be no more than 253 bytes'),
        ({"generateName": "A-"}, 'metadata.generateName: Invalid value: "A-": a lowercase RFC 1123 subdomain'),
        ({"labels": {"a b": "c"}}, 'metadata.labels: Invalid value: "a b": name part must consist of alphanumeric'),
        ({"labels": {"a": "c d"}}, 'metadata.labels: Invalid value: "c d": a valid label must be an empty string or'),
        ({"labels": {"a/b/c": ""}}, 'metadata.labels: Invalid value: "a/b/c": a qualified name must consist of'),
        ({"annotations": {"a": "x" * 300_000}}, "metadata.annotations: Too long: may not be more than 262144 bytes"),
        (
            {"finalizers": ["a"]},
            'metadata.finalizers[0]: Invalid value: "a": name is neither a standard finalizer name',
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": ""}]},
            'metadata.ownerReferences[0].uid: Invalid value: "": must not be empty',
        ),
        (
            {
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "A", "name": n, "uid": n, "controller": True} for n in ("x", "y")
                ]
            },
            'Only one reference can have Controller set to true. Found "true" in references for x and y',
        ),
    ],
)
def test_bad_metadata_is_told_in_words(meta: Obj, expected: str) -> None:
    (error,) = validation.validate_create(KIND, pod(with_pod(), **meta))
    assert expected in str(error)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            with_container(imagePullPolicy="Maybe"),
            'spec.containers[0].imagePullPolicy: Unsupported value: "Maybe": supported values: '
            '"Always", "IfNotPresent", "Never"',
        ),
        (
            with_container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        ({"containers": [CONTAINER, CONTAINER]}, 'spec.containers[1].name: Duplicate value: "c"'),
        (
            with_container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        ),
        (
            with_container(ports=[{"containerPort": 70000}]),
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
    ],
)
def test_messages_are_those_of_kubernetes(spec: Obj, text: str) -> None:
    (error,) = validation.validate_create(KIND, pod(spec))
    assert text in str(error)


def update(old_spec: Obj, new_spec: Obj, subresource: str = "", *, status: Obj | None = None) -> list[str]:
    old, new = pod(old_spec), pod(new_spec)
    if status is not None:
        old["status"], new["status"] = status.get("old", old["status"]), status.get("new", new["status"])
    strategy.prepare_update(KIND, new, old, subresource)
    found = validation.validate_update(KIND, new, old, subresource)
    return [f"{e.field} {e.reason.removeprefix('FieldValue')}" for e in found]


VM = {"virtualMachine": MACHINE, "nics": [{"name": "eth0", "portId": "1"}, {"name": "eth1"}], "vpc": "v"}
GATED = with_pod(schedulingGates=[{"name": "g"}], nodeSelector={"a": "b"})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (with_pod(), with_container(image="other"), []),
        (with_pod(), with_container(command=["x"]), ["spec Forbidden"]),
        (with_pod(), with_pod(containers=[CONTAINER, {"name": "d", "image": "i"}]), ["spec.containers Forbidden"]),
        (with_pod(), with_pod(activeDeadlineSeconds=5), []),
        (with_pod(activeDeadlineSeconds=5), with_pod(activeDeadlineSeconds=3), []),
        (with_pod(activeDeadlineSeconds=5), with_pod(activeDeadlineSeconds=6), ["spec.activeDeadlineSeconds Invalid"]),
        (with_pod(activeDeadlineSeconds=5), with_pod(), ["spec.activeDeadlineSeconds Invalid"]),
        (with_pod(), with_pod(tolerations=[{"key": "a", "operator": "Exists"}]), []),
        (
            with_pod(tolerations=[{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}]),
            with_pod(tolerations=[{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}]),
            [],
        ),
        (with_pod(tolerations=[{"key": "a", "operator": "Exists"}]), with_pod(), ["spec.tolerations Forbidden"]),
        (with_pod(terminationGracePeriodSeconds=-1), with_pod(terminationGracePeriodSeconds=1), []),
        (with_pod(), with_pod(terminationGracePeriodSeconds=1), ["spec Forbidden"]),
        (with_pod(), with_pod(nodeName="n"), ["spec Forbidden"]),
        (GATED, with_pod(nodeSelector={"a": "b", "c": "d"}), []),
        (GATED, {**GATED, "nodeSelector": {"a": "x"}}, ["spec.nodeSelector Invalid"]),
        (with_pod(), with_pod(schedulingGates=[{"name": "g"}]), ["spec.schedulingGates[0].name Forbidden"]),
        (VM, {**VM, "virtualMachine": {**MACHINE, "powerSpec": "Shutdown", "image": "other"}}, []),
        (VM, {**VM, "virtualMachine": {**MACHINE, "powerSpec": "x"}}, ["spec.virtualMachine.powerSpec NotSupported"]),
        (VM, {**VM, "nics": [{"name": "eth0", "portId": "1"}, {"name": "eth2"}]}, []),
        (VM, {**VM, "nics": [{"name": "eth1"}]}, ["spec.nics Forbidden"]),
        (VM, {**VM, "nics": [{"name": "eth0", "portId": "2"}]}, ["spec.nics[0].portId Invalid"]),
        (VM, {**VM, "nics": [{"name": "eth0", "portId": "1"}, {"name": "eth1", "portId": "9"}]}, []),
        (VM, {**VM, "vpc": "w"}, ["spec.vpc Invalid"]),
        (VM, with_pod(), ["spec.containers Forbidden"]),
    ],
)
def test_what_may_change_in_a_pod(old: Obj, new: Obj, expected: list[str]) -> None:
    assert update(old, new) == expected


def test_a_refused_update_says_what_may_change() -> None:
    old, new = pod(with_pod()), pod(with_pod(nodeName="n"))
    (error,) = validation.validate_update(KIND, new, old)
    listed = "`spec.containers[*].image`,`spec.initContainers[*].image`,"
    assert error.message.startswith(f"Forbidden: pod updates may not change fields other than {listed}")
    assert "`spec.nics`" in error.message
    assert error.message.endswith("\nspec.nodeName")


def state(**kind: Any) -> Obj:
    return {"containerStatuses": [{"name": "c", "state": kind}]}


@pytest.mark.parametrize(
    ("spec", "before", "after", "expected"),
    [
        (with_pod(), {}, {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}, []),
        (with_pod(), {}, {"podIPs": [{"ip": "x"}]}, ["status.podIPs[0] Invalid"]),
        (with_pod(), {}, {"podIPs": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}]}, ["status.podIPs Invalid"]),
        (with_pod(), {}, {"hostIP": "1.1.1.1", "hostIPs": [{"ip": "1.1.1.2"}]}, ["status.hostIPs[0].ip Invalid"]),
        (with_pod(), {"qosClass": "Burstable"}, {"qosClass": "BestEffort"}, ["status.qosClass Invalid"]),
        (with_pod(), state(terminated={"exitCode": 1}), state(running={}), []),
        (
            with_pod(restartPolicy="Never"),
            state(terminated={"exitCode": 1}),
            state(running={}),
            ["status.containerStatuses[0].state Forbidden"],
        ),
        (with_pod(restartPolicy="OnFailure"), state(terminated={"exitCode": 1}), state(running={}), []),
        ({"virtualMachine": MACHINE}, {}, {"phase": "NoSchedule", "virtualMachineStatus": {"state": "stopped"}}, []),
    ],
)
def test_status(spec: Obj, before: Obj, after: Obj, expected: list[str]) -> None:
    assert update(spec, spec, "status", status={"old": before, "new": after}) == expected


def limited(cpu: str, **more: Any) -> Obj:
    return with_container(resources={"limits": {"cpu": cpu, "memory": "1Gi"}}, **more)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (limited("1"), limited("2"), []),
        (
            limited("1"),
            with_container(resources={"requests": {"cpu": "1"}}),
            [
                "spec Invalid",
                "spec.containers[0].resources.requests Forbidden",
                "spec.containers[0].resources.limits Forbidden",
            ],
        ),
        (with_pod(), limited("1"), ["spec Invalid", "spec.containers[0].resources.limits[memory] Forbidden"]),
    ],
)
def test_resize(old: Obj, new: Obj, expected: list[str]) -> None:
    assert update(old, new, "resize") == expected


def test_ephemeral_containers_can_only_be_added() -> None:
    one, two = ({"name": n, "image": "i"} for n in ("one", "two"))
    assert update(with_pod(), with_pod(ephemeralContainers=[one]), "ephemeralcontainers") == []
    before = with_pod(ephemeralContainers=[one])
    assert update(before, with_pod(ephemeralContainers=[one, two]), "ephemeralcontainers") == []
    field = "spec.ephemeralContainers Forbidden"
    assert update(before, with_pod(ephemeralContainers=[two]), "ephemeralcontainers") == [field]
    assert update(before, with_pod(ephemeralContainers=[{**one, "image": "j"}]), "ephemeralcontainers") == [field]
    probed = with_pod(ephemeralContainers=[{**one, "ports": [{"containerPort": 1}]}])
    assert update(with_pod(), probed, "ephemeralcontainers") == ["spec.ephemeralContainers[0].ports Forbidden"]
