"""Defaults and validation of webhook configurations, policies and bindings."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from arktos.model import defaults, registry, validation

GROUP = "admissionregistration.k8s.io/v1"
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
HOOK: dict[str, Any] = {
    "name": "a.b.c",
    "clientConfig": {"service": {"name": "s", "namespace": "n"}},
    "rules": [RULE],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
POLICY: dict[str, Any] = {
    "matchConstraints": {"resourceRules": [RULE]},
    "validations": [{"expression": "object.spec.x > 1"}],
}
MUTATING: dict[str, Any] = {
    "matchConstraints": {"resourceRules": [RULE]},
    "reinvocationPolicy": "Never",
    "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}],
}
BINDING: dict[str, Any] = {"policyName": "p", "validationActions": ["Deny"]}


def made(kind: str, **parts: Any) -> dict[str, Any]:
    obj = {"apiVersion": GROUP, "kind": kind, "metadata": {"name": "a"}, **copy.deepcopy(parts)}
    row = registry.by_gvk(GROUP, kind)
    assert row is not None
    defaults.apply(row, obj)
    return obj


def faults(obj: dict[str, Any]) -> dict[str, str]:
    row = registry.by_gvk(GROUP, obj["kind"])
    assert row is not None
    return {error.field: error.message for error in validation.validate_create(row, obj)}


def test_defaults() -> None:
    hook = made("MutatingWebhookConfiguration", webhooks=[HOOK])["webhooks"][0]
    assert hook["failurePolicy"] == "Fail" and hook["matchPolicy"] == "Equivalent" and hook["timeoutSeconds"] == 10
    assert hook["namespaceSelector"] == hook["objectSelector"] == {} and hook["reinvocationPolicy"] == "Never"
    assert hook["rules"][0]["scope"] == "*" and hook["clientConfig"]["service"]["port"] == 443
    spec = made("ValidatingAdmissionPolicy", spec=POLICY)["spec"]
    assert spec["failurePolicy"] == "Fail" and spec["matchConstraints"]["matchPolicy"] == "Equivalent"
    assert spec["matchConstraints"]["resourceRules"][0]["scope"] == "*"
    assert faults(made("ValidatingWebhookConfiguration", webhooks=[HOOK])) == {}
    assert faults(made("ValidatingAdmissionPolicy", spec=POLICY)) == {}
    assert faults(made("MutatingAdmissionPolicy", spec=MUTATING)) == {}
    assert faults(made("ValidatingAdmissionPolicyBinding", spec=BINDING)) == {}


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"name": "short"}, "name", "should be a domain with at least three segments separated by dots"),
        ({"sideEffects": "Some"}, "sideEffects", 'Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'),
        ({"timeoutSeconds": 31}, "timeoutSeconds", "the timeout value must be between 1 and 30 seconds"),
        ({"admissionReviewVersions": []}, "admissionReviewVersions", "must specify one of v1, v1beta1"),
        ({"admissionReviewVersions": ["v2"]}, "admissionReviewVersions", "must include at least one of v1, v1beta1"),
        ({"failurePolicy": "Perhaps"}, "failurePolicy", 'supported values: "Fail", "Ignore"'),
        ({"clientConfig": {}}, "clientConfig", "exactly one of url or service is required"),
        ({"clientConfig": {"url": "http://a"}}, "clientConfig.url", "'https' is the only allowed URL scheme"),
        ({"clientConfig": {"url": "https://a?b"}}, "clientConfig.url", "query parameters are not permitted"),
        ({"clientConfig": {"url": "https://u:p@a"}}, "clientConfig.url", "user information is not permitted"),
        ({"rules": [{**RULE, "operations": ["*", "CREATE"]}]}, "rules[0].operations", "if '*' is present"),
        ({"rules": [{**RULE, "operations": ["READ"]}]}, "rules[0].operations[0]", 'Unsupported value: "READ"'),
        ({"rules": [{**RULE, "apiVersions": []}]}, "rules[0].apiVersions", "Required value"),
        ({"rules": [{**RULE, "resources": ["*/*", "a"]}]}, "rules[0].resources", "if '*/*' is present"),
        ({"rules": [{**RULE, "scope": "Galaxy"}]}, "rules[0].scope", "Unsupported value"),
        (
            {"matchConditions": [{"name": "x", "expression": "1"}]},
            "matchConditions[0].expression",
            "must evaluate to bool",
        ),
        ({"matchConditions": [{"name": "x", "expression": "params.a"}]}, "matchConditions[0].expression", "undeclared"),
    ],
)
def test_webhooks(change: Any, field: str, message: str) -> None:
    found = faults(made("ValidatingWebhookConfiguration", webhooks=[{**HOOK, **change}]))
    assert message in found[f"webhooks[0].{field}"]


def test_names_are_unique() -> None:
    assert faults(made("ValidatingWebhookConfiguration", webhooks=[HOOK, HOOK])) == {
        "webhooks[1].name": 'Duplicate value: "a.b.c"'
    }


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"matchConstraints": None}, "matchConstraints", "Required value"),
        ({"matchConstraints": {}}, "matchConstraints.resourceRules", "Required value"),
        ({"validations": []}, "validations", "validations or auditAnnotations must be non-empty"),
        ({"validations": [{"expression": "'x'"}]}, "validations[0].expression", "must evaluate to bool"),
        ({"validations": [{"expression": "true\n"}, {"expression": "a"}]}, "validations[1].expression", "undeclared"),
        (
            {"validations": [{"expression": "true &&\ntrue"}]},
            "validations[0].message",
            "must be specified if expression",
        ),
        ({"validations": [{"expression": "true", "message": "a\nb"}]}, "validations[0].message", "line breaks"),
        (
            {"validations": [{"expression": "true", "reason": "Odd"}]},
            "validations[0].reason",
            'Unsupported value: "Odd"',
        ),
        (
            {"validations": [{"expression": "true", "messageExpression": "1"}]},
            "validations[0].messageExpression",
            "must evaluate to string",
        ),
        ({"variables": [{"name": "a-b", "expression": "1"}]}, "variables[0].name", "not a valid CEL identifier"),
        ({"variables": [{"name": "a", "expression": "variables.b"}]}, "variables[0].expression", "undefined field 'b'"),
        ({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]}, "auditAnnotations[0].valueExpression", "one of"),
        ({"paramKind": {"apiVersion": "v1"}}, "paramKind.kind", "Required value"),
    ],
)
def test_policies(change: Any, field: str, message: str) -> None:
    assert message in faults(made("ValidatingAdmissionPolicy", spec={**POLICY, **change}))[f"spec.{field}"]


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"mutations": []}, "mutations", "must contain at least one item"),
        ({"reinvocationPolicy": None}, "reinvocationPolicy", "Required value"),
        ({"mutations": [{"patchType": "Odd"}]}, "mutations[0].patchType", "Unsupported value"),
        ({"mutations": [{"patchType": "JSONPatch"}]}, "mutations[0].jsonPatch", "must be specified when patchType is"),
        (
            {"matchConstraints": {"resourceRules": [{**RULE, "operations": ["DELETE"]}]}},
            "matchConstraints.resourceRules[0].operations[0]",
            'Unsupported value: "DELETE"',
        ),
    ],
)
def test_mutating_policies(change: Any, field: str, message: str) -> None:
    assert message in faults(made("MutatingAdmissionPolicy", spec={**MUTATING, **change}))[f"spec.{field}"]


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"policyName": ""}, "policyName", "Required value"),
        ({"validationActions": []}, "validationActions", "at least one validation action"),
        ({"validationActions": ["Deny", "Warn"]}, "validationActions", "must not contain both Deny and Warn"),
        ({"validationActions": ["Odd"]}, "validationActions[0]", 'Unsupported value: "Odd"'),
        ({"paramRef": {"name": "a"}}, "paramRef.parameterNotFoundAction", "Required value"),
        ({"paramRef": {"parameterNotFoundAction": "Deny"}}, "paramRef", "one of name or selector must be specified"),
        (
            {"paramRef": {"name": "a", "selector": {}, "parameterNotFoundAction": "Deny"}},
            "paramRef.name",
            "mutually exclusive",
        ),
    ],
)
def test_bindings(change: Any, field: str, message: str) -> None:
    assert message in faults(made("ValidatingAdmissionPolicyBinding", spec={**BINDING, **change}))[f"spec.{field}"]
