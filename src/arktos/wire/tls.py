"""The server's TLS: TLS 1.2 or newer, HTTP/1.1 by ALPN, client certificates asked for but not demanded."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

_AEAD = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TlsError(Exception):
    """A certificate, key or CA file cannot be used; says which and why."""


@dataclass(slots=True)
class ServerTls:
    """A server's certificate and the authority of its clients, as files that may be replaced while it runs.

    `context` stays the same object: new connections see what the last `reload` read, established ones stay as they are.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    context: ssl.SSLContext = field(init=False)
    _seen: tuple[int, ...] = field(init=False, default=())
    _authorities: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_ciphers(_AEAD)
        self.context.set_alpn_protocols(["http/1.1"])
        self.context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        self.reload()

    def reload(self) -> bool:
        """Reads the files again if any changed; says whether. Raises `TlsError`, and then the old ones stay in use.

        Authorities are added, never taken away: a CA that is no longer trusted takes a restart.
        """
        state = self._state()
        if state == self._seen:
            return False
        try:
            # A pair that doesn't fit must not replace one that does.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
            if self.client_ca is not None:
                authorities = self.client_ca.read_bytes()
                if authorities != self._authorities:
                    self.context.load_verify_locations(cadata=authorities.decode("ascii"))
                    self._authorities = authorities
                self.context.verify_mode = ssl.CERT_OPTIONAL
            self.context.load_cert_chain(self.certificate, self.key)
        except (OSError, ValueError) as error:
            raise TlsError(f"{self.certificate}, {self.key}, {self.client_ca or 'no client CA'}: {error}") from error
        self._seen = state
        return True

    def _state(self) -> tuple[int, ...]:
        files = [self.certificate, self.key] + ([self.client_ca] if self.client_ca else [])
        try:
            return tuple(number for file in files for number in (file.stat().st_mtime_ns, file.stat().st_ino))
        except OSError as error:
            raise TlsError(str(error)) from error


def server_context(certificate: Path | str, key: Path | str, client_ca: Path | str | None = None) -> ssl.SSLContext:
    """A server's context from PEM files; session tickets are on, as OpenSSL has them. Raises `TlsError`.

    With `client_ca`, clients may show a certificate and it must be that authority's; without, none is asked for.
    """
    return ServerTls(Path(certificate), Path(key), Path(client_ca) if client_ca else None).context
