"""Signs of life, one timer per node, and what the judgement calls for."""

from __future__ import annotations

import asyncio

from arktos.client import Cached, Key
from arktos.controllers import conditions
from arktos.controllers.actions import Action, Patch, perform, perform_all
from arktos.controllers.context import Context, Unit
from arktos.controllers.nodelifecycle import health
from arktos.controllers.nodelifecycle.evicting import Evicting
from arktos.controllers.nodelifecycle.zones import Zones, zone_of
from arktos.controllers.pods import by_node, view
from arktos.model import dates, registry
from arktos.model.kinds import SYSTEM_TENANT, Obj

NAME = "nodelifecycle"
NODE = registry.by_resource("nodes")
POD = registry.by_resource("pods")
LEASES = "kube-node-lease"
_TURN = 5.0
"""Seconds until a node whose turn has not come is looked at again."""


class _NodeLifecycle:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.nodes = context.mirror("nodes")
        self.pods = context.mirror("pods")
        self.leases = context.mirror("leases.coordination.k8s.io")
        self.pods.add_index("node", by_node)
        self.recorder = context.recorder("node-controller")
        self.zones = Zones()
        self.seen_at: dict[str, float] = {}
        self.beats: dict[str, str] = {}
        self.marked: set[str] = set()

    def on_lease(self, old: Cached | None, new: Cached | None) -> None:
        """A Lease that was written is a sign of life, whatever it says."""
        if new is not None and new.namespace == LEASES and new.tenant == SYSTEM_TENANT:
            self.seen_at[new.name] = _now()

    def on_node(self, old: Cached | None, new: Cached | None) -> None:
        if new is None:
            assert old is not None
            self.zones.remove(old.name)
            self.marked.discard(old.name)
            self.seen_at.pop(old.name, None)
            self.beats.pop(old.name, None)
            return
        node = new.obj()
        beat = health.heartbeat(node)
        if old is None or self.beats.get(new.name) != beat:
            self.seen_at[new.name] = _now()
        self.beats[new.name] = beat
        found = (node.get("status") or {}).get("conditions")
        self.zones.put(new.name, zone_of(new.labels), conditions.is_true(found, "Ready"))

    async def reconcile(self, key: Key) -> float | None:
        cached = self.nodes.get(*key)
        if cached is None:
            return None
        node = cached.obj()
        now = _now()
        text = dates.rfc3339(dates.from_unix(self.context.wall()))
        deadline = health.deadline(node, self.seen_at.setdefault(cached.name, now))
        found: list[Obj] = (node.get("status") or {}).get("conditions") or []
        if now >= deadline:
            silent = health.silenced(node, text)
            if silent != found:
                await perform(self.context.client, _status(cached, silent))
                found = silent
        waiting = await self._taint(cached, node, found, now, text)
        await self._mark_pods(cached, found, text)
        if waiting:
            return _TURN
        return deadline - now + 0.01 if now < deadline else None

    async def _taint(self, cached: Cached, node: Obj, found: list[Obj], now: float, text: str) -> bool:
        """Whether the node still waits for its turn to be given up."""
        old = (node.get("spec") or {}).get("taints") or []
        unwell = health.ready_status(found) != "True"
        driven_out = any(
            t.get("effect") == "NoExecute" and t["key"] in (health.NOT_READY, health.UNREACHABLE) for t in old
        )
        evict = unwell and not driven_out and self.zones.may_give_up(zone_of(cached.labels), now)
        new = health.taints(node, found, evict, text)
        if new != old:
            body: Obj = {"metadata": {"uid": cached.uid}, "spec": {"taints": new or None}}
            fresh = await self.context.client.get(NODE, cached.name)
            if ((fresh.get("spec") or {}).get("taints") or []) != old:
                # Somebody else tainted it meanwhile: the event of that is on its way.
                return True
            body["metadata"]["resourceVersion"] = fresh["metadata"]["resourceVersion"]
            await perform(self.context.client, Patch(NODE, cached.key, body))
        return unwell and not driven_out and not evict

    async def _mark_pods(self, cached: Cached, found: list[Obj], text: str) -> None:
        """Pods of a node that was lost are not ready; said once, when that happens."""
        if health.ready_status(found) == "True":
            self.marked.discard(cached.name)
            return
        if cached.name in self.marked:
            return
        self.recorder.event(cached, "Normal", "NodeNotReady", f"Node {cached.name} status is now: NodeNotReady")
        actions: list[Action] = []
        for pod in self.pods.by_index("node", cached.name):
            if view(pod).ready_at is None or pod.deleting:
                continue
            ready = {"type": "Ready", "status": "False", "lastTransitionTime": text}
            body = {"metadata": {"uid": pod.uid}, "status": {"conditions": [ready]}}
            actions.append(Patch(POD, pod.key, body, "strategic", subresource="status"))
            self.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")
        failures = await perform_all(self.context.client, actions)
        if failures:
            raise failures[0]
        self.marked.add(cached.name)


def _status(cached: Cached, found: list[Obj]) -> Patch:
    return Patch(
        NODE, cached.key, {"metadata": {"uid": cached.uid}, "status": {"conditions": found}}, subresource="status"
    )


def _now() -> float:
    return asyncio.get_running_loop().time()


def build(context: Context) -> Unit:
    work = _NodeLifecycle(context)
    work.nodes.add_handler(work.on_node)
    work.leases.add_handler(work.on_lease)
    evicting = Evicting(context)
    controller = context.controller(NAME, work.reconcile, workers=8)
    controller.watches(work.nodes).needs(work.leases).needs(work.pods)

    def refresh() -> None:
        evicting.refresh()
        for node in work.nodes.items():
            controller.enqueue(node.key)

    return Unit([controller, evicting.controller], refresh=refresh)
