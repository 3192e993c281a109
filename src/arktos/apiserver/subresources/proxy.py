"""pods/proxy, services/proxy and nodes/proxy: HTTP to what runs in the cluster, any method, upgrades too.

A pod or service is one of the caller's tenant, and is reached at the address of a pod of that tenant: never at one that
somebody has only written into an object.
"""

from __future__ import annotations

import random
import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from arktos.apiserver.call import Call
from arktos.apiserver.destinations import pod_address, split_name
from arktos.apiserver.encoding import decode, key_of
from arktos.apiserver.kubelets import Kubelets
from arktos.apiserver.proxying import forward, onward_headers, reply_of
from arktos.apiserver.reader import Reader
from arktos.model import registry, selectors
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import BadRequest, NotFound, ServiceUnavailable, Timeout, not_found
from arktos.store.records import Query
from arktos.wire.exchange import ConnectionFailed, RequestTimeout
from arktos.wire.http import Reply

_SERVICE_LABEL = "kubernetes.io/service-name"
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
        self._reader = reader
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
        pod = self._get("pods", call, name)
        if not port:
            declared = (p for c in (pod.get("spec") or {}).get("containers") or () for p in c.get("ports") or ())
            port = str(next((each["containerPort"] for each in declared), ""))
        return _Backend(scheme, self._address(pod), _port(port, scheme, call))

    def _service(self, call: Call) -> _Backend:
        scheme, name, wanted = _split(call)
        service = self._get("services", call, name)
        port = _service_port(service, wanted)
        found = list(self._endpoints(call, name, str(port.get("name") or "")))
        if not found:
            raise ServiceUnavailable(f'no endpoints available for service "{name}"')
        pod_name, number = random.choice(found)
        return _Backend(scheme, self._address(self._get("pods", call, pod_name)), number)

    def _endpoints(self, call: Call, service: str, port_name: str) -> list[tuple[str, int]]:
        """Pods of the service that are ready, each with its port."""
        kind = registry.by_resource("endpointslices.discovery.k8s.io")
        query = Query(
            kind.resource, call.tenant, call.info.namespace, selectors.parse(f"{_SERVICE_LABEL}={service}", "", kind)
        )
        found = []
        for slice_ in map(decode, self._reader.list(query).records):
            numbers = [p.get("port") for p in slice_.get("ports") or () if (p.get("name") or "") == port_name]
            for endpoint in slice_.get("endpoints") or ():
                target = endpoint.get("targetRef") or {}
                ready = (endpoint.get("conditions") or {}).get("ready") is not False
                if ready and target.get("kind") == "Pod" and target.get("name"):
                    found += [(str(target["name"]), int(number)) for number in numbers if number]
        return found

    def _get(self, resource: str, call: Call, name: str) -> Obj:
        record = self._reader.get(key_of(registry.by_resource(resource), call.tenant, call.info.namespace, name))
        if record is None:
            raise not_found(resource, name)
        return decode(record)

    def _address(self, pod: Obj) -> str:
        node_name = (pod.get("spec") or {}).get("nodeName") or ""
        if not node_name:
            raise ServiceUnavailable(f"pod {pod['metadata']['name']} has no address")
        node = self._reader.get(key_of(registry.by_resource("nodes"), SYSTEM_TENANT, "", node_name))
        kind = registry.by_resource("pods")
        here = Query("pods", None, None, selectors.parse("", f"spec.nodeName={node_name}", kind))
        others = map(decode, self._reader.list(here).records)
        return pod_address(pod, decode(node) if node is not None else None, others)

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


def _service_port(service: Obj, wanted: str) -> Obj:
    name = service["metadata"]["name"]
    ports: list[Obj] = (service.get("spec") or {}).get("ports") or []
    for port in ports:
        if wanted in (port.get("name") or "", str(port.get("port"))) and (wanted or len(ports) == 1):
            return port
    if not wanted and len(ports) == 1:
        return ports[0]
    raise ServiceUnavailable(f'no service port "{wanted}" found for service "{name}"')


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
