"""What a node's network knows of the cluster: mirrors that every part of the process shares.

Not everything of everybody: a node has the pods of some tenants only, and of a cluster with thousands of tenants it
needs to hear of those. So there are three breadths:

* of the whole cluster: nodes, and the pods that are bound to this node (a field selector, so few);
* of each tenant with a pod on this node: pods, services, endpointslices;
* of each tenant with a service that all nodes expose (NodePort, LoadBalancer): services, endpointslices.

A tenant's mirrors start with its first reason and end some time after its last one; its objects then go, for those who
listen. What a node holds so grows with the tenants it serves and with the exposed services, not with the cluster.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from arktos.client import Cached, Client, Informer
from arktos.client.informer import Handler
from arktos.model import registry
from arktos.model.kinds import SYSTEM_TENANT, Kind

PODS = registry.by_resource("pods")
NODES = registry.by_resource("nodes")
SERVICES = registry.by_resource("services")
SLICES = registry.by_resource("endpointslices.discovery.k8s.io")

LINGER = 10.0
"""Seconds that a tenant's mirrors outlive its last reason: tenants come and go with restarts of their pods."""


class TenantMirror:
    """The objects of one kind in the tenants that are watched: an informer over a set of tenants that changes.

    Handlers are told as an `Informer` tells them. When a tenant is no longer watched its objects are told as gone.
    All methods are for the loop's thread.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._informers: dict[str, Informer] = {}
        self._handlers: list[Handler] = []

    def add_handler(self, on_change: Handler) -> None:
        """`on_change(old, new)` from now on; what is there already is told first. It must not raise."""
        for cached in self.items():
            on_change(None, cached)
        self._handlers.append(on_change)

    def get(self, tenant: str, namespace: str, name: str) -> Cached | None:
        informer = self._informers.get(tenant)
        return informer.get(tenant, namespace, name) if informer else None

    def items(self) -> list[Cached]:
        return [cached for informer in self._informers.values() for cached in informer.items()]

    def of(self, tenant: str) -> list[Cached]:
        informer = self._informers.get(tenant)
        return informer.items() if informer else []

    def tenants(self) -> Iterator[str]:
        """Those that are watched, synced or not."""
        return iter(list(self._informers))

    def synced(self, tenant: str) -> bool:
        """Whether the tenant is watched and its first complete state is here."""
        informer = self._informers.get(tenant)
        return informer is not None and informer.synced.is_set()

    async def until_synced(self, tenant: str) -> None:
        """At once for a tenant that is not watched."""
        informer = self._informers.get(tenant)
        if informer is not None:
            await informer.synced.wait()

    def _begin(self, tenant: str, informer: Informer) -> None:
        self._informers[tenant] = informer
        informer.add_handler(self._tell)

    def _end(self, tenant: str) -> None:
        informer = self._informers.pop(tenant, None)
        for cached in informer.items() if informer else ():
            self._tell(cached, None)

    def _tell(self, old: Cached | None, new: Cached | None) -> None:
        for handler in self._handlers:
            handler(old, new)


class Watches:
    """All mirrors of one node. `run` keeps them true."""

    def __init__(self, client: Client, node_name: str, *, linger: float = LINGER) -> None:
        self.node_name = node_name
        self.local_pods = Informer(client, PODS, field_selector=f"spec.nodeName={node_name}", indexes={"uid": _uid})
        """The pods of this node, of all tenants. Index `uid`."""
        self.nodes = Informer(client, NODES)
        # The system's only: anybody may call a service of theirs kubernetes.
        self.api_servers = Informer(
            client,
            SLICES,
            tenant=SYSTEM_TENANT,
            namespace="default",
            label_selector="kubernetes.io/service-name=kubernetes",
        )
        """The endpointslices that say where API servers are."""
        self.pods = TenantMirror(PODS)
        """All pods, wherever they are, of the tenants that have one here, or a service that every node exposes."""
        self.services = TenantMirror(SERVICES)
        self.slices = TenantMirror(SLICES)
        self._exposed = Informer(
            client, SERVICES, field_selector="spec.type=NodePort;spec.type=LoadBalancer", metadata_only=True
        )
        self._client = client
        self._linger = linger
        self._present: Counter[str] = Counter()
        self._exposing: Counter[str] = Counter()
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._due: dict[tuple[str, str], float] = {}
        self._changed = asyncio.Event()
        self._adjusted = asyncio.Event()
        self.local_pods.add_handler(self._count(self._present))
        self._exposed.add_handler(self._count(self._exposing))

    def pod(self, uid: str) -> Cached | None:
        """A pod of this node."""
        found = self.local_pods.by_index("uid", uid)
        return found[0] if found else None

    def unsynced(self) -> str:
        """What is not known yet, "" if all is."""
        if not self.local_pods.synced.is_set():
            return "the pods of this node"
        if not self.nodes.synced.is_set():
            return "the nodes"
        if not self._exposed.synced.is_set():
            return "the services that every node exposes"
        if not self.api_servers.synced.is_set():
            return "the API servers"
        waiting = [tenant for tenant in self._present if not self.pods.synced(tenant)]
        return f"the pods of tenant {waiting[0]}" if waiting else ""

    def services_known(self) -> bool:
        """Whether services, endpointslices and pods of all tenants that are watched are complete."""
        if self.unsynced() or not self._exposed.synced.is_set() or not self._adjusted.is_set():
            return False
        wanted = self._present.keys() | self._exposing.keys()
        return all(mirror.synced(each) for mirror in (self.services, self.slices, self.pods) for each in wanted)

    async def synced(self) -> None:
        """Returns when all is known once."""
        for informer in (self.local_pods, self.nodes, self.api_servers):
            await informer.synced.wait()
        await self._adjusted.wait()
        for tenant in list(self._present):
            await self.pods.until_synced(tenant)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in (self.local_pods, self.nodes, self.api_servers, self._exposed):
                group.create_task(informer.run(), name=f"watch-{informer.kind.resource}")
            while True:
                wait = self._adjust(group)
                self._changed.clear()
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    def _adjust(self, group: asyncio.TaskGroup) -> float | None:
        """Starts and ends tenants' mirrors; seconds until something is due, None if nothing is."""
        now = asyncio.get_running_loop().time()
        wanted = {
            (mirror.kind.resource, tenant)
            for mirror in (self.pods, self.services, self.slices)
            for tenant in self._present.keys() | self._exposing.keys()
        }
        for key in wanted - self._running.keys():
            self._begin(group, *key)
        for key in self._running.keys() - wanted:
            self._due.setdefault(key, now + self._linger)
        for key in [key for key in self._due if key in wanted]:
            del self._due[key]
        for key in [key for key, due in self._due.items() if due <= now]:
            del self._due[key]
            self._running.pop(key).cancel()
            self._mirror(key[0])._end(key[1])
        self._adjusted.set()
        return min(self._due.values()) - now if self._due else None

    def _begin(self, group: asyncio.TaskGroup, resource: str, tenant: str) -> None:
        mirror = self._mirror(resource)
        informer = Informer(self._client, mirror.kind, tenant=tenant)
        mirror._begin(tenant, informer)
        self._running[resource, tenant] = group.create_task(informer.run(), name=f"watch-{resource}-{tenant}")

    def _mirror(self, resource: str) -> TenantMirror:
        return {mirror.kind.resource: mirror for mirror in (self.pods, self.services, self.slices)}[resource]

    def _count(self, counter: Counter[str]) -> Callable[[Cached | None, Cached | None], None]:
        def on_change(old: Cached | None, new: Cached | None) -> None:
            if old is None and new is not None:
                counter[new.tenant] += 1
                if counter[new.tenant] == 1:
                    self._adjusted.clear()
                    self._changed.set()
            elif new is None and old is not None:
                counter[old.tenant] -= 1
                if not counter[old.tenant]:
                    del counter[old.tenant]
                    self._changed.set()

        return on_change


def _uid(cached: Cached) -> tuple[str]:
    return (cached.uid,)
