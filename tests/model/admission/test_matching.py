"""Which requests a rule means."""

from __future__ import annotations

from typing import Any

import pytest

from arktos.model import registry
from arktos.model.admission.matching import Question, Target, is_exempt, matched, matched_resources, rule_matches

PODS = Target("", "v1", "pods", "Pod")
SCALERS = (
    Target("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    Target("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
)


def question(*targets: Target, **more: Any) -> Question:
    facts: dict[str, Any] = {
        "subresource": "",
        "operation": "CREATE",
        "namespaced": True,
        "name": "a",
        "labels": ({"app": "x"}, None),
        "namespace_labels": {"env": "test"},
        **more,
    }
    return Question(targets or (PODS,), **facts)


def rule(**more: Any) -> dict[str, Any]:
    return {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], **more}


@pytest.mark.parametrize(
    ("facts", "about", "means"),
    [
        ({}, {}, True),
        ({"operations": ["UPDATE"]}, {}, False),
        ({"operations": ["UPDATE", "CREATE"]}, {}, True),
        ({"apiGroups": [""]}, {}, True),
        ({"apiGroups": ["apps"]}, {}, False),
        ({"resources": ["pods"]}, {}, True),
        ({"resources": ["pods"]}, {"subresource": "exec"}, False),
        ({"resources": ["pods/exec"]}, {"subresource": "exec"}, True),
        ({"resources": ["pods/exec"]}, {}, False),
        ({"resources": ["pods/*"]}, {"subresource": "exec"}, True),
        ({"resources": ["*/exec"]}, {"subresource": "exec"}, True),
        ({"resources": ["*"]}, {"subresource": "exec"}, False),
        ({"resources": ["*/*"]}, {"subresource": "exec"}, True),
        ({"resources": ["*/*"]}, {}, True),
        ({"scope": "Namespaced"}, {}, True),
        ({"scope": "Cluster"}, {}, False),
        ({"scope": "Cluster"}, {"namespaced": False}, True),
        ({"resourceNames": ["b"]}, {}, False),
        ({"resourceNames": ["a", "b"]}, {}, True),
    ],
)
def test_rules(facts: Any, about: Any, means: bool) -> None:
    asked = question(**about)
    assert rule_matches(rule(**facts), asked, asked.target) is means


def test_equivalent_versions() -> None:
    asked = question(*SCALERS)
    part = {"rules": [rule(apiVersions=["v1"])], "matchPolicy": "Equivalent"}
    assert matched(part, asked) == SCALERS[1]
    assert matched({**part, "matchPolicy": "Exact"}, asked) is None
    both = {"rules": [rule(apiVersions=["v1"]), rule(apiVersions=["v2"])]}
    assert matched(both, asked) == SCALERS[0]


@pytest.mark.parametrize(
    ("selectors", "means"),
    [
        ({"namespaceSelector": {"matchLabels": {"env": "test"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"env": "prod"}}}, False),
        ({"namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}}, True),
        ({"objectSelector": {"matchLabels": {"app": "x"}}}, True),
        ({"objectSelector": {"matchLabels": {"app": "y"}}}, False),
        ({"namespaceSelector": {}, "objectSelector": {}}, True),
    ],
)
def test_selectors(selectors: Any, means: bool) -> None:
    assert (matched({"rules": [rule()], **selectors}, question()) is not None) is means


def test_the_old_object_counts_too_and_what_has_no_namespace_is_not_selected_by_it() -> None:
    part = {"rules": [rule()], "objectSelector": {"matchLabels": {"app": "old"}}}
    assert matched(part, question(labels=({"app": "x"}, {"app": "old"}))) == PODS
    elsewhere = {"rules": [rule()], "namespaceSelector": {"matchLabels": {"env": "prod"}}}
    assert matched(elsewhere, question(namespace_labels=None)) == PODS


def test_exclusions_win_and_no_rules_mean_all() -> None:
    assert matched_resources({}, question()) == PODS
    part = {"resourceRules": [rule()], "excludeResourceRules": [rule(resources=["pods"])]}
    assert matched_resources(part, question()) is None
    assert matched_resources({"resourceRules": [rule(apiGroups=["apps"])]}, question()) is None


def test_configurations_are_exempt() -> None:
    exempt = {kind.plural for kind in registry.all_kinds() if is_exempt(kind)}
    assert exempt == {kind.plural for kind in registry.all_kinds() if kind.group == "admissionregistration.k8s.io"}
    assert len(exempt) == 6
