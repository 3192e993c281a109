"""The mirrors that the controller reads, each found by what is looked for: nothing is gone through from end to end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from arktos.client import Cached, Key
from arktos.controllers.context import Context
from arktos.controllers.volumeprotection import CLAIM, VOLUME, claims_of
from arktos.model import registry
from arktos.model import volumematching as matching
from arktos.model.kinds import SYSTEM_TENANT, Obj

CLASS = registry.by_resource("storageclasses.storage.k8s.io")
_FREE, _NAMES, _WAITS, _WANTS, _USERS = "free", "names-claim", "waits", "wants-volume", "claim"


class Known:
    """Volumes, claims, classes, nodes and pods. The answers about objects are decoded afresh."""

    def __init__(self, context: Context) -> None:
        self.claims = context.mirror(CLAIM.resource)
        self.volumes = context.mirror(VOLUME.resource)
        self.classes = context.mirror(CLASS.resource)
        self.nodes = context.mirror("nodes")
        self.pods = context.mirror("pods")
        self.volumes.add_index(_FREE, _free)
        self.volumes.add_index(_NAMES, _named)
        self.claims.add_index(_WAITS, _waiting)
        self.claims.add_index(_WANTS, _wanted)
        self.pods.add_index(_USERS, _used)

    def around(self, claim: Obj) -> list[Obj]:
        """The volumes that might be a claim's: the one that it names alone; else those that name it, and the free ones
        of its class."""
        meta, name = claim["metadata"], claim["spec"].get("volumeName")
        tenant = meta["tenant"]
        if name:
            cached = self.volumes.get(tenant, "", name)
            return [] if cached is None else [cached.obj()]
        mine = self.volumes.by_index(_NAMES, f"{tenant}/{meta['namespace']}/{meta['name']}")
        free = self.volumes.by_index(_FREE, f"{tenant}/{matching.class_of(claim)}")
        return [cached.obj() for cached in (*mine, *free)]

    def storage_class(self, tenant: str, name: str) -> Obj | None:
        """A tenant's own class, or the operators'."""
        if not name:
            return None
        found = self.classes.get(tenant, "", name) or self.classes.get(SYSTEM_TENANT, "", name)
        return None if found is None else found.obj()

    def default_class(self, tenant: str) -> str:
        """A tenant's own default class, or the operators'; "" if there is none."""
        for owner in dict.fromkeys((tenant, SYSTEM_TENANT)):
            found = matching.default_class(each.obj() for each in self.classes.by_index("tenant", owner))
            if found:
                return found
        return ""

    def waiting_pods(self, key: Key) -> list[str]:
        """The names of the pods without a node that want a claim."""
        return [pod.name for pod in self.pods.by_index(_USERS, "/".join(key)) if not _has_node(pod)]

    # who has to be looked at

    def of_claim(self, claim: Cached) -> Iterable[Key]:
        """The claim itself, and its volume."""
        name = (claim.obj().get("spec") or {}).get("volumeName")
        return (claim.key, (claim.tenant, "", name)) if name else (claim.key,)

    def of_volume(self, volume: Cached) -> Iterator[Key]:
        """The volume itself, the claim that it names, or those that name it, or that wait for one of its class."""
        yield volume.key
        obj = volume.obj()
        named = obj["spec"].get("claimRef") or {}
        if named:
            yield (volume.tenant, named.get("namespace") or "", named.get("name") or "")
        else:
            for claim in self.claims.by_index(_WAITS, f"{volume.tenant}/{matching.class_of(obj)}"):
                yield claim.key
        for claim in self.claims.by_index(_WANTS, f"{volume.tenant}/{volume.name}"):
            yield claim.key

    def of_class(self, storage_class: Cached) -> Iterator[Key]:
        """The claims that wait for a class; those that name none, if it is a default."""
        tenant = "" if storage_class.tenant == SYSTEM_TENANT else storage_class.tenant
        names = [storage_class.name]
        if matching.is_default(storage_class.obj()):
            names.append("")
        for name in names:
            for claim in self.claims.by_index(_WAITS, f"{tenant}/{name}"):
                yield claim.key

    def of_pod(self, pod: Cached) -> Iterator[Key]:
        """The claims that a pod wants and that have no volume yet."""
        for value in _used(pod):
            tenant, namespace, name = value.split("/")
            claim = self.claims.get(tenant, namespace, name)
            if claim is not None and not (claim.obj().get("spec") or {}).get("volumeName"):
                yield claim.key


def _free(volume: Cached) -> Iterable[str]:
    obj = volume.obj()
    return () if obj["spec"].get("claimRef") else (f"{volume.tenant}/{matching.class_of(obj)}",)


def _named(volume: Cached) -> Iterable[str]:
    named = volume.obj()["spec"].get("claimRef") or {}
    return (f"{volume.tenant}/{named.get('namespace')}/{named.get('name')}",) if named else ()


def _waiting(claim: Cached) -> Iterable[str]:
    """By tenant and class, and by class alone."""
    obj = claim.obj()
    if obj["spec"].get("volumeName"):
        return ()
    named = matching.class_of(obj)
    return f"{claim.tenant}/{named}", f"/{named}"


def _wanted(claim: Cached) -> Iterable[str]:
    name = claim.obj()["spec"].get("volumeName")
    return (f"{claim.tenant}/{name}",) if name else ()


def _used(pod: Cached) -> Iterable[str]:
    """tenant/namespace/claim, for each claim that a pod wants."""
    if b'"persistentVolumeClaim"' not in pod.raw and b'"ephemeral"' not in pod.raw:
        return ()
    return tuple(f"{pod.tenant}/{pod.namespace}/{name}" for name in claims_of(pod.obj()))


def _has_node(pod: Cached) -> bool:
    return bool((pod.obj().get("spec") or {}).get("nodeName"))
