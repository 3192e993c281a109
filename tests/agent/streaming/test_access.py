"""Who may talk to a node: by certificate, by token, by what the API server says."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from arktos.agent.streaming.access import Access, User, user_of_certificate
from arktos.bootstrap.pki import Signer, authority, write_private
from arktos.model.status import Forbidden, InternalError, ServiceUnavailable, Unauthorized
from arktos.wire.http import Request
from arktos.wire.http_client import ConnectionFailed

NOW = datetime.datetime.now(datetime.UTC)


@dataclass
class Reviews:
    """An API server's answers, and how often it was asked."""

    tokens: dict[str, User] = field(default_factory=dict)
    allowed: set[tuple[str, str, str]] = field(default_factory=set)
    asked: int = 0
    error: Exception | None = None

    async def whose(self, token: str) -> User | None:
        self.asked += 1
        if self.error:
            raise self.error
        return self.tokens.get(token)

    async def may(self, user: User, verb: str, subresource: str) -> bool:
        self.asked += 1
        if self.error:
            raise self.error
        return (user.name, verb, subresource) in self.allowed


@dataclass
class Peer:
    certificate: bytes | None = None
    address: str = "192.0.2.1"
    state: dict[str, object] = field(default_factory=dict)


def request(path: str, token: str = "", certificate: bytes | None = None, method: str = "GET") -> Request:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return Request(method, path, path, "", headers, b"", Peer(certificate))


@pytest.fixture
def certificate(tmp_path: Path) -> Any:
    pair = authority(NOW)
    (tmp_path / "ca.crt").write_bytes(pair.certificate)
    write_private(tmp_path / "ca.key", pair.key)
    signer = Signer(tmp_path / "ca.crt", tmp_path / "ca.key")

    def made(user: str, *groups: str, tenant: str = "") -> bytes:
        pem = signer.client(user, NOW, groups=groups, tenant=tenant).certificate
        return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)

    return made


async def test_without_a_credential_nothing_is_said() -> None:
    access = Access(Reviews())
    for path in ("/healthz", "/pods", "/exec/ns/p/c", "/nowhere"):
        with pytest.raises(Unauthorized):
            await access.check(request(path))


async def test_the_api_servers_own_certificate_passes_without_asking_it(certificate: Any) -> None:
    reviews = Reviews()
    shown = certificate("kube-apiserver-kubelet-client", "system:masters")
    user = await Access(reviews).check(request("/exec/ns/p/c", certificate=shown))
    assert user.name == "kube-apiserver-kubelet-client"
    assert not reviews.asked


async def test_others_are_asked_about_and_the_answer_is_remembered(certificate: Any) -> None:
    now = 0.0
    reviews = Reviews(allowed={("prometheus", "get", "metrics")})
    access = Access(reviews, lambda: now)
    shown = certificate("prometheus")
    for _ in range(3):
        await access.check(request("/metrics/resource", certificate=shown))
    assert reviews.asked == 1
    with pytest.raises(Forbidden, match=r"user=prometheus, verb=create, resource=nodes, subresource\(s\)=\[proxy\]"):
        await access.check(request("/exec/ns/p/c", certificate=shown))
    reviews.allowed.clear()
    now = 61.0
    with pytest.raises(Forbidden):
        await access.check(request("/metrics/resource", certificate=shown))


async def test_a_token_is_the_api_servers_to_judge() -> None:
    reviews = Reviews({"good": User("sa", ("g",))}, {("sa", "get", "stats")})
    access = Access(reviews)
    assert (await access.check(request("/stats/summary", "good"))).name == "sa"
    for bad in ("bad", "x" * 20_000):
        with pytest.raises(Unauthorized):
            await access.check(request("/stats/summary", bad))
    with pytest.raises(Forbidden):
        await access.check(request("/pods", "good"))


async def test_an_api_server_that_is_away_lets_nobody_pass() -> None:
    for error in (ConnectionFailed("refused"), InternalError("broken")):
        with pytest.raises(ServiceUnavailable):
            await Access(Reviews(error=error)).check(request("/pods", "token"))


def test_a_tenants_certificate_is_no_good_here(certificate: Any) -> None:
    assert user_of_certificate(certificate("admin", "system:masters")).groups[0] == "system:masters"
    for wrong in (certificate("admin", "system:masters", tenant="acme"), certificate("x", "tenant:acme"), b"garbage"):
        with pytest.raises(Unauthorized):
            user_of_certificate(wrong)
