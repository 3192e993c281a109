"""Authorization: RBAC inside a tenant, and the wall around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arktos.apiserver.authz import Attributes, Authorizer, is_cluster_scoped, refusal
from arktos.apiserver.identity import ANONYMOUS, User
from arktos.apiserver.membership import authenticated, service_account_groups

READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
EVERY_PATH = {"nonResourceURLs": ["*"], "verbs": ["*"]}


def member(name: str, tenant: str, *groups: str) -> User:
    return User(name, tenant, authenticated(tenant, groups))


def account(namespace: str, name: str, tenant: str) -> User:
    return User(f"system:serviceaccount:{namespace}:{name}", tenant, service_account_groups(tenant, namespace))


ALICE = member("alice", "acme", "dev")
BOB = member("bob", "globex", "dev")
MASTER = member("root", "system", "system:masters")
OPERATOR = member("operator", "system", "ops")
SCHEDULER = member("system:kube-scheduler", "system")
CONTROLLERS = member("system:kube-controller-manager", "system")


@pytest.fixture
def store(new_store: Any) -> Any:
    return new_store().tenant("acme", "globex")


@pytest.fixture
def authorizer(store: Any) -> Authorizer:
    return Authorizer(store)


def may(
    authorizer: Authorizer, user: User, verb: str, what: str, tenant: str = "", ns: str = "", name: str = ""
) -> bool:
    """`what` is a path, or `resource[/subresource][.group]`."""
    if what.startswith("/"):
        return authorizer.authorize(Attributes(user, verb, tenant, path=what)).allowed
    resource, _, group = what.partition(".")
    resource, _, sub = resource.partition("/")
    return authorizer.authorize(Attributes(user, verb, tenant or user.tenant, group, resource, sub, ns, name)).allowed


def test_nothing_is_allowed_by_default(authorizer: Authorizer) -> None:
    for tenant in ("acme", "globex", "system", "all", "nowhere", ""):
        for what in ("pods", "nodes", "secrets", "clusterroles.rbac.authorization.k8s.io", "/metrics"):
            assert not may(authorizer, ALICE, "get", what, tenant)


def test_role_binding_of_a_cluster_role_counts_in_its_namespace(store: Any, authorizer: Authorizer) -> None:
    store.bind("acme", "b", "view", "User:alice", namespace="ns")
    assert may(authorizer, ALICE, "list", "pods", ns="ns")
    assert not may(authorizer, ALICE, "list", "pods", ns="other")
    assert not may(authorizer, ALICE, "list", "pods")
    assert not may(authorizer, ALICE, "delete", "pods", ns="ns")
    assert not may(authorizer, ALICE, "get", "secrets", ns="ns")
    assert not may(authorizer, member("alice", "globex"), "list", "pods", "globex", "ns")


@pytest.mark.parametrize(
    ("subject", "user", "expected"),
    [
        ("User:alice", ALICE, True),
        ("User:bob", ALICE, False),
        ("Group:dev", ALICE, True),
        ("Group:ops", ALICE, False),
        ("Group:system:authenticated", ALICE, True),
        ("Group:arktos:tenants", ALICE, True),
        ("ServiceAccount:sa:ns", account("ns", "sa", "acme"), True),
        ("ServiceAccount:sa", account("ns", "sa", "acme"), True),
        ("ServiceAccount:sa:other", account("ns", "sa", "acme"), False),
        ("ServiceAccount:sa:ns", account("ns", "sa", "globex"), False),
        ("Group:system:serviceaccounts:ns", account("ns", "sa", "acme"), True),
        ("User:system:serviceaccount:ns:sa", account("ns", "sa", "acme"), True),
        ("User:", User("", "acme"), False),
        ("Robot:alice", ALICE, False),
    ],
)
def test_subjects(store: Any, authorizer: Authorizer, subject: str, user: User, expected: bool) -> None:
    store.role("acme", "r", READ_PODS, namespace="ns")
    store.bind("acme", "b", "r", subject, namespace="ns", kind="Role")
    assert may(authorizer, user, "get", "pods", "acme", "ns", "p") is expected


def test_resource_names(store: Any, authorizer: Authorizer) -> None:
    named = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a", "b"], "verbs": ["get", "list"]}
    store.role("acme", "r", named)
    store.bind("acme", "b", "r", "User:alice")
    assert not may(authorizer, ALICE, "get", "configmaps", ns="x", name="c")
    assert may(authorizer, ALICE, "get", "configmaps", ns="x", name="a")
    assert may(authorizer, ALICE, "get", "configmaps", ns="x", name="b")
    assert not may(authorizer, ALICE, "get", "configmaps", ns="x", name="c")
    assert not may(authorizer, ALICE, "list", "configmaps", ns="x")
    store.bind("acme", "b2", "view", "User:alice", namespace="x")
    assert may(authorizer, ALICE, "get", "configmaps", ns="x", name="c")
    assert not may(authorizer, ALICE, "get", "configmaps", ns="y", name="c")
    assert may(authorizer, ALICE, "get", "configmaps", ns="y", name="a")


def test_subresources(store: Any, authorizer: Authorizer) -> None:
    store.role("acme", "r", {"apiGroups": [""], "resources": ["pods/log", "*/scale"], "verbs": ["get"]})
    store.bind("acme", "b", "r", "User:alice")
    assert may(authorizer, ALICE, "get", "pods/log", ns="x", name="p")
    assert may(authorizer, ALICE, "get", "replicationcontrollers/scale", ns="x", name="p")
    assert not may(authorizer, ALICE, "get", "pods", ns="x", name="p")
    assert not may(authorizer, ALICE, "get", "pods/exec", ns="x", name="p")


def test_changes_count_at_once(store: Any, authorizer: Authorizer) -> None:
    def asked() -> bool:
        return may(authorizer, ALICE, "get", "pods", ns="ns", name="p")

    assert not asked()
    store.bind("acme", "b", "mine", "User:alice")
    assert not asked()
    store.role("acme", "mine", READ_PODS)
    assert asked()
    store.role("acme", "mine", {**READ_PODS, "verbs": ["list"]})
    assert not asked()
    store.role("acme", "mine", READ_PODS)
    assert asked()
    store.delete("clusterrolebindings.rbac.authorization.k8s.io", "acme", "", "b")
    assert not asked()
    store.bind("acme", "b", "mine", "User:alice", namespace="ns")
    assert asked()
    store.delete("rolebindings.rbac.authorization.k8s.io", "acme", "ns", "b")
    assert not asked()


def test_decisions_are_remembered(store: Any, authorizer: Authorizer) -> None:
    store.bind("acme", "b", "view", "User:alice")
    assert may(authorizer, ALICE, "get", "pods", ns="ns", name="p0")
    reads = store.reads
    first = authorizer.authorize(Attributes(ALICE, "get", "acme", "", "pods", "", "ns", "p1"))
    assert authorizer.authorize(Attributes(ALICE, "get", "acme", "", "pods", "", "ns", "p2")) is first
    store.bind("globex", "b", "view", "User:bob")
    assert authorizer.authorize(Attributes(ALICE, "get", "acme", "", "pods", "", "ns", "p3")) is first
    assert store.reads == reads


def test_what_is_remembered_is_bounded(authorizer: Authorizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arktos.apiserver.authz._MAX_DECISIONS", 10)
    for n in range(100):
        assert not may(authorizer, ALICE, "get", "pods", ns=f"ns{n}")
    assert sum(map(len, authorizer._decided.values())) <= 10


def test_reasons(store: Any, authorizer: Authorizer) -> None:
    store.bind("acme", "b", "view", "Group:dev", namespace="ns")
    store.bind("acme", "c", "ghost", "User:alice")
    decision = authorizer.authorize(Attributes(ALICE, "get", "acme", "", "pods", "", "ns"))
    assert decision.reason == 'RBAC: allowed by RoleBinding "b/ns" of ClusterRole "view" to Group "dev"'
    decision = authorizer.authorize(Attributes(ALICE, "create", "acme", "", "pods", "", "ns"))
    assert decision.reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "ghost" not found'


def test_refusals_are_worded_as_kubernetes_does() -> None:
    asked = Attributes(ALICE, "get", "acme", "apps", "deployments", "scale", "ns", "web")
    assert refusal(asked).message == (
        'deployments.apps "web" is forbidden: User "alice" cannot get resource "deployments/scale" in API group "apps" '
        'in the namespace "ns"'
    )
    assert refusal(Attributes(ALICE, "list", "acme", "", "pods")).message == (
        'pods is forbidden: User "alice" cannot list resource "pods" in API group "" at the cluster scope'
    )
    assert refusal(Attributes(ALICE, "get", "acme", path="/metrics")).message == (
        'forbidden: User "alice" cannot get path "/metrics"'
    )


def test_aggregation(store: Any, authorizer: Authorizer) -> None:
    label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    widgets = {"apiGroups": ["x.io"], "resources": ["widgets"], "verbs": ["get"]}
    store.role("acme", "widgets", widgets, labels=label)
    store.bind("acme", "b", "admin", "User:alice", namespace="ns")
    assert may(authorizer, ALICE, "get", "widgets.x.io", ns="ns")
    assert may(authorizer, ALICE, "create", "roles.rbac.authorization.k8s.io", ns="ns")
    assert not may(authorizer, BOB, "get", "widgets.x.io", ns="ns")
    store.role("acme", "widgets", widgets)
    assert not may(authorizer, ALICE, "get", "widgets.x.io", ns="ns")


def test_aggregation_in_a_circle_and_by_expressions(store: Any, authorizer: Authorizer) -> None:
    def rule(*requirements: dict[str, Any]) -> dict[str, Any]:
        return {"clusterRoleSelectors": [{"matchExpressions": list(requirements)}]}

    inn = {"key": "k", "operator": "In", "values": ["a", "b"]}
    store.role("acme", "a", EVERYTHING, labels={"k": "a"}, aggregationRule=rule(inn))
    store.role("acme", "b", labels={"k": "b"}, aggregationRule=rule({"key": "k", "operator": "Exists"}))
    store.role("acme", "leaf", READ_PODS, labels={"k": "b"})
    store.role("acme", "none", aggregationRule=rule({"key": "k", "operator": "Unheard"}))
    store.bind("acme", "x", "a", "User:alice")
    store.bind("acme", "y", "none", "User:carol")
    assert may(authorizer, ALICE, "get", "pods")
    assert not may(authorizer, ALICE, "get", "secrets"), "what stands in an aggregated role is ignored"
    assert not may(authorizer, member("carol", "acme"), "get", "pods")


def test_a_stored_role_takes_the_place_of_a_built_in_one(store: Any, authorizer: Authorizer) -> None:
    admin = member("admin", "acme")
    assert may(authorizer, admin, "delete", "secrets", ns="x")
    store.role("acme", "admin-role", READ_PODS)
    assert not may(authorizer, admin, "delete", "secrets", ns="x")
    assert may(authorizer, admin, "get", "pods", ns="x")
    assert may(authorizer, member("admin", "globex"), "delete", "secrets", ns="x")
    store.delete("clusterroles.rbac.authorization.k8s.io", "acme", "", "admin-role")
    assert may(authorizer, admin, "delete", "secrets", ns="x")


def test_unreadable_objects_grant_nothing(store: Any, authorizer: Authorizer) -> None:
    store.put(
        "clusterroles.rbac.authorization.k8s.io",
        "acme",
        "",
        {"metadata": {"name": "admin-role"}, "rules": "all of them"},
    )
    store.put(
        "rolebindings.rbac.authorization.k8s.io", "acme", "ns", {"metadata": {"name": "b"}, "subjects": [{"kind": 7}]}
    )
    assert not may(authorizer, member("admin", "acme"), "get", "pods", ns="ns")
    assert authorizer.rules_for(member("admin", "acme"), "acme", "ns").incomplete
    assert not authorizer.rules_for(member("admin", "globex"), "globex", "ns").incomplete


def test_a_tenants_admin(authorizer: Authorizer) -> None:
    admin = member("admin", "acme")
    for what in ("pods", "secrets", "clusterroles.rbac.authorization.k8s.io", "widgets.x.io", "namespaces", "/apis/x"):
        assert may(authorizer, admin, "get", what)
        for elsewhere in ("globex", "system", "all", "nowhere", "default", "*"):
            assert not may(authorizer, admin, "get", what, elsewhere)
    for what in ("nodes", "controllerinstances", "nodes/proxy", "/metrics", "/debug/pprof", "/healthz/etcd", "/logs"):
        for tenant in ("acme", "system", "all", "globex"):
            assert not may(authorizer, admin, "get", what, tenant)
            assert not may(authorizer, admin, "create", what, tenant)
    assert not may(authorizer, member("admin", "system"), "get", "pods")


def test_no_rights_in_a_tenant_that_is_no_more(store: Any, authorizer: Authorizer) -> None:
    admin = member("admin", "acme")
    assert may(authorizer, admin, "get", "pods")
    assert may(authorizer, admin, "get", "/api")
    assert may(authorizer, admin, "list", "tenants", "system")
    store.delete("tenants", "system", "", "acme")
    for what in ("pods", "/api", "tenants"):
        assert not may(authorizer, admin, "get", what)
        assert not may(authorizer, admin, "list", what, "system")
    assert not may(authorizer, member("admin", "nowhere"), "get", "pods")
    assert authorizer.rules_for(admin, "acme", "default").resource_rules == []
    store.tenant("acme")
    assert may(authorizer, admin, "get", "pods")


def test_a_missing_tenant_is_refused_as_any_other(authorizer: Authorizer) -> None:
    admin = member("admin", "acme")
    for user in (admin, OPERATOR):
        answers = {
            authorizer.authorize(Attributes(user, "get", tenant, "", "pods", "", "x", "p"))
            for tenant in ("globex", "nowhere")
        }
        assert len(answers) == 1


def test_masters_may_do_everything_everywhere(authorizer: Authorizer) -> None:
    for tenant in ("system", "acme", "all", "nowhere"):
        for what in ("pods", "nodes", "tenants", "widgets.x.io", "/metrics"):
            assert may(authorizer, MASTER, "escalate", what, tenant)
    impostor = User("alice", "acme", ("system:masters",))
    assert not may(authorizer, impostor, "get", "pods")
    assert not may(authorizer, impostor, "get", "pods", "system")


def test_a_system_users_rights_end_at_the_wall(store: Any, authorizer: Authorizer) -> None:
    store.role("system", "all", EVERYTHING, EVERY_PATH)
    store.bind("system", "b", "all", "User:operator")
    assert may(authorizer, OPERATOR, "delete", "nodes")
    assert may(authorizer, OPERATOR, "delete", "tenants")
    for tenant in ("acme", "all"):
        assert not may(authorizer, OPERATOR, "get", "pods", tenant)
        assert not may(authorizer, OPERATOR, "get", "/api", tenant)
    store.bind("acme", "b", "cluster-admin", "User:operator")
    store.bind("acme", "c", "cluster-admin", "User:operator", namespace="ns")
    assert not may(authorizer, OPERATOR, "get", "pods", "acme", "ns")


@pytest.mark.parametrize(
    ("annotation", "inside", "outside"),
    [
        ("*", ["system", "acme", "globex", "all"], []),
        ("acme", ["acme"], ["system", "globex", "all"]),
        ("acme, system", ["acme", "system"], ["globex", "all"]),
        ("acme,all", ["acme"], ["globex", "all", "system"]),
        ("", [], ["system", "acme", "all"]),
        ("ac*", [], ["system", "acme", "all"]),
    ],
)
def test_cross_tenant_bindings(
    store: Any, authorizer: Authorizer, annotation: str, inside: list[str], outside: list[str]
) -> None:
    store.role("system", "pods", READ_PODS)
    store.bind("system", "b", "pods", "Group:ops", tenants=annotation)
    for tenant in inside:
        assert may(authorizer, OPERATOR, "get", "pods", tenant, "ns")
        assert not may(authorizer, OPERATOR, "create", "pods", tenant, "ns")
        assert may(authorizer, OPERATOR, "get", "/apis/apps", tenant)
    for tenant in outside:
        assert not may(authorizer, OPERATOR, "get", "pods", tenant, "ns")
    assert not may(authorizer, ALICE, "get", "pods", "acme", "ns")


def test_the_annotation_means_nothing_in_other_tenants(store: Any, authorizer: Authorizer) -> None:
    store.bind("acme", "b", "cluster-admin", "User:alice", tenants="*")
    assert may(authorizer, ALICE, "get", "pods")
    for tenant in ("globex", "system", "all"):
        assert not may(authorizer, ALICE, "get", "pods", tenant)


def test_components_serve_all_tenants(authorizer: Authorizer) -> None:
    for tenant in ("system", "acme", "all"):
        assert may(authorizer, SCHEDULER, "list", "pods", tenant)
        assert may(authorizer, CONTROLLERS, "watch", "widgets.x.io", tenant)
        assert may(authorizer, member("system:node:n1", "system", "system:nodes"), "list", "pods", tenant)
    assert may(authorizer, SCHEDULER, "create", "pods/binding", "acme", "ns", "p")
    assert may(authorizer, SCHEDULER, "list", "nodes")
    assert not may(authorizer, SCHEDULER, "get", "secrets", "acme")
    assert may(authorizer, CONTROLLERS, "update", "tenants/finalize", name="acme")
    assert may(authorizer, CONTROLLERS, "create", "namespaces", "acme")
    assert not may(authorizer, CONTROLLERS, "escalate", "clusterroles.rbac.authorization.k8s.io", "acme")
    assert not may(authorizer, CONTROLLERS, "bind", "clusterroles.rbac.authorization.k8s.io", "acme")
    assert not may(authorizer, member("system:kube-scheduler", "acme"), "list", "pods", "acme")


def test_own_tenant_object(store: Any, authorizer: Authorizer) -> None:
    for tenant in ("acme", "system"):
        assert may(authorizer, ALICE, "get", "tenants", tenant, name="acme")
        for verb in ("list", "watch"):
            decision = authorizer.authorize(Attributes(ALICE, verb, tenant, "", "tenants"))
            assert (decision.allowed, decision.only_own) == (True, True)
        for name in ("globex", "nowhere", "system", ""):
            assert not may(authorizer, ALICE, "get", "tenants", tenant, name=name)
        assert not may(authorizer, ALICE, "watch", "tenants", tenant, name="globex")
    for verb in ("update", "patch", "delete", "create", "deletecollection"):
        assert not may(authorizer, ALICE, verb, "tenants", name="acme")
    assert not may(authorizer, ALICE, "list", "tenants", "globex")
    assert not may(authorizer, ALICE, "list", "tenants", "all")
    assert not may(authorizer, ALICE, "get", "tenants/status", name="acme")
    store.role("system", "t", {"apiGroups": [""], "resources": ["tenants"], "verbs": ["*"]})
    store.bind("system", "b", "t", "Group:arktos:tenant:acme")
    assert may(authorizer, ALICE, "update", "tenants", name="acme")
    assert not may(authorizer, ALICE, "update", "tenants", name="globex")
    assert not may(authorizer, ALICE, "get", "tenants", name="globex")
    assert authorizer.authorize(Attributes(ALICE, "list", "acme", "", "tenants")).only_own
    assert not may(authorizer, BOB, "update", "tenants", name="globex")


def test_outside_of_tenants_only_being_of_one_counts(store: Any, authorizer: Authorizer) -> None:
    store.role("system", "nodes", {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]})
    store.role("system", "metrics", {"nonResourceURLs": ["/metrics"], "verbs": ["get"]})
    store.bind("system", "a", "nodes", "User:alice", "Group:dev", "Group:system:authenticated", tenants="*")
    store.bind("system", "b", "nodes", "Group:arktos:tenant:globex")
    store.bind("system", "c", "metrics", "Group:arktos:tenants")
    assert not may(authorizer, ALICE, "list", "nodes")
    assert may(authorizer, BOB, "list", "nodes")
    assert may(authorizer, BOB, "list", "nodes", "system")
    assert not may(authorizer, BOB, "list", "nodes", "acme")
    assert not may(authorizer, BOB, "list", "nodes", "all")
    assert may(authorizer, ALICE, "get", "/metrics")
    liar = User("alice", "acme", ("arktos:tenant:globex",))
    assert not may(authorizer, liar, "list", "nodes")


def test_paths(authorizer: Authorizer) -> None:
    for path in ("/api", "/apis", "/apis/apps/v1", "/openapi/v3", "/version", "/healthz", "/readyz", "/openid/v1/jwks"):
        assert may(authorizer, ALICE, "get", path)
        assert may(authorizer, OPERATOR, "get", path)
        assert not may(authorizer, ALICE, "post", path)
        assert not may(authorizer, ALICE, "get", path, "globex")
    for path in ("/metrics", "/", "/apisx", "/healthz/x", "", "/api\n"):
        assert not may(authorizer, ALICE, "get", path)


def test_anonymous(store: Any, authorizer: Authorizer) -> None:
    assert may(authorizer, ANONYMOUS, "get", "/healthz")
    assert may(authorizer, ANONYMOUS, "get", "/version")
    assert not may(authorizer, ANONYMOUS, "get", "/api")
    for tenant in ("", "acme", "system", "all"):
        assert not authorizer.authorize(Attributes(ANONYMOUS, "get", tenant, "", "pods", "", "ns", "p")).allowed
    store.role("acme", "r", READ_PODS)
    store.bind("acme", "b", "r", "User:system:anonymous", "Group:system:unauthenticated")
    assert not authorizer.authorize(Attributes(ANONYMOUS, "get", "acme", "", "pods", "", "ns", "p")).allowed


def test_modes(store: Any) -> None:
    everything = Authorizer(store, "AlwaysAllow")
    assert may(everything, ALICE, "delete", "pods")
    assert may(everything, OPERATOR, "delete", "pods", "acme")
    assert not may(everything, ALICE, "delete", "pods", "globex")
    assert not may(everything, ALICE, "delete", "nodes")
    assert not may(everything, ALICE, "get", "tenants", name="globex")
    assert not may(everything, ALICE, "get", "/metrics")
    nothing = Authorizer(store, "AlwaysDeny")
    assert not may(nothing, member("admin", "acme"), "get", "pods")
    assert may(nothing, MASTER, "get", "pods")
    assert may(Authorizer(store, "Node,RBAC"), member("admin", "acme"), "get", "pods")
    for mode in ("", "ABAC", "RBAC,Webhook"):
        with pytest.raises(ValueError, match="modes"):
            Authorizer(store, mode)


def test_rules_for(store: Any, authorizer: Authorizer) -> None:
    store.bind("acme", "b", "cluster-admin", "User:alice", namespace="ns")
    found = authorizer.rules_for(ALICE, "acme", "ns")
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in found.resource_rules
    own = {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["tenants"], "resourceNames": ["acme"]}
    assert own in found.resource_rules
    assert any("/api/*" in rule["nonResourceURLs"] for rule in found.non_resource_rules)
    other = authorizer.rules_for(ALICE, "acme", "other").resource_rules
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} not in other
    assert authorizer.rules_for(ALICE, "globex", "ns") == ([], [], False)


def test_close_ends_subscriptions(store: Any, authorizer: Authorizer) -> None:
    assert len(store.subscriptions) == 5
    authorizer.close()
    assert store.subscriptions == []


def test_cluster_scoped_kinds_are_those_of_the_registry() -> None:
    assert is_cluster_scoped("", "nodes")
    assert is_cluster_scoped("", "tenants")
    assert not is_cluster_scoped("", "namespaces")
    assert not is_cluster_scoped("rbac.authorization.k8s.io", "clusterroles")
    assert not is_cluster_scoped("x.io", "nodes")


_words = {
    "verbs": ["get", "list", "create", "escalate", "bind", "impersonate", "*"],
    "apiGroups": ["", "apps", "*"],
    "resources": ["pods", "nodes", "tenants", "deployments", "*", "*/status", "secrets"],
}
_rules = st.one_of(
    st.fixed_dictionaries({k: st.lists(st.sampled_from(v), min_size=1, max_size=3) for k, v in _words.items()}),
    st.fixed_dictionaries(
        {"verbs": st.just(["*"]), "nonResourceURLs": st.lists(st.sampled_from(["*", "/metrics", "/api/*"]), min_size=1)}
    ),
)
_subjects = st.sampled_from(
    [
        *("User:alice", "User:root", "User:system:kube-controller-manager", "ServiceAccount:sa:ns"),
        *("Group:system:masters", "Group:dev", "Group:system:authenticated"),
        *("Group:arktos:tenants", "Group:arktos:tenant:globex"),
    ]
)
_users = st.builds(
    lambda name, groups: User(name, "acme", authenticated("acme", groups)),
    st.sampled_from(["alice", "admin", "root", "system:serviceaccount:ns:sa", "system:kube-controller-manager"]),
    st.lists(st.sampled_from(["dev", "system:masters", "arktos:tenant:globex", "system:nodes"])),
)
_labels = st.dictionaries(st.just("rbac.authorization.k8s.io/aggregate-to-view"), st.just("true"), max_size=1)


@settings(max_examples=60, deadline=None)
@given(
    roles=st.lists(
        st.tuples(st.sampled_from(["r", "view", "cluster-admin", "admin-role"]), _rules, _labels), max_size=3
    ),
    bindings=st.lists(
        st.tuples(
            st.sampled_from(["b", "c", "cluster-admin", "system:kube-controller-manager"]),
            st.sampled_from(["r", "view", "cluster-admin", "system:kube-controller-manager"]),
            _subjects,
            st.sampled_from(["", "ns"]),
            st.sampled_from([None, "*", "globex", "system"]),
        ),
        max_size=4,
    ),
    user=_users,
)
def test_no_role_of_a_tenant_reaches_out_of_it(
    new_store: Callable[[], Any], roles: list[Any], bindings: list[Any], user: User
) -> None:
    store = new_store().tenant("acme", "globex")
    for name, rule, labels in roles:
        store.role("acme", name, rule, labels=labels)
        store.role("acme", name, rule, namespace="ns", labels=labels)
    for name, role, subject, namespace, tenants in bindings:
        store.bind("acme", name, role, subject, namespace=namespace, tenants=tenants)
    authorizer = Authorizer(store)
    for verb in ("get", "list", "create", "escalate"):
        for tenant in ("globex", "system", "all", "nowhere", "*"):
            for what in ("pods", "secrets", "deployments.apps", "nodes", "/api/x", "/metrics"):
                assert not may(authorizer, user, verb, what, tenant, "ns", "x")
            assert not may(authorizer, user, verb, "tenants", tenant, name="globex")
            assert authorizer.rules(user, tenant, "ns") == ()
        for what in ("nodes", "controllerinstances", "nodes/status", "/metrics"):
            assert not may(authorizer, user, verb, what, "acme", name="x")
