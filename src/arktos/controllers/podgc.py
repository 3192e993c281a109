"""Pods that nobody else will remove: on nodes that are gone, ended ones beyond a number, and those that were deleted
before they had a node.

Every tick looks at all pods in the mirror. Of ended pods the surplus comes from those tenants that have the most, so
that one tenant's jobs do not cost another its history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

from arktos.client import Cached
from arktos.controllers import conditions
from arktos.controllers.actions import FAILURES, Delete, Patch, perform_all
from arktos.controllers.context import Context, Unit
from arktos.controllers.pods import PodView, view
from arktos.model import dates, registry
from arktos.model.kinds import Obj
from arktos.model.status import NotFound
from arktos.wire import logs

NAME = "podgc"
TICK = 20.0
QUARANTINE = 40.0
"""Seconds that a node must have been missing before its pods are taken for orphans."""
THRESHOLD = 12500
"""Ended pods that are kept."""
_AT_ONCE = 32
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"

POD = registry.by_resource("pods")
NODE = registry.by_resource("nodes")
_log = logs.get_logger(__name__)

Seen = Sequence[tuple[Cached, PodView]]


def unscheduled_terminating(pods: Seen) -> list[Cached]:
    """Deleted, and no node will ever finish the job."""
    return [cached for cached, pod in pods if pod.deleting and not pod.node]


def terminating_out_of_service(pods: Seen, out_of_service: Collection[str]) -> list[Cached]:
    """Deleted, on nodes that an operator declared dead (KEP-2268)."""
    return [cached for cached, pod in pods if pod.deleting and pod.node in out_of_service]


def orphaned(pods: Seen, gone: Collection[str]) -> list[Cached]:
    """Bound to nodes that do not exist."""
    return [cached for cached, pod in pods if pod.node in gone]


def surplus(pods: Seen, threshold: int = THRESHOLD) -> list[Cached]:
    """Ended pods beyond the threshold: those that are deepest in their own tenant's history, oldest first. Pods that a
    node evicted have ended before all others."""
    ended: dict[str, list[tuple[Cached, PodView]]] = {}
    for cached, pod in pods:
        if pod.ended and not pod.deleting:
            ended.setdefault(cached.tenant, []).append((cached, pod))
    count = sum(map(len, ended.values())) - threshold
    if count <= 0:
        return []
    ranked = []
    for mine in ended.values():
        mine.sort(key=lambda each: (not _evicted(each[0]), each[1].created_at, each[1].name), reverse=True)
        ranked += [(depth, pod.created_at, pod.name, cached) for depth, (cached, pod) in enumerate(mine)]
    ranked.sort(key=lambda each: (-each[0], each[1], each[2]))
    return [each[3] for each in ranked[:count]]


def _evicted(cached: Cached) -> bool:
    return b'"Evicted"' in cached.raw and (cached.obj().get("status") or {}).get("reason") == "Evicted"


def missing(pods: Seen, nodes: Collection[str], since: Mapping[str, float], now: float) -> dict[str, float]:
    """Nodes that pods are bound to and that are not there, with when we first noticed."""
    wanted = {pod.node for _, pod in pods if pod.node}
    return {node: since.get(node, now) for node in sorted(wanted) if node not in nodes}


def failed(cached: Cached, message: str, now: str) -> Patch | None:
    """Says in a pod's status that nobody will run it any more, and with a `message` what disrupted it; None for a pod
    that has ended by itself."""
    status = cached.obj().get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    said: Obj = {"phase": "Failed"}
    if message:
        found = status.get("conditions")
        said["conditions"] = conditions.put(found, "DisruptionTarget", "True", "DeletionByPodGC", message, now)
    return Patch(POD, cached.key, {"metadata": {"uid": cached.uid}, "status": said}, subresource="status")


class _PodCollector:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.pods = context.mirror("pods")
        self.nodes = context.mirror("nodes")
        self.missing: dict[str, float] = {}
        self.deleted = context.metrics.counter(
            "pod_gc_collector_force_delete_pods_total",
            "Number of pods that are being forcefully deleted since the Pod GC Controller started.",
            "namespace",
            "reason",
        )
        self.errors = context.metrics.counter(
            "pod_gc_collector_force_delete_pod_errors_total",
            "Number of errors encountered when forcefully deleting the pods since the Pod GC Controller started.",
            "namespace",
            "reason",
        )

    async def run(self) -> None:
        await self.pods.synced.wait()
        await self.nodes.synced.wait()
        while True:
            try:
                await self.tick()
            except FAILURES as error:
                _log.warning("podgc_failed", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(TICK)

    async def tick(self) -> None:
        seen = [(cached, view(cached)) for cached in self.pods.items()]
        await self._remove(surplus(seen), "terminated")
        await self._remove(terminating_out_of_service(seen, self._out_of_service()), "out-of-service")
        await self._remove(orphaned(seen, await self._gone(seen)), "orphaned", "PodGC: node no longer exists")
        await self._remove(unscheduled_terminating(seen), "unscheduled")

    def _out_of_service(self) -> set[str]:
        found = set()
        for node in self.nodes.items():
            if OUT_OF_SERVICE.encode() not in node.raw:
                continue
            obj = node.obj()
            ready = conditions.is_true((obj.get("status") or {}).get("conditions"), "Ready")
            taints = (obj.get("spec") or {}).get("taints") or ()
            if not ready and any(taint.get("key") == OUT_OF_SERVICE for taint in taints):
                found.add(node.name)
        return found

    async def _gone(self, seen: Seen) -> set[str]:
        """Nodes that were missing for long enough, and that the server itself does not know."""
        now = self.context.wall()
        self.missing = missing(seen, {node.name for node in self.nodes.items()}, self.missing, now)
        found = set()
        for name, since in self.missing.items():
            if since + QUARANTINE > now:
                continue
            try:
                await self.context.client.get(NODE, name)
            except NotFound:
                found.add(name)
        return found

    async def _remove(self, pods: Sequence[Cached], reason: str, message: str = "") -> None:
        """One that fails keeps none of the others."""
        if not pods:
            return
        now = dates.rfc3339(dates.from_unix(self.context.wall()))
        rest = iter(pods)
        failures: list[Exception] = []

        async def work() -> None:
            for cached in rest:
                self.deleted.add(cached.namespace, reason)
                said = failed(cached, message, now)
                found = [] if said is None else await perform_all(self.context.client, [said])
                last = Delete(POD, cached.key, uid=cached.uid, grace=0)
                found = found or await perform_all(self.context.client, [last])
                if found:
                    self.errors.add(cached.namespace, reason)
                    failures.extend(found)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(_AT_ONCE, len(pods))):
                group.create_task(work())
        _log.info("pods_collected", pods=len(pods), failed=len(failures), reason=reason)


def build(context: Context) -> Unit:
    return Unit(tasks=[_PodCollector(context).run])
