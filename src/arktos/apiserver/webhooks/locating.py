"""From a WebhookClientConfig to an address: of a Service in the tenant, or of a URL's host."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from arktos.apiserver.destinations import pod_address
from arktos.apiserver.encoding import decode, key_of
from arktos.apiserver.reader import Reader
from arktos.apiserver.webhooks.guard import AddressRefused, Guard
from arktos.model import registry, selectors
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import ApiError
from arktos.store.records import Query

_LOOKUPS, _LOOKUPS_EACH = 16, 2
_KEPT = 5.0
_TENANTS = 1024
_SERVICE_LABEL = "kubernetes.io/service-name"


class NotLocated(Exception):
    """There is no address to ask; the message ends a sentence that names the URL."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is asked: `authority` and `path` make the URL as it is told, `server_name` is whom TLS must meet."""

    authority: str
    server_name: str
    path: str

    @property
    def url(self) -> str:
        return f"https://{self.authority}{self.path}"


def place_of(config: Obj) -> Place:
    """Where a WebhookClientConfig points. NotLocated for one that is malformed."""
    service = config.get("service")
    if service is not None:
        name = f"{service.get('name')}.{service.get('namespace')}.svc"
        path = service.get("path") or "/"
        return Place(f"{name}:{service.get('port', 443)}", name, path if path.startswith("/") else f"/{path}")
    try:
        parts = urlsplit(config.get("url") or "")
        host, port = parts.hostname or "", parts.port or 443
    except ValueError:
        host = ""
    if not host or parts.scheme != "https":
        raise NotLocated("the URL is not valid")
    shown = f"[{host}]" if ":" in host else host
    return Place(parts.netloc.rpartition("@")[2] if parts.port else f"{shown}:{port}", host, parts.path or "/")


class Locator:
    """Finds addresses; every one has passed the guard, or is that of a pod of the tenant."""

    def __init__(self, reader: Reader, guard: Guard) -> None:
        self._reader = reader
        self._guard = guard
        self.names = Names()

    async def locate(self, tenant: str, config: Obj, place: Place) -> tuple[str, int]:
        """An IP address and a port. NotLocated, AddressRefused."""
        service = config.get("service")
        if service is not None:
            return await self._service(tenant, service)
        parts = urlsplit(config["url"])
        port = parts.port or 443
        try:
            found = [str(ipaddress.ip_address(place.server_name))]
        except ValueError:
            found = await self.names.addresses(tenant, place.server_name, port)
        refused: AddressRefused | None = None
        for address in found:
            try:
                await self._guard.check(address)
                return address, port
            except AddressRefused as error:
                refused = error
        raise refused or NotLocated(f"lookup {place.server_name}: no such host")

    async def _service(self, tenant: str, wanted: Obj) -> tuple[str, int]:
        namespace, name = str(wanted.get("namespace") or ""), str(wanted.get("name") or "")
        service = self._get("services", tenant, namespace, name)
        if service is None:
            raise NotLocated(f'service "{name}" not found')
        number = wanted.get("port", 443)
        port = next((p for p in (service.get("spec") or {}).get("ports") or () if p.get("port") == number), None)
        if port is None:
            raise NotLocated(f'no service port {number} found for service "{name}"')
        candidates = self._endpoints(tenant, namespace, name, str(port.get("name") or ""))
        random.shuffle(candidates)
        refused: Exception | None = None
        for address, target, at in candidates:
            try:
                return await self._checked(tenant, namespace, address, target), at
            except (AddressRefused, ApiError) as error:
                refused = error
        if refused is not None:
            raise AddressRefused("address not allowed")
        raise NotLocated(f'no endpoints available for service "{name}"')

    def _endpoints(self, tenant: str, namespace: str, service: str, port_name: str) -> list[tuple[str, Obj, int]]:
        kind = registry.by_resource("endpointslices.discovery.k8s.io")
        selector = selectors.parse(f"{_SERVICE_LABEL}={service}", "", kind)
        found: list[tuple[str, Obj, int]] = []
        for slice_ in map(decode, self._reader.list(Query(kind.resource, tenant, namespace, selector)).records):
            numbers = [p.get("port") for p in slice_.get("ports") or () if (p.get("name") or "") == port_name]
            for endpoint in slice_.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is False:
                    continue
                target = endpoint.get("targetRef") or {}
                for address in endpoint.get("addresses") or ():
                    found += [(str(address), target, int(number)) for number in numbers if number]
        return found

    async def _checked(self, tenant: str, namespace: str, address: str, target: Obj) -> str:
        """The address of an endpoint: its pod's, where it names one; else one that any URL might name."""
        if target.get("kind") == "Pod" and target.get("name"):
            pod = self._get("pods", tenant, namespace, str(target["name"]))
            if pod is None:
                raise AddressRefused("address not allowed")
            node_name = (pod.get("spec") or {}).get("nodeName") or ""
            node = self._get("nodes", SYSTEM_TENANT, "", node_name) if node_name else None
            here = Query(
                "pods", None, None, selectors.parse("", f"spec.nodeName={node_name}", registry.by_resource("pods"))
            )
            return pod_address(pod, node, map(decode, self._reader.list(here).records))
        try:
            await self._guard.check(address)
        except ValueError:
            raise AddressRefused("address not allowed") from None
        return address

    def _get(self, resource: str, tenant: str, namespace: str, name: str) -> Obj | None:
        record = self._reader.get(key_of(registry.by_resource(resource), tenant, namespace, name))
        return None if record is None else decode(record)


class Names:
    """Looks host names up in threads of its own, a few at a time for a tenant: a name whose server is slow holds up
    nobody else's. What was found is kept for some seconds; each call still checks it."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="webhook-names")
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._known: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()

    async def addresses(self, tenant: str, host: str, port: int) -> list[str]:
        """The addresses of a host. NotLocated."""
        known = self._known.get(host)
        if known is not None and time.monotonic() - known[0] < _KEPT:
            return known[1]
        if len(self._turns) > _TENANTS:
            self._turns.clear()
        async with self._turns.setdefault(tenant, asyncio.Semaphore(_LOOKUPS_EACH)):
            loop = asyncio.get_running_loop()
            try:
                look = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
                found = await loop.run_in_executor(self._executor, look)
            except (OSError, UnicodeError):
                raise NotLocated(f"dial tcp: lookup {host}: no such host") from None
        addresses = [str(info[4][0]) for info in found]
        self._known[host] = (time.monotonic(), addresses)
        if len(self._known) > _TENANTS:
            self._known.popitem(last=False)
        return addresses

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
