"""Tokens of service accounts: issued, checked, and described to others (OIDC discovery 1.0).

Claims are Kubernetes' (KEP-1205, KEP-4193) plus `kubernetes.io.tenant`, for a service account's tenant is part of who
it is. A token is good while its signature, time and audience are, and while the service account and the object that it
is bound to exist, with the uids that stand in the token: when one of them has gone, so has the token. A pod that is
being deleted keeps its rights to the end of its grace period, as it may need them to stop.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from arktos.apiserver.identity import User
from arktos.apiserver.jwt import BadToken, Signer, Verifier
from arktos.apiserver.membership import service_account_groups, service_account_name
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.store.records import Key, Store

_EXTRA = "authentication.kubernetes.io/"
_LEEWAY = 10.0
_OVERDUE = 60.0


class Lookup(Protocol):
    """Finds the uid of an object that exists; None if there is none, or it should have been gone for a while."""

    def __call__(self, resource: str, tenant: str, namespace: str, name: str, /) -> str | None: ...


class Ref(msgspec.Struct, frozen=True):
    """An object in a token."""

    name: str
    uid: str


class _Private(msgspec.Struct, frozen=True, omit_defaults=True):
    namespace: str
    serviceaccount: Ref
    tenant: str
    pod: Ref | None = None
    secret: Ref | None = None
    node: Ref | None = None


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a token says; times are in unix seconds."""

    iss: str
    sub: str
    aud: list[str]
    exp: int
    iat: int
    nbf: int
    private: _Private = msgspec.field(name="kubernetes.io")
    jti: str = ""


class Token(NamedTuple):
    """A token that we have signed: what it says, and who that is."""

    claims: Claims
    user: User


class Verified(NamedTuple):
    """A token that is good: whose it is, until when (unix seconds), and for which of the audiences asked for."""

    user: User
    expires: float
    audiences: tuple[str, ...]


class _Meta(msgspec.Struct):
    deletionTimestamp: datetime


class _Deleting(msgspec.Struct):
    metadata: _Meta


_claims = msgspec.json.Decoder(Claims)
_deleting = msgspec.json.Decoder(_Deleting)


def _deleted_at(body: bytes) -> float:
    return _deleting.decode(body).metadata.deletionTimestamp.timestamp()


def lookup_in(store: Store, now: Callable[[], float] = time.time) -> Lookup:
    """The lookup that asks a store. An object whose deletion is overdue by more than a minute counts as gone."""

    def lookup(resource: str, tenant: str, namespace: str, name: str, /) -> str | None:
        record = store.get(Key(resource, tenant, namespace, name))
        if record is None or (record.header.deleting and _deleted_at(record.body) + _OVERDUE < now()):
            return None
        return record.header.uid

    return lookup


class Issuer:
    """Issues and checks tokens. `url` is the issuer's name and where its discovery documents are; `audiences` are the
    API server's own (the default: its `url`); `other_keys` are PEMs of keys whose tokens are accepted as well; `now`
    gives unix seconds, `new_id` a fresh token id."""

    def __init__(
        self,
        private_pem: bytes,
        url: str,
        lookup: Lookup,
        *,
        audiences: Sequence[str] = (),
        other_keys: Sequence[bytes] = (),
        now: Callable[[], float] = time.time,
        new_id: Callable[[], object] = uuid.uuid4,
    ) -> None:
        self.url = url
        self.audiences = tuple(audiences) or (url,)
        self.now = now
        self._lookup = lookup
        self._signer = Signer(private_pem)
        self._verifier = Verifier((private_pem, *other_keys))
        self._new_id = new_id

    @classmethod
    def from_file(cls, private_key_file: str | Path, url: str, store: Store) -> Issuer:
        """An issuer that signs with the key in a PEM file and looks things up in a store. Raises OSError."""
        return cls(Path(private_key_file).read_bytes(), url, lookup_in(store))

    def issue(
        self,
        tenant: str,
        namespace: str,
        name: str,
        uid: str,
        *,
        audiences: Sequence[str] = (),
        seconds: int = 3600,
        pod: Ref | None = None,
        secret: Ref | None = None,
        node: Ref | None = None,
    ) -> tuple[str, int]:
        """A token for a service account, and when it expires (unix seconds). It is bound to the pod, secret or node
        given; a node beside a pod is where the pod runs, and only said."""
        issued = int(self.now())
        claims = Claims(
            iss=self.url,
            sub=service_account_name(namespace, name),
            aud=list(audiences or self.audiences),
            exp=issued + seconds,
            iat=issued,
            nbf=issued,
            private=_Private(namespace, Ref(name, uid), tenant, pod, secret, node),
            jti=str(self._new_id()),
        )
        return self._signer.sign(msgspec.to_builtins(claims)), claims.exp

    def read(self, token: str) -> Token:
        """What is in a token that this issuer has signed, whatever the time. Raises `BadToken`."""
        try:
            claims = _claims.decode(self._verifier.verify(token))
        except msgspec.DecodeError as error:
            raise BadToken("the claims are not those of a service account") from error
        private = claims.private
        if claims.iss != self.url:
            raise BadToken("the token has another issuer")
        if claims.sub != service_account_name(private.namespace, private.serviceaccount.name):
            raise BadToken("the subject is not the service account")
        return Token(claims, _user(claims))

    def check(self, token: Token, audiences: Sequence[str] = ()) -> Verified:
        """Whether a token is good now, for any of `audiences` (the server's own if none are given); cheap enough for
        every request. Raises `BadToken`."""
        claims, now = token.claims, self.now()
        if now >= claims.exp:
            raise BadToken("the token has expired")
        if now < claims.nbf - _LEEWAY:
            raise BadToken("the token is not valid yet")
        wanted = audiences or self.audiences
        matched = tuple(audience for audience in wanted if audience in claims.aud)
        if not matched:
            raise BadToken("the token is for another audience")
        private = claims.private
        self._must_exist(private, "serviceaccounts", private.serviceaccount)
        if private.pod is not None:
            self._must_exist(private, "pods", private.pod)
        if private.secret is not None:
            self._must_exist(private, "secrets", private.secret)
        if private.node is not None and private.pod is None:
            self._must_exist(private, "nodes", private.node)
        return Verified(token.user, claims.exp, matched)

    def verify(self, token: str, audiences: Sequence[str] = ()) -> Verified:
        """`read` and `check`. Raises `BadToken`."""
        return self.check(self.read(token), audiences)

    def jwks(self) -> Obj:
        """The document at `/openid/v1/jwks`."""
        return {"keys": self._verifier.jwks()}

    def configuration(self) -> Obj:
        """The document at `/.well-known/openid-configuration`."""
        algorithms = sorted({key["alg"] for key in self._verifier.jwks()})
        return {
            "issuer": self.url,
            "jwks_uri": self.url.rstrip("/") + "/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        }

    def _must_exist(self, private: _Private, resource: str, ref: Ref) -> None:
        cluster = resource == "nodes"
        tenant, namespace = (SYSTEM_TENANT, "") if cluster else (private.tenant, private.namespace)
        if not ref.uid or self._lookup(resource, tenant, namespace, ref.name) != ref.uid:
            raise BadToken("the service account, or what its token is bound to, does not exist any more")


def _user(claims: Claims) -> User:
    private = claims.private
    said = {
        "credential-id": f"JTI={claims.jti}" if claims.jti else "",
        "pod-name": private.pod.name if private.pod else "",
        "pod-uid": private.pod.uid if private.pod else "",
        "node-name": private.node.name if private.node else "",
        "node-uid": private.node.uid if private.node else "",
    }
    return User(
        claims.sub,
        private.tenant,
        service_account_groups(private.tenant, private.namespace),
        private.serviceaccount.uid,
        {_EXTRA + field: (value,) for field, value in said.items() if value},
    )
