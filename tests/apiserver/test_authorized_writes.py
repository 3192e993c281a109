"""Rights around writes, other identities, and what is answered without any."""

from __future__ import annotations

from typing import Any

import pytest

RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
CMS = "/api/v1/namespaces/default/configmaps"


async def _grant(api: Any, name: str, verbs: list[str], resources: list[str], groups: tuple[str, ...] = ("",)) -> Any:
    """A user of acme with these rights in its namespace default."""
    rules = [{"apiGroups": list(groups), "resources": resources, "verbs": verbs}]
    (await api.post(f"/tenants/acme{RBAC}/roles", {"metadata": {"name": name}, "rules": rules})).ok(201)
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": name},
        "subjects": [{"kind": "User", "name": name, "apiGroup": group}],
        "roleRef": {"kind": "Role", "name": name, "apiGroup": group},
    }
    (await api.post(f"/tenants/acme{RBAC}/rolebindings", binding)).ok(201)
    return api.admin_of("acme", name)


async def test_creating_by_put_or_apply_takes_the_right_to_create(api: Any) -> None:
    await api.tenant("acme")
    bob = await _grant(api, "bob", ["update", "patch", "get"], ["configmaps", "endpoints"])
    endpoints = "/api/v1/namespaces/default/endpoints/e"
    (await api.apply(f"{CMS}/a", api.config_map("a"), user=bob)).refused(403, "cannot create resource")
    (await api.put(endpoints, {"metadata": {"name": "e"}}, user=bob)).refused(403, "cannot create resource")
    (await api.post(f"/tenants/acme{CMS}", api.config_map("a"))).ok(201)
    (await api.apply(f"{CMS}/a", api.config_map("a", k="v"), user=bob)).ok()
    (await api.put(f"{CMS}/b", api.config_map("b"), user=bob)).refused(404)
    amy = await _grant(api, "amy", ["create", "patch", "update"], ["configmaps", "endpoints"])
    (await api.apply(f"{CMS}/c", api.config_map("c"), user=amy)).ok(201)
    (await api.put(endpoints, {"metadata": {"name": "e"}}, user=amy)).ok(201)


async def test_a_role_of_a_namespace_ends_there(api: Any) -> None:
    await api.tenant("acme")
    bob = await _grant(api, "bob", ["*"], ["*"], ("*",))
    (await api.get(CMS, user=bob)).ok()
    (await api.get("/api/v1/configmaps", user=bob)).refused(403)
    (await api.get("/api/v1/persistentvolumes", user=bob)).refused(403)
    for path in ("/api/v1/namespaces/default/persistentvolumes", "/api/v1/namespaces/default/nodes"):
        assert (await api.get(path, user=bob)).code in (403, 404)
    bindings = f"{RBAC}/clusterrolebindings"
    subject = {"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}
    ref = {"kind": "ClusterRole", "name": "admin", "apiGroup": "rbac.authorization.k8s.io"}
    body = {"metadata": {"name": "mine"}, "subjects": [subject], "roleRef": ref}
    assert (await api.post(bindings, body, user=bob)).code in (403, 404)


async def test_nobody_gives_more_than_he_has(api: Any) -> None:
    await api.tenant("acme")
    verbs = ["create", "update", "patch", "get"]
    bob = await _grant(api, "bob", verbs, ["roles", "rolebindings"], ("rbac.authorization.k8s.io",))
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    more = {"metadata": {"name": "bob"}, "rules": rules}
    revision = api.store.revision
    (await api.post(f"{RBAC}/roles", {**more, "metadata": {"name": "x"}}, user=bob)).refused(403)
    (await api.put(f"{RBAC}/roles/bob", more, user=bob)).refused(403)
    (await api.patch(f"{RBAC}/roles/bob", {"rules": rules}, user=bob)).refused(403)
    (await api.apply(f"{RBAC}/roles/bob", more, user=bob, force="true")).refused(403)
    assert api.store.revision == revision


async def test_the_reason_of_a_refusal(api: Any) -> None:
    await api.tenant("acme")
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": "broken"},
        "subjects": [{"kind": "User", "name": "eve", "apiGroup": group}],
        "roleRef": {"kind": "Role", "name": "gone", "apiGroup": group},
    }
    (await api.post(f"/tenants/acme{RBAC}/rolebindings", binding)).ok(201)
    status = (await api.get(CMS, user=api.admin_of("acme", "eve"))).refused(403, 'cannot list resource "configmaps"')
    assert 'RBAC: role.rbac.authorization.k8s.io "gone" not found' in status["message"]
    assert status["details"] == {"kind": "configmaps"}


async def test_impersonation(api: Any) -> None:
    me = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

    async def who(**heads: str) -> Any:
        named = {f"impersonate-{name}": value for name, value in heads.items()}
        return (await api.post(me, {}, headers=named)).ok(201)["status"]["userInfo"]

    info = await who(user="jane", group="dev, ops", uid="7")
    assert info["username"] == "jane" and info["uid"] == "7" and {"dev", "ops"} <= set(info["groups"])
    account = await who(user="system:serviceaccount:default:builder")
    assert "system:serviceaccounts:default" in account["groups"]
    (await api.get(CMS, headers={"impersonate-user": "jane"})).refused(403, 'User "jane"')
    for part in ("group", "uid", "extra-scope"):
        (await api.get(CMS, headers={f"impersonate-{part}": "x"})).refused(400, "without a user")
    (await api.get(CMS, headers={"impersonate-nothing": "x", "x-impersonate-user": "x"})).ok()
    (await api.get(CMS, headers={"impersonate-user": "jane", "impersonate-extra-scope": "x"})).refused(403)


async def test_a_tenant_impersonates_nobody_of_system(api: Any) -> None:
    await api.tenant("acme")
    acme = api.admin_of("acme")
    heads = {"impersonate-user": "admin", "impersonate-group": "system:masters"}
    me = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, user=acme, headers=heads)
    assert "system:masters" not in me.ok(201)["status"]["userInfo"]["groups"]
    (await api.get(f"/tenants/system{CMS}", user=acme, headers=heads)).refused(403)


async def test_any_write_renews_what_expires(api: Any) -> None:
    member = "/api/v1/controllerinstances/ci-1"
    body = {"metadata": {"name": "ci-1"}, "controllerType": "ReplicaSet", "controllerKey": 5, "workloadNum": 1}
    made = (await api.post("/api/v1/controllerinstances", body)).ok(201)
    again = (await api.put(member, made)).ok()
    assert int(again["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/livez", "/readyz", "/version", "/healthz/", "/version/", "/livez/ping", "/tenants/acme/version"],
)
async def test_what_anybody_may_read(api: Any, path: str) -> None:
    assert (await api.get(path, user=None)).code == 200
    (await api.post(path, {}, user=None)).refused(405)


@pytest.mark.parametrize("path", ["/metrics", "/api", "/apis", "/openapi/v2", "/", "/healthzz", "/nosuch", "/livezz/x"])
async def test_what_not_everybody_may_read(api: Any, path: str) -> None:
    (await api.get(path, user=None)).refused(401)


async def test_documents(api: Any) -> None:
    assert b"apiserver_request_total" in (await api.get("/metrics")).body
    for path in ("/api", "/apis", "/api/v1", "/apis/apps/v1", "/apis/apps", "/openapi/v3", "/openid/v1/jwks", "/"):
        plain = await api.get(path)
        assert plain.code == 200, path
        assert (await api.get(path.rstrip("/") + "/")).body == plain.body
        assert (await api.get("/tenants/acme" + path, user=api.admin_of("acme"))).code in (200, 403)
    (await api.get("/nosuch")).refused(404)
    (await api.get("/livez/nosuch")).refused(404)
    assert b"[+]ping ok" in (await api.get("/readyz?verbose")).body


async def test_metrics_have_no_labels_of_strangers(api: Any) -> None:
    """Paths that name nothing make no time series."""
    for path in ("/apis/evil/v1/things", "/api/v1/namespaces/default/pods/p/evil", "/evil"):
        reply_mark: list[Any] = []
        observe = api.dispatcher.handle

        def handle(request: Any, seen: list[Any] = reply_mark, inner: Any = observe) -> Any:
            seen.append(request)
            return inner(request)

        api.dispatcher.handle = handle
        (await api.get(path)).refused(404)
        api.dispatcher.handle = observe
        assert reply_mark[0].mark == ()
