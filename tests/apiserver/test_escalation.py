"""Nobody grants what they do not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.apiserver.authz import Attributes, Authorizer
from arktos.apiserver.escalation import check
from arktos.apiserver.identity import User
from arktos.apiserver.membership import authenticated
from arktos.model import registry
from arktos.model.status import BadRequest, Forbidden, NotFound

RBAC = "rbac.authorization.k8s.io"
READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
READ_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
MANAGE_ROLES = {
    "apiGroups": [RBAC],
    "resources": ["roles", "rolebindings", "clusterroles", "clusterrolebindings"],
    "verbs": ["get", "list", "create", "update", "patch", "delete"],
}


def member(name: str, tenant: str, *groups: str) -> User:
    return User(name, tenant, authenticated(tenant, groups))


ALICE = member("alice", "acme", "dev")
OPERATOR = member("operator", "system")


@pytest.fixture
def store(new_store: Any) -> Any:
    store = new_store().tenant("acme", "globex")
    for tenant, user in (("acme", "alice"), ("system", "operator")):
        store.role(tenant, "manager", MANAGE_ROLES, READ_PODS)
        store.bind(tenant, "manager", "manager", f"User:{user}")
    return store


@pytest.fixture
def authorizer(store: Any) -> Authorizer:
    return Authorizer(store)


def role(*rules: dict[str, Any], namespace: str = "", name: str = "r", **more: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "labels": more.pop("labels", {})}
    if namespace:
        meta["namespace"] = namespace
    return {"kind": "Role" if namespace else "ClusterRole", "metadata": meta, "rules": list(rules), **more}


def binding(to: str, namespace: str = "", kind: str = "ClusterRole", tenants: str | None = None) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": "b"}
    if namespace:
        meta["namespace"] = namespace
    if tenants is not None:
        meta["annotations"] = {"arktos.io/tenants": tenants}
    return {
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": to},
        "subjects": [{"kind": "User", "apiGroup": RBAC, "name": "carol"}],
    }


def write(
    authorizer: Authorizer, obj: dict[str, Any], user: User = ALICE, old: dict[str, Any] | None = None, tenant: str = ""
) -> None:
    kind = registry.by_gvk(f"{RBAC}/v1", obj["kind"])
    assert kind is not None
    check(kind, obj, old, user, tenant or user.tenant, authorizer)


def refused(authorizer: Authorizer, obj: dict[str, Any], user: User = ALICE, **more: Any) -> str:
    with pytest.raises(Forbidden) as error:
        write(authorizer, obj, user, **more)
    return error.value.message


def test_roles(authorizer: Authorizer) -> None:
    write(authorizer, role(READ_PODS))
    write(authorizer, role(READ_PODS, namespace="ns"))
    write(authorizer, role())
    message = refused(authorizer, role(READ_PODS, READ_SECRETS, namespace="ns"))
    assert message == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "alice" (groups=["dev" "system:authenticated" '
        '"arktos:tenants" "arktos:tenant:acme"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    assert "clusterroles" in refused(authorizer, role(READ_SECRETS))


def test_what_is_held_in_a_namespace_can_be_granted_there(store: Any, authorizer: Authorizer) -> None:
    store.bind("acme", "b", "edit", "User:alice", namespace="ns")
    write(authorizer, role(READ_SECRETS, namespace="ns"))
    write(authorizer, binding("view", namespace="ns"))
    refused(authorizer, role(READ_SECRETS, namespace="other"))
    refused(authorizer, role(READ_SECRETS))
    refused(authorizer, binding("view"))
    refused(authorizer, binding("admin", namespace="ns"))


def test_verbs_that_lift_the_check(store: Any, authorizer: Authorizer) -> None:
    store.role("acme", "lift", {"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["escalate"]})
    store.bind("acme", "lift", "lift", "User:alice", namespace="ns")
    write(authorizer, role(READ_SECRETS, namespace="ns"))
    refused(authorizer, role(READ_SECRETS, namespace="other"))
    refused(authorizer, role(READ_SECRETS))
    store.role(
        "acme",
        "lift2",
        {"apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": ["edit"], "verbs": ["bind"]},
    )
    store.bind("acme", "lift2", "lift2", "User:alice", namespace="ns")
    write(authorizer, binding("edit", namespace="ns"))
    refused(authorizer, binding("edit", namespace="other"))
    refused(authorizer, binding("admin", namespace="ns"))
    refused(authorizer, binding("edit"))


def test_bindings_of_roles(store: Any, authorizer: Authorizer) -> None:
    store.role("acme", "pods", READ_PODS, namespace="ns")
    store.role("acme", "secrets", READ_SECRETS, namespace="ns")
    write(authorizer, binding("pods", "ns", "Role"))
    refused(authorizer, binding("secrets", "ns", "Role"))
    with pytest.raises(NotFound, match=r'roles.rbac.authorization.k8s.io "none" not found'):
        write(authorizer, binding("none", "ns", "Role"))
    with pytest.raises(NotFound):
        write(authorizer, binding("pods", "other", "Role"))


def test_aggregation_takes_all_rights(store: Any, authorizer: Authorizer) -> None:
    aggregating = role(aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]})
    assert "aggregationRule" in refused(authorizer, aggregating)
    write(authorizer, aggregating, member("admin", "acme"))


def test_an_update_is_measured_whole_unless_it_changes_nothing(authorizer: Authorizer) -> None:
    old = role(READ_SECRETS)
    new = role(READ_SECRETS)
    new["metadata"] |= {"finalizers": ["x"], "ownerReferences": [{"uid": "u"}], "resourceVersion": "2"}
    write(authorizer, new, old=old)
    refused(authorizer, role(READ_SECRETS, labels={"a": "b"}), old=old)
    write(authorizer, role(READ_PODS), old=old)


def test_masters_and_other_kinds_pass(authorizer: Authorizer) -> None:
    write(authorizer, role(READ_SECRETS), member("root", "system", "system:masters"), tenant="acme")
    pods = registry.by_resource("pods")
    check(pods, {"metadata": {"name": "p"}}, None, ALICE, "acme", authorizer)


def test_what_cannot_be_read_is_refused(authorizer: Authorizer) -> None:
    with pytest.raises(BadRequest):
        write(authorizer, role("everything"))  # type: ignore[arg-type]


def test_the_annotation_is_refused_in_a_tenant(authorizer: Authorizer) -> None:
    admin = member("admin", "acme")
    for tenants in ("*", "globex", "acme", ""):
        assert "arktos.io/tenants" in refused(authorizer, binding("view", tenants=tenants), admin)
    write(authorizer, binding("view"), admin)


def test_reaching_into_tenants_takes_rights_there(store: Any, authorizer: Authorizer) -> None:
    store.role("system", "pods", READ_PODS)
    write(authorizer, binding("pods"), OPERATOR)
    for tenants in ("*", "acme", "system,acme"):
        refused(authorizer, binding("pods", tenants=tenants), OPERATOR)
    store.bind("system", "reach", "pods", "User:operator", tenants="acme")
    write(authorizer, binding("pods", tenants="acme"), OPERATOR)
    refused(authorizer, binding("pods", tenants="acme,globex"), OPERATOR)
    refused(authorizer, binding("pods", tenants="*"), OPERATOR)
    store.bind("system", "reach", "pods", "User:operator", tenants="*")
    write(authorizer, binding("pods", tenants="*"), OPERATOR)


def test_the_verb_bind_lifts_the_check_where_it_is_held(store: Any, authorizer: Authorizer) -> None:
    store.role("system", "lift", {"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["bind", "escalate"]})
    store.bind("system", "lift", "lift", "User:operator")
    write(authorizer, binding("cluster-admin"), OPERATOR)
    refused(authorizer, binding("cluster-admin", tenants="acme"), OPERATOR)
    store.bind("system", "lift", "lift", "User:operator", tenants="acme")
    write(authorizer, binding("cluster-admin", tenants="acme"), OPERATOR)


def test_roles_that_reach_into_tenants_cannot_be_widened(store: Any, authorizer: Authorizer) -> None:
    selector = {"clusterRoleSelectors": [{"matchLabels": {"into": "shared"}}]}
    store.role("system", "direct")
    store.role("system", "shared", aggregationRule=selector)
    store.bind("system", "d", "direct", "User:operator", tenants="*")
    store.bind("system", "s", "shared", "User:operator", tenants="acme")
    store.bind("system", "m", "missing", "User:operator", tenants="acme")
    write(authorizer, role(READ_PODS), OPERATOR)
    for name in ("direct", "missing"):
        refused(authorizer, role(READ_PODS, name=name), OPERATOR)
    refused(authorizer, role(READ_PODS, labels={"into": "shared"}), OPERATOR)
    refused(authorizer, role(MANAGE_ROLES, name="system:kube-scheduler"), OPERATOR)


def test_controllers_of_all_tenants_cannot_escalate(authorizer: Authorizer) -> None:
    user = member("system:kube-controller-manager", "system")
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    for tenant in ("acme", "system"):
        refused(authorizer, role(everything), user, tenant=tenant)
        refused(authorizer, role(everything, namespace="ns"), user, tenant=tenant)
        for namespace in ("", "ns"):
            refused(authorizer, binding("cluster-admin", namespace), user, tenant=tenant)


def test_a_sum_may_be_written_down_and_nothing_else(store: Any, authorizer: Authorizer) -> None:
    """What an aggregated role has by its rule gives nobody anything; what it has not does."""
    user = member("system:kube-controller-manager", "system")
    store.role("acme", "part", READ_SECRETS, labels={"part": "yes"})
    rule = {"clusterRoleSelectors": [{"matchLabels": {"part": "yes"}}]}
    old = role(name="sum", aggregationRule=rule)
    store.role("acme", "sum", aggregationRule=rule)
    write(authorizer, role(READ_SECRETS, name="sum", aggregationRule=rule), user, old=old, tenant="acme")
    refused(
        authorizer, role(READ_SECRETS, MANAGE_ROLES, name="sum", aggregationRule=rule), user, old=old, tenant="acme"
    )
    wider = {"clusterRoleSelectors": [{"matchLabels": {}}]}
    refused(authorizer, role(READ_SECRETS, name="sum", aggregationRule=wider), user, old=old, tenant="acme")


_verbs = st.lists(st.sampled_from(["get", "create", "bind", "escalate", "*"]), min_size=1, max_size=2)
_resources = st.lists(
    st.sampled_from(["pods", "secrets", "clusterroles", "clusterrolebindings", "*"]), min_size=1, max_size=2
)
_rules = st.builds(
    lambda verbs, groups, resources: {"verbs": verbs, "apiGroups": groups, "resources": resources},
    _verbs,
    st.lists(st.sampled_from(["", RBAC, "*"]), min_size=1, max_size=2),
    _resources,
)
_labels = st.dictionaries(st.just("into"), st.just("shared"), max_size=1)
_tenants = st.sampled_from([None, "*", "acme", "acme,globex"])
_writes = st.one_of(
    st.tuples(st.just("role"), st.sampled_from(["a", "b", "shared", "mine"]), st.lists(_rules, max_size=2), _labels),
    st.tuples(st.just("binding"), st.sampled_from(["a", "b", "shared", "mine", "view", "cluster-admin"]), _tenants),
)
_asked = [
    (verb, group, resource, tenant)
    for verb in ("get", "create", "delete")
    for group, resource in (("", "pods"), ("", "secrets"), ("", "nodes"), (RBAC, "clusterroles"))
    for tenant in ("system", "acme", "globex", "all")
]


@settings(max_examples=80, deadline=None)
@given(
    start=st.lists(_rules.filter(lambda r: not {"bind", "escalate", "*"} & set(r["verbs"])), max_size=3),
    reach=_tenants,
    selects=st.booleans(),
    writes=st.lists(_writes, max_size=6),
)
def test_nobody_gains_by_writing_roles(
    new_store: Callable[[], Any], start: list[Any], reach: str | None, selects: bool, writes: list[Any]
) -> None:
    """Whatever a user of `system` without `bind` and `escalate` writes, it ends with the rights it had."""
    store = new_store().tenant("acme", "globex")
    selector = {"clusterRoleSelectors": [{"matchLabels": {"into": "shared"}}]}
    store.role("system", "mine", *start)
    store.role("system", "shared", **({"aggregationRule": selector} if selects else {}))
    store.bind("system", "mine", "mine", "User:operator")
    store.bind("system", "reach", "mine", "User:operator", tenants=reach)
    store.bind("system", "shared", "shared", "User:operator", tenants=reach)
    authorizer = Authorizer(store)

    def rights() -> list[bool]:
        return [
            authorizer.authorize(Attributes(OPERATOR, verb, tenant, group, resource)).allowed
            for verb, group, resource, tenant in _asked
        ]

    before = rights()
    for number, (what, name, *rest) in enumerate(writes):
        if what == "role":
            rules, labels = rest
            obj = role(*rules, name=name, labels=labels)
        else:
            obj = binding(name, tenants=rest[0])
            obj["subjects"][0]["name"] = "operator"
            obj["metadata"]["name"] = f"b{number}"
        try:
            write(authorizer, obj, OPERATOR)
        except (Forbidden, NotFound):
            continue
        store.put(f"cluster{'roles' if what == 'role' else 'rolebindings'}.{RBAC}", "system", "", obj)
    gained = [asked for asked, had, has in zip(_asked, before, rights(), strict=True) if has and not had]
    assert gained == []
