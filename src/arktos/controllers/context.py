"""What a controller is built with, and what building one gives."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from arktos.client import Cached, Client, Controller, Informer, Informers, Key, Recorder
from arktos.client.cache import by_controller, by_namespace, by_owner
from arktos.client.ranged import Membership, RangedInformer
from arktos.controllers.customkinds import RESOURCE as CUSTOM
from arktos.controllers.customkinds import CustomKinds
from arktos.controllers.metrics import Metrics
from arktos.model import registry
from arktos.model.hashkey import hash_key
from arktos.model.kinds import Kind, Scope

FULL = frozenset(
    {
        "certificatesigningrequests.certificates.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        CUSTOM,
        "controllerrevisions.apps",
        "cronjobs.batch",
        "csidrivers.storage.k8s.io",
        "daemonsets.apps",
        "deployments.apps",
        "endpoints",
        "endpointslices.discovery.k8s.io",
        "horizontalpodautoscalers.autoscaling",
        "jobs.batch",
        "namespaces",
        "nodes",
        "persistentvolumeclaims",
        "persistentvolumes",
        "poddisruptionbudgets.policy",
        "pods",
        "replicasets.apps",
        "resourceclaims.resource.k8s.io",
        "resourcequotas",
        "services",
        "statefulsets.apps",
        "storageclasses.storage.k8s.io",
        "tenants",
        "volumeattachments.storage.k8s.io",
    }
)
"""Resources that some controller reads beyond metadata: mirrored once and whole, for all."""

_CONTENT_VERBS = frozenset({"list", "watch", "delete"})


def by_tenant(cached: Cached) -> Iterable[str]:
    """Index values: the tenant."""
    return (cached.tenant,)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process was told about the cluster: `cluster_cidr` is the range of all pod addresses, of which each node
    gets a block of prefix length `node_cidr_mask_size`. `cluster_signing_*` are the CA's files, "" where somebody
    else signs certificates."""

    cluster_cidr: str = "10.244.0.0/16"
    node_cidr_mask_size: int = 24
    cluster_signing_cert_file: str = ""
    cluster_signing_key_file: str = ""


class Sharing(enum.Enum):
    """How the processes that run a controller share its work."""

    WHOLE = "one process has all of it"
    KEYS = "each has a range of its keys' hashes, and mirrors everything"
    RANGES = "each has a range of its objects' hash keys, and mirrors that"


@dataclass(slots=True)
class Unit:
    """A controller ready to run: work queues, what else it does while it is active, and the mirrors whose objects it
    has to look at when it becomes active.

    Work is shared by the objects of `primary`, whose keys are what the queues carry. `parts` are the mirrors that must
    show what others did before a range was ours. `type` is the ring's name for the controller."""

    controllers: list[Controller] = field(default_factory=list)
    tasks: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    refresh: Callable[[], None] = lambda: None
    sharing: Sharing = Sharing.WHOLE
    type: str = ""
    primary: Informer | None = None
    parts: list[Informer] = field(default_factory=list)

    def place(self, key: Key) -> int | None:
        """Where a key stands on the ring; None for one that has no place any more."""
        if self.sharing is not Sharing.RANGES:
            return hash_key("/".join(key))
        cached = None if self.primary is None else self.primary.get(*key)
        return None if cached is None else hash_key(cached.uid)

    async def run(self) -> None:
        """Works until cancelled."""
        self.refresh()
        async with asyncio.TaskGroup() as group:
            for controller in self.controllers:
                group.create_task(controller.run())
            for task in self.tasks:
                group.create_task(_forever(task))


async def _forever(task: Callable[[], Awaitable[None]]) -> None:
    await task()


class Context:
    """Shared by all controllers of a process. `wall` is seconds since the epoch."""

    def __init__(
        self,
        client: Client,
        metrics: Metrics | None = None,
        wall: Callable[[], float] = time.time,
        settings: Settings | None = None,
    ) -> None:
        self.client = client
        self.settings = settings or Settings()
        self.metrics = metrics or Metrics()
        self.wall = wall
        self.informers = Informers(client)
        self.recorders: list[Recorder] = []
        self.ranged: dict[tuple[str, str, str], RangedInformer] = {}
        self._mirrors: dict[str, Informer] = {}

    def mirror(self, resource: str) -> Informer:
        """The informer of a group-resource over all tenants: whole for those in `FULL`, metadata only for others.
        Indexes: `namespace` (tenant/namespace), `owner`, `controller` (uids), `tenant`."""
        informer = self._mirrors.get(resource)
        if informer is None:
            kind = registry.by_resource(resource)
            indexes = {"owner": by_owner}
            if kind.scope is Scope.NAMESPACE:
                indexes["namespace"] = by_namespace
            elif kind.scope is Scope.TENANT:
                indexes["tenant"] = by_tenant
            if resource in FULL:
                indexes["controller"] = by_controller
            informer = self._mirrors[resource] = self.informers.get(
                kind, indexes=indexes, metadata_only=resource not in FULL
            )
        return informer

    @cached_property
    def custom(self) -> CustomKinds:
        """The kinds that tenants define."""
        return CustomKinds(self.mirror(CUSTOM), self.informers)

    def part(self, type: str, resource: str, owner: str = "") -> Informer:
        """The mirror of a controller that shares by ranges: of its own objects, or of those that objects of the kind
        `owner` own, and of those that nobody manages. Where the process mirrors the resource whole for another
        controller, it is that one: a second stream would cost more than it spares. Indexes as of `mirror`."""
        if resource in self._mirrors:
            return self.mirror(resource)
        known = self.ranged.get((type, resource, owner))
        if known is None:
            indexes = {"owner": by_owner, "namespace": by_namespace, "controller": by_controller}
            kind = registry.by_resource(resource)
            known = RangedInformer(self.client, kind, Membership(owner), indexes=indexes)
            self.ranged[type, resource, owner] = known
        return known

    def controller(
        self,
        name: str,
        reconcile: Callable[[Key], Awaitable[float | None]],
        *,
        workers: int = 4,
        backoff: tuple[float, float] = (0.005, 60.0),
    ) -> Controller:
        """A controller whose queue is measured."""
        numbers = self.metrics.queue(name)
        made = Controller(name, reconcile, workers=workers, backoff=backoff, metrics=numbers)
        numbers.unfinished = made.unfinished
        return made

    def recorder(self, component: str) -> Recorder:
        """A recorder that is run by the process."""
        recorder = Recorder(self.client, component)
        self.recorders.append(recorder)
        return recorder

    def unsynced(self) -> str | None:
        """Which mirrors have no complete state yet; None when all have."""
        waiting = [resource for resource, informer in self._mirrors.items() if not informer.synced.is_set()]
        waiting += [each.kind.resource for each in self.ranged.values() if each.place and not each.synced.is_set()]
        return f"waiting for {', '.join(waiting)}" if waiting else None


def content_kinds(scope: Scope) -> list[Kind]:
    """The stored kinds of a scope that can be listed, watched and deleted: what may remain somewhere. Events are left
    out: they end by themselves."""
    return [
        kind
        for kind in registry.all_kinds()
        if not kind.storage and not kind.ttl and kind.scope is scope and set(kind.verbs) >= _CONTENT_VERBS
    ]
