"""The way to an extension server: its address, its certificate, and how it learns who asks."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from arktos.apiserver.aggregation.extensions import Extension
from arktos.apiserver.backends import Backends
from arktos.apiserver.identity import User
from arktos.apiserver.proxying import Headers, forward, onward_headers
from arktos.model.status import ServiceUnavailable
from arktos.wire.exchange import Exchange, begin
from arktos.wire.http import Request

_CONNECT_SECONDS, _HEAD_SECONDS = 10.0, 60.0
_MAX_CONTEXTS = 128
TENANT = "arktos.io/tenant"
"""Key of the extra that says whose user it is."""
_EXTRA_SAFE = "!#$&'*+-.^_`|~"
"""What a header's name may hold besides letters and digits, `%` apart."""


@dataclass(frozen=True, slots=True)
class FrontProxyOptions:
    """The certificate that extension servers know this server by, PEM, and who signs it."""

    client_certificate: Path | None = None
    client_key: Path | None = None
    client_ca: Path | None = None


class Ways:
    """Connects to extensions."""

    def __init__(self, backends: Backends, options: FrontProxyOptions) -> None:
        self.backends = backends
        self._options = options
        self._contexts: dict[tuple[object, ...], ssl.SSLContext] = {}

    async def forward(self, extension: Extension, request: Request, target: str, user: User) -> Exchange:
        """Sends a request on, as `user`'s. ServiceUnavailable, BadRequest; and what `proxying.forward` raises."""
        host, port = self._locate(extension)
        headers = [*onward_headers(request, _authority(extension)), *identity(user)]
        return await forward(
            request,
            host,
            port,
            target,
            headers,
            ssl_context=self.context(extension),
            server_name=extension.server_name,
            connect_timeout=_CONNECT_SECONDS,
            head_timeout=_HEAD_SECONDS,
        )

    async def ask(self, extension: Extension, path: str, seconds: float, user: User) -> Exchange:
        """A GET of this server's own, as `user`."""
        host, port = self._locate(extension)
        headers: Headers = [("Host", _authority(extension)), ("Accept", "application/json"), *identity(user)]
        return await begin(
            host,
            port,
            "GET",
            path,
            headers,
            ssl_context=self.context(extension),
            server_name=extension.server_name,
            connect_timeout=seconds,
            head_timeout=seconds,
        )

    def context(self, extension: Extension) -> ssl.SSLContext:
        """TLS as the APIService wants it, with the front proxy's certificate. ServiceUnavailable."""
        digest = hashlib.sha256(extension.ca).digest()
        key = (digest, extension.insecure, self._state())
        known = self._contexts.get(key)
        if known is None:
            try:
                known = self._made(extension)
            except (OSError, ValueError) as error:
                raise ServiceUnavailable(f"APIService {extension.name}: no TLS: {error}") from error
            if len(self._contexts) >= _MAX_CONTEXTS:
                self._contexts.clear()
            self._contexts[key] = known
        return known

    def _made(self, extension: Extension) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if extension.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif extension.ca:
            try:
                context.load_verify_locations(cadata=base64.b64decode(extension.ca).decode("ascii"))
            except binascii.Error as error:
                raise ValueError(f"caBundle: {error}") from error
        else:
            context.load_default_certs()
        if self._options.client_certificate is not None:
            context.load_cert_chain(self._options.client_certificate, self._options.client_key)
        return context

    def _state(self) -> tuple[int, ...]:
        """Changes when the front proxy's files do."""
        files = (self._options.client_certificate, self._options.client_key)
        try:
            return tuple(file.stat().st_mtime_ns for file in files if file is not None)
        except OSError:
            return ()

    def _locate(self, extension: Extension) -> tuple[str, int]:
        namespace, service = extension.namespace, extension.service
        return self.backends.of_service(extension.tenant, namespace, service, str(extension.port))


def _authority(extension: Extension) -> str:
    return f"{extension.server_name}:{extension.port}"


def identity(user: User) -> Headers:
    """The headers that tell who asks (`--requestheader-*`)."""
    found: Headers = [("X-Remote-User", user.name)]
    if user.uid:
        found.append(("X-Remote-Uid", user.uid))
    found += [("X-Remote-Group", group) for group in user.groups]
    extra = {key.lower(): values for key, values in user.extra.items()} | {TENANT: (user.tenant,)}
    for key, values in extra.items():
        name = "X-Remote-Extra-" + quote(key, safe=_EXTRA_SAFE)
        found += [(name, value) for value in values]
    return found
