"""What the agent of a node may touch beyond what its role says: only what belongs to the pods that are bound to it.

As Kubernetes' node authorizer and its admission plugin NodeRestriction: a machine that is taken over gives away what
runs on it, and nothing else of any tenant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from arktos.apiserver.encoding import decode
from arktos.apiserver.identity import User
from arktos.model import registry, selectors
from arktos.model.kinds import ALL_TENANTS, SYSTEM_TENANT, Obj
from arktos.model.status import forbidden
from arktos.store.records import Key, Query, Record, Store

if TYPE_CHECKING:
    from arktos.apiserver.admission import Attempt, Effects
    from arktos.apiserver.authz import Attributes

NODES = "system:nodes"
PREFIX = "system:node:"
LEASES = "kube-node-lease"

_READ = frozenset({"get", "list", "watch"})
_MOST = 16384

Reference = tuple[str, str]
"""A plural and a name in the pod's namespace."""


def node_of(user: User) -> str:
    """The node whose agent this is, "" if it is none."""
    if not user.name.startswith(PREFIX) or not user.is_system or NODES not in user.groups:
        return ""
    return user.name.removeprefix(PREFIX)


class NodeRights:
    """Decides about the kinds of `_CHECKS`; others are their role's business."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._references: dict[tuple[str, int], frozenset[Reference]] = {}

    def decide(self, node: str, attrs: Attributes) -> str:
        """Why the agent of `node` may not do this, "" if its role decides. A `node` "" is a user who only bears an
        agent's name."""
        check = _CHECKS.get((attrs.group, attrs.resource, attrs.subresource))
        if not node or check is None or (attrs.verb in _READ and attrs.resource in _OPEN):
            return ""
        return "" if check(self, node, attrs) else f"node {node} has no pod that needs this"

    def pods(self, node: str, tenant: str, namespace: str) -> Iterator[Record]:
        kind = registry.by_resource("pods")
        bound = selectors.parse("", f"spec.nodeName={node}", kind)
        owner = None if tenant == ALL_TENANTS else tenant or SYSTEM_TENANT
        yield from self._store.list(Query("pods", owner, namespace or None, bound)).records

    def references(self, record: Record) -> frozenset[Reference]:
        """What a pod refers to, read once per revision of it."""
        mark = (record.header.uid, record.revision)
        found = self._references.get(mark)
        if found is None:
            if len(self._references) >= _MOST:
                self._references.clear()
            found = self._references[mark] = frozenset(references(decode(record)))
        return found

    def referred(self, node: str, attrs: Attributes) -> bool:
        if attrs.verb not in _READ or not attrs.name or not attrs.namespace:
            return False
        wanted = (attrs.resource, attrs.name)
        return any(wanted in self.references(pod) for pod in self.pods(node, attrs.tenant, attrs.namespace))

    def claimed(self, node: str, attrs: Attributes) -> bool:
        """A volume that is bound to a claim of a pod of the node, or lies on it; and whether one is there at all, since
        what was made for it on the node goes when it has gone."""
        record = self._stored("persistentvolumes", attrs)
        if record is None:
            return attrs.verb == "get"
        spec = decode(record)["spec"]
        claim = spec.get("claimRef") or {}
        wanted = ("persistentvolumeclaims", claim.get("name", ""))
        if attrs.verb == "get" and _lies_on(spec, node):
            return True
        if attrs.verb != "get" or not claim.get("namespace"):
            return False
        pods = self.pods(node, attrs.tenant, claim["namespace"])
        return any(wanted in self.references(pod) for pod in pods)

    def token(self, node: str, attrs: Attributes) -> bool:
        wanted = ("serviceaccounts", attrs.name)
        pods = self.pods(node, attrs.tenant, attrs.namespace)
        return attrs.verb == "create" and any(wanted in self.references(pod) for pod in pods)

    def own_node(self, node: str, attrs: Attributes) -> bool:
        return attrs.verb == "create" or attrs.name == node

    def own_lease(self, node: str, attrs: Attributes) -> bool:
        return attrs.namespace == LEASES and (attrs.name == node or (attrs.verb == "create" and not attrs.name))

    def own_pod(self, node: str, attrs: Attributes) -> bool:
        record = self._stored("pods", attrs)
        return record is not None and decode(record)["spec"].get("nodeName") == node

    def own_action(self, node: str, attrs: Attributes) -> bool:
        record = self._stored("actions", attrs)
        return record is not None and decode(record)["spec"].get("nodeName") == node

    def _stored(self, resource: str, attrs: Attributes) -> Record | None:
        return self._store.get(Key(resource, attrs.tenant or SYSTEM_TENANT, attrs.namespace, attrs.name))


def _lies_on(volume: Obj, node: str) -> bool:
    """Whether a volume is a directory of this node and no other: only `system` makes such."""
    required = (volume.get("nodeAffinity") or {}).get("required") or {}
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return bool(volume.get("hostPath")) and required.get("nodeSelectorTerms") == [term]


def own_name(attempt: Attempt, effects: Effects) -> None:
    """An agent registers its own node only: an admission step."""
    node, name = node_of(attempt.call.user), attempt.obj["metadata"].get("name", "")
    if node and name != node:
        raise forbidden("nodes", name, f"node {node} may register itself only")


_OPEN = frozenset({"nodes", "pods", "actions", "leases"})
"""What agents may read as their role says."""

_CHECKS: dict[tuple[str, str, str], Callable[[NodeRights, str, Attributes], bool]] = {
    ("", "secrets", ""): NodeRights.referred,
    ("", "configmaps", ""): NodeRights.referred,
    ("", "persistentvolumeclaims", ""): NodeRights.referred,
    ("", "persistentvolumes", ""): NodeRights.claimed,
    ("", "serviceaccounts", "token"): NodeRights.token,
    ("", "nodes", ""): NodeRights.own_node,
    ("", "nodes", "status"): NodeRights.own_node,
    ("", "pods", ""): NodeRights.own_pod,
    ("", "pods", "status"): NodeRights.own_pod,
    ("", "pods", "eviction"): NodeRights.own_pod,
    ("", "actions", "status"): NodeRights.own_action,
    ("coordination.k8s.io", "leases", ""): NodeRights.own_lease,
}


def references(pod: Obj) -> Iterator[Reference]:
    """What a pod's agent must read to run it. Pure."""
    spec = pod.get("spec") or {}
    yield "serviceaccounts", spec.get("serviceAccountName") or "default"
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for volume in spec.get("volumes") or ():
        yield from _of_volume(pod, volume)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield from _of_environment(container)


def _of_volume(pod: Obj, volume: Obj) -> Iterator[Reference]:
    yield from _sources(volume, "secretName")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _sources(source, "name")
    claim = volume.get("persistentVolumeClaim") or {}
    if claim:
        yield "persistentvolumeclaims", claim.get("claimName", "")
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", f"{pod['metadata'].get('name', '')}-{volume.get('name', '')}"


def _sources(holder: Obj, secret_name: str) -> Iterator[Reference]:
    if holder.get("secret"):
        yield "secrets", holder["secret"].get(secret_name, "")
    if holder.get("configMap"):
        yield "configmaps", holder["configMap"].get("name", "")


def _of_environment(container: Obj) -> Iterator[Reference]:
    for source in container.get("envFrom") or ():
        if source.get("secretRef"):
            yield "secrets", source["secretRef"].get("name", "")
        if source.get("configMapRef"):
            yield "configmaps", source["configMapRef"].get("name", "")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if source.get("secretKeyRef"):
            yield "secrets", source["secretKeyRef"].get("name", "")
        if source.get("configMapKeyRef"):
            yield "configmaps", source["configMapKeyRef"].get("name", "")
