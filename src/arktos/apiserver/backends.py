"""Where a tenant's pods and services are reached: at the address of a pod of that tenant, and nowhere else that
somebody might have written into an object."""

from __future__ import annotations

import random

from arktos.apiserver.destinations import pod_address
from arktos.apiserver.encoding import decode, key_of
from arktos.apiserver.reader import Reader
from arktos.model import registry, selectors
from arktos.model.kinds import SYSTEM_TENANT, Obj
from arktos.model.status import ServiceUnavailable, not_found
from arktos.store.records import Query

_SERVICE_LABEL = "kubernetes.io/service-name"


class Backends:
    """Looks up; connects to nothing."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def get(self, resource: str, tenant: str, namespace: str, name: str) -> Obj:
        """A tenant's object. Raises NotFound."""
        record = self._reader.get(key_of(registry.by_resource(resource), tenant, namespace, name))
        if record is None:
            raise not_found(resource, name)
        return decode(record)

    def of_service(self, tenant: str, namespace: str, name: str, wanted: str) -> tuple[str, int]:
        """Address and port of any ready pod of a service; `wanted` is the name or number of a port of the service, ""
        for its only one. NotFound, ServiceUnavailable, BadRequest."""
        port = service_port(self.get("services", tenant, namespace, name), wanted)
        found = self.ready(tenant, namespace, name, str(port.get("name") or ""))
        if not found:
            raise ServiceUnavailable(f'no endpoints available for service "{name}"')
        pod, number = random.choice(found)
        return self.address(self.get("pods", tenant, namespace, pod)), number

    def ready(self, tenant: str, namespace: str, service: str, port_name: str) -> list[tuple[str, int]]:
        """Pods of a service that are ready, each with its port."""
        found = []
        for slice_ in self.slices(tenant, namespace, service):
            numbers = [p.get("port") for p in slice_.get("ports") or () if (p.get("name") or "") == port_name]
            for endpoint in slice_.get("endpoints") or ():
                target = endpoint.get("targetRef") or {}
                ready = (endpoint.get("conditions") or {}).get("ready") is not False
                if ready and target.get("kind") == "Pod" and target.get("name"):
                    found += [(str(target["name"]), int(number)) for number in numbers if number]
        return found

    def slices(self, tenant: str, namespace: str, service: str) -> list[Obj]:
        """The EndpointSlices of a service."""
        kind = registry.by_resource("endpointslices.discovery.k8s.io")
        selector = selectors.parse(f"{_SERVICE_LABEL}={service}", "", kind)
        return [
            decode(record) for record in self._reader.list(Query(kind.resource, tenant, namespace, selector)).records
        ]

    def address(self, pod: Obj) -> str:
        """Where a pod is reached. ServiceUnavailable, BadRequest (`destinations`)."""
        node_name = (pod.get("spec") or {}).get("nodeName") or ""
        if not node_name:
            raise ServiceUnavailable(f"pod {pod['metadata']['name']} has no address")
        node = self._reader.get(key_of(registry.by_resource("nodes"), SYSTEM_TENANT, "", node_name))
        kind = registry.by_resource("pods")
        here = Query("pods", None, None, selectors.parse("", f"spec.nodeName={node_name}", kind))
        others = map(decode, self._reader.list(here).records)
        return pod_address(pod, decode(node) if node is not None else None, others)


def service_port(service: Obj, wanted: str) -> Obj:
    """The port of a service that is meant. Raises ServiceUnavailable."""
    name = service["metadata"]["name"]
    ports: list[Obj] = (service.get("spec") or {}).get("ports") or []
    for port in ports:
        if wanted in (port.get("name") or "", str(port.get("port"))) and (wanted or len(ports) == 1):
            return port
    if not wanted and len(ports) == 1:
        return ports[0]
    raise ServiceUnavailable(f'no service port "{wanted}" found for service "{name}"')
