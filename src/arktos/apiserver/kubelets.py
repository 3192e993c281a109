"""The agents of nodes, as the API server reaches them: where they listen, how both ends prove who they are.

    kubelets = Kubelets(reader, KubeletOptions(client_certificate=..., client_key=..., certificate_authority=...))
    answer = await kubelets.get("node-1", "/stats/summary", within=5)

A node says where its agent listens (`status.addresses`, `status.daemonEndpoints.kubeletEndpoint.Port`). The server
shows its client certificate and, where an authority is given, believes only an agent whose certificate names the
address that it was reached at.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from arktos.apiserver.encoding import decode, key_of
from arktos.apiserver.proxying import forward, onward_headers, reply_of
from arktos.apiserver.reader import Reader
from arktos.model import registry
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import BadRequest, InternalError, ServiceUnavailable, Timeout, not_found
from arktos.wire.http import Reply, Request
from arktos.wire.http_client import ConnectionFailed, HttpClient, HttpResponse, RequestTimeout

DEFAULT_PORT = 10250
_MAX_CLIENTS = 1024
_CONNECT_TIMEOUT = 10.0
_HEAD_TIMEOUT = 240.0
"""Seconds: an agent answers an exec once the runtime has taken it, a proxied request when it has been worked on."""


@dataclass(frozen=True, slots=True)
class KubeletOptions:
    """The `--kubelet-...` flags. Without an authority the agent's certificate is not checked, as upstream.
    `address_types` begins with InternalIP, for nodes' names are rarely known to DNS."""

    client_certificate: Path | None = None
    client_key: Path | None = None
    certificate_authority: Path | None = None
    address_types: tuple[str, ...] = ("InternalIP", "Hostname", "InternalDNS", "ExternalDNS", "ExternalIP")


class Endpoint(NamedTuple):
    """Where an agent listens."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def context(options: KubeletOptions) -> ssl.SSLContext:
    """The TLS of connections to agents. Raises OSError, ssl.SSLError for files that cannot be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    if options.certificate_authority is not None:
        made.load_verify_locations(options.certificate_authority)
    else:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if options.client_certificate is not None:
        made.load_cert_chain(options.client_certificate, options.client_key)
    return made


def endpoint_of(node: Obj, address_types: Sequence[str]) -> Endpoint:
    """Where the agent of a node listens. ServiceUnavailable for a node that does not say."""
    status = node.get("status") or {}
    addresses = status.get("addresses") or []
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or DEFAULT_PORT
    for wanted in address_types:
        for address in addresses:
            if address.get("type") == wanted and address.get("address"):
                return Endpoint(address["address"], port)
    known = ", ".join(f"{address.get('type')}: {address.get('address')}" for address in addresses)
    raise ServiceUnavailable(f"no preferred addresses found; known addresses: [{known}]")


class Kubelets:
    """Every agent, by the name of its node. `aclose` ends what is under way."""

    def __init__(self, reader: Reader, options: KubeletOptions) -> None:
        self._reader = reader
        self._options = options
        self._nodes = registry.by_resource("nodes")
        self._context: ssl.SSLContext | None = None
        self._loaded: tuple[int, ...] = ()
        self._clients: dict[Endpoint, HttpClient] = {}

    def node(self, name: str) -> Obj:
        """Raises NotFound."""
        record = self._reader.get(key_of(self._nodes, SYSTEM_TENANT, "", name))
        if record is None:
            raise not_found("nodes", name)
        return decode(record)

    def locate(self, name: str) -> Endpoint:
        """Where a node's agent listens. Raises NotFound, ServiceUnavailable."""
        return endpoint_of(self.node(name), self._options.address_types)

    def tls(self) -> ssl.SSLContext:
        """The context for new connections; made again when its files were replaced. ServiceUnavailable if they cannot
        be used."""
        try:
            state = self._state()
            if self._context is None or state != self._loaded:
                self._context, self._loaded = context(self._options), state
        except (OSError, ssl.SSLError) as error:
            if self._context is None:
                raise ServiceUnavailable(f"the certificates for the nodes' agents cannot be used: {error}") from error
        return self._context

    async def get(
        self,
        node: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        within: float = 10.0,
    ) -> HttpResponse:
        """One question to a node's agent, over a kept connection; its answer, whatever the status. NotFound for no such
        node, ServiceUnavailable and Timeout (504) for an agent that cannot be reached."""
        return await self.request(node, "GET", path, query=query, headers=headers, within=within)

    async def request(
        self,
        node: str,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        within: float = 10.0,
    ) -> HttpResponse:
        """As `get`, with any method."""
        if not path.startswith("/"):
            raise BadRequest(f"not a path of an agent: {path!r}")
        client = self._client(self.locate(node))
        target = f"{path}?{query}" if query else path
        try:
            return await client.request(method, target, headers=headers, body=body, timeout=within)
        except RequestTimeout as error:
            raise Timeout(f"the agent of node {node} did not answer: {error}") from error
        except ConnectionFailed as error:
            raise unreachable(node, error) from error

    async def forward(self, node: str, request: Request, target: str) -> Reply:
        """Passes a request on to a node's agent, with the server's certificate instead of the caller's credentials, and
        its answer back: streams as they come, upgrades as a tunnel. Raises NotFound, ServiceUnavailable, Timeout."""
        endpoint = self.locate(node)
        headers = onward_headers(request, endpoint.authority, cookies=False)
        try:
            exchange = await forward(
                request,
                endpoint.host,
                endpoint.port,
                target,
                headers,
                ssl_context=self.tls(),
                connect_timeout=_CONNECT_TIMEOUT,
                head_timeout=_HEAD_TIMEOUT,
            )
            if exchange.status in (401, 403):
                # This server is meant, not the caller, who would be told to log in.
                told = (await exchange.read(2048)).decode("utf-8", "replace")
                raise InternalError(f"the agent of node {node} refuses the API server: {told}")
            return await reply_of(exchange)
        except RequestTimeout as error:
            raise Timeout(f"the agent of node {node} did not answer: {error}") from error
        except ConnectionFailed as error:
            raise unreachable(node, error) from error

    async def aclose(self) -> None:
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()

    def _client(self, endpoint: Endpoint) -> HttpClient:
        context = self._context
        if context is not self.tls():
            # Established connections end with their requests; new ones show the new certificate.
            self._clients.clear()
        found = self._clients.get(endpoint)
        if found is None:
            if len(self._clients) >= _MAX_CLIENTS:
                self._clients.pop(next(iter(self._clients)))
            found = self._clients[endpoint] = HttpClient(
                f"https://{endpoint.authority}",
                ssl_context=self.tls(),
                connections=8,
                connect_timeout=5.0,
                user_agent="arktos-apiserver",
            )
        return found

    def _state(self) -> tuple[int, ...]:
        options = self._options
        files = (options.client_certificate, options.client_key, options.certificate_authority)
        return tuple(file.stat().st_mtime_ns for file in files if file is not None)


def unreachable(node: str, error: Exception) -> ServiceUnavailable:
    """The answer where a node's agent cannot be asked."""
    return ServiceUnavailable(f"the agent of node {node} cannot be reached: {error}")
