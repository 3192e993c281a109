"""What a request asks for: three URL forms, one result (DESIGN 3, ARKTOS 1.5). Pure.

* prefix `/tenants/{t}/api/v1/...`, which a kubeconfig's `server:` carries;
* Arktos' own `/api/v1/tenants/{t}/namespaces/...`;
* the short path `/api/v1/...`, where the credential names the tenant.

`parse` looks at the path only; `tenant_of` joins what it says with the caller's tenant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from arktos.apiserver.identity import User
from arktos.model.kinds import SYSTEM_TENANT
from arktos.model.status import BadRequest, Forbidden

_TENANT_SUBRESOURCES = frozenset({"status", "finalize"})
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_REMEMBERED, _LONGEST = 2048, 192
"""How many paths are remembered, of at most so many characters."""


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A parsed path. `tenant` is what the path names ("" = nothing, `all` = every tenant). A path outside `/api` and
    `/apis`, or one that names no resource (discovery), has `resource` "" and is named by `path`, prefix removed.
    `rest` is what follows the subresource (`pods/x/proxy/a/b`: `a/b`)."""

    path: str
    tenant: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    watch: bool = False


def parse(path: str) -> RequestInfo:
    """Splits a path. Never fails on unknown resources; Forbidden where two parts of the path name two tenants."""
    return _known(path) if len(path) <= _LONGEST else _parse(path)


def _parse(path: str) -> RequestInfo:
    parts = path.split("/")
    tenant = ""
    if len(parts) > 3 and parts[1] == "tenants":
        tenant = parts[2]
        if not tenant:
            raise BadRequest("the path names an empty tenant")
        parts = ["", *parts[3:]]
    if len(parts) > 2 and parts[-1] == "":
        parts.pop()
    root = parts[1] if len(parts) > 1 else ""
    if root == "api" and len(parts) > 3:
        return _resource(parts, 3, "", parts[2], tenant)
    if root == "apis" and len(parts) > 4:
        return _resource(parts, 4, parts[2], parts[3], tenant)
    return RequestInfo(path="/".join(parts) or "/", tenant=tenant)


_known = lru_cache(maxsize=_REMEMBERED)(_parse)


def _resource(parts: list[str], at: int, group: str, version: str, tenant: str) -> RequestInfo:
    rest = parts[at:]
    watch = False
    if rest[0] == "watch" and len(rest) > 1:
        watch = True
        rest = rest[1:]
    if rest[0] == "tenants" and len(rest) > 2 and rest[2] not in _TENANT_SUBRESOURCES:
        inner = rest[1]
        if tenant and inner != tenant:
            raise Forbidden(f"the path names two tenants, {tenant!r} and {inner!r}")
        tenant = inner
        rest = rest[2:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    # What follows a subresource is somebody else's path.
    if "" in parts[1 : len(parts) - len(rest[3:])]:
        # An empty tenant or namespace must not be taken for none, which means another set of objects.
        raise BadRequest("the path has an empty segment")
    return RequestInfo(
        path="/".join(parts),
        tenant=tenant,
        group=group,
        version=version,
        resource=rest[0],
        namespace=namespace,
        name=rest[1] if len(rest) > 1 else "",
        subresource=rest[2] if len(rest) > 2 else "",
        rest="/".join(rest[3:]),
        watch=watch,
    )


def tenant_of(info: RequestInfo, user: User) -> str:
    """The one tenant that a request speaks of. A path that names another tenant than the caller's is Forbidden, worded
    alike whether that tenant exists or not; `system` callers may name any (what they may do there, RBAC decides)."""
    if user.tenant == SYSTEM_TENANT:
        return info.tenant or SYSTEM_TENANT
    if info.tenant and info.tenant != user.tenant:
        raise Forbidden(f'user "{user.name}" may not enter tenant "{info.tenant}"')
    return user.tenant
