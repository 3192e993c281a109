"""The APIServices of what this server answers for itself: in every tenant, stored in none."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from arktos.apiserver.builtin_roles import REVISION
from arktos.apiserver.custom.catalogue import Catalogues
from arktos.apiserver.discovery import BUILT_IN
from arktos.apiserver.encoding import birthday, dumps, tenant_key
from arktos.model.hashkey import hash_key
from arktos.model.kinds import Obj
from arktos.store.records import Header, Key, Query, Record, Store

RESOURCE = "apiservices.apiregistration.k8s.io"
_UIDS = uuid.UUID("5c0b7a52-8f2e-5d0e-9a55-0f5c2d8f7a10")
_GROUP_PRIORITIES = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "resource.k8s.io": 15900,
}
"""As kube-apiserver has them; what is not here comes after."""
_OTHERS, _VERSION = 1000, 100
_VERSION_PRIORITIES = {("", "v1"): 1, ("events.k8s.io", "v1"): 5, ("autoscaling", "v2"): 30}
_WELL_KNOWN_VERSION = 15


class LocalServices:
    """A source for `reader.Reader`."""

    resources = frozenset({RESOURCE})
    renewed = True

    def __init__(self, store: Store, catalogues: Catalogues | None = None) -> None:
        self.catalogues = catalogues
        self._store = store

    def get(self, key: Key) -> Record | None:
        version, _, group = key.name.partition(".")
        if version not in self._served(key.tenant).get(group, ()):
            return None
        return self._record(key.tenant, group, version)

    def list(self, query: Query) -> Iterator[Record]:
        if query.tenant is None:
            return
        for group, versions in self._served(query.tenant).items():
            for version in versions:
                yield self._record(query.tenant, group, version)

    def borrowed(self, query: Query) -> Query | None:
        return None

    def answers(self, tenant: str, group: str, version: str) -> bool:
        """Whether this server itself answers for a group-version."""
        return version in self._served(tenant).get(group, ())

    def _record(self, tenant: str, group: str, version: str) -> Record:
        return _record(tenant, group, version, birthday(self._store, tenant_key(tenant)))

    def _served(self, tenant: str) -> dict[str, tuple[str, ...]]:
        served = self.catalogues.of(tenant) if self.catalogues is not None else BUILT_IN
        return dict(served.groups)


def _record(tenant: str, group: str, version: str, created: str) -> Record:
    name = f"{version}.{group}"
    uid = str(uuid.uuid5(_UIDS, f"{tenant}/{name}"))
    known = group in _GROUP_PRIORITIES
    spec: Obj = {"group": group} if group else {}
    spec |= {
        "version": version,
        "groupPriorityMinimum": _GROUP_PRIORITIES.get(group, _OTHERS),
        "versionPriority": _VERSION_PRIORITIES.get((group, version), _WELL_KNOWN_VERSION if known else _VERSION),
    }
    labels = {"kube-aggregator.kubernetes.io/automanaged": "onstart" if group in BUILT_IN.groups else "true"}
    condition = {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": created,
        "reason": "Local",
        "message": "Local APIServices are always available",
    }
    body = dumps(
        {
            "kind": "APIService",
            "apiVersion": "apiregistration.k8s.io/v1",
            "metadata": {
                "resourceVersion": str(REVISION),
                "name": name,
                "tenant": tenant,
                "uid": uid,
                "hashKey": hash_key(uid),
                "creationTimestamp": created,
                "labels": labels,
            },
            "spec": spec,
            "status": {"conditions": [condition]},
        }
    )
    return Record(Key(RESOURCE, tenant, "", name), REVISION, Header(uid, hash_key(uid), labels=labels), body)
