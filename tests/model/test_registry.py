"""The rows of kinds: found by every key, consistent with the schema tables, scoped as tenancy asks."""

import pytest

from arktos.model import registry
from arktos.model.kinds import Scope
from arktos.model.schema import Schema, named


def test_each_row_is_found_by_every_key() -> None:
    for kind in registry.all_kinds():
        assert registry.lookup(kind.group, kind.version, kind.plural) is kind
        assert registry.by_gvk(kind.api_version, kind.kind) is kind
        assert registry.stored_as(kind).kind == kind.kind
        assert registry.by_resource(kind.resource) is registry.stored_as(kind)


def test_no_two_rows_share_a_key() -> None:
    kinds = registry.all_kinds()
    assert len({(k.group, k.version, k.plural) for k in kinds}) == len(kinds)
    assert len({(k.api_version, k.kind) for k in kinds}) == len(kinds)


def test_unknown_kinds_are_not_found() -> None:
    assert registry.lookup("", "v1", "widgets") is None
    assert registry.by_gvk("apps/v2", "Deployment") is None
    with pytest.raises(KeyError):
        registry.by_resource("widgets")


def test_rows_agree_with_the_schema_tables() -> None:
    for kind in registry.all_kinds():
        schema = named(kind.schema)
        assert {"apiVersion", "kind", "metadata"} <= set(schema.properties), kind.kind
        stored = named(registry.stored_as(kind).schema)
        for paths in kind.selectable.values():
            for path in paths.split("|"):
                assert _leaf(stored, path).type in ("string", "integer", "boolean"), (kind.kind, path)
        assert set(kind.indexed) <= set(kind.selectable)
        if kind.has_status:
            assert "status" in schema.properties and "status" in kind.subresources


def _leaf(schema: Schema, path: str) -> Schema:
    for step in path.split("."):
        schema = schema.properties[step]
    return schema


def test_only_nodes_tenants_and_ring_members_belong_to_the_cluster() -> None:
    cluster = {kind.plural for kind in registry.all_kinds() if kind.scope is Scope.CLUSTER}
    assert cluster == {"nodes", "tenants", "controllerinstances"}
    for plural, group in (("namespaces", ""), ("clusterroles", "rbac.authorization.k8s.io")):
        kind = registry.lookup(group, "v1", plural)
        assert kind is not None and kind.scope is Scope.TENANT


def test_two_versions_share_one_store() -> None:
    old = registry.lookup("autoscaling", "v1", "horizontalpodautoscalers")
    assert old is not None
    assert registry.stored_as(old).version == "v2"
    assert registry.by_resource("events.events.k8s.io").resource == "events"


def test_short_names_lead_to_one_resource() -> None:
    names: dict[str, str] = {}
    for kind in registry.all_kinds():
        for name in kind.short_names:
            assert names.setdefault(name, kind.plural) == kind.plural


def test_request_only_kinds_can_only_be_created() -> None:
    for group in ("authentication.k8s.io", "authorization.k8s.io"):
        rows = [kind for kind in registry.all_kinds() if kind.group == group]
        assert rows and all(kind.verbs == ("create",) for kind in rows)


def test_subresources_name_kinds_of_the_tables() -> None:
    pods = registry.by_resource("pods")
    assert set(pods.subresources) >= {"status", "binding", "eviction", "ephemeralcontainers", "resize", "action"}
    assert pods.graceful and pods.subresources["eviction"].group == "policy"
    scale = registry.by_resource("deployments.apps").subresources["scale"]
    assert (scale.group, scale.version, scale.kind) == ("autoscaling", "v1", "Scale")
