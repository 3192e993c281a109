"""Who asks, and whether they may.

A client is known by its certificate, which TLS has verified, or by a bearer token, about which the API server is
asked. Whether it may do what it asks is the API server's decision, too (kubelet's webhook mode); both answers are
remembered for a short while. Only users of `system` pass: a node is nobody else's to talk to.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from arktos.agent.streaming.paths import rights
from arktos.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.model import registry
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import ApiError, Forbidden, ServiceUnavailable, Unauthorized
from arktos.wire.http import Request

MASTERS = "system:masters"
_TENANT_EXTRA = "arktos.io/tenant"
_CERTIFIED = "streaming.user"
_TOKEN_SECONDS = 60.0
_ALLOWED_SECONDS = 60.0
_DENIED_SECONDS = 10.0
_MAX_REMEMBERED = 1024
_MAX_TOKEN = 16384

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class User:
    """A user of `system`."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


class Reviews(Protocol):
    """The API server's answers. Raises ApiError, ConnectionFailed."""

    async def whose(self, token: str) -> User | None: ...

    async def may(self, user: User, verb: str, subresource: str) -> bool: ...


class ApiReviews:
    """Asks through the agent's client, about the node of this name."""

    def __init__(self, client: Client, node_name: str) -> None:
        self._client = client
        self._node_name = node_name

    async def whose(self, token: str) -> User | None:
        kind = registry.by_resource("tokenreviews.authentication.k8s.io")
        asked: Obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}, "spec": {"token": token}}
        status = (await self._client.create(kind, asked)).get("status") or {}
        user = status.get("user") or {}
        tenants = (user.get("extra") or {}).get(_TENANT_EXTRA) or [SYSTEM_TENANT]
        if not status.get("authenticated") or list(tenants) != [SYSTEM_TENANT]:
            return None
        return User(user.get("username") or "", tuple(user.get("groups") or ()), user.get("uid") or "")

    async def may(self, user: User, verb: str, subresource: str) -> bool:
        kind = registry.by_resource("subjectaccessreviews.authorization.k8s.io")
        attributes = {"verb": verb, "resource": "nodes", "subresource": subresource, "name": self._node_name}
        asked: Obj = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {},
            "spec": {
                "user": user.name,
                "groups": list(user.groups),
                "uid": user.uid,
                "resourceAttributes": attributes,
            },
        }
        return bool(((await self._client.create(kind, asked)).get("status") or {}).get("allowed"))


class _Remembered(Generic[_Answer]):
    """Answers that are true for a while; bounded."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._found: dict[object, tuple[_Answer, float]] = {}

    def get(self, key: object) -> _Answer | None:
        found = self._found.get(key)
        return found[0] if found is not None and self._now() < found[1] else None

    def put(self, key: object, answer: _Answer, seconds: float) -> None:
        if len(self._found) >= _MAX_REMEMBERED:
            self._found.clear()
        self._found[key] = (answer, self._now() + seconds)


class Access:
    """Lets requests pass, or raises Unauthorized, Forbidden, or ServiceUnavailable if the API server is away."""

    def __init__(self, reviews: Reviews, now: Callable[[], float] = time.monotonic) -> None:
        self._reviews = reviews
        self._tokens: _Remembered[User] = _Remembered(now)
        self._decisions: _Remembered[bool] = _Remembered(now)

    async def check(self, request: Request) -> User:
        try:
            user = await self._who(request)
            verb, subresources = rights(request.method, request.path)
            if MASTERS in user.groups:
                # What the API server would say, and the API server's own certificate is one of these.
                return user
            for subresource in subresources:
                if verb and await self._may(user, verb, subresource):
                    return user
        except ConnectionFailed as error:
            raise ServiceUnavailable(f"the API server cannot be asked who may do this: {error}") from error
        raise Forbidden(
            f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(subresources)}])"
        )

    async def _who(self, request: Request) -> User:
        certified = request.peer.state.get(_CERTIFIED)
        if isinstance(certified, User):
            return certified
        if request.peer.certificate is not None:
            found = user_of_certificate(request.peer.certificate)
            request.peer.state[_CERTIFIED] = found
            return found
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN:
            raise Unauthorized("Unauthorized")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._tokens.get(digest)
        if known is None:
            known = await self._asked_whose(token)
            self._tokens.put(digest, known, _TOKEN_SECONDS)
        return known

    async def _asked_whose(self, token: str) -> User:
        try:
            known = await self._reviews.whose(token)
        except ApiError as error:
            raise ServiceUnavailable(f"the API server does not say whose token this is: {error.message}") from error
        if known is None:
            raise Unauthorized("Unauthorized")
        return known

    async def _may(self, user: User, verb: str, subresource: str) -> bool:
        key = (user, verb, subresource)
        known = self._decisions.get(key)
        if known is None:
            try:
                known = await self._reviews.may(user, verb, subresource)
            except ApiError as error:
                raise ServiceUnavailable(f"the API server does not say who may do this: {error.message}") from error
            self._decisions.put(key, known, _ALLOWED_SECONDS if known else _DENIED_SECONDS)
        return known


def user_of_certificate(der: bytes) -> User:
    """Whom a verified client certificate stands for, as the API server reads it: CN is the user, O are the groups, but
    for a tenant's certificate, which is no good here. Raises Unauthorized."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        subject = x509.load_der_x509_certificate(der).subject
        names = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        groups = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    except ValueError as error:
        raise Unauthorized(f"the client certificate cannot be read: {error}") from error
    if len(names) != 1 or not names[0] or any(group.startswith("tenant:") for group in groups):
        raise Unauthorized("the client certificate is of no user of system")
    return User(names[0], (*groups, "system:authenticated"))
