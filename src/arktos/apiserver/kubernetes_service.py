"""The Service `kubernetes` of every tenant's namespace `default`, through which pods reach the API server.

It has the first address of the service range in every tenant, for it leads to the same server; whose request it is, the
credential says. A source for `reader.Reader`, as those of `virtual`.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator

from arktos.apiserver.builtin_roles import REVISION
from arktos.apiserver.encoding import birthday, encode, header_of
from arktos.apiserver.lifecycle import namespace_key
from arktos.apiserver.serviceips import Network
from arktos.model import registry
from arktos.model.hashkey import hash_key
from arktos.model.kinds import SYSTEM_TENANT, Kind, Obj
from arktos.store.records import Key, Query, Record, Store

NAME = "kubernetes"
NAMESPACE = "default"
_SERVICES, _ENDPOINTS, _SLICES = "services", "endpoints", "endpointslices.discovery.k8s.io"
_UIDS = uuid.UUID("5b8a3c0e-70a4-5d8e-8d0c-3f3e6d1f9a77")
_LABELS = {"component": "apiserver", "provider": "kubernetes"}


class KubernetesService:
    """Service, Endpoints and EndpointSlice. `address` is where the API server is reached, "" if only from its own
    machine: then there are no endpoints. In lists over all tenants only that of `system` appears."""

    resources = frozenset({_SERVICES, _ENDPOINTS, _SLICES})
    renewed = True

    def __init__(self, store: Store, network: Network, address: str, port: int) -> None:
        self._store = store
        self._contents = _contents(str(network[1]), network.version, address, port)

    def get(self, key: Key) -> Record | None:
        if key.name != NAME or key.namespace != NAMESPACE or key.resource not in self._contents:
            return None
        if self._store.get(namespace_key(key.tenant, NAMESPACE)) is None:
            return None
        return self._record(key.resource, key.tenant)

    def list(self, query: Query) -> Iterator[Record]:
        if query.namespace in (None, NAMESPACE):
            found = self.get(Key(query.resource, query.tenant or SYSTEM_TENANT, NAMESPACE, NAME))
            if found is not None:
                yield found

    def borrowed(self, query: Query) -> Query | None:
        return None

    def _record(self, resource: str, tenant: str) -> Record:
        kind = registry.by_resource(resource)
        uid = str(uuid.uuid5(_UIDS, f"{resource}/{tenant}"))
        labels, content = self._contents[resource]
        created = birthday(self._store, namespace_key(tenant, NAMESPACE))
        obj = _object(kind, tenant, uid, labels, created) | content
        return Record(Key(resource, tenant, NAMESPACE, NAME), REVISION, header_of(kind, obj), encode(kind, obj))


def advertised(address: str) -> str:
    """The address if others than this machine can use it, else ""."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return "" if parsed.is_loopback or parsed.is_unspecified else str(parsed)


def _object(kind: Kind, tenant: str, uid: str, labels: dict[str, str], created: str) -> Obj:
    return {
        "kind": kind.kind,
        "apiVersion": kind.api_version,
        "metadata": {
            "resourceVersion": str(REVISION),
            "name": NAME,
            "namespace": NAMESPACE,
            "tenant": tenant,
            "uid": uid,
            "hashKey": hash_key(uid),
            "creationTimestamp": created,
            "labels": labels,
        },
    }


def _contents(cluster_ip: str, version: int, address: str, port: int) -> dict[str, tuple[dict[str, str], Obj]]:
    """Labels and content by resource; endpoints only where there is an address."""
    spec = {
        "type": "ClusterIP",
        "clusterIP": cluster_ip,
        "clusterIPs": [cluster_ip],
        "ipFamilies": [f"IPv{version}"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
        "sessionAffinity": "None",
        "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
    }
    found: dict[str, tuple[dict[str, str], Obj]] = {
        _SERVICES: (_LABELS, {"spec": spec, "status": {"loadBalancer": {}}})
    }
    if address:
        ports = [{"name": "https", "port": port, "protocol": "TCP"}]
        found[_ENDPOINTS] = (
            {"endpointslice.kubernetes.io/skip-mirror": "true"},
            {"subsets": [{"addresses": [{"ip": address}], "ports": ports}]},
        )
        found[_SLICES] = (
            {"kubernetes.io/service-name": NAME},
            {
                "addressType": f"IPv{6 if ':' in address else 4}",
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
                "ports": ports,
            },
        )
    return found
