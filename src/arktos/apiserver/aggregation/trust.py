"""What extension servers need to believe this server: the ConfigMap `extension-apiserver-authentication`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from arktos.apiserver.builtin_roles import REVISION
from arktos.apiserver.encoding import birthday, dumps
from arktos.apiserver.lifecycle import namespace_key
from arktos.model.hashkey import hash_key
from arktos.store.records import Header, Key, Query, Record, Store

NAMESPACE, NAME = "kube-system", "extension-apiserver-authentication"
CLIENT = "front-proxy-client"
"""The common name of the front proxy's certificate."""
_UIDS = uuid.UUID("8f6a4d0e-3d0c-5b7e-8a0e-6f6b8a1c9d31")


class ExtensionTrust:
    """A source for `reader.Reader`. It does not hold the authority of clients' certificates: that signs for all
    tenants, and an extension is to believe in the users of one."""

    resources = frozenset({"configmaps"})
    renewed = True

    def __init__(self, store: Store, ca_pem: str) -> None:
        self._store = store
        self._data = {
            "requestheader-allowed-names": f'["{CLIENT}"]',
            "requestheader-client-ca-file": ca_pem,
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        }

    def get(self, key: Key) -> Record | None:
        if key.name != NAME or key.namespace != NAMESPACE:
            return None
        if self._store.get(namespace_key(key.tenant, NAMESPACE)) is None:
            return None
        return self._record(key.tenant)

    def list(self, query: Query) -> Iterator[Record]:
        if query.tenant is not None and query.namespace in (None, NAMESPACE):
            found = self.get(Key("configmaps", query.tenant, NAMESPACE, NAME))
            if found is not None:
                yield found

    def borrowed(self, query: Query) -> Query | None:
        return None

    def _record(self, tenant: str) -> Record:
        uid = str(uuid.uuid5(_UIDS, tenant))
        body = dumps(
            {
                "kind": "ConfigMap",
                "apiVersion": "v1",
                "metadata": {
                    "resourceVersion": str(REVISION),
                    "name": NAME,
                    "namespace": NAMESPACE,
                    "tenant": tenant,
                    "uid": uid,
                    "hashKey": hash_key(uid),
                    "creationTimestamp": birthday(self._store, namespace_key(tenant, NAMESPACE)),
                },
                "data": self._data,
            }
        )
        return Record(Key("configmaps", tenant, NAMESPACE, NAME), REVISION, Header(uid, hash_key(uid)), body)
