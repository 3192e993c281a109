"""The mirrors that the controller reads, and which volumes an event is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from arktos.client import Cached, Key
from arktos.controllers.attachdetach import facts
from arktos.controllers.attachdetach.facts import Node
from arktos.controllers.context import Context
from arktos.controllers.volumeprotection import CLAIM, VOLUME
from arktos.model import registry
from arktos.model.kinds import SYSTEM_TENANT, Obj

ATTACHMENT = registry.by_resource("volumeattachments.storage.k8s.io")
DRIVER = registry.by_resource("csidrivers.storage.k8s.io")
NODE, POD = registry.by_resource("nodes"), registry.by_resource("pods")
_USERS, _OF_VOLUME, _OF_NODE = "users-of-claim", "of-volume", "of-node"


class Known:
    """Keys are those of volumes: (tenant, "", name)."""

    def __init__(self, context: Context) -> None:
        self.volumes = context.mirror(VOLUME.resource)
        self.claims = context.mirror(CLAIM.resource)
        self.pods = context.mirror(POD.resource)
        self.nodes = context.mirror(NODE.resource)
        self.attachments = context.mirror(ATTACHMENT.resource)
        self.drivers = context.mirror(DRIVER.resource)
        self.pods.add_index(_USERS, _used)
        self.attachments.add_index(_OF_VOLUME, _of_volume)
        self.attachments.add_index(_OF_NODE, _of_node)

    def volume(self, key: Key) -> Obj | None:
        """A volume of a driver; None for others."""
        cached = self.volumes.get(*key)
        return cached.obj() if cached is not None and is_drivers(cached) else None

    def users(self, volume: Obj) -> dict[str, list[Obj]]:
        """The pods that use a volume, by their nodes, as far as those are ours to attach to."""
        named = volume["spec"].get("claimRef") or {}
        tenant = volume["metadata"]["tenant"]
        cached = self.claims.get(tenant, named.get("namespace") or "", named.get("name") or "")
        if cached is None:
            return {}
        claim = cached.obj()
        found: dict[str, list[Obj]] = {}
        for pod in self.pods.by_index(_USERS, "/".join(cached.key)):
            obj = pod.obj()
            host = str((obj.get("spec") or {}).get("nodeName") or "")
            node = self.node(host) if host else None
            if node is None or not node.managed or not facts.uses(obj, claim, volume):
                continue
            if not facts.is_over(obj) or node.keeps_terminated:
                found.setdefault(host, []).append(obj)
        return found

    def node(self, name: str) -> Node | None:
        cached = self.nodes.get("", "", name)
        return None if cached is None else facts.node(cached.obj())

    def driver(self, tenant: str, name: str) -> Obj | None:
        """What is known of a driver: by the operators, or by the tenant."""
        found = self.drivers.get(SYSTEM_TENANT, "", name) or self.drivers.get(tenant, "", name)
        return None if found is None else found.obj()

    def of_volume(self, key: Key) -> list[Cached]:
        """The attachments of a volume."""
        return self.attachments.by_index(_OF_VOLUME, f"{key[0]}/{key[2]}")

    def on(self, host: str) -> list[Cached]:
        """The attachments to a node."""
        return self.attachments.by_index(_OF_NODE, host)

    # which volumes are concerned

    def by_volume(self, volume: Cached) -> Iterable[Key]:
        return (volume.key,) if is_drivers(volume) or self.of_volume(volume.key) else ()

    def by_claim(self, claim: Cached) -> Iterator[Key]:
        name = (claim.obj().get("spec") or {}).get("volumeName")
        volume = self.volumes.get(claim.tenant, "", name) if name else None
        if volume is not None and is_drivers(volume):
            yield volume.key

    def by_pod(self, pod: Cached) -> Iterator[Key]:
        for value in _used(pod):
            claim = self.claims.get(*value.split("/"))
            if claim is not None:
                yield from self.by_claim(claim)

    def by_attachment(self, attachment: Cached) -> Iterator[Key]:
        for value in _of_volume(attachment):
            tenant, name = value.split("/")
            yield (tenant, "", name)

    def by_node(self, node: Cached) -> Iterator[Key]:
        for attachment in self.on(node.name):
            yield from self.by_attachment(attachment)

    def all_volumes(self, _node: Cached) -> Iterator[Key]:
        for volume in self.volumes.items():
            yield from self.by_volume(volume)

    def to_node(self, attachment: Cached) -> Iterator[Key]:
        """The key of the node that a volume is attached to."""
        for host in _of_node(attachment):
            yield ("", "", host)

    def by_driver(self, driver: Cached) -> Iterator[Key]:
        for volume in self.volumes.items():
            if is_drivers(volume) and facts.driver(volume.obj()) == driver.name:
                yield volume.key


def is_drivers(volume: Cached) -> bool:
    """Whether a volume is one of a driver."""
    return b'"csi":{' in volume.raw and bool(facts.driver(volume.obj()))


def _used(pod: Cached) -> Iterable[str]:
    """tenant/namespace/claim, for each claim that a pod uses."""
    if b'"persistentVolumeClaim"' not in pod.raw and b'"ephemeral"' not in pod.raw:
        return ()
    return tuple({f"{pod.tenant}/{pod.namespace}/{name}" for name, _ in facts.claim_names(pod.obj())})


def _of_volume(attachment: Cached) -> Iterable[str]:
    name = attachment.obj()["spec"]["source"].get("persistentVolumeName")
    return (f"{attachment.tenant}/{name}",) if name else ()


def _of_node(attachment: Cached) -> Iterable[str]:
    return (attachment.obj()["spec"]["nodeName"],)
