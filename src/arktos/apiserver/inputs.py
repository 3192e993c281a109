"""What the options name, read and checked before anything starts: certificates, keys, tokens, address ranges.

Each complaint says which option it is about, what is wrong and what to do, in one line.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from arktos.apiserver import kubelets, tokenfile
from arktos.apiserver.aggregation.connecting import FrontProxyOptions
from arktos.apiserver.audit import policy
from arktos.apiserver.audit.log import AuditOptions
from arktos.apiserver.authz import MODES
from arktos.apiserver.options import Options
from arktos.apiserver.serviceips import parse_ranges
from arktos.store.faults import StoreFault
from arktos.store.loading import verify
from arktos.wire.tls import ServerTls, TlsError

_Read = TypeVar("_Read")


class Unusable(Exception):
    """Something that an option names cannot be used, so the server does not start."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """`root_ca` is the PEM that workloads shall trust, "" if there is none; `audit` says what is logged."""

    tls: ServerTls
    root_ca: str
    audit: policy.Policy | None = None
    front_proxy_ca: str = ""


def read(options: Options) -> Inputs:
    """Everything of the options but the store. Raises Unusable for the first thing that cannot be used."""
    authority = options.root_ca_file or options.client_ca_file
    with _about("--service-cluster-ip-range", options.service_cluster_ip_range, "give a network such as 10.96.0.0/12"):
        parse_ranges(options.service_cluster_ip_range)
    modes = {mode.strip() for mode in options.authorization_mode.split(",")} - {""}
    if not modes or not modes <= set(MODES):
        raise Unusable(f"--authorization-mode: {options.authorization_mode!r} is none of {', '.join(MODES)}")
    for name, certificates in (
        ("--tls-cert-file", options.tls_cert_file),
        ("--client-ca-file", options.client_ca_file),
    ):
        if certificates is not None:
            _pem(name, certificates, b"CERTIFICATE", _certificates)
    _pem("--tls-private-key-file", options.tls_private_key_file, b"PRIVATE KEY", _outline)
    _pem("--service-account-key-file", options.service_account_key_file, b"PRIVATE KEY", _outline)
    if options.token_auth_file is not None:
        with _about("--token-auth-file", options.token_auth_file, 'each line is token,user,uid,"groups",tenant'):
            tokenfile.parse(options.token_auth_file.read_text("utf-8"))
    root = _pem("--root-ca-file", authority, b"CERTIFICATE", _certificates).decode("ascii") if authority else ""
    try:
        tls = ServerTls(options.tls_cert_file, options.tls_private_key_file, options.client_ca_file)
    except TlsError as error:
        raise Unusable(f"--tls-cert-file, --tls-private-key-file: {error}; the two must belong together") from error
    try:
        kubelets.context(options.kubelet)
    except OSError as error:
        flags = "--kubelet-client-certificate, --kubelet-client-key, --kubelet-certificate-authority"
        raise Unusable(
            f"{flags}: {error.strerror or error}; they must be PEM files, certificate and key a pair"
        ) from error
    return Inputs(tls, root, _audit_policy(options.audit), _front_proxy(options.front_proxy))


def _front_proxy(options: FrontProxyOptions) -> str:
    """The PEM of who signs the front proxy's certificate."""
    for option, file, what in (
        ("--proxy-client-cert-file", options.client_certificate, b"CERTIFICATE"),
        ("--proxy-client-key-file", options.client_key, b"PRIVATE KEY"),
    ):
        if file is not None:
            _pem(option, file, what, _certificates if what == b"CERTIFICATE" else _outline)
    if options.client_ca is None:
        return ""
    return _pem("--requestheader-client-ca-file", options.client_ca, b"CERTIFICATE", _certificates).decode("ascii")


def _audit_policy(options: AuditOptions) -> policy.Policy | None:
    if options.policy_file is None:
        if options.path:
            raise Unusable("--audit-log-path: nothing is logged without --audit-policy-file")
        return None
    if not options.path:
        raise Unusable("--audit-policy-file: name the log's file with --audit-log-path, or - for standard output")
    with _about("--audit-policy-file", options.policy_file, "it must be a Policy of audit.k8s.io/v1"):
        return policy.parse(options.policy_file.read_bytes())


def problems(options: Options) -> Iterator[str]:
    """What would keep a server from starting, the store's file included, one line each. Changes nothing."""
    try:
        read(options)
        _pem("--service-account-key-file", options.service_account_key_file, b"PRIVATE KEY", _signing_key)
    except Unusable as error:
        yield str(error)
    if options.store.exists():
        try:
            yield from verify(options.store)
        except (StoreFault, OSError) as error:
            yield str(error)


def _pem(option: str, path: Path, what: bytes, parse: Callable[[bytes], object]) -> bytes:
    with _about(option, path, f"it must hold a PEM {what.decode().lower()}"):
        data = path.read_bytes()
        if what + b"-----" not in data:
            raise ValueError(f"holds no {what.decode().lower()}")
        parse(data)
    return data


def _certificates(data: bytes) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=data.decode("ascii"))


def _outline(data: bytes) -> None:
    """Whether this is one whole DER sequence. More takes `cryptography`, whose megabytes a server loads when it needs
    them."""
    encoded = data.split(b"PRIVATE KEY-----")[1].rpartition(b"-----END")[0]
    der = base64.b64decode(b"".join(encoded.split()), validate=True)
    octets = der[1] & 0x7F if der[1:2] > b"\x80" else 0
    length = int.from_bytes(der[2 : 2 + octets], "big") if octets else int.from_bytes(der[1:2], "big")
    if der[:1] != b"\x30" or len(der) != 2 + octets + length:
        raise ValueError("the key is damaged")


def _signing_key(data: bytes) -> None:
    from arktos.apiserver.jwt import Verifier

    Verifier([data]).jwks()


@contextmanager
def _about(option: str, value: object, advice: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unusable(f"{option}: {value}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise Unusable(f"{option}: {value}: {error}; {advice}") from error
