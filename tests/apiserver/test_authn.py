"""Authentication: which credential counts, what is remembered, what is refused."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from arktos.apiserver import authn
from arktos.apiserver.authn import Authenticator, bearer_token
from arktos.apiserver.identity import ANONYMOUS
from arktos.apiserver.servicetokens import Issuer, lookup_in
from arktos.model.status import Unauthorized
from arktos.wire.http import Request

KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()


class Peer:
    address = "192.0.2.1:1234"

    def __init__(self, certificate: bytes | None = None) -> None:
        self.certificate = certificate
        self.state: dict[str, object] = {}


class Clock:
    time = NOW

    def __call__(self) -> float:
        return self.time


def request(peer: Peer | None = None, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/api", "/api", "", named, b"", peer or Peer())


def bearer(token: str, peer: Peer | None = None) -> Request:
    return request(peer, authorization=f"Bearer {token}")


def certificate(name: str = "alice", organization: str = "tenant:acme") -> bytes:
    attributes = [(NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, name)]
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes]))
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1))
        .not_valid_after(datetime(2027, 1, 1))
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(new_store: Any) -> Any:
    store = new_store().tenant("acme")
    store.put("serviceaccounts", "acme", "ns", {"metadata": {"name": "sa", "uid": "u"}})
    return store


@pytest.fixture
def issuer(store: Any, clock: Clock) -> Issuer:
    return Issuer(PEM, "https://issuer", lookup_in(store, clock), now=clock)


@pytest.fixture
def authenticator(store: Any, issuer: Issuer, clock: Clock, tmp_path: Path) -> Authenticator:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('secret,bob,uid-b,"dev,ops",acme\n')
    return Authenticator(token_file=tokens, issuer=issuer, store=store, now=clock)


def test_the_certificate_is_read_once_per_connection(authenticator: Authenticator) -> None:
    peer = Peer(certificate())
    user = authenticator.authenticate(request(peer))
    assert (user.name, user.tenant) == ("alice", "acme")
    peer.certificate = b"not looked at again"
    assert authenticator.authenticate(request(peer)) is user


def test_a_certificate_that_expires_while_connected(authenticator: Authenticator, clock: Clock) -> None:
    peer = Peer(certificate())
    authenticator.authenticate(request(peer))
    clock.time = datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC).timestamp()
    with pytest.raises(Unauthorized):
        authenticator.authenticate(request(peer))


def test_a_certificate_does_not_open_a_later_tenant_of_its_name(authenticator: Authenticator, store: Any) -> None:
    peer = Peer(certificate())
    authenticator.authenticate(request(peer))
    later = {"metadata": {"name": "acme", "uid": "another", "creationTimestamp": "2026-02-01T00:00:00Z"}}
    store.put("tenants", "system", "", later)
    with pytest.raises(Unauthorized, match="older than its tenant"):
        authenticator.authenticate(request(peer))


def test_a_certificate_comes_before_a_token_and_a_bad_one_is_refused(authenticator: Authenticator) -> None:
    assert authenticator.authenticate(bearer("secret", Peer(certificate()))).name == "alice"
    with pytest.raises(Unauthorized):
        authenticator.authenticate(bearer("secret", Peer(certificate("system:admin"))))


def test_certificates_do_not_count_where_tls_does_not_verify_them(store: Any) -> None:
    with pytest.raises(Unauthorized):
        Authenticator(client_certificates=False).authenticate(request(Peer(certificate())))


def test_static_token(authenticator: Authenticator) -> None:
    user = authenticator.authenticate(bearer("secret"))
    assert (user.name, user.tenant, user.uid) == ("bob", "acme", "uid-b")
    assert user.groups[:2] == ("dev", "ops")


def test_service_account_token(authenticator: Authenticator, issuer: Issuer, store: Any, clock: Clock) -> None:
    token, expires = issuer.issue("acme", "ns", "sa", "u")
    peer = Peer()
    user = authenticator.authenticate(bearer(token, peer))
    assert (user.name, user.tenant) == ("system:serviceaccount:ns:sa", "acme")
    assert authenticator.authenticate(bearer(token, peer)) is user
    assert authenticator.authenticate(bearer(token)) is user, "remembered across connections"
    store.delete("serviceaccounts", "acme", "ns", "sa")
    with pytest.raises(Unauthorized):
        authenticator.authenticate(bearer(token, peer))
    store.put("serviceaccounts", "acme", "ns", {"metadata": {"name": "sa", "uid": "u"}})
    clock.time = expires
    with pytest.raises(Unauthorized):
        authenticator.authenticate(bearer(token, peer))


def test_another_token_on_the_same_connection(authenticator: Authenticator, issuer: Issuer) -> None:
    peer = Peer()
    token, _ = issuer.issue("acme", "ns", "sa", "u")
    assert authenticator.authenticate(bearer("secret", peer)).name == "bob"
    assert authenticator.authenticate(bearer(token, peer)).name == "system:serviceaccount:ns:sa"
    with pytest.raises(Unauthorized):
        authenticator.authenticate(bearer("wrong", peer))
    with pytest.raises(Unauthorized):
        authenticator.authenticate(request(peer))


def test_what_is_remembered_is_bounded(
    authenticator: Authenticator, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authn, "_MAX_REMEMBERED", 3)
    for _ in range(8):
        authenticator.authenticate(bearer(issuer.issue("acme", "ns", "sa", "u")[0]))
    assert len(authenticator._remembered) <= 3


@pytest.mark.parametrize("token", ["wrong", "a.b.c", "x" * 100_000, "ü", "\ud800"])
def test_bad_tokens(authenticator: Authenticator, token: str) -> None:
    with pytest.raises(Unauthorized):
        authenticator.authenticate(bearer(token))


def test_no_credential(authenticator: Authenticator) -> None:
    for headers in ({}, {"authorization": "Basic eDp5"}, {"authorization": "Bearer "}):
        with pytest.raises(Unauthorized):
            authenticator.authenticate(request(**headers))
        assert Authenticator(anonymous=True).authenticate(request(**headers)) is ANONYMOUS
    with pytest.raises(Unauthorized):
        Authenticator(anonymous=True).authenticate(bearer("wrong"))


def websocket(*protocols: str) -> Request:
    return request(upgrade="websocket", sec_websocket_protocol=", ".join(protocols))


def encoded(token: str) -> str:
    return authn.SUBPROTOCOL + base64.urlsafe_b64encode(token.encode()).rstrip(b"=").decode()


def test_the_token_of_a_websocket(authenticator: Authenticator) -> None:
    assert authenticator.authenticate(websocket("v4.channel.k8s.io", encoded("secret"))).name == "bob"
    assert bearer_token(websocket("v4.channel.k8s.io")) == ""
    assert bearer_token(request(sec_websocket_protocol=f"v4.channel.k8s.io, {encoded('secret')}")) == ""
    for protocols in ([encoded("secret")], [encoded("a"), encoded("b"), "v4"], ["v4", authn.SUBPROTOCOL + "!"]):
        with pytest.raises(Unauthorized):
            bearer_token(websocket(*protocols))


def bootstrap_secret(**data: str) -> dict[str, Any]:
    fields = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:workers",
        "expiration": "2026-07-01T00:00:00Z",
        **{name.replace("_", "-"): value for name, value in data.items()},
    }
    return {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in fields.items()},
    }


def test_bootstrap_token(authenticator: Authenticator, store: Any) -> None:
    token = "abcdef.0123456789abcdef"
    with pytest.raises(Unauthorized):
        authenticator.authenticate(bearer(token))
    store.put("secrets", "system", "kube-system", bootstrap_secret())
    user = authenticator.authenticate(bearer(token))
    assert (user.name, user.tenant) == ("system:bootstrap:abcdef", "system")
    assert user.groups == ("system:bootstrappers", "system:bootstrappers:workers", "system:authenticated")
    store.delete("secrets", "system", "kube-system", "bootstrap-token-abcdef")
    store.put("secrets", "acme", "kube-system", bootstrap_secret())
    with pytest.raises(Unauthorized):
        authenticator.authenticate(bearer(token))


@pytest.mark.parametrize(
    "change",
    [
        {"token_secret": "0123456789abcdeg"},
        {"token_id": "abcdeg"},
        {"usage_bootstrap_authentication": "false"},
        {"expiration": "2026-05-01T00:00:00Z"},
        {"expiration": "soon"},
        {"auth_extra_groups": "system:masters"},
    ],
)
def test_bootstrap_tokens_that_are_not_good(authenticator: Authenticator, store: Any, change: dict[str, str]) -> None:
    store.put("secrets", "system", "kube-system", bootstrap_secret(**change))
    with pytest.raises(Unauthorized):
        authenticator.authenticate(bearer("abcdef.0123456789abcdef"))


def test_audiences_of_tokens_that_name_none(authenticator: Authenticator) -> None:
    assert authenticator.user_of_token("secret")[1] == ("https://issuer",)
    assert authenticator.user_of_token("secret", ["x", "https://issuer"])[1] == ("https://issuer",)
    with pytest.raises(Unauthorized):
        authenticator.user_of_token("secret", ["x"])
    with pytest.raises(Unauthorized):
        authenticator.user_of_token("")
