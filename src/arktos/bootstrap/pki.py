"""Keys and certificates of one installation: a CA, and what it signs. ECDSA P-256 throughout.

A tenant's certificate says `O=tenant:NAME`; one without it belongs to `system`, where `O` are groups (DESIGN 3).
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_YEARS = 10
LEAF_DAYS = 365
RENEW_DAYS = 60
"""A certificate with fewer days left is made anew at the next start."""

_SKEW = datetime.timedelta(minutes=5)


class Pair(NamedTuple):
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes


def write_private(path: Path, data: bytes) -> None:
    """Replaces a file atomically; only its owner may read it, from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def private_key() -> bytes:
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def authority(now: datetime.datetime) -> Pair:
    """A new CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "arktos-ca")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + datetime.timedelta(days=365 * CA_YEARS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Pair(_certificate_pem(builder.sign(key, hashes.SHA256())), _pem(key))


class Signer:
    """Signs with a CA that is on disk."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = x509.load_pem_x509_certificate(certificate.read_bytes())
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key} is not an elliptic-curve key")
        self._key = loaded

    def server(self, hosts: Sequence[str], now: datetime.datetime, *, name: str = "arktos-apiserver") -> Pair:
        """A server certificate for these DNS names and addresses."""
        return self._leaf(name, [], [], now, ExtendedKeyUsageOID.SERVER_AUTH, _names(hosts))

    def client(self, user: str, now: datetime.datetime, *, groups: Sequence[str] = (), tenant: str = "") -> Pair:
        """A client certificate: of a tenant (`groups` go to OU), else of `system` (`groups` go to O)."""
        organizations = [f"tenant:{tenant}"] if tenant else list(groups)
        units = list(groups) if tenant else []
        # A tenant's certificate must not seem older than the tenant, so its time is not set back.
        since = now if tenant else None
        return self._leaf(user, organizations, units, now, ExtendedKeyUsageOID.CLIENT_AUTH, [], since)

    def _leaf(
        self,
        common_name: str,
        organizations: Sequence[str],
        units: Sequence[str],
        now: datetime.datetime,
        usage: x509.ObjectIdentifier,
        names: Sequence[x509.GeneralName],
        since: datetime.datetime | None = None,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in organizations]
        subject += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, value) for value in units]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(since or now - _SKEW)
            .not_valid_after(now + datetime.timedelta(days=LEAF_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Pair(_certificate_pem(builder.sign(self._key, hashes.SHA256())), _pem(key))


def request(key: bytes, common_name: str, organizations: Sequence[str], hosts: Sequence[str]) -> bytes:
    """A request for a certificate of this key (PEM), signed with it, PEM."""
    loaded = serialization.load_pem_private_key(key, None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic-curve key")
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in organizations]
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(_names(hosts)), critical=False)
    return builder.sign(loaded, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def serves(certificate: bytes, hosts: Sequence[str], now: datetime.datetime) -> bool:
    """Whether a server certificate can be read, names all `hosts` and has time left."""
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
        alternatives = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    if _expires_soon(parsed, now):
        return False
    named = set(alternatives.get_values_for_type(x509.DNSName))
    named |= {str(address) for address in alternatives.get_values_for_type(x509.IPAddress)}
    return set(hosts) <= named


def lasts(certificate: bytes, now: datetime.datetime) -> bool:
    """Whether a certificate has time left. ValueError if it is none."""
    return not _expires_soon(x509.load_pem_x509_certificate(certificate), now)


def belongs(certificate: bytes, key: bytes) -> bool:
    """Whether both can be read and the key is the certificate's."""
    try:
        public = x509.load_pem_x509_certificate(certificate).public_key()
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return False
    return isinstance(private, ec.EllipticCurvePrivateKey) and private.public_key() == public


def is_key(key: bytes) -> bool:
    """Whether this is a private key."""
    try:
        serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return False
    return True


def is_signed(certificate: bytes, ca: bytes) -> bool:
    """Whether `ca` has signed the certificate."""
    try:
        x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names(hosts: Sequence[str]) -> list[x509.GeneralName]:
    """DNS names and addresses as alternative names."""
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _expires_soon(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    return certificate.not_valid_after_utc < now + datetime.timedelta(days=RENEW_DAYS)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
