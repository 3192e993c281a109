"""Tokens of service accounts: claims, signatures, and that they end with what they are bound to."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt as reference
from joserfc.jwk import KeySet

from arktos.apiserver.jwt import BadToken, encode_segment
from arktos.apiserver.servicetokens import Issuer, Ref, lookup_in

URL = "https://kubernetes.default.svc"


def pem(key: Any) -> bytes:
    encoding = serialization.Encoding.PEM
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


EC = pem(ec.generate_private_key(ec.SECP256R1()))
RSA = pem(rsa.generate_private_key(65537, 2048))


class Clock:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(new_store: Any) -> Any:
    store = new_store().tenant("acme", "globex")
    for tenant in ("acme", "globex", "system"):
        store.put("serviceaccounts", tenant, "ns", {"metadata": {"name": "sa", "uid": f"sa-{tenant}"}})
        store.put("pods", tenant, "ns", {"metadata": {"name": "pod", "uid": f"pod-{tenant}"}})
    return store


@pytest.fixture
def issuer(store: Any, clock: Clock) -> Issuer:
    ids = map(str, itertools.count())
    return Issuer(EC, URL, lookup_in(store, clock), now=clock, new_id=lambda: next(ids))


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def test_claims_and_user(issuer: Issuer, clock: Clock) -> None:
    token, expires = issuer.issue(
        "acme", "ns", "sa", "sa-acme", pod=Ref("pod", "pod-acme"), node=Ref("n1", "node-uid"), seconds=600
    )
    now = int(clock())
    assert expires == now + 600
    assert claims_of(token) == {
        "iss": URL,
        "sub": "system:serviceaccount:ns:sa",
        "aud": [URL],
        "exp": now + 600,
        "iat": now,
        "nbf": now,
        "jti": "0",
        "kubernetes.io": {
            "namespace": "ns",
            "tenant": "acme",
            "serviceaccount": {"name": "sa", "uid": "sa-acme"},
            "pod": {"name": "pod", "uid": "pod-acme"},
            "node": {"name": "n1", "uid": "node-uid"},
        },
    }
    verified = issuer.verify(token)
    user = verified.user
    assert (user.name, user.tenant, user.uid) == ("system:serviceaccount:ns:sa", "acme", "sa-acme")
    assert user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:ns",
        "system:authenticated",
        "arktos:tenants",
        "arktos:tenant:acme",
    )
    assert user.extra == {
        "authentication.kubernetes.io/credential-id": ("JTI=0",),
        "authentication.kubernetes.io/pod-name": ("pod",),
        "authentication.kubernetes.io/pod-uid": ("pod-acme",),
        "authentication.kubernetes.io/node-name": ("n1",),
        "authentication.kubernetes.io/node-uid": ("node-uid",),
    }
    assert verified.audiences == (URL,)


@pytest.mark.parametrize(("key", "algorithm"), [(EC, "ES256"), (RSA, "RS256")])
def test_others_can_check_a_token_with_the_published_keys(store: Any, key: bytes, algorithm: str) -> None:
    issuer = Issuer(key, URL, lookup_in(store))
    token, _ = issuer.issue("acme", "ns", "sa", "sa-acme")
    read = reference.decode(token, KeySet.import_key_set(issuer.jwks()), algorithms=[algorithm])
    assert read.claims["sub"] == "system:serviceaccount:ns:sa"
    assert read.header["alg"] == algorithm
    assert issuer.configuration()["id_token_signing_alg_values_supported"] == [algorithm]
    assert issuer.configuration()["jwks_uri"] == f"{URL}/openid/v1/jwks"
    assert issuer.verify(token).user.tenant == "acme"


def test_tokens_of_an_older_key_are_accepted(store: Any) -> None:
    token, _ = Issuer(RSA, URL, lookup_in(store)).issue("acme", "ns", "sa", "sa-acme")
    with pytest.raises(BadToken):
        Issuer(EC, URL, lookup_in(store)).verify(token)
    newer = Issuer(EC, URL, lookup_in(store), other_keys=[RSA])
    assert newer.verify(token).user.tenant == "acme"
    assert len(newer.jwks()["keys"]) == 2


def test_time(issuer: Issuer, clock: Clock) -> None:
    token, expires = issuer.issue("acme", "ns", "sa", "sa-acme")
    clock.time = expires - 1
    assert issuer.verify(token).expires == expires
    clock.time = expires
    with pytest.raises(BadToken, match="expired"):
        issuer.verify(token)
    clock.time = expires - 3600 - 60
    with pytest.raises(BadToken, match="not valid yet"):
        issuer.verify(token)


def test_audience(issuer: Issuer) -> None:
    vault, _ = issuer.issue("acme", "ns", "sa", "sa-acme", audiences=["vault", "x"])
    with pytest.raises(BadToken, match="audience"):
        issuer.verify(vault)
    assert issuer.verify(vault, ["vault", "y"]).audiences == ("vault",)


def test_issuer_name(store: Any, issuer: Issuer) -> None:
    token, _ = Issuer(EC, "https://elsewhere", lookup_in(store)).issue("acme", "ns", "sa", "sa-acme")
    with pytest.raises(BadToken, match="issuer"):
        issuer.verify(token)


@pytest.mark.parametrize("resource", ["serviceaccounts", "pods"])
def test_a_token_ends_with_what_it_is_bound_to(store: Any, issuer: Issuer, resource: str) -> None:
    token, _ = issuer.issue("acme", "ns", "sa", "sa-acme", pod=Ref("pod", "pod-acme"))
    name = {"serviceaccounts": "sa", "pods": "pod"}[resource]
    read = issuer.read(token)
    assert issuer.check(read).user.tenant == "acme"
    store.put(resource, "acme", "ns", {"metadata": {"name": name, "uid": "made-again"}})
    with pytest.raises(BadToken):
        issuer.check(read)
    store.delete(resource, "acme", "ns", name)
    with pytest.raises(BadToken):
        issuer.check(read)


def test_a_pod_keeps_its_token_while_it_stops(store: Any, issuer: Issuer, clock: Clock) -> None:
    token, _ = issuer.issue("acme", "ns", "sa", "sa-acme", pod=Ref("pod", "pod-acme"))
    clock.time = 1_800_000_100.0
    meta = {"name": "pod", "uid": "pod-acme", "deletionTimestamp": "2027-01-15T08:00:00Z"}
    store.put("pods", "acme", "ns", {"metadata": meta})
    clock.time = 1_800_000_059.0
    assert issuer.verify(token).user.tenant == "acme"
    clock.time = 1_800_000_061.0
    with pytest.raises(BadToken):
        issuer.verify(token)


def test_a_token_bound_to_a_secret_or_a_node(store: Any, issuer: Issuer) -> None:
    secret, _ = issuer.issue("acme", "ns", "sa", "sa-acme", secret=Ref("s", "s-uid"))
    node, _ = issuer.issue("system", "ns", "sa", "sa-system", node=Ref("n", "n-uid"))
    for token in (secret, node):
        with pytest.raises(BadToken):
            issuer.verify(token)
    store.put("secrets", "acme", "ns", {"metadata": {"name": "s", "uid": "s-uid"}})
    store.put("nodes", "system", "", {"metadata": {"name": "n", "uid": "n-uid"}})
    assert issuer.verify(secret).user.tenant == "acme"
    assert issuer.verify(node).user.extra["authentication.kubernetes.io/node-name"] == ("n",)


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes) -> str:
    parts = (encode_segment(json.dumps(part).encode()) for part in (header, claims))
    return ".".join((*parts, encode_segment(signature)))


def test_forgeries(issuer: Issuer) -> None:
    token, _ = issuer.issue("acme", "ns", "sa", "sa-acme")
    claims = claims_of(token)
    head, body, signature = token.split(".")
    changed = claims | {"kubernetes.io": claims["kubernetes.io"] | {"tenant": "globex"}}
    signed = base64.urlsafe_b64decode(signature + "==")
    mac = hmac.HMAC(issuer._signer.public_pem(), hashes.SHA256())
    mac.update(f"{head}.{body}".encode())
    bad = [
        "",
        "a.b",
        "a.b.c",
        token + "x",
        token[:-4] + "AAAA",
        f"{head}.{body}.",
        forged({"alg": "ES256"}, changed, signed),
        forged({"alg": "none"}, claims, b""),
        forged({"alg": "HS256"}, claims, mac.finalize()),
        forged({"alg": "RS256"}, claims, signed),
        forged({"alg": "ES256"}, claims, bytes(64)),
        f"{encode_segment(b'not json')}.{body}.{signature}",
        f"{encode_segment(json.dumps({'alg': 'ES256', 'crit': ['x']}).encode())}.{body}.{signature}",
        "x" * 20000,
    ]
    for text in bad:
        with pytest.raises(BadToken):
            issuer.verify(text)


def test_the_subject_must_be_the_service_account(issuer: Issuer, store: Any) -> None:
    claims = claims_of(issuer.issue("acme", "ns", "sa", "sa-acme")[0])
    for changed in (claims | {"sub": "system:admin"}, {"sub": "x"}, claims | {"aud": "text"}):
        with pytest.raises(BadToken):
            issuer.verify(issuer._signer.sign(changed))


def test_other_kinds_of_keys_are_refused(store: Any) -> None:
    other = Issuer(pem(ec.generate_private_key(ec.SECP384R1())), URL, lookup_in(store))
    with pytest.raises(ValueError, match="P-256"):
        other.issue("acme", "ns", "sa", "sa-acme")
