"""The built-in roles and bindings: complete in every tenant, stored in none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arktos.apiserver import bootstrap_policy as data
from arktos.apiserver.builtin_roles import (
    BuiltinRoles,
    builtin_bindings,
    builtin_cluster_roles,
    virtual_objects,
    virtual_records,
)
from arktos.apiserver.policy import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from arktos.model import registry
from arktos.model.hashkey import hash_key
from arktos.store.records import SLOT, Key, Query

EVERYWHERE = {
    "cluster-admin",
    "admin",
    "edit",
    "view",
    "system:discovery",
    "system:basic-user",
    "system:public-info-viewer",
}


@pytest.mark.parametrize("tenant", ["system", "acme"])
@pytest.mark.parametrize("resource", [CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS])
def test_objects_are_complete(tenant: str, resource: str) -> None:
    kind = registry.by_resource(resource)
    records = list(virtual_records(resource, tenant, "2026-01-01T00:00:00Z"))
    assert [record.key.name for record in records] == sorted(record.key.name for record in records)
    for record in records:
        obj = json.loads(record.body)
        meta = obj["metadata"]
        assert (obj["kind"], obj["apiVersion"]) == (kind.kind, kind.api_version)
        assert list(obj)[:3] == ["kind", "apiVersion", "metadata"]
        assert record.body.index(SLOT) < record.body.index(b'"name"')
        assert record.key == Key(resource, tenant, "", meta["name"])
        assert (meta["tenant"], meta["resourceVersion"]) == (tenant, "1")
        assert meta["hashKey"] == hash_key(meta["uid"]) == record.header.hash_key
        assert (record.header.uid, record.header.labels) == (meta["uid"], meta["labels"])
        assert meta["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults"
        if resource == CLUSTER_ROLES:
            assert obj["rules"]
        else:
            assert obj["subjects"]
            assert obj["roleRef"]["name"] in virtual_objects(CLUSTER_ROLES, tenant)


def test_uids_differ_by_tenant_and_stay() -> None:
    first = virtual_objects(CLUSTER_ROLES, "acme")["view"]
    assert first == virtual_objects(CLUSTER_ROLES, "acme")["view"]
    uids = {virtual_objects(CLUSTER_ROLES, tenant)["view"]["metadata"]["uid"] for tenant in ("acme", "b", "system")}
    assert len(uids) == 3


def test_which_roles_are_where() -> None:
    acme, system = (set(virtual_objects(CLUSTER_ROLES, tenant)) for tenant in ("acme", "system"))
    assert acme & system >= EVERYWHERE
    assert acme - system == {"admin-role"}
    assert {
        "system:kube-scheduler",
        "system:kube-controller-manager",
        "system:node",
        "system:node-bootstrapper",
    } <= system
    bindings = virtual_objects(CLUSTER_ROLE_BINDINGS, "acme")
    assert bindings["admin-role-binding"]["subjects"][0]["name"] == "admin"
    assert "cluster-admin" not in bindings
    assert virtual_objects("pods", "acme") == {}
    for binding in bindings.values():
        assert "arktos.io/tenants" not in binding["metadata"]["annotations"]


def test_aggregated_roles_show_and_hold_the_rules_of_their_parts() -> None:
    roles = virtual_objects(CLUSTER_ROLES, "acme")
    for lower, upper in (("view", "edit"), ("edit", "admin")):
        assert all(rule in roles[upper]["rules"] for rule in roles[lower]["rules"])
    assert roles["view"]["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"] == {
        "rbac.authorization.k8s.io/aggregate-to-view": "true"
    }

    def may(role: str, verb: str, resource: str) -> bool:
        return any(
            verb in rule["verbs"] and resource in rule["resources"]
            for rule in roles[role]["rules"]
            if "resources" in rule
        )

    assert may("view", "get", "actions")
    assert not may("view", "create", "pods/action")
    assert may("edit", "create", "pods/action")
    assert may("admin", "create", "pods/action")
    assert not may("view", "get", "secrets")
    assert not may("edit", "create", "roles")
    assert may("admin", "create", "rolebindings")


def test_only_components_and_masters_reach_into_tenants() -> None:
    everywhere = {name for name, binding in builtin_bindings(True).items() if binding.counts_in("acme")}
    assert everywhere == {binding.name for binding in data.BINDINGS_IN_SYSTEM} - {
        "arktos:node-bootstrapper",
        "system:monitoring",
    }
    subjects = {s.identity for name in everywhere for s in builtin_bindings(True)[name].subjects}
    assert subjects & {"system:authenticated", "system:unauthenticated", "system:serviceaccounts"} == set()


def test_rules_name_resources_that_are_served() -> None:
    served = {kind.plural for kind in registry.all_kinds()}
    not_kinds = {"*", "signers", "bindings"}
    for role in (*data.IN_EVERY_TENANT, *data.IN_TENANTS, *data.IN_SYSTEM):
        for rule in role.rules:
            if rule.groups[0:1] in {("resource.k8s.io",), ("certificates.k8s.io",)}:
                continue  # Kubernetes' rules for groups that need not be served.
            plurals = {resource.partition("/")[0] for resource in rule.resources}
            assert plurals <= served | not_kinds, role.name


def test_source_of_reads(new_store: Any) -> None:
    source = BuiltinRoles(new_store().tenant("acme"))
    assert source.resources == {CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS}
    key = Key(CLUSTER_ROLES, "acme", "", "view")
    found = source.get(key)
    assert found is not None
    assert json.loads(found.body)["metadata"]["tenant"] == "acme"
    assert source.get(key._replace(tenant="nowhere")) is None
    assert source.get(key._replace(name="none")) is None
    assert source.get(key._replace(resource="pods")) is None
    assert source.get(key._replace(namespace="ns")) is None
    assert {record.key.tenant for record in source.list(Query(CLUSTER_ROLES, "acme"))} == {"acme"}
    assert list(source.list(Query(CLUSTER_ROLES, "nowhere"))) == []
    assert {record.key.tenant for record in source.list(Query(CLUSTER_ROLES, None))} == {"system"}
    assert source.borrowed(Query(CLUSTER_ROLES, "acme")) is None


def test_compiled_once() -> None:
    assert builtin_cluster_roles(False) is builtin_cluster_roles(False)
    assert builtin_cluster_roles(False)["view"].selects is not None
