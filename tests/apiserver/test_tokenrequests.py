"""TokenRequest: a token for an account on demand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from arktos.apiserver.servicetokens import Issuer, lookup_in
from arktos.apiserver.tokenrequests import token_request
from arktos.model.status import BadRequest, Conflict, Invalid, NotFound

PEM = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
NOW = 1_800_000_000.0


@pytest.fixture
def store(new_store: Any) -> Any:
    store = new_store().tenant("acme")
    for tenant in ("acme", "system"):
        store.put("serviceaccounts", tenant, "ns", {"metadata": {"name": "sa", "uid": f"sa-{tenant}"}})
    pod = {"metadata": {"name": "pod", "uid": "pod-uid"}, "spec": {"serviceAccountName": "sa", "nodeName": "n1"}}
    store.put("pods", "acme", "ns", pod)
    store.put("secrets", "acme", "ns", {"metadata": {"name": "s", "uid": "s-uid"}})
    store.put("nodes", "system", "", {"metadata": {"name": "n1", "uid": "n-uid"}})
    return store


@pytest.fixture
def issuer(store: Any) -> Issuer:
    return Issuer(PEM, "https://issuer", lookup_in(store, lambda: NOW), now=lambda: NOW)


def ask(issuer: Issuer, store: Any, spec: Any = None, name: str = "sa", tenant: str = "acme") -> dict[str, Any]:
    obj = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec or {}}
    return token_request(issuer, store, tenant, "ns", name, obj)


def test_defaults(issuer: Issuer, store: Any) -> None:
    answer = ask(issuer, store)
    assert answer["spec"] == {"audiences": ["https://issuer"], "expirationSeconds": 3600}
    assert answer["metadata"] == {"name": "sa", "namespace": "ns"}
    expires = datetime.fromisoformat(answer["status"]["expirationTimestamp"]).timestamp()
    verified = issuer.verify(answer["status"]["token"])
    assert verified.expires == expires == NOW + 3600
    assert (verified.user.tenant, verified.user.uid) == ("acme", "sa-acme")


def test_bound_to_a_pod(issuer: Issuer, store: Any) -> None:
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "pod", "uid": "pod-uid"}
    answer = ask(issuer, store, {"boundObjectRef": ref, "audiences": ["vault"], "expirationSeconds": 600})
    assert answer["spec"]["boundObjectRef"] == ref
    user = issuer.verify(answer["status"]["token"], ["vault"]).user
    assert user.extra["authentication.kubernetes.io/pod-uid"] == ("pod-uid",)
    assert user.extra["authentication.kubernetes.io/node-uid"] == ("n-uid",)


def test_bound_to_a_secret_or_node(issuer: Issuer, store: Any) -> None:
    answer = ask(issuer, store, {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "s"}})
    assert issuer.verify(answer["status"]["token"]).user.tenant == "acme"
    node = {"boundObjectRef": {"kind": "Node", "apiVersion": "v1", "name": "n1"}}
    user = issuer.verify(ask(issuer, store, node, tenant="system")["status"]["token"]).user
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)
    for name in ("n1", "n2"):
        with pytest.raises(BadRequest, match="cannot bind token to object of type /v1, Kind=Node"):
            ask(issuer, store, {"boundObjectRef": {"kind": "Node", "apiVersion": "v1", "name": name}})


@pytest.mark.parametrize(
    ("seconds", "words"), [(599, "less than 10 minutes"), (2**32 + 1, "larger than"), (-1, "less")]
)
def test_time_out_of_bounds(issuer: Issuer, store: Any, seconds: int, words: str) -> None:
    with pytest.raises(Invalid, match=words) as error:
        ask(issuer, store, {"expirationSeconds": seconds})
    assert error.value.causes[0].field == "spec.expirationSeconds"


def test_what_must_exist(issuer: Issuer, store: Any) -> None:
    with pytest.raises(NotFound, match='serviceaccounts "none" not found'):
        ask(issuer, store, name="none")
    with pytest.raises(NotFound, match='pods "none" not found'):
        ask(issuer, store, {"boundObjectRef": {"kind": "Pod", "name": "none"}})
    with pytest.raises(Conflict, match="does not match the UID"):
        ask(issuer, store, {"boundObjectRef": {"kind": "Pod", "name": "pod", "uid": "other"}})
    store.put("serviceaccounts", "acme", "ns", {"metadata": {"name": "other", "uid": "o"}})
    with pytest.raises(BadRequest, match="different serviceaccount"):
        ask(issuer, store, {"boundObjectRef": {"kind": "Pod", "name": "pod"}}, name="other")


@pytest.mark.parametrize(
    "spec",
    [
        {"expirationSeconds": "long"},
        {"boundObjectRef": {"kind": "ConfigMap", "apiVersion": "v1", "name": "c"}},
        {"boundObjectRef": {"kind": "Pod", "apiVersion": "apps/v1", "name": "pod"}},
        "x",
    ],
)
def test_bad_requests(issuer: Issuer, store: Any, spec: Any) -> None:
    with pytest.raises(BadRequest):
        ask(issuer, store, spec)


def test_another_name_in_the_body(issuer: Issuer, store: Any) -> None:
    with pytest.raises(BadRequest, match="another service account"):
        token_request(issuer, store, "acme", "ns", "sa", {"metadata": {"name": "other"}, "spec": {}})
