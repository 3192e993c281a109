"""What the tests of the API server share: a store in a dict."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from arktos.store.records import Header, Key, Page, Query, Record, WatchEvent

RBAC = "rbac.authorization.k8s.io"


class _Subscription:
    def __init__(self, subscriptions: list[Any], entry: Any) -> None:
        self._subscriptions, self._entry = subscriptions, entry

    def close(self) -> None:
        if self._entry in self._subscriptions:
            self._subscriptions.remove(self._entry)


class FakeStore:
    """Reads of a store, from a dict. `put` and `delete` tell subscribers at once; `reads` counts lists."""

    def __init__(self) -> None:
        self.objects: dict[Key, Record] = {}
        self.subscriptions: list[tuple[Query, Callable[[Sequence[WatchEvent], int], None]]] = []
        self.revision = 1
        self.oldest = 1
        self.reads = 0

    def get(self, key: Key) -> Record | None:
        return self.objects.get(key)

    def list(self, query: Query, *, limit: int = 0, after: Key | None = None, revision: int = 0) -> Page:
        self.reads += 1
        found = [
            record
            for key, record in sorted(self.objects.items())
            if key.resource == query.resource
            and query.tenant in (None, key.tenant)
            and query.namespace in (None, key.namespace)
        ]
        return Page(found, self.revision, False, 0)

    def subscribe(self, query: Query, deliver: Callable[[Sequence[WatchEvent], int], None]) -> _Subscription:
        self.subscriptions.append((query, deliver))
        return _Subscription(self.subscriptions, (query, deliver))

    def put(self, resource: str, tenant: str, namespace: str, obj: dict[str, Any]) -> Record:
        """Stores an object under its name."""
        self.revision += 1
        meta = obj["metadata"]
        key = Key(resource, tenant, namespace, meta["name"])
        if namespace:
            meta["namespace"] = namespace
        header = Header(meta.get("uid", ""), labels=meta.get("labels", {}), deleting="deletionTimestamp" in meta)
        record = Record(key, self.revision, header, json.dumps(obj).encode())
        kind = "MODIFIED" if key in self.objects else "ADDED"
        self.objects[key] = record
        self._tell(WatchEvent(kind, record))
        return record

    def delete(self, resource: str, tenant: str, namespace: str, name: str) -> None:
        self.revision += 1
        self._tell(WatchEvent("DELETED", self.objects.pop(Key(resource, tenant, namespace, name))))

    def _tell(self, event: WatchEvent) -> None:
        for query, deliver in list(self.subscriptions):
            if query.resource == event.record.key.resource and query.tenant in (None, event.record.key.tenant):
                deliver([event], self.revision)

    def tenant(self, *names: str) -> FakeStore:
        """Creates tenants."""
        for name in names:
            self.put("tenants", "system", "", {"metadata": {"name": name, "uid": f"uid-{name}"}})
        return self

    def role(self, tenant: str, name: str, *rules: dict[str, Any], namespace: str = "", **more: Any) -> None:
        """Stores a ClusterRole, or a Role if there is a namespace."""
        labels = more.pop("labels", {})
        obj = {"metadata": {"name": name, "labels": labels}, "rules": list(rules), **more}
        self.put(f"{'roles' if namespace else 'clusterroles'}.{RBAC}", tenant, namespace, obj)

    def bind(
        self,
        tenant: str,
        name: str,
        role: str,
        *subjects: str,
        namespace: str = "",
        kind: str = "ClusterRole",
        tenants: str | None = None,
    ) -> None:
        """Stores a binding of a role to subjects: `User:name`, `Group:name`, `ServiceAccount:name:namespace`."""
        obj: dict[str, Any] = {
            "metadata": {"name": name, "annotations": {} if tenants is None else {"arktos.io/tenants": tenants}},
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
            "subjects": [subject(text) for text in subjects],
        }
        self.put(f"{'rolebindings' if namespace else 'clusterrolebindings'}.{RBAC}", tenant, namespace, obj)


def subject(text: str) -> dict[str, str]:
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        name, _, namespace = name.partition(":")
        return {"kind": kind, "name": name, **({"namespace": namespace} if namespace else {})}
    return {"kind": kind, "name": name, "apiGroup": RBAC}


@pytest.fixture(scope="session")
def new_store() -> Callable[[], FakeStore]:
    """Makes empty stores."""
    return FakeStore
