"""Devices, claims, flow schemas and priority levels: what passes, what does not, and what may become of what."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from arktos.model import defaults, metadata, strategy, validation
from arktos.model.kinds import Kind, Obj, Scope
from arktos.model.registry import by_gvk
from arktos.model.validation.flowcontrol import MANDATORY_LEVELS, MANDATORY_SCHEMAS

FLOW = "flowcontrol.apiserver.k8s.io/v1"


def kind_of(name: str) -> Kind:
    kind = by_gvk("resource.k8s.io/v1", name) or by_gvk(FLOW, name)
    assert kind is not None
    return kind


def made(name: str, spec: Obj, called: str = "x") -> Obj:
    kind = kind_of(name)
    obj: Obj = {
        "apiVersion": kind.api_version,
        "kind": name,
        "metadata": {"name": called},
        "spec": copy.deepcopy(spec),
    }
    defaults.apply(kind, obj)
    namespace = "default" if kind.scope is Scope.NAMESPACE else ""
    metadata.fill(kind, obj, uid="u-1", now="2026-01-01T00:00:00Z", tenant="acme", namespace=namespace)
    strategy.prepare_create(kind, obj)
    return obj


def faults(name: str, spec: Obj, called: str = "x") -> list[str]:
    return [str(each) for each in validation.validate_create(kind_of(name), made(name, spec, called))]


def changed(name: str, old: Obj, new: Obj, subresource: str = "") -> list[str]:
    kind = kind_of(name)
    strategy.prepare_update(kind, new, old, subresource)
    return [str(each) for each in validation.validate_update(kind, new, old, subresource)]


EXACTLY = {"exactly": {"deviceClassName": "gpu"}}
CLAIM: Obj = {
    "devices": {
        "requests": [
            {"name": "a", **EXACTLY},
            {"name": "b", "firstAvailable": [{"name": "big", "deviceClassName": "gpu", "count": 2}]},
        ],
        "constraints": [{"requests": ["a", "b/big"], "matchAttribute": "example.com/numa"}],
        "config": [{"requests": ["a"], "opaque": {"driver": "gpu.example.com", "parameters": {"mode": "fast"}}}],
    }
}
DEVICE: Obj = {
    "name": "gpu-0",
    "attributes": {"model": {"string": "a100"}, "example.com/version": {"version": "1.2.3-rc.1"}},
    "capacity": {"memory": {"value": "40Gi"}},
}
SLICE: Obj = {
    "driver": "gpu.example.com",
    "nodeName": "node-1",
    "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 1},
    "devices": [DEVICE],
}
EXPRESSIONS = (
    "device.driver == 'gpu.example.com'",
    "device.attributes['gpu.example.com'].model == 'a' && device.attributes['gpu.example.com'].?cores.orValue(0) > 4",
    "device.capacity['gpu.example.com'].memory.compareTo(quantity('40Gi')) >= 0",
)
CLASS: Obj = {"selectors": [{"cel": {"expression": text}} for text in EXPRESSIONS]}
LEVEL: Obj = {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}
RULE: Obj = {
    "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "default", "name": "*"}}],
    "resourceRules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}],
}
SCHEMA: Obj = {"priorityLevelConfiguration": {"name": "workload"}, "rules": [RULE]}
GOOD = {
    "ResourceClaim": CLAIM,
    "ResourceClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": CLAIM},
    "ResourceSlice": SLICE,
    "DeviceClass": CLASS,
    "PriorityLevelConfiguration": LEVEL,
    "FlowSchema": SCHEMA,
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_passes(name: str) -> None:
    assert faults(name, GOOD[name]) == []


def test_mandatory_specs_pass_and_nothing_else_under_their_names() -> None:
    for name, spec in MANDATORY_SCHEMAS.items():
        assert faults("FlowSchema", spec, name) == []
        assert any("must equal the fixed value" in each for each in faults("FlowSchema", SCHEMA, name))
    for name, spec in MANDATORY_LEVELS.items():
        assert faults("PriorityLevelConfiguration", spec, name) == []
    assert faults("PriorityLevelConfiguration", LEVEL, "catch-all")
    assert faults("PriorityLevelConfiguration", {"type": "Exempt"}, "mine") == [
        "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"
    ]


def test_defaults() -> None:
    claim = made("ResourceClaim", CLAIM)["spec"]["devices"]["requests"]
    assert claim[0]["exactly"] == {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}
    assert claim[1]["firstAvailable"][0]["count"] == 2
    limited = made("PriorityLevelConfiguration", LEVEL)["spec"]["limited"]
    assert limited["nominalConcurrencyShares"] == 30 and limited["lendablePercent"] == 0
    assert limited["limitResponse"]["queuing"] == {"handSize": 8, "queues": 64, "queueLengthLimit": 50}
    assert made("FlowSchema", SCHEMA)["spec"]["matchingPrecedence"] == 1000


def with_device(**more: Any) -> Obj:
    return {**SLICE, "devices": [{**DEVICE, **more}]}


def queued(**queuing: int) -> Obj:
    return {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}}


BAD: list[tuple[str, Obj, str]] = [
    ("ResourceClaim", {"devices": {"requests": [{"name": "a"}]}}, "exactly one of `exactly` or `firstAvailable`"),
    ("ResourceClaim", {"devices": {"requests": [{"name": "A", **EXACTLY}]}}, "spec.devices.requests[0].name: Invalid"),
    (
        "ResourceClaim",
        {"devices": {"requests": [{"name": "a", **EXACTLY}, {"name": "a", **EXACTLY}]}},
        'spec.devices.requests[1]: Duplicate value: "a"',
    ),
    (
        "ResourceClaim",
        {"devices": {"requests": [{"name": str(i), **EXACTLY} for i in range(33)]}},
        "spec.devices.requests: Too many: 33: must have at most 32 items",
    ),
    (
        "ResourceClaim",
        {"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "g", "allocationMode": "Some"}}]}},
        'allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"',
    ),
    (
        "ResourceClaim",
        {"devices": {"constraints": [{"requests": ["z"], "matchAttribute": "numa"}]}},
        "must be the name of a request in the claim",
    ),
    ("ResourceClaim", {"devices": {"config": [{}]}}, "spec.devices.config[0].opaque: Required value"),
    (
        "DeviceClass",
        {"config": [{"opaque": {"driver": "d", "parameters": [1]}}]},
        'parameters: Invalid value: "<value omitted>": must be a valid JSON object',
    ),
    ("DeviceClass", {"selectors": [{"cel": {"expression": "x" * 10241}}]}, "Too long: may not be more than 10240"),
    (
        "DeviceClass",
        {"selectors": [{"cel": {"expression": "device.model == 'x'"}}]},
        "spec.selectors[0].cel.expression: Invalid value: \"device.model == 'x'\": compilation failed: ERROR: ",
    ),
    (
        "DeviceClass",
        {"selectors": [{"cel": {"expression": "device.driver"}}]},
        "must evaluate to bool or the unknown type, not string",
    ),
    ("DeviceClass", {"extendedResourceName": "cpu"}, "must be a valid extended resource name"),
    ("ResourceSlice", {**SLICE, "nodeName": None}, "exactly one of `nodeName`, `nodeSelector`, `allNodes`"),
    ("ResourceSlice", {**SLICE, "allNodes": True}, "{`nodeName`, `allNodes`}"),
    ("ResourceSlice", {**SLICE, "pool": {"name": "p"}}, "resourceSliceCount: Invalid value: 0: must be greater than"),
    ("ResourceSlice", with_device(attributes={"a b": {"int": 1}}), "a valid C identifier must start with"),
    ("ResourceSlice", with_device(attributes={"a": {"int": 1, "bool": True}}), "exactly one value must be specified"),
    ("ResourceSlice", with_device(attributes={"a": {"version": "1"}}), "semver.org spec 2.0.0"),
    (
        "ResourceSlice",
        with_device(capacity={"m": {"value": "1", "requestPolicy": {"default": "1"}}}),
        "requestPolicy: Forbidden: allowMultipleAllocations must be true",
    ),
    (
        "ResourceSlice",
        with_device(
            allowMultipleAllocations=True,
            capacity={"m": {"value": "8", "requestPolicy": {"default": "3", "validRange": {"min": "2", "step": "2"}}}},
        ),
        "value is not a multiple of a given step (2) from (2)",
    ),
    ("ResourceSlice", with_device(taints=[{"key": "k", "effect": "Go"}]), 'effect: Unsupported value: "Go"'),
    ("ResourceSlice", with_device(nodeName="n"), "can only be set if `perDeviceNodeSelection` is set to true"),
    ("ResourceSlice", with_device(bindingConditions=["a"]), "bindingFailureConditions are required"),
    ("FlowSchema", {**SCHEMA, "matchingPrecedence": 1}, "only the schema named 'exempt' may have"),
    ("FlowSchema", {**SCHEMA, "matchingPrecedence": 10001}, "must not be greater than 10000"),
    ("FlowSchema", {**SCHEMA, "distinguisherMethod": {"type": "ByMood"}}, "spec.distinguisherMethod.type: Unsupported"),
    ("FlowSchema", {**SCHEMA, "rules": [{}]}, "at least one of resourceRules and nonResourceRules has to be non-empty"),
    (
        "FlowSchema",
        {**SCHEMA, "rules": [{**RULE, "subjects": [{"kind": "User", "user": {"name": "u"}, "group": {"name": "g"}}]}]},
        "group is forbidden when subject kind is not 'Group'",
    ),
    (
        "FlowSchema",
        {**SCHEMA, "rules": [{**RULE, "nonResourceRules": [{"verbs": ["eat"], "nonResourceURLs": ["/a*b"]}]}]},
        "wildcard can only do suffix matching",
    ),
    ("PriorityLevelConfiguration", {"type": "Limited"}, "spec.limited: Required value: must not be empty when type is"),
    ("PriorityLevelConfiguration", queued(handSize=9, queues=8), "should not be greater than queues (8)"),
    ("PriorityLevelConfiguration", queued(handSize=20, queues=1024), "required entropy bits of deckSize 1024"),
    (
        "PriorityLevelConfiguration",
        {"type": "Limited", "limited": {"lendablePercent": 101, "limitResponse": {"type": "Reject"}}},
        "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
    ),
]


@pytest.mark.parametrize(("name", "spec", "text"), BAD)
def test_what_is_wrong_is_told(name: str, spec: Obj, text: str) -> None:
    found = faults(name, {key: value for key, value in spec.items() if value is not None})
    assert any(text in each for each in found), found


def test_a_claim_cannot_change_and_a_slice_stays_where_it_is() -> None:
    claim = made("ResourceClaim", CLAIM)
    other = copy.deepcopy(claim)
    other["spec"]["devices"]["requests"].pop()
    assert any("field is immutable" in each for each in changed("ResourceClaim", claim, other))
    old = made("ResourceSlice", SLICE)
    moved = copy.deepcopy(old)
    moved["spec"]["nodeName"] = "node-2"
    assert changed("ResourceSlice", old, moved) == ['spec.nodeName: Invalid value: "node-2": field is immutable']
    grown = copy.deepcopy(old)
    grown["spec"]["devices"].append({"name": "gpu-1"})
    assert changed("ResourceSlice", old, grown) == [] and grown["metadata"]["generation"] == 2


def allocated(**more: Any) -> Obj:
    result = {"request": "a", "driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"}
    return {"allocation": {"devices": {"results": [result]}}, **more}


def test_what_is_allocated_to_a_claim() -> None:
    claim = made("ResourceClaim", CLAIM)
    consumer = {"resource": "pods", "name": "p", "uid": "u"}
    device = {"driver": "gpu.example.com", "pool": "node-1", "device": "gpu-0"}

    def told(status: Obj) -> list[str]:
        return changed("ResourceClaim", claim, {**copy.deepcopy(claim), "status": status}, "status")

    assert told(allocated(reservedFor=[consumer], devices=[device])) == []
    assert told({"reservedFor": [consumer]}) == [
        "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"
    ]
    assert told({"devices": [device]}) == [
        'status.devices[0]: Invalid value: "gpu.example.com/node-1/gpu-0": must be an allocated device in the claim'
    ]
    released = {**copy.deepcopy(claim), "status": {"devices": [device]}}
    had = {**copy.deepcopy(claim), "status": allocated(devices=[device])}
    assert changed("ResourceClaim", had, released, "status") == [] and released["status"]["devices"] == []
    nobody = allocated()
    nobody["allocation"]["devices"]["results"][0]["request"] = "z"
    assert any("must be the name of a request" in each for each in told(nobody))
