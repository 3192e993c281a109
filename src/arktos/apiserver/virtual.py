"""What is in a tenant without being stored there: the root CA in every namespace, the classes that `system` shares,
and for operators the parts of the control plane.

(The built-in roles and bindings are `builtin_roles`.) Sources for `reader.Reader`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping

from arktos.apiserver.builtin_roles import REVISION
from arktos.apiserver.encoding import birthday, dumps
from arktos.apiserver.lifecycle import namespace_key
from arktos.model.hashkey import hash_key
from arktos.model.kinds import SYSTEM_TENANT
from arktos.store.records import Header, Key, Query, Record, Store

ROOT_CA = "kube-root-ca.crt"
_UIDS = uuid.UUID("0d7c4a47-1a51-5f0e-9b5f-5b0e6a3f2c11")

SHARED = frozenset(
    {
        "storageclasses.storage.k8s.io",
        "runtimeclasses.node.k8s.io",
        "priorityclasses.scheduling.k8s.io",
        "ingressclasses.networking.k8s.io",
    }
)
"""Classes of `system` that every tenant may read (DESIGN 3)."""


class RootCertificates:
    """The ConfigMap `kube-root-ca.crt` of every namespace: the CA that signs the API server's certificate."""

    resources = frozenset({"configmaps"})
    renewed = True

    def __init__(self, store: Store, ca_pem: str) -> None:
        self._store = store
        self._ca = ca_pem

    def get(self, key: Key) -> Record | None:
        if key.name != ROOT_CA or self._store.get(namespace_key(key.tenant, key.namespace)) is None:
            return None
        return self._record(key.tenant, key.namespace)

    def list(self, query: Query) -> Iterator[Record]:
        if query.tenant is None:
            return
        for record in self._store.list(Query("namespaces", query.tenant)).records:
            if query.namespace is None or record.key.name == query.namespace:
                yield self._record(query.tenant, record.key.name)

    def borrowed(self, query: Query) -> Query | None:
        return None

    def _record(self, tenant: str, namespace: str) -> Record:
        uid = str(uuid.uuid5(_UIDS, f"{tenant}/{namespace}"))
        body = dumps(
            {
                "kind": "ConfigMap",
                "apiVersion": "v1",
                "metadata": {
                    "resourceVersion": str(REVISION),
                    "name": ROOT_CA,
                    "namespace": namespace,
                    "tenant": tenant,
                    "uid": uid,
                    "hashKey": hash_key(uid),
                    "creationTimestamp": birthday(self._store, namespace_key(tenant, namespace)),
                },
                "data": {"ca.crt": self._ca},
            }
        )
        return Record(Key("configmaps", tenant, namespace, ROOT_CA), REVISION, Header(uid, hash_key(uid)), body)


class ComponentStatuses:
    """The parts of the control plane that this server can ask, each with whether it is healthy. Operators see them.
    What a part answers is None when all is well, else what is wrong."""

    resources = frozenset({"componentstatuses"})
    renewed = False

    def __init__(self, parts: Mapping[str, Callable[[], str | None]]) -> None:
        self._parts = parts

    def get(self, key: Key) -> Record | None:
        return self._record(key.name) if key.tenant == SYSTEM_TENANT and key.name in self._parts else None

    def list(self, query: Query) -> Iterator[Record]:
        if query.tenant in {None, SYSTEM_TENANT}:
            yield from map(self._record, sorted(self._parts))

    def borrowed(self, query: Query) -> Query | None:
        return None

    def _record(self, name: str) -> Record:
        problem = self._parts[name]()
        condition = {"type": "Healthy", "status": "True", "message": "ok"}
        if problem is not None:
            condition = {"type": "Healthy", "status": "False", "error": problem}
        body = dumps(
            {
                "kind": "ComponentStatus",
                "apiVersion": "v1",
                "metadata": {"name": name, "tenant": SYSTEM_TENANT},
                "conditions": [condition],
            }
        )
        # What is kept of an object, such as the cells of its row, is kept by its uid: each state has its own.
        uid = str(uuid.uuid5(_UIDS, f"{name}: {problem}"))
        return Record(Key("componentstatuses", SYSTEM_TENANT, "", name), REVISION, Header(uid), body)


class SharedClasses:
    """Classes stored in `system`, seen by all. They keep `metadata.tenant: system`, which says whose they are."""

    resources = SHARED
    renewed = False

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, key: Key) -> Record | None:
        return None if key.tenant == SYSTEM_TENANT else self._store.get(key._replace(tenant=SYSTEM_TENANT))

    def list(self, query: Query) -> Iterator[Record]:
        other = self.borrowed(query)
        if other is not None:
            yield from self._store.list(other).records

    def borrowed(self, query: Query) -> Query | None:
        if query.tenant is None or query.tenant == SYSTEM_TENANT:
            return None
        return Query(query.resource, SYSTEM_TENANT, None, query.selector)
