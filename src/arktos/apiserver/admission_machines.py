"""What of the machines, and of the network that they share, a tenant's objects may not claim.

PersistentVolumes are a tenant's own here, so one made by hand must not lead into a node's file system, nor to what a
driver keeps for others; a Service must
not take addresses that are others' (CVE-2020-8554); and a pod's addresses are what proxies, DNS and the rules of the
network go by, so that only those who run the pod may state them.

The floor of PodSecurity decides for whom: where the operator has lifted it to `privileged` for a tenant, the first two
are allowed. Writers of `system` may do all of this in any tenant: nodes, controllers, operators. What a tenant's
webhooks and policies make of their writes they may not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from arktos.apiserver.admission import Attempt, Effects
from arktos.model.kinds import Obj
from arktos.model.status import forbidden

NODE_SOURCES = ("hostPath", "local", "flexVolume", "csi")
"""Sources of volumes that are a node's own: its files, its devices, its programs; and what the operators' drivers take
a handle for, be it another tenant's."""
POD_ADDRESSES = ("hostIP", "hostIPs", "podIP", "podIPs")

Floor = Callable[[str], str]
"""The least level of PodSecurity that a tenant's pods have."""


class MachineClaims:
    """Steps for `persistentvolumes`, `volumeattachments`, `services` and `pods`. Each raises Forbidden."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    def volumes(self, attempt: Attempt, effects: Effects) -> None:
        """A volume with a source on a node: neither made nor changed."""
        if self._may(attempt):
            return
        spec, before = _spec(attempt.obj), _spec(_before(attempt))
        claimed = [name for name in NODE_SOURCES if spec.get(name) is not None and spec[name] != before.get(name)]
        if claimed:
            why = f"volumes on nodes ({', '.join(claimed)}) are made by the cluster's operators"
            raise forbidden(attempt.kind.resource, _name(attempt.obj), why)

    def attachments(self, attempt: Attempt, effects: Effects) -> None:
        """What is attached to a node: it may be any volume of a driver."""
        if not self._may(attempt):
            why = "volumes are attached by the cluster's controllers"
            raise forbidden(attempt.kind.resource, _name(attempt.obj), why)

    def services(self, attempt: Attempt, effects: Effects) -> None:
        """Addresses outside the cluster: those that a Service has already may stay (Kubernetes' plugin
        DenyServiceExternalIPs); those of a load balancer are its controller's to state."""
        if self._may(attempt):
            return
        before = _before(attempt)
        if not _added(_spec(attempt.obj).get("externalIPs"), _spec(before).get("externalIPs")):
            if not _added(_balancers(attempt.obj), _balancers(before)):
                return
            why = "the addresses of a load balancer are stated by its controller"
        else:
            why = "Use of external IPs is denied by admission control."
        raise forbidden(attempt.kind.resource, _name(attempt.obj), why)

    def pod_addresses(self, attempt: Attempt, effects: Effects) -> None:
        """Where a pod is reached. Not lifted for anybody: another tenant's pods would be reached instead."""
        if attempt.operation == "delete" or _is_systems(attempt):
            return
        status, before = attempt.obj.get("status") or {}, (_before(attempt) or {}).get("status") or {}
        changed = [name for name in POD_ADDRESSES if status.get(name) != before.get(name)]
        if changed:
            why = f"status.{changed[0]} is stated by the pod's node"
            raise forbidden(attempt.kind.resource, _name(attempt.obj), why)

    def _may(self, attempt: Attempt) -> bool:
        call = attempt.call
        return attempt.operation == "delete" or _is_systems(attempt) or self._floor(call.tenant) == "privileged"


def _is_systems(attempt: Attempt) -> bool:
    """Whether all of a write is that of a writer of `system`."""
    return attempt.call.user.is_system and attempt.sent is None


def _before(attempt: Attempt) -> Obj | None:
    """What may stay as it is: what there was, or what a writer of `system` sent."""
    return attempt.sent if attempt.call.user.is_system else attempt.old


def _spec(obj: Obj | None) -> Obj:
    found: Obj = (obj or {}).get("spec") or {}
    return found


def _name(obj: Obj) -> str:
    return str(obj["metadata"].get("name") or obj["metadata"].get("generateName", ""))


def _balancers(obj: Obj | None) -> list[str]:
    status = (obj or {}).get("status") or {}
    listed = (status.get("loadBalancer") or {}).get("ingress") or ()
    return [str(each.get(key)) for each in listed for key in ("ip", "hostname") if each.get(key)]


def _added(now: Iterable[str] | None, before: Iterable[str] | None) -> set[str]:
    return set(now or ()) - set(before or ())
