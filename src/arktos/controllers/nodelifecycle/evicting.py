"""Makes pods leave nodes whose NoExecute taints they do not tolerate: from events to keys, and to deletions."""

from __future__ import annotations

from collections.abc import Iterable

from arktos.client import Cached, Controller, Key
from arktos.controllers import conditions
from arktos.controllers.actions import Delete, Patch, perform, perform_all
from arktos.controllers.context import Context
from arktos.controllers.nodelifecycle.eviction import arrived_at, driving, leaves_at
from arktos.controllers.pods import by_node
from arktos.model import dates, registry
from arktos.model.kinds import Obj

POD = registry.by_resource("pods")
_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 120.0, 180.0, 240.0)
_NO_EXECUTE = b'"NoExecute"'


class Evicting:
    """`controller` is to be run beside the one that sets taints."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nodes = context.mirror("nodes")
        self._pods = context.mirror("pods")
        self._pods.add_index("node", by_node)
        self._recorder = context.recorder("taint-eviction-controller")
        self._taints: dict[str, list[Obj]] = {}
        self._since: dict[str, float] = {}
        self._scheduled: set[str] = set()
        self._deletions = context.metrics.counter(
            "taint_eviction_controller_pod_deletions_total",
            "Total number of Pods deleted by TaintEvictionController since its start.",
        )
        self._seconds = context.metrics.histogram(
            "taint_eviction_controller_pod_deletion_duration_seconds",
            "Latency, in seconds, between the time when a taint effect has been activated for the Pod and its deletion "
            "via TaintEvictionController.",
            bounds=_SECONDS,
        )
        self._nodes.add_handler(self._on_node)
        self.controller: Controller = context.controller("taint-eviction-controller", self._reconcile, workers=8)
        self.controller.watches(self._nodes, self._pods_on, when=_taints_concerned)
        self.controller.watches(self._pods, self._if_driven)
        self._pods.add_handler(self._on_pod)

    def refresh(self) -> None:
        for node in self._taints:
            for pod in self._pods.by_index("node", node):
                self.controller.enqueue(pod.key)

    def _on_node(self, old: Cached | None, new: Cached | None) -> None:
        if new is None:
            assert old is not None
            self._taints.pop(old.name, None)
            return
        found = driving(new.obj()) if _NO_EXECUTE in new.raw else []
        if found:
            self._taints[new.name] = found
        else:
            self._taints.pop(new.name, None)

    def _on_pod(self, old: Cached | None, new: Cached | None) -> None:
        if new is None and old is not None:
            self._scheduled.discard(old.uid)
            self._since.pop(old.uid, None)

    def _pods_on(self, node: Cached) -> Iterable[Key]:
        return [pod.key for pod in self._pods.by_index("node", node.name)]

    def _if_driven(self, pod: Cached) -> Iterable[Key]:
        return (pod.key,) if self._taints and any(node in self._taints for node in by_node(pod)) else ()

    async def _reconcile(self, key: Key) -> float | None:
        cached = self._pods.get(*key)
        if cached is None or cached.deleting:
            return None
        pod = cached.obj()
        taints = self._taints.get(pod["spec"].get("nodeName", ""), [])
        if not taints:
            self._cancel(cached)
            return None
        now = self._context.wall()
        since = self._since.setdefault(cached.uid, now)
        at = leaves_at(pod["spec"].get("tolerations") or (), taints, since, arrived_at(pod))
        if at is None:
            self._unschedule(cached)
            return None
        if at > now:
            self._scheduled.add(cached.uid)
            return at - now
        self._recorder.event(
            cached, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {cached.namespace}/{cached.name}"
        )
        await self._evict(cached, pod, now)
        self._deletions.add()
        self._seconds.add(max(0.0, self._context.wall() - at))
        return None

    def _cancel(self, cached: Cached) -> None:
        self._since.pop(cached.uid, None)
        self._unschedule(cached)

    def _unschedule(self, cached: Cached) -> None:
        if cached.uid in self._scheduled:
            self._scheduled.discard(cached.uid)
            message = f"Cancelling deletion of Pod {cached.namespace}/{cached.name}"
            self._recorder.event(cached, "Normal", "TaintManagerEviction", message)

    async def _evict(self, cached: Cached, pod: Obj, now: float) -> None:
        said = conditions.put(
            (pod.get("status") or {}).get("conditions"),
            "DisruptionTarget",
            "True",
            "DeletionByTaintManager",
            "Taint manager: deleting due to NoExecute taint",
            dates.rfc3339(dates.from_unix(now)),
        )
        body = {"metadata": {"uid": cached.uid}, "status": {"conditions": said}}
        failures = await perform_all(self._context.client, [Patch(POD, cached.key, body, subresource="status")])
        if failures:
            raise failures[0]
        await perform(self._context.client, Delete(POD, cached.key, uid=cached.uid))


def _taints_concerned(old: Cached | None, new: Cached | None) -> bool:
    return any(node is not None and _NO_EXECUTE in node.raw for node in (old, new))
