"""JSON web tokens (RFC 7515, 7518, 7519) signed with ES256 or RS256, and the public keys for others to check them with.

The kind of key decides the algorithm; the token's own header only has to agree. Keys are parsed when they are first
needed, for the library that does it is large and many servers never see a token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey
    PublicKey = EllipticCurvePublicKey | RSAPublicKey

MAX_TOKEN = 16384
_P256_BYTES = 32


class BadToken(ValueError):
    """Not a token that one of our keys has signed."""


class _Header(msgspec.Struct):
    alg: str = ""
    kid: str = ""
    crit: list[str] | None = None


_headers = msgspec.json.Decoder(_Header)


def encode_segment(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_segment(text: str) -> bytes:
    """The bytes of a base64url segment without padding. Raises `BadToken`."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadToken("a part is not base64url") from error


class Signer:
    """Signs with one private key in PEM (EC P-256 or RSA). Raises ValueError when another kind of key is first used."""

    def __init__(self, private_pem: bytes) -> None:
        self._pem = private_pem
        self._loaded: tuple[PrivateKey, str, str] | None = None

    def public_pem(self) -> bytes:
        """The public half, for `Verifier`."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key()[0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, claims: Mapping[str, object]) -> str:
        """The token that says `claims`."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        key, algorithm, key_id = self._key()
        header = msgspec.json.encode({"alg": algorithm, "kid": key_id})
        signed = f"{encode_segment(header)}.{encode_segment(msgspec.json.encode(claims))}"
        if isinstance(key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
            signature = r.to_bytes(_P256_BYTES, "big") + s.to_bytes(_P256_BYTES, "big")
        else:
            signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{encode_segment(signature)}"

    def _key(self) -> tuple[PrivateKey, str, str]:
        if self._loaded is None:
            from cryptography.hazmat.primitives.asymmetric import ec, rsa
            from cryptography.hazmat.primitives.serialization import load_pem_private_key

            key = load_pem_private_key(self._pem, None)
            if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
                raise ValueError("a service account key is an EC or an RSA key")
            self._loaded = (key, _algorithm(key.public_key()), _key_id(key.public_key()))
        return self._loaded


class Verifier:
    """Checks tokens against public keys, each a PEM of a public or a private key."""

    def __init__(self, pems: Sequence[bytes]) -> None:
        self._pems = tuple(pems)
        self._loaded: dict[str, tuple[PublicKey, str]] | None = None

    def verify(self, token: str) -> bytes:
        """The claims of a token that one of the keys has signed, as JSON. Raises `BadToken`."""
        parts = token.split(".")
        if len(token) > MAX_TOKEN or len(parts) != 3:
            raise BadToken("not a JSON web token")
        try:
            header = _headers.decode(decode_segment(parts[0]))
        except msgspec.DecodeError as error:
            raise BadToken("the header is not JSON") from error
        if header.crit is not None:
            raise BadToken("the token has extensions that are not understood")
        signature, signed = decode_segment(parts[2]), f"{parts[0]}.{parts[1]}".encode()
        for key_id, (key, algorithm) in self._keys().items():
            if header.alg == algorithm and header.kid in ("", key_id) and _is_signed(key, signed, signature):
                return decode_segment(parts[1])
        raise BadToken("the token is not signed by a key that is known")

    def jwks(self) -> list[dict[str, str]]:
        """The public keys as JSON web keys (RFC 7517)."""
        return [_jwk(key, algorithm, key_id) for key_id, (key, algorithm) in self._keys().items()]

    def _keys(self) -> dict[str, tuple[PublicKey, str]]:
        if self._loaded is None:
            keys = [_public_key(pem) for pem in self._pems]
            self._loaded = {_key_id(key): (key, _algorithm(key)) for key in keys}
        return self._loaded


def _public_key(pem: bytes) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

    if b"PRIVATE KEY" in pem:
        private = load_pem_private_key(pem, None)
        if isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            return private.public_key()
    else:
        public = load_pem_public_key(pem)
        if isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            return public
    raise ValueError("a service account key is an EC or an RSA key")


def _is_signed(key: PublicKey, signed: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            if len(signature) != 2 * _P256_BYTES:
                return False
            r, s = (int.from_bytes(half, "big") for half in (signature[:_P256_BYTES], signature[_P256_BYTES:]))
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _algorithm(key: PublicKey) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec

    if not isinstance(key, ec.EllipticCurvePublicKey):
        return "RS256"
    if key.curve.name != "secp256r1":
        raise ValueError("an EC service account key is on curve P-256")
    return "ES256"


def _key_id(key: PublicKey) -> str:
    """What Kubernetes calls a key: the hash of its public half (SubjectPublicKeyInfo)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encode_segment(hashlib.sha256(der).digest())


def _jwk(key: PublicKey, algorithm: str, key_id: str) -> dict[str, str]:
    from cryptography.hazmat.primitives.asymmetric import ec

    common = {"use": "sig", "kid": key_id, "alg": algorithm}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        x, y = (encode_segment(n.to_bytes(_P256_BYTES, "big")) for n in (point.x, point.y))
        return common | {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    numbers = key.public_numbers()
    n, e = (encode_segment(v.to_bytes((v.bit_length() + 7) // 8, "big")) for v in (numbers.n, numbers.e))
    return common | {"kty": "RSA", "n": n, "e": e}
