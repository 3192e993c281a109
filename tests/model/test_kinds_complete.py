"""Every stable kind that Kubernetes publishes is served, carried by a subresource, or refused on purpose."""

from __future__ import annotations

import importlib.util
import json
import re
from functools import cache
from pathlib import Path

import pytest

from arktos.model import registry

ELSEWHERE = {
    ("v1", "APIGroup"): "discovery",
    ("v1", "APIVersions"): "discovery",
    ("v1", "Status"): "what errors and deletes answer",
    ("authentication.k8s.io/v1", "TokenRequest"): "serviceaccounts/token",
    ("autoscaling/v1", "Scale"): "the subresource scale",
    ("policy/v1", "Eviction"): "pods/eviction",
}
"""Kinds without a resource of their own, and where they are."""

_STABLE = re.compile(r"v\d+\Z")
_EVERY_GROUP = frozenset({"DeleteOptions", "WatchEvent"})


@cache
def published() -> frozenset[tuple[str, str]]:
    """(apiVersion, kind) of all stable kinds, lists apart, as the published schemas mark them."""
    spec = importlib.util.find_spec("kubernetes_validate")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "kubernetes-json-schema" / "v1.36.0-local" / "_definitions.json"
    found = set()
    for definition in json.loads(path.read_bytes())["$defs"].values():
        for mark in definition.get("x-kubernetes-group-version-kind", ()):
            group, version, kind = mark["group"], mark["version"], mark["kind"]
            if _STABLE.match(version) and kind not in _EVERY_GROUP and not kind.endswith("List"):
                found.add((f"{group}/{version}" if group else version, kind))
    return frozenset(found)


@pytest.mark.parametrize(("api_version", "kind"), sorted(published()))
def test_stable_kinds_are_served(api_version: str, kind: str) -> None:
    if (api_version, kind) in ELSEWHERE:
        assert registry.by_gvk(api_version, kind) is None
    else:
        assert registry.by_gvk(api_version, kind) is not None, f"{kind} of {api_version} is not served"


def test_what_is_elsewhere_is_published() -> None:
    assert set(ELSEWHERE) <= published() and len(published()) > 60


def test_every_subresource_that_stands_for_a_kind_is_there() -> None:
    bodies = {(s.group, s.version, s.kind) for kind in registry.all_kinds() for s in kind.subresources.values()}
    assert {("authentication.k8s.io", "v1", "TokenRequest"), ("autoscaling", "v1", "Scale")} <= bodies
    assert ("policy", "v1", "Eviction") in bodies
