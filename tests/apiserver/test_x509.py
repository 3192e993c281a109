"""Client certificates: what their subject says of user, tenant and groups."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from arktos.apiserver.x509 import Malformed, identify, subject
from arktos.model.status import Unauthorized

KEY = ec.generate_private_key(ec.SECP256R1())
END = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def certificate(
    names: Sequence[str] = ("alice",),
    organizations: Sequence[str] = (),
    units: Sequence[str] = (),
    end: datetime.datetime = END,
) -> bytes:
    parts = [x509.NameAttribute(NameOID.COUNTRY_NAME, "CH")]
    for oid, values in (
        (NameOID.ORGANIZATION_NAME, organizations),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, units),
        (NameOID.COMMON_NAME, names),
    ):
        parts += [x509.NameAttribute(oid, value) for value in values]
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(parts))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca"), *parts[:1]]))
        .public_key(KEY.public_key())
        .serial_number(2**150)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


def test_a_tenants_user() -> None:
    user, expires, _ = identify(certificate(["alice"], ["tenant:acme", "ignored"], ["dev", "ops", "dev"]))
    assert (user.name, user.tenant) == ("alice", "acme")
    assert user.groups == ("dev", "ops", "system:authenticated", "arktos:tenants", "arktos:tenant:acme")
    assert expires == END.timestamp()


def test_without_a_tenant_it_is_system_and_organizations_are_groups() -> None:
    user, *_ = identify(certificate(["system:kube-scheduler"], ["system:masters", "x"], ["ignored"]))
    assert (user.name, user.tenant) == ("system:kube-scheduler", "system")
    assert user.groups == ("system:masters", "x", "system:authenticated")


def test_system_may_be_named_and_then_has_its_groups_in_units() -> None:
    user, *_ = identify(certificate(["root"], ["tenant:system", "system:masters"], ["ops"]))
    assert (user.tenant, user.groups) == ("system", ("ops", "system:authenticated"))


def test_reserved_groups_cannot_be_claimed() -> None:
    claimed = ["system:masters", "system:nodes", "arktos:tenant:globex", "arktos:tenants", "", "dev"]
    user, *_ = identify(certificate(["alice"], ["tenant:acme"], [c for c in claimed if c]))
    assert user.groups == ("dev", "system:authenticated", "arktos:tenants", "arktos:tenant:acme")
    user, *_ = identify(certificate(["alice"], ["arktos:tenants", "arktos:tenant:globex", "dev"]))
    assert user.groups == ("dev", "system:authenticated")


@pytest.mark.parametrize(
    ("names", "organizations"),
    [
        ([], []),
        (["a", "b"], []),
        (["a"], ["tenant:acme", "tenant:globex"]),
        (["a"], ["tenant:acme", "tenant:acme"]),
        (["a"], ["tenant:"]),
        (["a"], ["tenant:all"]),
        (["a"], ["tenant:default"]),
        (["a"], ["tenant:Acme"]),
        (["a"], ["tenant:a/b"]),
        (["a"], ["tenant:*"]),
        (["system:serviceaccount:default:x"], ["tenant:acme"]),
        (["system:kube-controller-manager"], ["tenant:acme"]),
        (["a\nb"], []),
    ],
)
def test_refused(names: list[str], organizations: list[str]) -> None:
    with pytest.raises(Unauthorized):
        identify(certificate(names, organizations))


@pytest.mark.parametrize("year", [2049, 2050, 2099])
def test_expiry_in_both_forms_of_time(year: int) -> None:
    end = datetime.datetime(year, 12, 31, 23, 59, 58, tzinfo=datetime.UTC)
    assert identify(certificate(end=end))[1] == end.timestamp()


_words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@given(_words, st.lists(_words, max_size=3), st.lists(_words, max_size=3))
def test_reads_what_the_library_wrote(name: str, organizations: list[str], units: list[str]) -> None:
    read = subject(certificate([name], organizations, units))
    assert read.common_names == (name,)
    assert (read.organizations, read.units) == (tuple(organizations), tuple(units))


@given(st.integers(0, 2000), st.integers(0, 255), st.integers(0, 2000))
def test_broken_bytes_are_refused_or_read(at: int, value: int, cut: int) -> None:
    whole = bytearray(certificate(["alice"], ["tenant:acme"]))
    whole[at % len(whole)] = value
    for data in (bytes(whole), bytes(whole[: cut % len(whole)])):
        try:
            read = subject(data)
        except Malformed:
            continue
        assert isinstance(read.not_after, float)


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        subject(data)
