"""Impersonation: `Impersonate-User` and its kin, for callers whom RBAC grants the verb `impersonate`.

The impersonated identity is one of the same tenant: nobody leaves a tenant this way.
"""

from __future__ import annotations

from arktos.apiserver.authz import Attributes, Authorizer
from arktos.apiserver.identity import User
from arktos.apiserver.membership import authenticated, service_account_groups
from arktos.model.status import BadRequest, Forbidden
from arktos.wire.http import Request

IMPERSONATION = frozenset({"impersonate-user", "impersonate-group", "impersonate-uid"})
"""Headers, any of which asks for it."""

_SERVICE_ACCOUNT = "system:serviceaccount:"


def impersonated(request: Request, user: User, authorizer: Authorizer) -> User:
    """The user that the request acts as. Forbidden unless every part of it may be impersonated."""
    name = request.headers.get("impersonate-user", "")
    if not name:
        raise BadRequest("requested groups or a uid to impersonate without a user")
    if any(header.startswith("impersonate-extra-") for header in request.headers):
        raise Forbidden("impersonating extra is not supported")
    claimed = [g.strip() for g in request.headers.get("impersonate-group", "").split(",") if g.strip()]
    uid = request.headers.get("impersonate-uid", "")
    if name.startswith(_SERVICE_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        _require(authorizer, user, "serviceaccounts", account, namespace)
        if not claimed:
            return User(name, user.tenant, service_account_groups(user.tenant, namespace), uid)
    else:
        _require(authorizer, user, "users", name)
    for group in claimed:
        _require(authorizer, user, "groups", group)
    if uid:
        _require(authorizer, user, "uids", uid)
    return User(name, user.tenant, authenticated(user.tenant, claimed), uid)


def _require(authorizer: Authorizer, user: User, resource: str, name: str, namespace: str = "") -> None:
    group = "authentication.k8s.io" if resource == "uids" else ""
    attributes = Attributes(user, "impersonate", user.tenant, group, resource, "", namespace, name)
    if not authorizer.authorize(attributes).allowed:
        raise Forbidden(
            f'{resource} "{name}" is forbidden: User "{user.name}" cannot impersonate resource "{resource}"'
        )
