"""pods/proxy, services/proxy and nodes/proxy: HTTP to what runs in the cluster, any method, upgrades too.

A pod or service is one of the caller's tenant, and is reached at the address of a pod of that tenant: never at one that
somebody has only written into an object.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from arktos.apiserver.backends import Backends
from arktos.apiserver.call import Call
from arktos.apiserver.destinations import split_name
from arktos.apiserver.kubelets import Kubelets
from arktos.apiserver.proxying import forward, onward_headers, reply_of
from arktos.apiserver.reader import Reader
from arktos.model.status import BadRequest, NotFound, ServiceUnavailable, Timeout
from arktos.wire.exchange import ConnectionFailed, RequestTimeout
from arktos.wire.http import Reply

_CONNECT_TIMEOUT = 10.0


class _Backend(NamedTuple):
    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Proxies:
    """Answers the `proxy` subresources."""

    def __init__(self, reader: Reader, kubelets: Kubelets) -> None:
        self._backends = Backends(reader)
        self._kubelets = kubelets
        self._unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # As upstream: nobody signs for pods, and what is said to them goes through this server.
        self._unverified.check_hostname = False
        self._unverified.verify_mode = ssl.CERT_NONE

    async def answer(self, call: Call) -> Reply:
        """NotFound, BadRequest; ServiceUnavailable where nobody answers."""
        remainder = remainder_of(call.request.target, call.info.resource, call.info.name)
        if call.kind.resource == "nodes":
            return await self._node(call, remainder)
        backend = self._pod(call) if call.kind.resource == "pods" else self._service(call)
        return await self._forward(call, backend, remainder)

    async def _node(self, call: Call, remainder: str) -> Reply:
        _, name, port = _split(call)
        endpoint = self._kubelets.locate(name)
        if port and port != str(endpoint.port):
            raise BadRequest(f"address not allowed: of a node, only its agent (port {endpoint.port}) is reached")
        return await self._kubelets.forward(name, call.request, remainder)

    def _pod(self, call: Call) -> _Backend:
        scheme, name, port = _split(call)
        pod = self._backends.get("pods", call.tenant, call.info.namespace, name)
        if not port:
            declared = (p for c in (pod.get("spec") or {}).get("containers") or () for p in c.get("ports") or ())
            port = str(next((each["containerPort"] for each in declared), ""))
        return _Backend(scheme, self._backends.address(pod), _port(port, scheme, call))

    def _service(self, call: Call) -> _Backend:
        scheme, name, wanted = _split(call)
        host, number = self._backends.of_service(call.tenant, call.info.namespace, name, wanted)
        return _Backend(scheme, host, number)

    async def _forward(self, call: Call, backend: _Backend, remainder: str) -> Reply:
        request = call.request
        base = _base(request.target, call.info.resource, call.info.name)
        headers = onward_headers(request, backend.authority)
        headers += [("X-Forwarded-Uri", base + remainder), ("X-Forwarded-Proto", "https")]
        if host := request.headers.get("host", ""):
            headers.append(("X-Forwarded-Host", host))
        context = self._unverified if backend.scheme == "https" else None
        try:
            exchange = await forward(
                request,
                backend.host,
                backend.port,
                remainder,
                headers,
                ssl_context=context,
                connect_timeout=_CONNECT_TIMEOUT,
            )
            location = exchange.header("location")
            moved = {"location": relocated(location, base, backend.authority)} if location else {}
            return await reply_of(exchange, moved)
        except RequestTimeout as error:
            raise Timeout(f"error trying to reach service: {error}") from error
        except ConnectionFailed as error:
            raise ServiceUnavailable(f"error trying to reach service: {error}") from error


def _split(call: Call) -> tuple[str, str, str]:
    try:
        return split_name(call.info.name)
    except ValueError as error:
        raise BadRequest(f'invalid {call.kind.kind.lower()} request "{call.info.name}"') from error


def _port(text: str, scheme: str, call: Call) -> int:
    if not text:
        return 443 if scheme == "https" else 80
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:6]) < 65536:
        raise BadRequest(f'invalid {call.kind.kind.lower()} request "{call.info.name}"')
    return int(text)


def _parts(target: str, resource: str, name: str) -> tuple[str, str, str]:
    path, mark, query = target.partition("?")
    if path.startswith(("http://", "https://")):
        path = urlsplit(path).path
    parts = path.split("/")
    for at in range(2, len(parts)):
        if [unquote(part) for part in parts[at - 2 : at + 1]] == [resource, name, "proxy"]:
            return "/".join(parts[: at + 1]), "/" + "/".join(parts[at + 1 :]), mark + query
    raise NotFound("the server could not find the requested resource")


def remainder_of(target: str, resource: str, name: str) -> str:
    """What follows `/proxy` in a request's target as it came, escapes and query included; at least `/`."""
    _, rest, query = _parts(target, resource, name)
    return rest + query


def _base(target: str, resource: str, name: str) -> str:
    return _parts(target, resource, name)[0]


def relocated(location: str, base: str, authority: str) -> str:
    """A redirect within the backend, as one within the proxy; any other as it is."""
    found = urlsplit(location)
    if found.netloc not in ("", authority) or not found.path.startswith("/"):
        return location
    return base + urlunsplit(("", "", found.path, found.query, found.fragment))
