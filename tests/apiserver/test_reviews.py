"""Reviews: questions about users and rights, asked in a tenant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arktos.apiserver.authn import Authenticator
from arktos.apiserver.authz import Authorizer
from arktos.apiserver.identity import User
from arktos.apiserver.membership import authenticated
from arktos.apiserver.reviews import review
from arktos.model import registry
from arktos.model.status import BadRequest, Invalid

ADMIN = User("admin", "acme", authenticated("acme", ["dev"]), "u1", {"k": ("v",)})
MASTER = User("root", "system", authenticated("system", ["system:masters"]))
GROUPS = {
    "SelfSubjectReview": "authentication.k8s.io/v1",
    "TokenReview": "authentication.k8s.io/v1",
    "SelfSubjectAccessReview": "authorization.k8s.io/v1",
    "SelfSubjectRulesReview": "authorization.k8s.io/v1",
    "SubjectAccessReview": "authorization.k8s.io/v1",
    "LocalSubjectAccessReview": "authorization.k8s.io/v1",
}


class Asker:
    def __init__(self, store: Any, tokens: Path) -> None:
        tokens.write_text("acme-token,carol,1,dev,acme\nsystem-token,root,2,system:masters\n")
        self.authenticator = Authenticator(token_file=tokens, store=store)
        self.authorizer = Authorizer(store)

    def __call__(
        self, kind: str, user: User = ADMIN, tenant: str = "acme", namespace: str = "", **spec: Any
    ) -> dict[str, Any]:
        row = registry.by_gvk(GROUPS[kind], kind)
        assert row is not None
        obj = {"kind": kind, "apiVersion": GROUPS[kind], "metadata": {}, "spec": spec, "status": {"allowed": True}}
        answer = review(row, obj, user, tenant, namespace, self.authenticator, self.authorizer)
        assert (answer["kind"], answer["apiVersion"], answer["spec"]) == (kind, GROUPS[kind], spec)
        status: dict[str, Any] = answer["status"]
        return status


@pytest.fixture
def store(new_store: Any) -> Any:
    return new_store().tenant("acme", "globex")


@pytest.fixture
def ask(store: Any, tmp_path: Path) -> Asker:
    return Asker(store, tmp_path / "tokens.csv")


def pods(verb: str = "get", namespace: str = "ns", **more: str) -> dict[str, str]:
    return {"verb": verb, "resource": "pods", "namespace": namespace, **more}


def test_who_am_i(ask: Asker) -> None:
    assert ask("SelfSubjectReview")["userInfo"] == {
        "username": "admin",
        "uid": "u1",
        "groups": ["dev", "system:authenticated", "arktos:tenants", "arktos:tenant:acme"],
        "extra": {"k": ["v"], "arktos.io/tenant": ["acme"]},
    }


def test_may_i(ask: Asker) -> None:
    allowed = ask("SelfSubjectAccessReview", resourceAttributes=pods())
    assert allowed["allowed"] is True
    assert 'ClusterRoleBinding "admin-role-binding"' in allowed["reason"]
    assert ask("SelfSubjectAccessReview", resourceAttributes={"verb": "get", "resource": "nodes"}) == {"allowed": False}
    assert ask("SelfSubjectAccessReview", tenant="globex", resourceAttributes=pods()) == {"allowed": False}
    path = {"verb": "get", "path": "/api"}
    assert ask("SelfSubjectAccessReview", nonResourceAttributes=path)["allowed"]
    assert not ask("SelfSubjectAccessReview", nonResourceAttributes=path | {"path": "/metrics"})["allowed"]
    tenants = {"verb": "get", "resource": "tenants", "name": "acme"}
    assert ask("SelfSubjectAccessReview", resourceAttributes=tenants)["allowed"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.resourceAttributes"),
        ({"resourceAttributes": {}, "nonResourceAttributes": {}}, "spec.nonResourceAttributes"),
    ],
)
def test_what_is_not_a_question(ask: Asker, spec: dict[str, Any], field: str) -> None:
    for kind in ("SelfSubjectAccessReview", "SubjectAccessReview"):
        with pytest.raises(Invalid) as error:
            ask(kind, **spec)
        assert error.value.causes[0].field == field
    with pytest.raises(BadRequest):
        ask("SelfSubjectAccessReview", resourceAttributes="pods")


def test_may_they(ask: Asker, store: Any) -> None:
    store.bind("acme", "b", "view", "User:bob", "Group:ops", "Group:system:masters", namespace="ns")

    def asked(spec: dict[str, Any], tenant: str = "acme", asker: User = ADMIN) -> bool:
        row = registry.by_gvk(GROUPS["SubjectAccessReview"], "SubjectAccessReview")
        assert row is not None
        obj = {"spec": {"resourceAttributes": pods(), **spec}}
        status = review(row, obj, asker, tenant, "", ask.authenticator, ask.authorizer)["status"]
        return bool(status["allowed"])

    assert asked({"user": "bob"})
    assert asked({"groups": ["ops"]})
    assert not asked({"user": "carol"})
    assert not asked({"groups": ["system:masters"]}), "no user of a tenant can be in it"
    assert not asked({"user": "bob"}, "globex", MASTER)
    assert asked({"user": "admin"}, "globex", MASTER)
    assert asked({"groups": ["system:masters"]}, "system", MASTER)
    assert not asked({"user": "admin"}, "system", MASTER)
    with pytest.raises(Invalid, match="at least one of user or group"):
        asked({})


def local(ask: Asker, spec: dict[str, Any], namespace: str) -> dict[str, Any]:
    row = registry.by_gvk(GROUPS["LocalSubjectAccessReview"], "LocalSubjectAccessReview")
    assert row is not None
    answer = review(row, {"spec": spec}, ADMIN, "acme", namespace, ask.authenticator, ask.authorizer)
    status: dict[str, Any] = answer["status"]
    return status


def test_may_they_here(ask: Asker) -> None:
    assert local(ask, {"user": "admin", "resourceAttributes": pods()}, "ns")["allowed"]
    with pytest.raises(Invalid, match="must match metadata"):
        local(ask, {"user": "admin", "resourceAttributes": pods(namespace="other")}, "ns")
    with pytest.raises(Invalid, match="disallowed"):
        local(ask, {"user": "admin", "nonResourceAttributes": {"path": "/", "verb": "get"}}, "ns")


def test_what_may_i(ask: Asker) -> None:
    row = registry.by_gvk(GROUPS["SelfSubjectRulesReview"], "SelfSubjectRulesReview")
    assert row is not None
    answer = review(row, {"spec": {"namespace": "ns"}}, ADMIN, "acme", "", ask.authenticator, ask.authorizer)
    status = answer["status"]
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in status["resourceRules"]
    assert {"verbs": ["*"], "nonResourceURLs": ["*"]} in status["nonResourceRules"]
    assert status["incomplete"] is False
    with pytest.raises(BadRequest, match="no namespace"):
        ask("SelfSubjectRulesReview")


def test_whose_token(ask: Asker) -> None:
    status = ask("TokenReview", token="acme-token")
    assert status["authenticated"] is True
    assert (status["user"]["username"], status["user"]["extra"]["arktos.io/tenant"]) == ("carol", ["acme"])
    refused = ask("TokenReview", token="nonsense")
    assert refused == {"user": {}, "error": "invalid bearer token"}
    assert ask("TokenReview", token="system-token") == refused
    assert ask("TokenReview", MASTER, "globex", token="acme-token") == refused
    assert ask("TokenReview", MASTER, "system", token="system-token")["authenticated"]
    with pytest.raises(BadRequest, match="token is required"):
        ask("TokenReview")
