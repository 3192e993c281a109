"""The cluster's CA, as far as it signs what was approved."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from arktos.controllers.certificates.signers import EXTENDED

DURATION = datetime.timedelta(days=365)
SHORTEST = datetime.timedelta(minutes=10)
SHORT = datetime.timedelta(hours=8)
SKEW = datetime.timedelta(minutes=5)


class Authority:
    """Signs with a CA on disk. ValueError or OSError for files that are none."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._pem = certificate.read_bytes()
        self._certificate = x509.load_pem_x509_certificate(self._pem)
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError(f"{key}: neither an elliptic-curve nor an RSA key")
        self._key = loaded

    def sign(
        self,
        request: x509.CertificateSigningRequest,
        subject: x509.Name,
        usages: Sequence[str],
        now: datetime.datetime,
        seconds: int | None,
        skew: datetime.timedelta = SKEW,
    ) -> bytes:
        """A certificate, PEM, for the key and the alternative names of a request. It lives for `seconds` (None: a
        year), ten minutes at least, and not longer than the CA; it holds since `skew` ago, for those whose clocks are
        behind, which is part of its life unless that is short."""
        life = DURATION if seconds is None else min(DURATION, max(SHORTEST, datetime.timedelta(seconds=seconds)))
        ends = now + life - (skew if life >= SHORT else datetime.timedelta())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - skew)
            .not_valid_after(min(ends, self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )
        if "digital signature" in usages or "key encipherment" in usages:
            builder = builder.add_extension(_key_usage(usages), critical=True)
        extended = [EXTENDED[usage] for usage in usages if usage in EXTENDED]
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        try:
            names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            pass
        else:
            builder = builder.add_extension(names.value, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(usages: Sequence[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digital signature" in usages,
        key_encipherment="key encipherment" in usages,
        key_cert_sign=False,
        crl_sign=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
