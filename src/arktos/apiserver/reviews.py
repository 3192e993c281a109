"""The kinds that are questions about users and rights: answered, never stored.

They are those of authentication.k8s.io and authorization.k8s.io. A review speaks of the tenant in which it is asked: of
what may be done there, of users of that tenant, of tokens of users of that tenant. A user of `system` asks about a
tenant by asking in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from arktos.apiserver.authn import Authenticator
from arktos.apiserver.authz import Attributes, Authorizer
from arktos.apiserver.identity import User
from arktos.apiserver.membership import AUTHENTICATED, SERVICE_ACCOUNTS, UNAUTHENTICATED, claimable, tenant_groups
from arktos.apiserver.tokenrequests import token_request
from arktos.model.kinds import Kind, Obj
from arktos.model.status import BadRequest, FieldError, Invalid, Unauthorized, invalid

__all__ = ["TENANT_EXTRA", "review", "token_request", "user_info"]

TENANT_EXTRA = "arktos.io/tenant"
"""In the `extra` of a user that is shown: whose user it is."""


class _Spec(msgspec.Struct, rename="camel"):
    pass


class _Resource(_Spec):
    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


class _Path(_Spec):
    path: str = ""
    verb: str = ""


class _Access(_Spec):
    resource_attributes: _Resource | None = None
    non_resource_attributes: _Path | None = None
    user: str = ""
    groups: list[str] | None = None
    uid: str = ""


class _Rules(_Spec):
    namespace: str = ""


class _Token(_Spec):
    token: str = ""
    audiences: list[str] | None = None


class _Review(NamedTuple):
    """What is asked, by whom and where."""

    kind: Kind
    obj: Obj
    user: User
    tenant: str
    namespace: str
    authenticator: Authenticator
    authorizer: Authorizer

    def spec(self, form: type[Any]) -> Any:
        try:
            return msgspec.convert(self.obj.get("spec") or {}, form)
        except msgspec.ValidationError as error:
            raise BadRequest(f"{self.kind.kind} cannot be read: {error}") from error

    def wrong(self, *causes: FieldError) -> Invalid:
        return invalid(self.kind.group, self.kind.kind, "", causes)


def review(
    kind: Kind,
    obj: Obj,
    user: User,
    tenant: str,
    namespace: str,
    authenticator: Authenticator,
    authorizer: Authorizer,
) -> Obj:
    """The answer to a review: the object with its status. Raises `Invalid` and `BadRequest` as upstream does, KeyError
    for a kind that is no review."""
    asked = _Review(kind, obj, user, tenant, namespace, authenticator, authorizer)
    status = _ANSWERS[kind.kind](asked)
    answered = {field: value for field, value in obj.items() if field != "status"}
    answered.setdefault("metadata", {})
    return {"kind": kind.kind, "apiVersion": kind.api_version, **answered, "status": status}


def user_info(user: User) -> Obj:
    """A user as reviews show it (UserInfo of authentication/v1)."""
    extra = {name: list(values) for name, values in user.extra.items()}
    if user.tenant:
        extra[TENANT_EXTRA] = [user.tenant]
    shown: Obj = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": extra}
    return {field: value for field, value in shown.items() if value}


def _who_am_i(asked: _Review) -> Obj:
    return {"userInfo": user_info(asked.user)}


def _may_i(asked: _Review) -> Obj:
    spec = asked.spec(_Access)
    _check_attributes(asked, spec)
    return _decided(asked, spec, asked.user)


def _may_they(asked: _Review) -> Obj:
    spec = asked.spec(_Access)
    _check_attributes(asked, spec)
    _check_subject(asked, spec)
    return _decided(asked, spec, _subject(spec, asked.tenant))


def _may_they_here(asked: _Review) -> Obj:
    spec = asked.spec(_Access)
    if spec.non_resource_attributes is not None:
        message = "Invalid value: disallowed on this kind of request"
        raise asked.wrong(FieldError("spec.nonResourceAttributes", "FieldValueInvalid", message))
    _check_attributes(asked, spec)
    _check_subject(asked, spec)
    if spec.resource_attributes.namespace != asked.namespace:
        message = f'Invalid value: "{spec.resource_attributes.namespace}": must match metadata.namespace'
        raise asked.wrong(FieldError("spec.resourceAttributes.namespace", "FieldValueInvalid", message))
    return _decided(asked, spec, _subject(spec, asked.tenant))


def _what_may_i(asked: _Review) -> Obj:
    namespace = asked.spec(_Rules).namespace
    if not namespace:
        raise BadRequest("no namespace on request")
    rules = asked.authorizer.rules_for(asked.user, asked.tenant, namespace)
    return {
        "resourceRules": rules.resource_rules,
        "nonResourceRules": rules.non_resource_rules,
        "incomplete": rules.incomplete,
    }


def _whose_token(asked: _Review) -> Obj:
    spec = asked.spec(_Token)
    if not spec.token:
        raise BadRequest("token is required for TokenReview in authentication")
    try:
        user, audiences = asked.authenticator.user_of_token(spec.token, spec.audiences or ())
        if user.tenant != asked.tenant:
            raise Unauthorized("invalid bearer token")
    except Unauthorized:
        # One text for all: whether a token is good elsewhere is nobody's business here.
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": user_info(user), "audiences": list(audiences)}


def _check_attributes(asked: _Review, spec: _Access) -> None:
    if spec.resource_attributes is not None and spec.non_resource_attributes is not None:
        message = "Invalid value: cannot be specified in combination with resourceAttributes"
        raise asked.wrong(FieldError("spec.nonResourceAttributes", "FieldValueInvalid", message))
    if spec.resource_attributes is None and spec.non_resource_attributes is None:
        message = "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise asked.wrong(FieldError("spec.resourceAttributes", "FieldValueInvalid", message))


def _check_subject(asked: _Review, spec: _Access) -> None:
    if not spec.user and not spec.groups:
        message = 'Invalid value: "": at least one of user or group must be specified'
        raise asked.wrong(FieldError("spec.user", "FieldValueInvalid", message))


def _subject(spec: _Access, tenant: str) -> User:
    """The user that a review asks about: as said, but nobody of a tenant is in groups that no user of it can be in."""
    said = tuple(spec.groups or ())
    given = tuple(group for group in said if _is_given(group))
    groups = dict.fromkeys((*given, *claimable(tenant, said), *tenant_groups(tenant)))
    return User(spec.user, tenant, tuple(groups), spec.uid)


def _is_given(group: str) -> bool:
    return group in (AUTHENTICATED, UNAUTHENTICATED, SERVICE_ACCOUNTS) or group.startswith(f"{SERVICE_ACCOUNTS}:")


def _decided(asked: _Review, spec: _Access, user: User) -> Obj:
    if spec.resource_attributes is not None:
        wanted = spec.resource_attributes
        attributes = Attributes(
            user,
            wanted.verb,
            asked.tenant,
            wanted.group,
            wanted.resource,
            wanted.subresource,
            wanted.namespace,
            wanted.name,
        )
    else:
        path = spec.non_resource_attributes or _Path()
        attributes = Attributes(user, path.verb, asked.tenant, path=path.path)
    decision = asked.authorizer.authorize(attributes)
    return {"allowed": decision.allowed} | ({"reason": decision.reason} if decision.reason else {})


_ANSWERS: Mapping[str, Callable[[_Review], Obj]] = {
    "SelfSubjectReview": _who_am_i,
    "SelfSubjectAccessReview": _may_i,
    "SelfSubjectRulesReview": _what_may_i,
    "SubjectAccessReview": _may_they,
    "LocalSubjectAccessReview": _may_they_here,
    "TokenReview": _whose_token,
}
