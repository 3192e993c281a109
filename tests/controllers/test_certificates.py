"""What becomes of requests for certificates: approved by whom, signed as what, kept how long."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from arktos.bootstrap import pki
from arktos.controllers.certificates.authority import Authority
from arktos.controllers.certificates.reconcile import SETTLED_SECONDS, expiry, node_name, step
from arktos.model import dates

NOW = dates.unix("2026-06-01T12:00:00Z")
CLIENT, SERVER = "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"
CLIENT_USAGES, SERVER_USAGES = ["digital signature", "client auth"], ["digital signature", "server auth"]
NODE = {"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.7"}]}}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    pair = pki.authority(dates.from_unix(NOW - 100))
    (tmp_path / "ca.crt").write_bytes(pair.certificate)
    (tmp_path / "ca.key").write_bytes(pair.key)
    return Authority(tmp_path / "ca.crt", tmp_path / "ca.key")


def request(
    signer: str,
    *,
    name: str = "system:node:n1",
    groups: tuple[str, ...] = ("system:nodes",),
    hosts: tuple[str, ...] = (),
    user: str = "system:bootstrap:abcdef",
    of: tuple[str, ...] = ("system:bootstrappers",),
    usages: list[str] | None = None,
    tenant: str = "system",
    **status: Any,
) -> dict[str, Any]:
    pem = pki.request(pki.private_key(), name, groups, hosts)
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": signer,
        "usages": usages or (SERVER_USAGES if signer == SERVER else CLIENT_USAGES),
        "username": user,
        "groups": list(of),
    }
    metadata = {"name": "r", "tenant": tenant, "creationTimestamp": dates.rfc3339(dates.from_unix(NOW))}
    return {"metadata": metadata, "spec": spec, "status": status}


def approved(csr: dict[str, Any]) -> dict[str, Any]:
    return {**csr, "status": {"conditions": [{"type": "Approved", "status": "True"}]}}


def kinds(status: dict[str, Any] | None) -> list[str]:
    return [condition["type"] for condition in (status or {}).get("conditions", [])]


@pytest.mark.parametrize(
    ("csr", "node", "approves"),
    [
        (request(CLIENT), None, True),
        (request(CLIENT), NODE, False),  # a token does not make its holder a node that there is already
        (request(CLIENT, user="system:node:n1", of=("system:nodes",)), NODE, True),
        (request(CLIENT, user="system:node:n2", of=("system:nodes",)), None, False),
        (request(CLIENT, groups=("system:masters",)), None, False),
        (request(CLIENT, usages=["server auth"]), None, False),
        (request(CLIENT, tenant="acme"), None, False),
        (request(CLIENT, of=("system:authenticated",)), None, False),
        (request(SERVER, hosts=("192.0.2.7",), user="system:node:n1", of=("system:nodes",)), NODE, True),
        (request(SERVER, hosts=("192.0.2.8",), user="system:node:n1", of=("system:nodes",)), NODE, False),
        (request(SERVER, hosts=("192.0.2.7",)), NODE, False),
        (request("kubernetes.io/kube-apiserver-client"), None, False),
        (request("example.com/own"), None, False),
    ],
)
def test_who_need_not_be_asked(csr: dict[str, Any], node: Any, approves: bool, authority: Authority) -> None:
    found = step(csr, node, authority, NOW)
    assert (found.subresource == "approval", kinds(found.status)) == (approves, ["Approved"] if approves else [])


def test_what_is_signed(authority: Authority) -> None:
    csr = approved(request(SERVER, hosts=("n1", "192.0.2.7"), user="system:node:n1", of=("system:nodes",)))
    found = step(csr, NODE, authority, NOW)
    assert found.subresource == "status" and found.status is not None
    certificate = x509.load_pem_x509_certificate(base64.b64decode(found.status["certificate"]))
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:n1"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1"]
    lives = certificate.not_valid_after_utc - dates.from_unix(NOW)
    assert lives == datetime.timedelta(days=365, minutes=-5)


def test_a_short_life_is_not_shortened_and_has_a_least(authority: Authority) -> None:
    for asked, given in ((3600, 3600), (60, 600), (86400, 86400 - 300), (10**9, 365 * 86400 - 300)):
        csr = approved(request(CLIENT))
        csr["spec"]["expirationSeconds"] = asked
        status = step(csr, None, authority, NOW).status
        assert status is not None
        made = x509.load_pem_x509_certificate(base64.b64decode(status["certificate"]))
        assert made.not_valid_after_utc.timestamp() - NOW == given
        assert NOW - made.not_valid_before_utc.timestamp() == 300


@pytest.mark.parametrize(
    ("signer", "usages", "objects"),
    [
        ("kubernetes.io/kube-apiserver-client", ["client auth"], False),
        ("kubernetes.io/kube-apiserver-client", ["digital signature", "key encipherment", "client auth"], False),
        ("kubernetes.io/kube-apiserver-client", ["digital signature", "client auth", "code signing"], True),
        ("kubernetes.io/kube-apiserver-client", ["client auth", "server auth"], True),
        ("kubernetes.io/kube-apiserver-client", ["digital signature"], True),
        (CLIENT, ["client auth"], True),
        (CLIENT, ["digital signature", "key encipherment", "client auth"], False),
    ],
)
def test_usages_are_those_of_the_signer(signer: str, usages: list[str], objects: bool, authority: Authority) -> None:
    found = step(approved(request(signer, usages=usages)), None, authority, NOW)
    assert ("Failed" in kinds(found.status)) is objects
    if objects:
        assert found.status is not None and found.status["conditions"][-1]["reason"] == "SignerValidationFailure"
        assert found.status["conditions"][-1]["message"].startswith("usages did not match [")


def test_a_tenants_certificate_names_the_tenant(authority: Authority) -> None:
    signer = "kubernetes.io/kube-apiserver-client"
    csr = approved(request(signer, name="jane", groups=("tenant:globex", "staff"), tenant="acme"))
    status = step(csr, None, authority, NOW).status
    assert status is not None
    subject = x509.load_pem_x509_certificate(base64.b64decode(status["certificate"])).subject
    assert [each.value for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["tenant:acme"]


def test_what_was_approved_and_makes_no_sense_fails(authority: Authority) -> None:
    found = step(approved(request(CLIENT, groups=("system:masters",))), None, authority, NOW)
    assert kinds(found.status) == ["Approved", "Failed"]
    assert step({**request(CLIENT), "status": found.status}, None, authority, NOW).status is None


def test_old_requests_go(authority: Authority) -> None:
    said = dates.rfc3339(dates.from_unix(NOW + 500))
    denied = request(CLIENT, conditions=[{"type": "Denied", "status": "True", "lastUpdateTime": said}])
    assert step(denied, None, authority, NOW).after == SETTLED_SECONDS + 500
    assert step(denied, None, authority, NOW + SETTLED_SECONDS + 500).remove
    assert not step(request(CLIENT), NODE, authority, NOW + SETTLED_SECONDS).remove
    assert step(request(CLIENT), NODE, authority, NOW + 86400).remove
    waiting = request("example.com/own", conditions=[{"type": "Approved", "status": "True", "lastUpdateTime": said}])
    assert expiry(waiting) is None and not step(waiting, None, authority, NOW + 10 * 86400).remove


def test_what_was_issued_goes_an_hour_later_or_when_it_holds_no_more(authority: Authority) -> None:
    csr = approved(request(CLIENT))
    csr["spec"]["expirationSeconds"] = 600
    issued = step(csr, None, authority, NOW).status
    assert issued is not None
    assert expiry({**csr, "status": issued}) == NOW + 600
    issued["certificate"] = base64.b64encode(b"no certificate").decode()
    assert expiry({**csr, "status": issued}) == NOW + SETTLED_SECONDS


def test_without_the_key_nothing_is_signed() -> None:
    assert step(approved(request(CLIENT)), None, None, NOW).status is None


def test_the_node_that_is_meant() -> None:
    assert node_name(request(CLIENT)) == "n1"
    assert node_name(request(CLIENT, name="jane")) == ""
