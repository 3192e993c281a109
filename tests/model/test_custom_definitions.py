"""What a CustomResourceDefinition may say, in Kubernetes' paths and words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from arktos.model import defaults, registry, strategy, structure, validation

Obj = dict[str, Any]
KIND = registry.by_resource("customresourcedefinitions.apiextensions.k8s.io")
PATH = "spec.validation.openAPIV3Schema"


def definition(schema: Obj | None = None, **more: Any) -> Obj:
    version: Obj = {"name": "v1", "served": True, "storage": True}
    version["schema"] = {"openAPIV3Schema": schema if schema is not None else {"type": "object"}}
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [version],
        **more,
    }
    return {"metadata": {"name": "things.example.com"}, "spec": copy.deepcopy(spec)}


def faults(obj: Obj, old: Obj | None = None) -> list[str]:
    found = structure.check(KIND, obj)
    assert not found.type_errors, found
    defaults.apply(KIND, obj)
    if old is None:
        strategy.prepare_create(KIND, obj)
        return [str(error) for error in validation.validate_create(KIND, obj)]
    obj["metadata"]["resourceVersion"] = "1"
    strategy.prepare_update(KIND, obj, old)
    return [str(error) for error in validation.validate_update(KIND, obj, old)]


def in_spec(**fields: Any) -> Obj:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}


def test_defaults() -> None:
    made = definition()
    assert faults(made) == []
    assert made["spec"]["names"] == {"plural": "things", "kind": "Thing", "singular": "thing", "listKind": "ThingList"}
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["status"] == {"storedVersions": ["v1"]}


@pytest.mark.parametrize(
    ("obj", "fault"),
    [
        (definition(group="example"), 'spec.group: Invalid value: "example": should be a domain with at least one dot'),
        (
            definition(scope="Planet"),
            'spec.scope: Unsupported value: "Planet": supported values: "Cluster", "Namespaced"',
        ),
        (
            {**definition(), "metadata": {"name": "other.example.com"}},
            'metadata.name: Invalid value: "other.example.com": must be spec.names.plural+"."+spec.group',
        ),
        (
            definition(names={"plural": "things", "kind": "Thing", "listKind": "Thing"}),
            'spec.names.listKind: Invalid value: "Thing": kind and listKind may not be the same',
        ),
        (
            definition(preserveUnknownFields=True),
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
            "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ),
        (
            definition(conversion={"strategy": "Webhook"}),
            "spec.conversion.webhook.clientConfig: Required value: required when strategy is set to Webhook",
        ),
        (
            definition(group="x.k8s.io"),
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups",
        ),
    ],
)
def test_what_is_wrong_with_a_definition(obj: Obj, fault: str) -> None:
    found = faults(copy.deepcopy(obj))
    assert any(each.startswith(fault) for each in found), found


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"properties": {}}, f"{PATH}.type: Required value: must not be empty at the root"),
        ({"type": "string"}, f'{PATH}.type: Invalid value: "string": must be object at the root'),
        (
            in_spec(a={}),
            f"{PATH}.properties[spec].properties[a].type: Required value: must not be empty for specified object fields",  # noqa: E501
        ),
        (
            in_spec(a={"type": "array"}),
            f"{PATH}.properties[spec].properties[a].items: Required value: must be specified",
        ),
        (
            in_spec(a={"type": "array", "items": {}}),
            f"{PATH}.properties[spec].properties[a].items.type: Required value: must not be empty for specified array items",  # noqa: E501
        ),
        (
            {
                "type": "object",
                "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
            },
            f"{PATH}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, "
            "but metadata is implicitly specified",
        ),
        (
            in_spec(
                a={
                    "type": "object",
                    "properties": {"b": {"type": "string"}},
                    "additionalProperties": {"type": "string"},
                }
            ),
            f"{PATH}.properties[spec].properties[a].additionalProperties: Forbidden: additionalProperties and properties "  # noqa: E501
            "are mutual exclusive",
        ),
        (
            in_spec(a={"type": "string", "pattern": "(?=x)"}),
            f"{PATH}.properties[spec].properties[a].pattern: Invalid value",
        ),
        (
            in_spec(a={"type": "integer", "default": "x"}),
            f"{PATH}.properties[spec].properties[a].default: Invalid value",
        ),
        (
            in_spec(a={"type": "string", "anyOf": [{"type": "string"}]}),
            f"{PATH}.properties[spec].properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            {**in_spec(), "allOf": [{"properties": {"other": {"maxLength": 1}}}]},
            f"{PATH}.properties[other]: Required value: because it is defined in {PATH}.allOf[0].properties[other]",
        ),
        (
            in_spec(a={"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}),
            f"{PATH}.properties[spec].properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if "
            "x-kubernetes-list-type is map",
        ),
        (
            in_spec(a={"type": "integer", "x-kubernetes-validations": [{"rule": "self.b > 1"}]}),
            f'{PATH}.properties[spec].properties[a].x-kubernetes-validations[0].rule: Invalid value: "self.b > 1": compil',  # noqa: E501
        ),
        (
            in_spec(a={"type": "integer", "x-kubernetes-validations": [{"rule": "self + 1"}]}),
            f'{PATH}.properties[spec].properties[a].x-kubernetes-validations[0].rule: Invalid value: "self + 1": must eval',  # noqa: E501
        ),
        (
            in_spec(
                a={
                    "type": "array",
                    "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > oldSelf"}]},
                }
            ),
            f'{PATH}.properties[spec].properties[a].items.x-kubernetes-validations[0].rule: Invalid value: "self > oldSelf"'  # noqa: E501
            ": oldSelf cannot be used on the uncorrelatable portion",
        ),
    ],
)
def test_what_is_wrong_with_a_schema(schema: Obj, fault: str) -> None:
    found = faults(definition(schema))
    assert any(each.startswith(fault) for each in found), found


def test_what_cannot_change() -> None:
    old = definition()
    assert faults(old) == []
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    moved = definition(scope="Cluster", names={"plural": "things", "kind": "Other"})
    assert faults(moved, old) == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Other": field is immutable',
    ]


def test_a_version_whose_objects_are_stored_stays() -> None:
    old = definition()
    assert faults(old) == []
    moved = definition()
    moved["spec"]["versions"][0]["name"] = "v2"
    found = faults(moved, old)
    assert found == ['status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions']
    assert moved["status"]["storedVersions"] == ["v1", "v2"]


@pytest.mark.parametrize("rubbish", [5, "x", {"type": 5}, {"items": 3}, {"properties": {"a": "b"}}, {"required": "x"}])
def test_rubbish_inside_of_a_schema_is_told(rubbish: Any) -> None:
    obj = definition(in_spec(a={"type": "array", "items": rubbish}))
    assert structure.check(KIND, obj).type_errors
