"""The URL grammar: three tenant forms, one result."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arktos.apiserver.identity import User
from arktos.apiserver.requestinfo import RequestInfo, parse, tenant_of
from arktos.model.status import ApiError, BadRequest, Forbidden


def _info(path: str) -> tuple[str, str, str, str, str, str, str, bool]:
    i = parse(path)
    return (i.tenant, i.group, i.version, i.resource, i.namespace, i.name, i.subresource, i.watch)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ("", "", "v1", "pods", "", "", "", False)),
        ("/api/v1/namespaces", ("", "", "v1", "namespaces", "", "", "", False)),
        ("/api/v1/namespaces/a", ("", "", "v1", "namespaces", "a", "a", "", False)),
        ("/api/v1/namespaces/a/status", ("", "", "v1", "namespaces", "a", "a", "status", False)),
        ("/api/v1/namespaces/a/finalize", ("", "", "v1", "namespaces", "a", "a", "finalize", False)),
        ("/api/v1/namespaces/a/pods", ("", "", "v1", "pods", "a", "", "", False)),
        ("/api/v1/namespaces/a/pods/p", ("", "", "v1", "pods", "a", "p", "", False)),
        ("/api/v1/namespaces/a/pods/p/status", ("", "", "v1", "pods", "a", "p", "status", False)),
        ("/api/v1/namespaces/status/pods/finalize", ("", "", "v1", "pods", "status", "finalize", "", False)),
        ("/apis/apps/v1/deployments", ("", "apps", "v1", "deployments", "", "", "", False)),
        ("/apis/apps/v1/namespaces/a/deployments/d/scale", ("", "apps", "v1", "deployments", "a", "d", "scale", False)),
        ("/api/v1/tenants", ("", "", "v1", "tenants", "", "", "", False)),
        ("/api/v1/tenants/t", ("", "", "v1", "tenants", "", "t", "", False)),
        ("/api/v1/tenants/t/status", ("", "", "v1", "tenants", "", "t", "status", False)),
        ("/api/v1/tenants/t/finalize", ("", "", "v1", "tenants", "", "t", "finalize", False)),
        ("/api/v1/tenants/t/namespaces", ("t", "", "v1", "namespaces", "", "", "", False)),
        ("/api/v1/tenants/t/namespaces/n", ("t", "", "v1", "namespaces", "n", "n", "", False)),
        ("/api/v1/tenants/t/namespaces/n/status", ("t", "", "v1", "namespaces", "n", "n", "status", False)),
        ("/api/v1/tenants/t/namespaces/n/pods/p/log", ("t", "", "v1", "pods", "n", "p", "log", False)),
        ("/api/v1/tenants/t/pods", ("t", "", "v1", "pods", "", "", "", False)),
        ("/api/v1/tenants/t/persistentvolumes/v", ("t", "", "v1", "persistentvolumes", "", "v", "", False)),
        ("/apis/apps/v1/tenants/t/deployments", ("t", "apps", "v1", "deployments", "", "", "", False)),
        ("/tenants/t/api/v1/tenants/t", ("t", "", "v1", "tenants", "", "t", "", False)),
        ("/tenants/t/api/v1/tenants", ("t", "", "v1", "tenants", "", "", "", False)),
        ("/api/v1/watch/pods", ("", "", "v1", "pods", "", "", "", True)),
        ("/api/v1/watch/namespaces", ("", "", "v1", "namespaces", "", "", "", True)),
        ("/api/v1/watch/namespaces/n/pods/p", ("", "", "v1", "pods", "n", "p", "", True)),
        ("/api/v1/watch/tenants/t/namespaces/n/pods/p", ("t", "", "v1", "pods", "n", "p", "", True)),
        ("/api/v1/watch/tenants", ("", "", "v1", "tenants", "", "", "", True)),
        ("/tenants/t/apis/apps/v1/watch/deployments", ("t", "apps", "v1", "deployments", "", "", "", True)),
    ],
)
def test_the_grammar(path: str, expected: tuple[str, str, str, str, str, str, str, bool]) -> None:
    assert _info(path) == expected
    assert _info(path + "/") == expected


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/version", "/a/b"])
def test_paths_that_name_no_resource(path: str) -> None:
    plain, slash, prefixed = parse(path), parse(path + "/"), parse("/tenants/t" + path)
    assert plain == slash == RequestInfo(path=path)
    assert prefixed == RequestInfo(path=path, tenant="t")


def test_rest_of_a_proxy_path() -> None:
    info = parse("/api/v1/namespaces/n/pods/p/proxy/a/b")
    assert (info.subresource, info.rest) == ("proxy", "a/b")


@pytest.mark.parametrize(
    "path",
    [
        "/tenants//api/v1/pods",
        "/api/v1/tenants//namespaces/n/pods",
        "/api/v1/namespaces//pods",
        "/api/v1/namespaces/n/pods//log",
        "/api//pods",
    ],
)
def test_empty_segments_are_refused(path: str) -> None:
    with pytest.raises(BadRequest):
        parse(path)


_name = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True).filter(
    lambda n: n not in {"status", "finalize", "watch", "tenants", "namespaces", "all"}
)
_group = st.sampled_from(["api/v1", "apis/apps/v1", "apis/rbac.authorization.k8s.io/v1"])


@st.composite
def _tails(draw: st.DrawFn) -> str:
    """What follows group and version, without a tenant."""
    parts = []
    if draw(st.booleans()):
        parts += ["namespaces", draw(_name)]
    parts.append(draw(_name))
    if draw(st.booleans()):
        parts.append(draw(_name))
        if draw(st.booleans()):
            parts.append(draw(_name))
    return "/".join(parts)


def _resolved(path: str, user: User) -> object:
    info = parse(path)
    tenant = tenant_of(info, user)
    # `path` and `tenant` tell how it was said, all else what.
    return (tenant, info.group, info.version, info.resource, info.namespace, info.name, info.subresource, info.watch)


@given(_name, _group, _tails(), st.booleans(), st.booleans())
def test_three_forms_are_one(tenant: str, group: str, tail: str, watch: bool, slash: bool) -> None:
    user, end = User("u", tenant), "/" if slash else ""
    root = f"{group}/watch" if watch else group
    short = _resolved(f"/{root}/{tail}{end}", user)
    assert short == _resolved(f"/tenants/{tenant}/{root}/{tail}{end}", user)
    assert short == _resolved(f"/{root}/tenants/{tenant}/{tail}{end}", user)
    assert short == _resolved(f"/tenants/{tenant}/{root}/tenants/{tenant}/{tail}{end}", user)
    operator = User("op", "system")
    assert short == _resolved(f"/tenants/{tenant}/{root}/{tail}{end}", operator)
    assert short == _resolved(f"/{root}/tenants/{tenant}/{tail}{end}", operator)


@given(_name, _name, _group, _tails())
def test_contradictions_are_refused(mine: str, other: str, group: str, tail: str) -> None:
    if mine == other:
        return
    user = User("u", mine)
    for path in (f"/tenants/{other}/{group}/{tail}", f"/{group}/tenants/{other}/{tail}"):
        with pytest.raises(Forbidden):
            _resolved(path, user)
    with pytest.raises(Forbidden):
        _resolved(f"/tenants/{mine}/{group}/tenants/{other}/{tail}", user)


@given(st.text(alphabet="/aé%.\0 tenants-pi1v", max_size=60))
def test_any_path_is_parsed_or_refused(path: str) -> None:
    try:
        info = parse("/" + path)
    except ApiError:
        return
    assert "/" not in info.tenant + info.resource + info.namespace + info.name
    if info.resource:
        assert "" not in (info.version,)


@pytest.mark.parametrize("tenant", ["", "system", "acme", "all", "ACME", "..", "é"])
def test_the_wall_is_worded_alike(tenant: str) -> None:
    """A tenant's user learns nothing of any other: the same words, whichever it names."""
    if not tenant or tenant == "acme":
        assert tenant_of(RequestInfo("/", tenant=tenant), User("u", "acme")) == "acme"
        return
    with pytest.raises(Forbidden) as refused:
        tenant_of(RequestInfo("/", tenant=tenant), User("u", "acme"))
    assert refused.value.message == f'user "u" may not enter tenant "{tenant}"'
