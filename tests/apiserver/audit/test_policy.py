"""Audit policies: which rule decides, and what is no policy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.apiserver.audit.policy import BadPolicy, Level, Subject, parse
from arktos.apiserver.identity import User

ALICE = User("alice", "acme", ("devs", "system:authenticated"))


def policy(*rules: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}).encode()


def pods(**more: Any) -> Subject:
    return Subject(ALICE, "acme", "get", "", "pods", "", "default", "web")._replace(**more)


@pytest.mark.parametrize(
    ("rule", "subject", "logged"),
    [
        ({}, pods(), True),
        ({"users": ["alice"]}, pods(), True),
        ({"users": ["bob"]}, pods(), False),
        ({"userGroups": ["devs"]}, pods(), True),
        ({"userGroups": ["ops"]}, pods(), False),
        ({"tenants": ["acme"]}, pods(), True),
        ({"tenants": ["globex"]}, pods(), False),
        ({"verbs": ["get"]}, pods(), True),
        ({"verbs": ["*"]}, pods(), False),
        ({"namespaces": ["default"]}, pods(), True),
        ({"namespaces": [""]}, pods(), False),
        ({"namespaces": [""]}, pods(namespace=""), True),
        ({"resources": [{"group": ""}]}, pods(subresource="log"), True),
        ({"resources": [{"group": "apps"}]}, pods(), False),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, pods(), True),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, pods(subresource="log"), False),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, pods(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, pods(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, pods(), False),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, pods(subresource="log"), True),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["db"]}]}, pods(), False),
        ({"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["web"]}]}, pods(), True),
        ({"resources": [{"group": ""}]}, Subject(ALICE, "acme", "get", path="/version"), False),
        ({"nonResourceURLs": ["/ver*"]}, Subject(ALICE, "acme", "get", path="/version"), True),
        ({"nonResourceURLs": ["/ver"]}, Subject(ALICE, "acme", "get", path="/version"), False),
        ({"nonResourceURLs": ["*"]}, pods(), False),
        ({"users": ["bob"]}, pods(user=None), True),
    ],
)
def test_what_a_rule_matches(rule: dict[str, Any], subject: Subject, logged: bool) -> None:
    found = parse(policy({"level": "Metadata", **rule})).verdict(subject)
    assert found.level is (Level.METADATA if logged else Level.NONE)


def test_the_first_rule_that_matches_decides() -> None:
    rules = [
        {"level": "None", "resources": [{"group": "", "resources": ["secrets"]}]},
        {"level": "RequestResponse", "omitStages": ["Panic"], "omitManagedFields": False},
    ]
    read = parse(policy(*rules, omitStages=["RequestReceived"], omitManagedFields=True))
    assert read.verdict(pods(resource="secrets")).level is Level.NONE
    found = read.verdict(pods())
    assert found.level is Level.REQUEST_RESPONSE
    assert found.omit_stages == {"RequestReceived", "Panic"}
    assert not found.omit_managed_fields
    assert parse(policy({"level": "Request"}, omitManagedFields=True)).verdict(pods()).omit_managed_fields


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"{", "yaml"),
        (policy(), "rules"),
        (policy({"level": "Loud"}), "rules[0].level"),
        (policy({"level": "None"}, kind="Plan"), "expected a Policy"),
        (policy({"level": "None", "omitStages": ["End"]}), "rules[0].omitStages"),
        (policy({"level": "None", "nonResourceURLs": ["x"]}), "nonResourceURLs"),
        (policy({"level": "None", "nonResourceURLs": ["/*/x"]}), "nonResourceURLs"),
        (policy({"level": "None", "nonResourceURLs": ["/x"], "namespaces": ["a"]}), "both"),
        (policy({"level": "None", "resources": [{"group": "apps/v1"}]}), "without a version"),
        (policy({"level": "None", "resources": [{"resourceNames": ["a"]}]}), "resourceNames"),
        (policy({"level": "None", "user": ["typo"]}), "user"),
    ],
)
def test_what_is_no_policy(data: bytes, told: str) -> None:
    with pytest.raises(BadPolicy) as failure:
        parse(data)
    assert told in str(failure.value)


@given(st.binary(max_size=200))
def test_anything_else_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(BadPolicy):
        parse(data)
