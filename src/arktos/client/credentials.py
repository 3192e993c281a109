"""What proves who we are: the TLS context of a configuration, and its bearer token, read again as it rotates."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

from arktos.client.kubeconfig import ClientConfig, ConfigError, load
from arktos.wire import logs

FILE_REREAD = 60.0
"""Seconds after which a kubeconfig is looked at again."""

TOKEN_REREAD = 60.0
"""Seconds after which a token file is read again: the node agent rotates tokens long before they expire."""

_log = logs.get_logger(__name__)


def ssl_context(config: ClientConfig) -> ssl.SSLContext | None:
    """The context for `config.server`; None for plain http. Raises ConfigError for certificates that do not parse
    or do not belong together."""
    if not config.server.startswith("https:"):
        return None
    try:
        context = ssl.create_default_context(cadata=config.ca.decode("ascii") if config.ca else None)
        context.set_alpn_protocols(["http/1.1"])
        if config.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if config.cert:
            _load_pair(context, config.cert, config.key)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"the certificates for {config.server} cannot be used: {error}") from error
    return context


def _load_pair(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    # The ssl module takes a client certificate from a file only; this one is the owner's alone and gone at once.
    handle, name = tempfile.mkstemp(prefix="arktos-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(cert.rstrip() + b"\n" + key)
        context.load_cert_chain(name)
    finally:
        os.unlink(name)


class RenewedFile:
    """A kubeconfig whose certificates are written anew before they expire, while a client lives by it."""

    def __init__(self, path: Path, context: str, tls: ssl.SSLContext | None) -> None:
        self._path = path
        self._context = context
        self._tls = tls
        self._looked_at = float("-inf")
        self._seen = self._state()

    def look(self, now: float) -> ClientConfig | None:
        """What the file says now, if it says something else than before; its certificates are those of new connections
        from then on. A file that cannot be used changes nothing. `now` is any monotonic clock, in seconds."""
        if now - self._looked_at < FILE_REREAD:
            return None
        self._looked_at = now
        state = self._state()
        if state in (self._seen, ()):
            return None
        self._seen = state
        try:
            config = load(self._path, self._context)
            # A pair that doesn't fit must not replace one that does.
            ssl_context(config)
            if self._tls is not None:
                if config.cert:
                    _load_pair(self._tls, config.cert, config.key)
                if config.ca:
                    self._tls.load_verify_locations(cadata=config.ca.decode("ascii"))
        except (ConfigError, ssl.SSLError, ValueError) as error:
            _log.warning("kubeconfig_not_renewed", path=str(self._path), error=str(error))
            return None
        _log.info("kubeconfig_renewed", path=str(self._path))
        return config

    def _state(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_ino


class BearerToken:
    """The current token, "" for none. `now` is any monotonic clock, in seconds."""

    def __init__(self, config: ClientConfig) -> None:
        self._file = Path(config.token_file) if config.token_file else None
        self._token = config.token
        self._read_at = float("-inf")

    def header(self, now: float) -> dict[str, str]:
        """The Authorization header. A token file that cannot be read leaves the last token in use."""
        if self._file is not None and now - self._read_at >= TOKEN_REREAD:
            self._read_at = now
            try:
                self._token = self._file.read_text(encoding="ascii").strip()
            except OSError as error:
                if not self._token:
                    raise ConfigError(f"{self._file}: {error}") from error
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}
