"""From changes to service keys, and from plans to slices."""

from __future__ import annotations

from collections.abc import Iterable

from arktos.client import Cached, Key
from arktos.controllers import owners
from arktos.controllers.actions import Create, Delete, Replace, into_the_ending, perform
from arktos.controllers.backends import ZONE, Selecting, ServiceView, matters, view_pod, view_service
from arktos.controllers.context import Context, Sharing, Unit
from arktos.controllers.endpointslice import content, reconcile
from arktos.controllers.endpointslice.measuring import Measures
from arktos.controllers.freshness import OwnWrites
from arktos.controllers.pods import by_node
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.model.status import ApiError, Conflict, NotFound

NAME = "endpointslice"
MANAGER = "endpointslice-controller.k8s.io"
SERVICE = registry.by_resource("services")
SLICE = registry.by_resource("endpointslices.discovery.k8s.io")
_BY_SERVICE = "service"
_BY_NODE = "node"


def by_service(cached: Cached) -> Iterable[str]:
    """Index values of slices: manager/tenant/namespace/service."""
    name, manager = cached.labels.get(content.SERVICE_NAME), cached.labels.get(content.MANAGED_BY)
    return (f"{manager}/{cached.tenant}/{cached.namespace}/{name}",) if name and manager else ()


class Slices:
    """The slices that one manager looks after: finds them, and does what a plan says."""

    def __init__(self, context: Context, manager: str, component: str, measured: str) -> None:
        self.client = context.client
        self.manager = manager
        self.mirror = context.mirror(SLICE.resource)
        self.mirror.add_index(_BY_SERVICE, by_service)
        self.writes = OwnWrites(self.mirror)
        self.recorder = context.recorder(component)
        self.measures = Measures(context.metrics, measured)

    def key(self, cached: Cached) -> Iterable[Key]:
        """The service of a slice that is ours: a map function."""
        name = cached.labels.get(content.SERVICE_NAME)
        ours = name and cached.labels.get(content.MANAGED_BY) == self.manager
        return ((cached.tenant, cached.namespace, name),) if ours and name else ()

    def of(self, key: Key) -> list[Cached]:
        return self.mirror.by_index(_BY_SERVICE, "/".join((self.manager, *key)))

    async def make(self, key: Key, about: Cached, owner: reconcile.Owner, wanted: list[content.Group]) -> None:
        """Brings the slices of a service to what is wanted. Raises as `Client` does, after an event that says so."""
        slices = [each.obj() for each in self.of(key) if not each.deleting]
        plan = reconcile.reconcile(owner, wanted, slices)
        try:
            await self._perform(key, plan)
        except ApiError as error:
            if into_the_ending(error):
                return
            self.recorder.event(
                about,
                "Warning",
                "FailedToUpdateEndpointSlices",
                f"Error updating Endpoint Slices for Service {key[1]}/{key[2]}: {error}",
            )
            raise
        self.measures.synced(key, wanted, len(slices), plan)

    async def _perform(self, key: Key, plan: reconcile.Plan) -> None:
        # Creations first: an endpoint that moves is rather told twice than not at all.
        for made in plan.create:
            self.writes.wrote(key, await perform(self.client, Create(SLICE, made)))
        for changed in plan.update:
            self.writes.wrote(key, await perform(self.client, Replace(SLICE, changed)))
        for gone in plan.delete:
            await self.remove(key, gone["metadata"])

    async def remove(self, key: Key, meta: Obj) -> None:
        try:
            name = (key[0], key[1], meta["name"])
            self.writes.wrote(key, await perform(self.client, Delete(SLICE, name, uid=meta["uid"])))
        except NotFound:
            return


class _EndpointSlices:
    def __init__(self, context: Context) -> None:
        self.services = context.mirror("services")
        self.pods = context.mirror("pods")
        self.nodes = context.mirror("nodes")
        self.pods.add_index(_BY_NODE, by_node)
        self.slices = Slices(context, MANAGER, "endpoint-slice-controller", "endpoint_slice_controller")
        self.syncs = context.metrics.counter(
            "endpoint_slice_controller_syncs", "Number of EndpointSlice syncs", "result"
        )
        self.spread: dict[Key, str] = {}
        self.spreads = context.metrics.gauge(
            "endpoint_slice_controller_services_count_by_traffic_distribution",
            "Number of Services using some specific trafficDistribution",
            "traffic_distribution",
        )
        self.selecting = Selecting()
        self.services.add_handler(self.selecting.changed)

    def on_node(self, node: Cached) -> Iterable[Key]:
        """The services with pods on a node."""
        return {key for pod in self.pods.by_index(_BY_NODE, node.name) for key in self.selecting.keys(pod)}

    def zone_matters(self, old: Cached | None, new: Cached | None) -> bool:
        if not self.nodes.synced.is_set():
            return False
        return old is None or new is None or old.labels.get(ZONE) != new.labels.get(ZONE)

    async def reconcile(self, key: Key) -> None:
        cached = self.services.get(*key)
        if cached is None:
            # What it owned is collected with it.
            self.slices.writes.forget(key)
            self.slices.measures.forget(key)
            self._spread(key, "")
            return
        if cached.deleting or not self.slices.writes.seen(key):
            return
        service = view_service(cached)
        self._spread(key, service.distribution)
        if service.selector is None:
            return
        owner = reconcile.Owner(
            *key,
            labels=reconcile.labels_of(service.labels, key[2], MANAGER, service.headless),
            reference=owners.managing(SERVICE, {"metadata": {"name": key[2], "uid": cached.uid}}),
            families=service.families,
        )
        await self.slices.make(key, cached, owner, self._wanted(service, service.selector))

    def _spread(self, key: Key, distribution: str) -> None:
        """Counts services by their `trafficDistribution`."""
        before = self.spread.get(key, "")
        if before == distribution:
            return
        self.spread[key] = distribution
        for name, by in ((before, -1), (distribution, 1)):
            if name:
                self.spreads.set(self.spreads.values.get((name,), 0.0) + by, name)
        if not distribution:
            del self.spread[key]

    async def counted(self, key: Key) -> None:
        try:
            await self.reconcile(key)
        except Exception as error:
            self.syncs.add("stale" if isinstance(error, Conflict) else "error")
            raise
        self.syncs.add("success")

    def _wanted(self, service: ServiceView, selector: dict[str, str]) -> list[content.Group]:
        tenant, namespace, _ = service.key
        mine = self.pods.by_index("namespace", f"{tenant}/{namespace}")
        pods = [view_pod(pod) for pod in mine if selector.items() <= pod.labels.items()]
        zones = {}
        for name in {pod.node for pod in pods if pod.node}:
            node = self.nodes.get("", "", name)
            if node is not None:
                zones[name] = node.labels.get(ZONE, "")
        return content.groups(service, pods, zones)


def build(context: Context) -> Unit:
    work = _EndpointSlices(context)
    controller = context.controller(NAME, work.counted, workers=16, backoff=(1.0, 1000.0))
    controller.watches(work.services)
    controller.watches(work.pods, work.selecting.keys, when=matters)
    controller.watches(work.nodes, work.on_node, when=work.zone_matters)
    controller.watches(work.slices.mirror, work.slices.key)

    def refresh() -> None:
        for service in work.services.items():
            controller.enqueue(service.key)

    return Unit([controller], refresh=refresh, sharing=Sharing.KEYS, primary=work.services, parts=[work.slices.mirror])
