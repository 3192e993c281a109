"""The wall between tenants, tried at every door."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

SECRETS = "/api/v1/namespaces/default/secrets"


@pytest.fixture
async def two(api: Any) -> Any:
    """Tenants acme and globex, with the same names in both."""
    await api.tenant("acme", "globex")
    for tenant in ("acme", "globex", "system"):
        root = f"/tenants/{tenant}{SECRETS}"
        secret = {"metadata": {"name": "s", "labels": {"of": tenant}}, "stringData": {"k": tenant}}
        (await api.post(root, secret)).ok(201)
        (await api.post(f"/tenants/{tenant}/api/v1/namespaces/default/pods", api.pod("p"))).ok(201)
    return api


async def test_a_tenant_sees_its_own_through_all_forms(two: Any) -> None:
    acme = two.admin_of("acme")
    answers = [
        await two.get(path, user=acme)
        for path in (
            SECRETS,
            f"/tenants/acme{SECRETS}",
            "/api/v1/tenants/acme/namespaces/default/secrets",
            f"/tenants/acme{SECRETS}/",
            "/api/v1/secrets",
            "/api/v1/tenants/acme/secrets",
        )
    ]
    bodies = {json.dumps(a.ok()["items"]) for a in answers}
    assert len(bodies) == 1
    assert [i["metadata"]["tenant"] for i in answers[0].items] == ["acme"]


_DOORS = [
    ("GET", "/tenants/{t}/api/v1/namespaces/default/secrets"),
    ("GET", "/tenants/{t}/api/v1/namespaces/default/secrets/s"),
    ("GET", "/api/v1/tenants/{t}/namespaces/default/secrets"),
    ("GET", "/api/v1/tenants/{t}/namespaces/default/secrets/s"),
    ("GET", "/api/v1/tenants/{t}/secrets"),
    ("GET", "/api/v1/tenants/{t}/namespaces/default/secrets?watch=true"),
    ("GET", "/api/v1/watch/tenants/{t}/namespaces/default/secrets"),
    ("GET", "/tenants/{t}/api/v1/watch/secrets"),
    ("GET", "/tenants/{t}/api/v1/namespaces/default/secrets?labelSelector=of%3D{t}"),
    ("GET", "/tenants/{t}/api/v1/namespaces"),
    ("GET", "/tenants/{t}/api/v1/namespaces/default"),
    ("GET", "/tenants/{t}/api/v1/namespaces/default/pods/p/status"),
    ("GET", "/tenants/{t}/apis/rbac.authorization.k8s.io/v1/clusterroles"),
    ("GET", "/tenants/{t}/api/v1/nodes"),
    ("GET", "/tenants/{t}/api/v1/tenants"),
    ("GET", "/tenants/{t}/api/v1/tenants/{t}"),
    ("GET", "/api/v1/tenants/{t}"),
    ("GET", "/api/v1/tenants/{t}/status"),
    ("GET", "/api/v1/watch/tenants/{t}"),
    ("GET", "/tenants/{t}/api"),
    ("GET", "/tenants/{t}/version"),
    ("GET", "/tenants/{t}/nosuch"),
    ("POST", "/tenants/{t}/api/v1/namespaces/default/secrets"),
    ("POST", "/api/v1/tenants/{t}/namespaces"),
    ("PUT", "/tenants/{t}/api/v1/namespaces/default/secrets/s"),
    ("PATCH", "/tenants/{t}/api/v1/namespaces/default/secrets/s"),
    ("DELETE", "/tenants/{t}/api/v1/namespaces/default/secrets/s"),
    ("DELETE", "/tenants/{t}/api/v1/namespaces/default/secrets"),
    ("DELETE", "/api/v1/tenants/{t}"),
    ("PUT", "/api/v1/tenants/{t}"),
    ("PUT", "/api/v1/tenants/{t}/finalize"),
    ("PATCH", "/api/v1/tenants/{t}/status"),
    ("POST", "/tenants/{t}/api/v1/namespaces/default/pods/p/binding"),
    ("POST", "/tenants/{t}/api/v1/namespaces/default/pods/p/eviction"),
    ("POST", "/tenants/{t}/api/v1/namespaces/default/pods/p/action"),
    ("POST", "/tenants/{t}/api/v1/namespaces/default/serviceaccounts/default/token"),
    ("POST", "/tenants/{t}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
    ("POST", "/tenants/{t}/apis/authorization.k8s.io/v1/subjectaccessreviews"),
    ("POST", "/tenants/{t}/apis/authentication.k8s.io/v1/tokenreviews"),
]


@pytest.mark.parametrize(("method", "path"), _DOORS)
async def test_every_door_is_shut_and_looks_alike(two: Any, method: str, path: str) -> None:
    """A tenant that exists, one that doesn't, `system` and `all` are refused in the same words."""
    acme = two.admin_of("acme")
    texts = set()
    for other in ("globex", "initech", "system", "all", "default", "GLOBEX", "acm", "acmee", "%67%6cobex", "acme%20"):
        body = {"metadata": {"name": "s"}} if method in ("POST", "PUT", "PATCH") else None
        kind = two.MERGE if method == "PATCH" else two.JSON
        answer = await two(method, path.format(t=other), body, user=acme, type=kind)
        assert answer.code == 403, (other, answer.body)
        named = "globex" if other.startswith("%") else other.replace("%20", " ")
        texts.add(answer.body.decode().replace(named, "T"))
    assert len(texts) == 1, texts


@pytest.mark.parametrize("tenant", ["", "..", ".", "%2e%2e", "a%2fb", "..%2facme", "%00", "%c3%a9", "acme%00", "ACME"])
@pytest.mark.parametrize(
    "path", ["/tenants/{t}/api/v1/secrets", "/api/v1/tenants/{t}/secrets", "/api/v1/tenants/{t}/namespaces/x/secrets"]
)
async def test_odd_names_of_tenants(two: Any, tenant: str, path: str) -> None:
    for user in (two.admin_of("acme"), two.ADMIN):
        answer = await two.get(path.format(t=tenant), user=user)
        assert answer.code in (400, 403, 404) or answer.ok()["items"] == [], answer.body
        if user.tenant == "acme":
            assert answer.code in (400, 403, 404), answer.body


async def test_bodies_cannot_name_another_tenant(two: Any) -> None:
    acme = two.admin_of("acme")
    theirs = {"metadata": {"name": "x", "tenant": "globex"}}
    (await two.post(SECRETS, theirs, user=acme)).refused(400, "tenant")
    (await two.put(f"{SECRETS}/s", {"metadata": {"name": "s", "tenant": "globex"}}, user=acme)).refused(400, "tenant")
    (await two.patch(f"{SECRETS}/s", {"metadata": {"tenant": "globex"}}, user=acme)).refused(400)
    (await two.apply(f"{SECRETS}/s", {"metadata": {"name": "s", "tenant": "globex"}}, user=acme)).refused(400)
    operations = [{"op": "replace", "path": "/metadata/tenant", "value": "globex"}]
    (await two.patch(f"{SECRETS}/s", operations, two.JSON_PATCH, user=acme)).refused(400)
    assert (await two.get(f"{SECRETS}/s", user=acme)).ok()["metadata"]["tenant"] == "acme"


async def test_deletecollection_stays_inside(two: Any) -> None:
    (await two.delete(SECRETS, user=two.admin_of("acme"))).ok()
    assert (await two.get("/tenants/acme/api/v1/secrets")).items == []
    for tenant in ("globex", "system"):
        assert "s" in (await two.get(f"/tenants/{tenant}/api/v1/secrets")).names


async def test_selectors_cannot_reach_out(two: Any) -> None:
    acme = two.admin_of("acme")
    for selector in ("metadata.tenant=globex", "metadata.tenant!=acme", "metadata.tenant=acme;metadata.tenant=globex"):
        answer = await two.get("/api/v1/secrets", user=acme, fieldSelector=selector)
        assert all(i["metadata"]["tenant"] == "acme" for i in answer.ok()["items"])
    for selector, names in (
        ("metadata.name=globex;metadata.name=acme", ["acme"]),
        ("metadata.name!=acme;status.phase=Active", ["acme"]),
        ("metadata.name=acme;metadata.name!=acme,metadata.tenant=", ["acme"]),
        ("metadata.name!=acme", []),
        ("metadata.name!=x;", None),
    ):
        answer = await two.get("/api/v1/tenants", user=acme, fieldSelector=selector)
        assert answer.code == 400 if names is None else answer.names == names, selector
    (await two.get("/api/v1/tenants", user=acme, fieldSelector="metadata.name=globex")).refused(403)


async def test_a_watch_by_name_shows_that_name_only(two: Any) -> None:
    root = "/tenants/acme/api/v1/watch/namespaces/default/secrets"
    watch = await two.watch(f"{root}/no;metadata.name=s")
    (await two.post(f"/tenants/acme{SECRETS}", {"metadata": {"name": "s2"}})).ok(201)
    watch2 = await two.watch(f"{root}/s2", fieldSelector="metadata.name=s;metadata.name=s2")
    assert await watch2.take(1) == [("ADDED", "s2")]
    assert not watch.pending() and not watch2.pending()


async def test_roles_of_one_name_allow_its_list_and_watch(two: Any) -> None:
    role = {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]}
    role["rules"][0]["resourceNames"] = ["s"]
    rbac = "/tenants/acme/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    (await two.post(f"{rbac}/roles", role)).ok(201)
    subject = {"kind": "User", "name": "bob", "apiGroup": "rbac.authorization.k8s.io"}
    ref = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    (await two.post(f"{rbac}/rolebindings", {"metadata": {"name": "r"}, "subjects": [subject], "roleRef": ref})).ok(201)
    bob = two.admin_of("acme", "bob")
    assert (await two.get(SECRETS, user=bob, fieldSelector="metadata.name=s")).names == ["s"]
    for selector in ("metadata.name=t", "metadata.name!=t", "metadata.name=s;type=Opaque", "type=Opaque", ""):
        (await two.get(SECRETS, user=bob, fieldSelector=selector)).refused(403)


async def test_a_tenant_sees_its_own_tenant_only(two: Any) -> None:
    acme = two.admin_of("acme")
    assert (await two.get("/api/v1/tenants", user=acme)).names == ["acme"]
    assert (await two.get("/api/v1/tenants/acme", user=acme)).ok()["metadata"]["name"] == "acme"
    watch = await two.watch("/api/v1/tenants", user=acme)
    assert await watch.take(1) == [("ADDED", "acme")]
    await two.tenant("hooli")
    (await two.patch("/api/v1/tenants/globex", {"metadata": {"labels": {"x": "y"}}})).ok()
    (await two.patch("/api/v1/tenants/acme", {"metadata": {"labels": {"x": "y"}}})).ok()
    assert await watch.take(1) == [("MODIFIED", "acme")]
    table = (await two.get("/api/v1/tenants", user=acme, accept=two.TABLE)).ok()
    assert [row["cells"][0] for row in table["rows"]] == ["acme"]


async def test_a_tenant_may_not_write_tenants_or_nodes(two: Any) -> None:
    acme = two.admin_of("acme")
    (await two.post("/api/v1/tenants", {"metadata": {"name": "globex"}}, user=acme)).refused(403)
    (await two.post("/api/v1/tenants", {"metadata": {"name": "new"}}, user=acme)).refused(403)
    (await two.patch("/api/v1/tenants/acme", {"spec": {"frozen": True}}, user=acme)).refused(403)
    (await two.delete("/api/v1/tenants/acme", user=acme)).refused(403)
    (await two.put("/api/v1/tenants/acme/finalize", {"metadata": {"name": "acme"}}, user=acme)).refused(403)
    (await two.post("/api/v1/nodes", {"metadata": {"name": "n"}}, user=acme)).refused(403)


async def test_watches_stay_inside(two: Any) -> None:
    acme = two.admin_of("acme")
    rv = (await two.get(SECRETS, user=acme)).rv
    fresh = await two.watch("/api/v1/secrets", user=acme)
    resumed = await two.watch("/api/v1/secrets", user=acme, resourceVersion=rv)
    assert await fresh.take(1) == [("ADDED", "s")]
    for tenant in ("globex", "system", "acme"):
        (await two.post(f"/tenants/{tenant}{SECRETS}", {"metadata": {"name": f"of-{tenant}"}})).ok(201)
    for watch in (fresh, resumed):
        assert await watch.take(1) == [("ADDED", "of-acme")]
        assert not watch.pending()


def _token(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


async def test_forged_continue_tokens(two: Any) -> None:
    """Whatever a token says, a list holds its own tenant's and namespace's objects only."""
    acme = two.admin_of("acme")
    await two.namespace("other", "acme")
    (await two.post("/tenants/acme/api/v1/namespaces/other/secrets", {"metadata": {"name": "z"}})).ok(201)
    rv = int((await two.get(SECRETS, user=acme)).rv)
    codes = set()
    for revision in (rv, rv - 1, 0, 1, -1, rv + 10**6, 10**30, 1.5, "1", None, True):
        for tenant in ("", "aaaa", "acme", "globex", "system", "zzz", "\0", "\x7f\uffff", 5, None):
            for namespace in ("", "a", "default", "other", "zzz"):
                for path in (SECRETS, "/api/v1/secrets"):
                    token = _token(revision, tenant, namespace, "a")
                    for limit in ("", "1"):
                        answer = await two.get(path, user=acme, **{"continue": token, "limit": limit})
                        codes.add(answer.code)
                        assert answer.code in (200, 400, 410), answer.body
                        if answer.code == 200:
                            assert {i["metadata"]["tenant"] for i in answer.items} <= {"acme"}
                            if path == SECRETS:
                                assert {i["metadata"]["namespace"] for i in answer.items} <= {"default"}
    assert codes == {200, 400, 410}
    for token in ("x", "====", "%00", "W10", _token(), _token(1), _token(rv, "acme", "default", "a", "b"), "é"):
        (await two.get(SECRETS, user=acme, **{"continue": token})).refused(400, "continue key is not valid")


async def test_a_new_tenant_does_not_inherit_the_past_of_its_name(two: Any) -> None:
    """What a deleted tenant has left in history is not shown to another of the same name."""
    acme = two.admin_of("acme")
    before = (await two.get("/tenants/acme/api/v1/secrets")).rv
    page = (await two.get("/tenants/acme/api/v1/secrets", limit=1)).ok()
    assert "continue" not in page["metadata"]
    (await two.delete("/tenants/acme/api/v1/namespaces/default/secrets")).ok()
    (await two.delete("/api/v1/tenants/acme")).ok()
    (await two.put("/api/v1/tenants/acme/finalize", {"metadata": {"name": "acme"}, "spec": {}})).ok()
    (await two.get("/api/v1/tenants/acme")).refused(404)
    between = str(two.store.revision)
    await two.tenant("acme")
    for rv in (before, between):
        exact = {"resourceVersion": rv, "resourceVersionMatch": "Exact"}
        (await two.get("/api/v1/secrets", user=acme, **exact)).refused(410)
        (await two.get("/api/v1/secrets", user=acme, resourceVersion=rv, limit=1)).refused(410)
        (await two.get("/api/v1/secrets", user=acme, resourceVersion=rv, watch="true")).refused(410)
        token = _token(int(rv), "acme", "default", "a")
        (await two.get("/api/v1/secrets", user=acme, **{"continue": token})).refused(410)
    assert (await two.get("/api/v1/secrets", user=acme, resourceVersion=before)).items == []
    await two.watch("/api/v1/secrets", user=acme, resourceVersion=str(two.store.revision))


async def test_all_is_for_operators_and_reads(two: Any) -> None:
    everyone = (await two.get("/tenants/all/api/v1/secrets", fieldSelector="metadata.name=s")).items
    assert [i["metadata"]["tenant"] for i in everyone] == ["acme", "globex", "system"]
    same = (await two.get("/api/v1/tenants/all/secrets", fieldSelector="metadata.name=s")).items
    assert same == everyone
    one = (await two.get("/tenants/all/api/v1/namespaces/default/secrets", fieldSelector="metadata.name=s")).items
    assert one == everyone
    table = (await two.get("/tenants/all/api/v1/secrets", accept=two.TABLE)).ok()
    assert table["columnDefinitions"][0]["name"] == "Tenant" and table["rows"][0]["cells"][0] == "acme"
    watch = await two.watch("/tenants/all/api/v1/secrets", fieldSelector="metadata.name=s")
    assert len(await watch.take(3)) == 3
    named = f"/tenants/all{SECRETS}/s"
    (await two.get(named)).refused(400, "across all tenants")
    (await two.put(named, {"metadata": {"name": "s"}})).refused(400)
    (await two.patch(named, {"data": {}})).refused(400)
    (await two.apply(named, {"metadata": {"name": "s"}})).refused(400)
    (await two.delete(named)).refused(400)
    (await two.delete(f"/tenants/all{SECRETS}")).refused(400)
    (await two.post(f"/tenants/all{SECRETS}", {"metadata": {"name": "n"}})).refused(400)
    root = "/tenants/all/api/v1/namespaces/default"
    bind = {"target": {"name": "n"}}
    for path, body in (
        ("pods/p/binding", bind),
        ("bindings", {"metadata": {"name": "p"}, **bind}),
        ("pods/p/eviction", {}),
        ("pods/p/action", {"operation": "reboot"}),
        ("serviceaccounts/default/token", {"spec": {}}),
    ):
        (await two.post(f"{root}/{path}", body)).refused(400)
    (await two.get("/tenants/all/apis/apps/v1/namespaces/default/deployments/d/scale")).refused(400)
    (await two.get("/tenants/all/api/v1/tenants/acme")).ok()


async def test_pages_over_all_tenants(two: Any) -> None:
    seen, token = [], ""
    while True:
        page = (await two.get("/tenants/all/api/v1/secrets", limit=1, **{"continue": token})).ok()
        seen += [i["metadata"]["tenant"] for i in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert seen == ["acme", "globex", "system"]


async def test_shared_classes(two: Any) -> None:
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    acme = two.admin_of("acme")
    (await two.post(classes, {"metadata": {"name": "gold"}, "value": 5})).ok(201)
    assert (await two.get(f"{classes}/gold", user=acme)).ok()["metadata"]["tenant"] == "system"
    assert "gold" in (await two.get(classes, user=acme)).names
    for answer in (
        await two.put(f"{classes}/gold", {"metadata": {"name": "gold"}, "value": 5, "description": "x"}, user=acme),
        await two.patch(f"{classes}/gold", {"description": "x"}, user=acme),
        await two.patch(f"{classes}/gold", {"metadata": {"tenant": "acme"}}, user=acme),
        await two.apply(f"{classes}/gold", {"metadata": {"name": "gold"}, "value": 5}, user=acme),
        await two.delete(f"{classes}/gold", user=acme),
    ):
        answer.refused(403)
    (await two.delete(classes, user=acme)).ok()
    assert "gold" in (await two.get(classes)).names
    (await two.post(classes, {"metadata": {"name": "own"}, "value": 1}, user=acme)).ok(201)
    assert (await two.get(classes, user=acme)).names == ["own", "gold"]
    assert (await two.get(classes)).names == ["gold"]
    pages = [(await two.get(classes, user=acme, limit=1)).ok()]
    rest = (await two.get(classes, user=acme, limit=1, **{"continue": pages[0]["metadata"]["continue"]})).names
    assert rest == ["gold"]
    watch = await two.watch(classes, user=acme)
    assert await watch.take(2) == [("ADDED", "own"), ("ADDED", "gold")]
    (await two.patch(f"{classes}/gold", {"description": "y"})).ok()
    assert await watch.take(1) == [("MODIFIED", "gold")]


async def test_shared_classes_resume_without_a_gap(two: Any) -> None:
    """A resumed watch over own and shared objects shows everything once, however much each has changed."""
    classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
    acme = two.admin_of("acme")
    rv = two.store.revision
    expected = []
    for i in range(230):
        (await two.post(classes, {"metadata": {"name": f"own{i}"}, "value": 1}, user=acme)).ok(201)
        expected.append(("ADDED", f"own{i}"))
        if i in (5, 215, 229):
            (await two.post(classes, {"metadata": {"name": f"shared{i}"}, "value": 1})).ok(201)
            expected.append(("ADDED", f"shared{i}"))
    watch = await two.watch(classes, user=acme, resourceVersion=rv)
    assert await watch.take(len(expected)) == expected


async def test_anonymous_and_unknown(two: Any) -> None:
    (await two.get(SECRETS, user=None)).refused(401)
    (await two.get(f"/tenants/acme{SECRETS}", user=None)).refused(401)
    assert (await two.get("/version", user=None)).code == 200
    nobody = two.admin_of("initech")
    (await two.get(SECRETS, user=nobody)).refused(403)
    (await two.post(SECRETS, {"metadata": {"name": "x"}}, user=nobody)).refused(403)


async def test_users_of_a_tenant_without_rights(two: Any) -> None:
    (await two.get(SECRETS, user=two.admin_of("acme", "bob"))).refused(403)


async def test_impersonation_stays_inside(two: Any) -> None:
    acme = two.admin_of("acme")
    heads = {"impersonate-user": "admin", "impersonate-group": "system:masters"}
    (await two.get(f"/tenants/globex{SECRETS}", user=acme, headers=heads)).refused(403)
    assert (await two.get(SECRETS, user=acme, headers={"impersonate-user": "admin"})).items[0]["metadata"][
        "tenant"
    ] == "acme"
    (await two.get(SECRETS, user=acme, headers={"impersonate-user": "bob"})).refused(403, 'User "bob" cannot list')
    (await two.get(SECRETS, user=two.admin_of("acme", "bob"), headers={"impersonate-user": "admin"})).refused(403)
    (await two.get(SECRETS, user=acme, headers={"impersonate-group": "g"})).refused(400)
    (await two.get("/api/v1/nodes", user=acme, headers=heads)).refused(403)


async def test_reviews_tell_of_their_own_tenant(two: Any) -> None:
    acme, root = two.admin_of("acme"), "/apis/authorization.k8s.io/v1"
    tokens = {}
    for tenant in ("acme", "globex"):
        account = f"/tenants/{tenant}/api/v1/namespaces/default/serviceaccounts/default/token"
        tokens[tenant] = (await two.post(account, {"spec": {}})).ok(201)["status"]["token"]

    async def reviewed(token: str) -> Any:
        body = {"spec": {"token": token}}
        return (await two.post("/apis/authentication.k8s.io/v1/tokenreviews", body, user=acme)).ok(201)["status"]

    assert (await reviewed(tokens["acme"]))["authenticated"]
    assert await reviewed(tokens["globex"]) == await reviewed("x.y.z")
    ask = {"spec": {"user": "admin", "resourceAttributes": {"verb": "get", "resource": "pods"}}}
    assert (await two.post(f"{root}/subjectaccessreviews", ask, user=acme)).ok(201)["status"]["allowed"]
    foreign = {**ask, "metadata": {"tenant": "globex"}}
    (await two.post(f"{root}/subjectaccessreviews", foreign, user=acme)).refused(400, "tenant")
    for groups in (["system:masters"], ["arktos:tenant:globex"], ["arktos:tenants"]):
        about = {"user": "x", "groups": groups}
        for attributes in (
            {"verb": "get", "resource": "nodes"},
            {"verb": "get", "resource": "tenants", "name": "globex"},
        ):
            body = {"spec": {**about, "resourceAttributes": attributes}}
            assert not (await two.post(f"{root}/subjectaccessreviews", body, user=acme)).ok(201)["status"]["allowed"]
    (await two.get(SECRETS, headers={"authorization": f"Bearer {tokens['globex']}"})).refused(403)
    (await two.get(f"/tenants/acme{SECRETS}", headers={"authorization": f"Bearer {tokens['globex']}"})).refused(403)
