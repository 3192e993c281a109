"""Whose questions are asked: by source address, the tenant whose names are answered.

A pod has its address. Pods on the node's own network have not, they share the node's with the operator's processes and
with each other: none of them can be told from another. Only the privileged may run such pods. So as long as those of
one tenant alone are there, a question from the node itself is that tenant's; with pods of several, or of none, names of
the cluster are refused, for an answer would be somebody else's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address

from arktos.client import Cached, Informer

_FINISHED = frozenset({"Succeeded", "Failed"})


class NodeAskers:
    """`tenant_of` knows the pods that have an address. `own` are addresses of the node, beside those of loopback;
    `pods` the pods of this node."""

    def __init__(self, tenant_of: Callable[[str], str | None], own: tuple[str, ...], pods: Informer) -> None:
        self._tenant_of = tenant_of
        self._own = frozenset(own)
        self._sharing: dict[str, str] = {}
        self._tenants: Counter[str] = Counter()
        pods.add_handler(self._changed)

    def __call__(self, address: str) -> str | None:
        """The tenant of who asks from an address; None for nobody's."""
        tenant = self._tenant_of(address)
        if tenant is None and len(self._tenants) == 1 and self._is_own(address):
            return next(iter(self._tenants))
        return tenant

    def _is_own(self, address: str) -> bool:
        try:
            return address in self._own or IPv4Address(address).is_loopback
        except AddressValueError:
            return False

    def _changed(self, old: Cached | None, new: Cached | None) -> None:
        for cached in (old, new):
            uid = cached.uid if cached is not None else ""
            if (tenant := self._sharing.pop(uid, None)) is not None:
                self._tenants -= Counter((tenant,))
        if new is not None and _shares(new):
            self._sharing[new.uid] = new.tenant
            self._tenants[new.tenant] += 1


def _shares(cached: Cached) -> bool:
    """Whether a pod runs on its node's own network."""
    pod = cached.obj()
    return bool(pod["spec"].get("hostNetwork")) and (pod.get("status") or {}).get("phase") not in _FINISHED
