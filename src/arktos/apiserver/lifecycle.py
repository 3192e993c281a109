"""The lives of tenants and namespaces, as admission: nothing is created where nothing may be any more.

A create carries `Live` preconditions for its namespace and tenant, so the check happens inside the commit: no object
slips into a namespace whose deletion was acknowledged. A frozen tenant's users may read and delete, not write.
"""

from __future__ import annotations

from arktos.apiserver.admission import Attempt, Effects
from arktos.apiserver.encoding import loads, tenant_key
from arktos.model.kinds import RESERVED_TENANTS, SYSTEM_TENANT, Kind, Scope
from arktos.model.status import conflict, forbidden
from arktos.store.records import Key, Live, Store

IMMORTAL_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})


def namespace_key(tenant: str, namespace: str) -> Key:
    return Key("namespaces", tenant, "", namespace)


class Lifecycle:
    """Steps for the admission chain."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._frozen: dict[tuple[str, int], bool] = {}

    def parents(self, attempt: Attempt, effects: Effects) -> None:
        """A create needs its tenant and namespace alive."""
        kind, call = attempt.kind, attempt.call
        if kind.scope is Scope.CLUSTER:
            return
        if attempt.operation != "delete":
            self._refuse_frozen(attempt)
        if attempt.operation != "create":
            return
        if kind.scope is Scope.NAMESPACE:
            effects.preconditions.append(Live(namespace_key(call.tenant, call.info.namespace)))
        effects.preconditions.append(Live(tenant_key(call.tenant)))

    def tenants(self, attempt: Attempt, effects: Effects) -> None:
        """`system` is not deleted; reserved names are not taken."""
        name = attempt.obj["metadata"].get("name", "")
        if attempt.operation == "create" and name in RESERVED_TENANTS:
            raise forbidden("tenants", name, "this name is reserved")
        if attempt.operation == "delete":
            if name == SYSTEM_TENANT:
                raise forbidden("tenants", name, "this tenant may not be deleted")
            _refuse_second_delete(attempt, "tenant")

    def namespaces(self, attempt: Attempt, effects: Effects) -> None:
        """The three first namespaces live as long as their tenant."""
        if attempt.operation != "delete":
            return
        name, tenant = attempt.obj["metadata"]["name"], attempt.call.tenant
        if name in IMMORTAL_NAMESPACES:
            parent = self._store.get(tenant_key(tenant))
            if parent is not None and not parent.header.deleting:
                raise forbidden("namespaces", name, "this namespace may not be deleted")
        _refuse_second_delete(attempt, "namespace")

    def _refuse_frozen(self, attempt: Attempt) -> None:
        call = attempt.call
        if call.user.is_system:
            return
        record = self._store.get(tenant_key(call.tenant))
        if record is None:
            return
        mark = (call.tenant, record.revision)
        frozen = self._frozen.get(mark)
        if frozen is None:
            if len(self._frozen) > 4096:
                self._frozen.clear()
            frozen = self._frozen[mark] = bool((loads(record.body).get("spec") or {}).get("frozen"))
        if frozen:
            name = attempt.obj["metadata"].get("name", "")
            raise forbidden(attempt.kind.resource, name, f"tenant {call.tenant} is frozen")


def _refuse_second_delete(attempt: Attempt, what: str) -> None:
    obj = attempt.obj
    if "deletionTimestamp" in obj["metadata"] and (obj.get("spec") or {}).get("finalizers"):
        raise conflict(
            attempt.kind.resource,
            obj["metadata"]["name"],
            f"The system is ensuring all content is removed from this {what}. Upon completion, this {what} will "
            "automatically be purged by the system.",
        )


def is_parent(kind: Kind) -> bool:
    """Whether the kind holds others, and so ends by finalization of its content."""
    return "finalize" in kind.subresources
