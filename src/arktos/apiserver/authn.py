"""Who asks: from a request's credentials to a `User`.

In this order: the client certificate of the connection, then a bearer token - static (`tokenfile`), a bootstrap token
(`bootstraptokens`), or one of a service account (`servicetokens`). A request without any is `ANONYMOUS` where that is
allowed. A credential that is no good is refused even there, whatever else a request carries: nobody becomes anonymous
by mistake.

What is costly is done once: the certificate is read once per connection, a token's signature is checked once and then
remembered for a while. What can change is checked at every request: expiry, and that what a token is bound to exists.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from arktos.apiserver.bootstraptokens import BootstrapTokens
from arktos.apiserver.encoding import created, tenant_key
from arktos.apiserver.identity import ANONYMOUS, User
from arktos.apiserver.jwt import BadToken, decode_segment
from arktos.apiserver.servicetokens import Issuer, Token
from arktos.apiserver.tokenfile import TokenFile, digest_of
from arktos.apiserver.x509 import identify
from arktos.model.status import Unauthorized
from arktos.store.records import Store
from arktos.wire.http import Request

_CERTIFICATE, _BEARER = "authn.certificate", "authn.bearer"
SUBPROTOCOL = "base64url.bearer.authorization.k8s.io."
"""Prefix of the WebSocket subprotocol that carries a token; it is never the one to speak."""
_REMEMBERED_SECONDS = 600.0
_MAX_REMEMBERED = 4096
_MAX_TOKEN = 16384
_TENANT = "tenant-uid"
_AGE_LEEWAY = 300.0
"""Seconds by which a certificate may say that it is older than its tenant: signers set clocks back a little."""


class _Certified(NamedTuple):
    user: User
    expires: float
    issued: float


class _Presented(NamedTuple):
    """A bearer token as it came last over a connection, and its digest."""

    token: str
    digest: bytes


class Authenticator:
    """Knows users by their credentials: of TLS (`client_certificates`), a token file, an issuer of service accounts'
    tokens, and the bootstrap tokens in a store. `anonymous` lets requests without a credential through. `now` gives
    unix seconds. Raises what `TokenFile` raises."""

    def __init__(
        self,
        *,
        client_certificates: bool = True,
        token_file: str | Path | None = None,
        issuer: Issuer | None = None,
        store: Store | None = None,
        anonymous: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client_certificates = client_certificates
        self._token_file = TokenFile(token_file, now) if token_file is not None else None
        self._issuer = issuer
        self._bootstrap_tokens = BootstrapTokens(store, now) if store is not None else None
        self._store = store
        self._anonymous = anonymous
        self._now = now
        self._remembered: dict[bytes, tuple[Token, float]] = {}

    def authenticate(self, request: Request) -> User:
        """Who sent the request. Raises `Unauthorized`."""
        state = request.peer.state
        known = state.get(_CERTIFICATE)
        if known is None and self._client_certificates and request.peer.certificate is not None:
            known = state[_CERTIFICATE] = _Certified(*identify(request.peer.certificate))
        if isinstance(known, _Certified):
            if self._now() >= known.expires:
                raise Unauthorized("the client certificate has expired")
            if not known.user.is_system:
                self._check_age(known, state)
            return known.user
        token = bearer_token(request)
        if token:
            return self._bearer(token, state)
        if self._anonymous:
            return ANONYMOUS
        raise Unauthorized("Unauthorized")

    def _check_age(self, known: _Certified, state: dict[str, object]) -> None:
        """A certificate is of the tenant that there was when it was issued, not of a later one of that name."""
        tenant = self._store.get(tenant_key(known.user.tenant)) if self._store is not None else None
        if tenant is None or state.get(_TENANT) == tenant.header.uid:
            return
        if known.issued + _AGE_LEEWAY < created(tenant):
            raise Unauthorized("the client certificate is older than its tenant")
        state[_TENANT] = tenant.header.uid

    def user_of_token(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]]:
        """Whose token this is, and for which of `audiences` (none: the server's own) it is good. Tokens that are not of
        service accounts name no audience and are good for the server's own. Raises `Unauthorized`."""
        if not token or len(token) > _MAX_TOKEN:
            raise Unauthorized("invalid bearer token")
        return self._user_of_digest(digest_of(token), token, audiences)

    def _bearer(self, token: str, state: dict[str, object]) -> User:
        presented = state.get(_BEARER)
        if not isinstance(presented, _Presented) or presented.token != token:
            if len(token) > _MAX_TOKEN:
                raise Unauthorized("invalid bearer token")
            presented = state[_BEARER] = _Presented(token, digest_of(token))
        return self._user_of_digest(presented.digest, token, ())[0]

    def _user_of_digest(self, digest: bytes, token: str, audiences: Sequence[str]) -> tuple[User, tuple[str, ...]]:
        user = self._token_file.user(digest) if self._token_file is not None else None
        if user is None and self._bootstrap_tokens is not None:
            user = self._bootstrap_tokens.user(token)
        if user is not None:
            return user, self._own_audiences(audiences)
        if self._issuer is None:
            raise Unauthorized("invalid bearer token")
        try:
            verified = self._issuer.check(self._service_token(self._issuer, digest, token), audiences)
        except BadToken as error:
            raise Unauthorized(f"invalid bearer token: {error}") from error
        return verified.user, verified.audiences

    def _service_token(self, issuer: Issuer, digest: bytes, token: str) -> Token:
        now = self._now()
        remembered = self._remembered.get(digest)
        if remembered is not None and now < remembered[1]:
            return remembered[0]
        read = issuer.read(token)
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = (read, now + _REMEMBERED_SECONDS)
        return read

    def _own_audiences(self, audiences: Sequence[str]) -> tuple[str, ...]:
        own = self._issuer.audiences if self._issuer is not None else ()
        if not audiences:
            return own
        matched = tuple(audience for audience in audiences if audience in own)
        if not matched:
            raise Unauthorized("invalid bearer token: the token is for another audience")
        return matched


def bearer_token(request: Request) -> str:
    """The bearer token of a request, "" without one: from `Authorization`, or from the subprotocols of a WebSocket,
    which is where a browser can put it. Raises `Unauthorized` if that is not readable."""
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    protocols = request.headers.get("sec-websocket-protocol")
    if protocols is None or request.headers.get("upgrade", "").lower() != "websocket":
        return ""
    offered = [protocol.strip() for protocol in protocols.split(",")]
    encoded = [p.removeprefix(SUBPROTOCOL) for p in offered if p.startswith(SUBPROTOCOL)]
    if not encoded:
        return ""
    if len(encoded) > 1 or len(offered) == 1:
        raise Unauthorized("a WebSocket carries one bearer token beside the subprotocol it is to speak")
    try:
        return decode_segment(encoded[0]).decode("utf-8")
    except ValueError as error:
        raise Unauthorized("the bearer token of the WebSocket cannot be read") from error
