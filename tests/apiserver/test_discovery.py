"""Discovery: the two forms tell the same, in the shapes that clients parse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arktos.apiserver import discovery, version
from arktos.model import registry
from arktos.model.status import NotAcceptable, NotFound

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = V2.replace("v=v2;", "v=v2beta1;")


def read(path: str, accept: str = "") -> Any:
    return json.loads(bytes(discovery.answer(path, accept).body))


def test_versions_and_groups() -> None:
    assert read("/api")["versions"] == ["v1"]
    groups = read("/apis")["groups"]
    assert [g["name"] for g in groups][:3] == ["apiregistration.k8s.io", "apps", "events.k8s.io"]
    autoscaling = next(g for g in groups if g["name"] == "autoscaling")
    assert [v["version"] for v in autoscaling["versions"]] == ["v2", "v1"]
    assert autoscaling["preferredVersion"] == {"groupVersion": "autoscaling/v2", "version": "v2"}
    assert read("/apis/apps")["kind"] == "APIGroup"


def test_resources_say_whether_they_belong_to_a_tenant() -> None:
    rows = {r["name"]: r for r in read("/api/v1")["resources"]}
    scopes = {name: (rows[name]["namespaced"], rows[name]["tenanted"]) for name in ("pods", "namespaces", "nodes")}
    assert scopes == {"pods": (True, True), "namespaces": (False, True), "nodes": (False, False)}
    pods = rows["pods"]
    assert (pods["singularName"], pods["shortNames"], pods["categories"]) == ("pod", ["po"], ["all"])
    assert pods["storageVersionHash"] == "xPOwRZ+Yhw8="
    eviction = rows["pods/eviction"]
    assert (eviction["group"], eviction["version"], eviction["kind"]) == ("policy", "v1", "Eviction")
    assert "storageVersionHash" not in rows["bindings"]


def test_stored_elsewhere_hashes_alike() -> None:
    hashes = {
        v: next(r for r in read(f"/apis/autoscaling/{v}")["resources"] if "/" not in r["name"])["storageVersionHash"]
        for v in ("v1", "v2")
    }
    assert hashes["v1"] == hashes["v2"]


@pytest.mark.parametrize("path", ["/apis/nope", "/apis/apps/v9", "/api/v2", "/apis//v1", "/apis/apps/v1/x/y"])
def test_what_is_not_served_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        discovery.answer(path)


@pytest.mark.parametrize(
    ("accept", "api_version"),
    [
        (V2 + "," + V2BETA1 + ",application/json", "apidiscovery.k8s.io/v2"),
        (V2BETA1 + ",application/json", "apidiscovery.k8s.io/v2beta1"),
        ("application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList", "apidiscovery.k8s.io/v2"),
        ("application/json", "v1"),
        ("*/*", "v1"),
        (V2.replace("v=v2;", "v=v9;") + ",application/json", "v1"),
    ],
)
def test_the_form_is_negotiated(accept: str, api_version: str) -> None:
    answer = discovery.answer("/apis", accept)
    assert json.loads(bytes(answer.body))["apiVersion"] == api_version
    if "apidiscovery" in api_version:
        assert answer.content_type == accept.partition(",")[0].replace(
            "v=v2;g=apidiscovery.k8s.io;", "g=apidiscovery.k8s.io;v=v2;"
        )


def test_a_client_that_takes_none_of_it() -> None:
    with pytest.raises(NotAcceptable):
        discovery.answer("/apis", "text/html")


def test_both_forms_tell_the_same() -> None:
    for path in ("/api", "/apis"):
        for group in read(path, V2)["items"]:
            name = group["metadata"].get("name", "")
            for found in group["versions"]:
                below = f"/apis/{name}/{found['version']}" if name else f"/api/{found['version']}"
                plain = {r["name"]: r for r in read(below)["resources"]}
                told = set()
                for resource in found["resources"]:
                    row = plain[resource["resource"]]
                    told.add(resource["resource"])
                    assert row["kind"] == resource["responseKind"]["kind"]
                    assert row["verbs"] == resource["verbs"]
                    assert row["namespaced"] == (resource["scope"] == "Namespaced")
                    for sub in resource.get("subresources", ()):
                        told.add(f"{resource['resource']}/{sub['subresource']}")
                        assert plain[f"{resource['resource']}/{sub['subresource']}"]["verbs"] == sub["verbs"]
                assert told == set(plain)


def test_every_kind_is_told_of() -> None:
    for kind in registry.all_kinds():
        path = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
        assert kind.plural in {r["name"] for r in read(path)["resources"]}


def test_an_unchanged_document_is_not_sent_again() -> None:
    first = discovery.answer("/apis", V2)
    tag = dict(first.headers)["ETag"]
    again = discovery.answer("/apis", V2, f'W/"x", {tag}')
    assert (again.status, again.body) == (304, b"")
    assert discovery.answer("/apis", V2BETA1, tag).status == 200


def test_the_version_is_upstreams_with_ours() -> None:
    told = json.loads(version.document())
    assert (told["major"], told["minor"]) == ("1", "36")
    assert told["gitVersion"].startswith("v1.36.0+arktos-")
    assert told["platform"].count("/") == 1
