"""Ephemeral volumes, aggregated roles, and tokens whose time is over."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from arktos.controllers.clusterroleaggregation import aggregated
from arktos.controllers.ephemeralvolume import claims_for
from arktos.controllers.tokencleaner import ends_at
from arktos.model import dates

Obj = dict[str, Any]


def test_each_ephemeral_volume_is_a_claim_of_its_pod() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}, {"name": "e", "emptyDir": {}}]
    meta = {"name": "web", "namespace": "default", "tenant": "acme", "uid": "p1"}
    (claim,) = claims_for({"metadata": meta, "spec": {"volumes": volumes}})
    assert claim["metadata"]["name"] == "web-scratch" and claim["metadata"]["labels"] == {"a": "b"}
    assert claim["metadata"]["ownerReferences"][0]["uid"] == "p1" and claim["spec"] == template["spec"]


def role(name: str, *verbs: str, **labels: str) -> Obj:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]} for verb in verbs]
    return {"metadata": {"name": name, "labels": labels}, "rules": rules}


def test_a_role_is_the_sum_of_those_that_it_selects() -> None:
    made = role("sum", "old", part="yes")
    made["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {"part": "yes"}}, {"matchLabels": {"x": "y"}}]}
    others = [role("b", "get", part="yes"), role("a", "list", "get", x="y", part="yes"), role("c", "watch"), made]
    assert [rule["verbs"] for rule in aggregated(made, others)] == [["list"], ["get"]]


def test_very_many_rules_of_a_tenant_are_soon_summed() -> None:
    made = {"metadata": {"name": "sum"}, "aggregationRule": {"clusterRoleSelectors": [{}]}}
    others = [role(f"r{n}", *(f"v{n % 10}-{verb}" for verb in range(2_000))) for n in range(20)]
    began = time.perf_counter()
    assert len(aggregated(made, others)) == 20_000
    assert time.perf_counter() - began < 2  # compared with each other they take a quarter of a minute


@pytest.mark.parametrize(
    ("type", "text", "ends"),
    [
        ("bootstrap.kubernetes.io/token", "2026-01-01T00:00:00Z", dates.unix("2026-01-01T00:00:00Z")),
        ("bootstrap.kubernetes.io/token", "soon", None),
        ("bootstrap.kubernetes.io/token", "", None),
        ("Opaque", "2026-01-01T00:00:00Z", None),
    ],
)
def test_a_token_ends_when_it_says(type: str, text: str, ends: float | None) -> None:
    assert ends_at({"type": type, "data": {"expiration": base64.b64encode(text.encode()).decode()}}) == ends
