"""Required fields and enums, as the schema tells them."""

from typing import Any

from arktos.model import registry, structure
from arktos.model.constraints import NOT_REQUIRED, is_required, named_required_and_enums
from arktos.model.schema import named

POD = registry.by_resource("pods")
DEPLOYMENT = registry.by_resource("deployments.apps")


def told(resource: str, obj: dict[str, Any]) -> list[str]:
    return [str(cause) for cause in structure.required_and_enums(registry.by_resource(resource), obj)]


def test_a_missing_field_is_required() -> None:
    container = {"image": "i", "ports": [{"protocol": "TCP"}]}
    assert told("pods", {"spec": {"containers": [container]}}) == [
        "spec.containers[0].name: Required value",
        "spec.containers[0].ports[0].containerPort: Required value",
    ]


def test_empty_counts_as_missing() -> None:
    assert told("pods", {"spec": {"volumes": [{"name": ""}]}}) == ["spec.volumes[0].name: Required value"]


def test_a_missing_object_is_told_by_what_it_must_hold() -> None:
    assert told("horizontalpodautoscalers.autoscaling", {}) == [
        "spec.scaleTargetRef.kind: Required value",
        "spec.scaleTargetRef.name: Required value",
    ]
    assert told("deployments.apps", {"spec": {}}) == [
        "spec.selector: Required value",
        "spec.template: Required value",
    ]


def test_an_unsupported_value_lists_what_is_supported() -> None:
    assert told("pods", {"spec": {"restartPolicy": "Sometimes"}}) == [
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"'
    ]
    assert told("networkpolicies.networking.k8s.io", {"spec": {"policyTypes": ["Ingress", "Both"]}}) == [
        'spec.policyTypes[1]: Unsupported value: "Both": supported values: "Egress", "Ingress"'
    ]


def test_an_empty_enum_is_absent() -> None:
    assert told("pods", {"spec": {"restartPolicy": ""}}) == []


def test_both_workload_shapes_pass() -> None:
    assert told("pods", {"spec": {"virtualMachine": {"name": "vm", "powerSpec": "Paused"}}}) == []
    assert told("pods", {"spec": {"virtualMachine": {"powerSpec": "Off"}}}) == [
        "spec.virtualMachine.name: Required value",
        'spec.virtualMachine.powerSpec: Unsupported value: "Off": supported values: "Paused", "Running", "Shutdown", '
        '"Suspended"',
    ]


def test_status_and_metadata_are_not_checked() -> None:
    obj = {"metadata": {"ownerReferences": [{}]}, "status": {"conditions": [{}], "containerStatuses": [{}]}}
    assert told("pods", obj) == []


def test_what_clients_omit_passes() -> None:
    assert told("csinodes.storage.k8s.io", {"spec": {"drivers": []}}) == []
    assert told("events", {"reason": "x"}) == []
    assert told("controllerrevisions.apps", {}) == []
    assert told("bindings", {"target": {}}) == []


def test_options() -> None:
    found = named_required_and_enums(
        "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", {"propagationPolicy": "Sideways"}
    )
    assert [cause.reason for cause in found] == ["FieldValueNotSupported"]


def test_every_exception_is_one() -> None:
    for type_name, fields in NOT_REQUIRED.items():
        for name, reason in fields.items():
            assert name in named(type_name).required, (type_name, name)
            assert reason and not is_required(type_name, name)
