"""How namespaces and tenants begin and end: what is deleted when, and what the status says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arktos.client import Cached
from arktos.controllers import ending, namespace, serviceaccount, tenant
from arktos.controllers.content import places
from arktos.controllers.freshness import OwnWrites
from arktos.model import registry
from arktos.model.status import Forbidden

Obj = dict[str, Any]
TEXT = "2026-01-01T00:00:00Z"


def thing(resource: str, name: str = "x", deleting: bool = False, finalizers: tuple[str, ...] = ()) -> Cached:
    meta: Obj = {"name": name, "namespace": "ns", "tenant": "acme", "uid": f"uid-{name}", "resourceVersion": "9"}
    if deleting:
        meta["deletionTimestamp"] = TEXT
    if finalizers:
        meta["finalizers"] = list(finalizers)
    return Cached.from_raw(registry.by_resource(resource), json.dumps({"metadata": meta}).encode())


def test_pods_go_first() -> None:
    left = [thing("configmaps", "c"), thing("pods", "p"), thing("pods", "q", deleting=True)]
    assert [action.key[2] for action in namespace.deletions(left)] == ["p"]
    assert namespace.deletions([thing("configmaps", "c"), thing("pods", "q", deleting=True)]) == []
    (action,) = namespace.deletions([thing("configmaps", "c")])
    assert action.uid == "uid-c" and action.propagation == "Background"


def test_a_tenants_namespaces_go_first() -> None:
    spaces, rest = (
        [thing("namespaces", "default")],
        [thing("namespaces", "default"), thing("clusterroles.rbac.authorization.k8s.io", "r")],
    )
    assert [action.key[2] for action in tenant.deletions(spaces, rest)] == ["default"]
    assert [action.key[2] for action in tenant.deletions([], rest[1:])] == ["r"]


def said(conditions: list[Obj]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in conditions}


def test_the_status_says_what_is_left_and_who_holds_it() -> None:
    left = [thing("pods", "p", True, ("example.com/hold",)), thing("deployments.apps", "d")]
    found = ending.report({}, left, [Forbidden("no")], TEXT)
    assert said(found) == {
        "NamespaceDeletionDiscoveryFailure": ("False", "ResourcesDiscovered"),
        "NamespaceDeletionGroupVersionParsingFailure": ("False", "ParsedGroupVersions"),
        "NamespaceDeletionContentFailure": ("True", "ContentDeletionFailed"),
        "NamespaceContentRemaining": ("True", "SomeResourcesRemain"),
        "NamespaceFinalizersRemaining": ("True", "SomeFinalizersRemain"),
    }
    text = {each["type"]: each["message"] for each in found}
    assert text["NamespaceContentRemaining"] == (
        "Some resources are remaining: deployments.apps has 1 resource instances, pods. has 1 resource instances"
    )
    assert text["NamespaceFinalizersRemaining"].endswith("example.com/hold in 1 resource instances")
    done = ending.report({"conditions": found}, [], [], "2026-01-01T00:01:00Z")
    assert said(done)["NamespaceContentRemaining"] == ("False", "ContentRemoved")
    assert said(done)["NamespaceFinalizersRemaining"] == ("False", "ContentHasNoFinalizers")
    assert not ending.differs(done, ending.report({"conditions": done}, [], [], "2026-01-01T00:02:00Z"))


def test_only_our_finalizer_comes_off() -> None:
    last = ending.finalize(thing("namespaces", "ns", True), {"spec": {"finalizers": ["kubernetes", "example.com/x"]}})
    assert last is not None and last.subresource == "finalize"
    assert last.obj["spec"] == {"finalizers": ["example.com/x"]}
    assert last.obj["metadata"] == {"name": "ns", "uid": "uid-ns", "tenant": "acme"}
    assert ending.finalize(thing("namespaces", "ns", True), {"spec": {}}) is None


def test_a_tenant_gets_what_it_lacks() -> None:
    new = thing("tenants", "acme")
    assert [action.obj["metadata"]["name"] for action in tenant.found(new, ["default"])] == [
        "kube-system",
        "kube-public",
    ]


@pytest.mark.parametrize(
    ("there", "usable", "old", "expected"),
    [
        ((), (), None, None),
        (tenant.NAMESPACES, (), None, None),
        (tenant.NAMESPACES, tenant.NAMESPACES, None, ("True", "TenantReady")),
        (tenant.NAMESPACES, ("default",), "True", ("False", "ServiceAccountsMissing")),
        (("default",), ("default",), "True", ("False", "NamespacesMissing")),
        (tenant.NAMESPACES, tenant.NAMESPACES, "True", None),
    ],
)
def test_ready_is_when_pods_can_be_made(
    there: tuple[str, ...], usable: tuple[str, ...], old: str | None, expected: tuple[str, str] | None
) -> None:
    obj: Obj = {}
    if old:
        patch = tenant.readiness(thing("tenants", "acme"), {}, tenant.NAMESPACES, tenant.NAMESPACES, TEXT)
        assert patch is not None
        obj = {"status": patch.body["status"]}
    patch = tenant.readiness(thing("tenants", "acme"), obj, there, usable, TEXT)
    assert (None if patch is None else said(patch.body["status"]["conditions"])["Ready"]) == expected


def test_live_namespaces_get_an_account() -> None:
    (action,) = serviceaccount.reconcile(thing("namespaces", "blue"), None)
    assert action.obj["metadata"] == {"name": "default", "namespace": "blue", "tenant": "acme"}
    assert serviceaccount.reconcile(thing("namespaces", "blue", True), None) == []
    assert serviceaccount.reconcile(thing("namespaces", "blue"), thing("serviceaccounts", "default")) == []
    assert serviceaccount.reconcile(None, None) == []


def test_what_every_place_has_is_nobodys_content() -> None:
    def item(name: str, version: str) -> bytes:
        meta = {"name": name, "namespace": "ns", "tenant": "acme", "uid": name, "resourceVersion": version}
        return json.dumps({"metadata": meta}).encode()

    assert places([item("kube-root-ca.crt", "1")], "namespace") == frozenset()
    assert places([item("mine", "12")], "namespace") == {"acme/ns"}
    assert places([item("mine", "12")], "tenant") == {"acme"}


class _Mirror:
    resource_version = "10"


def test_own_writes_must_be_seen_first() -> None:
    mirror = _Mirror()
    writes = OwnWrites(mirror)  # type: ignore[arg-type]
    key = ("acme", "ns", "web")
    assert writes.seen(key)
    writes.wrote(key, {"metadata": {"resourceVersion": "12"}})
    writes.wrote(key, {"metadata": {"resourceVersion": "11"}})
    assert not writes.seen(key)
    mirror.resource_version = "12"
    assert writes.seen(key)
