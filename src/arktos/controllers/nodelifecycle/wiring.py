"""Signs of life, one timer per node, and what the judgement calls for."""

from __future__ import annotations

import asyncio

from arktos.client import Cached, Key
from arktos.controllers import conditions
from arktos.controllers.actions import Action, Patch, perform, perform_all
from arktos.controllers.context import Context, Unit
from arktos.controllers.nodelifecycle import health
from arktos.controllers.nodelifecycle.evicting import Evicting
from arktos.controllers.nodelifecycle.measuring import Measures
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
        self.known: set[str] = set()
        self.lost = False
        self.controller = context.controller(NAME, self.reconcile, workers=8)
        self.measures = Measures(context.metrics, self.zones)

    def on_lease(self, old: Cached | None, new: Cached | None) -> None:
        """A Lease that was written is a sign of life, whatever it says."""
        if new is not None and new.namespace == LEASES and new.tenant == SYSTEM_TENANT:
            self.seen_at[new.name] = _now()

    def on_node(self, old: Cached | None, new: Cached | None) -> None:
        if new is None:
            assert old is not None
            self.zones.remove(old.name)
            self._all_lost()
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
        self._all_lost()

    def _all_lost(self) -> None:
        """Where no node is heard of any more, it is us who hear nothing: nobody is driven out. Who comes back to
        hearing gives all nodes time to be heard of."""
        lost, self.lost = self.lost, self.zones.all_lost
        if lost is self.lost:
            return
        for node in self.nodes.items():
            if lost:
                self.seen_at[node.name] = _now()
            self.controller.enqueue(node.key)

    def _tell_of(self, node: Cached | None, name: str) -> None:
        """Says of nodes that come and go that they do."""
        if (node is not None) is (name in self.known):
            return
        if node is not None:
            self.known.add(name)
            said = f"Node {name} event: Registered Node {name} in Controller"
            self.recorder.event(node, "Normal", "RegisteredNode", said)
        else:
            self.known.discard(name)
            about: Obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
            said = f"Node {name} event: Removing Node {name} from Controller"
            self.recorder.event(about, "Normal", "RemovingNode", said)

    async def reconcile(self, key: Key) -> float | None:
        cached = self.nodes.get(*key)
        self._tell_of(cached, key[2])
        if cached is None:
            return None
        began = _now()
        try:
            return await self._judge(cached)
        finally:
            self.measures.node_seconds.add(_now() - began)

    async def _judge(self, cached: Cached) -> float | None:
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
        lacking = health.lacking_labels(cached.labels)
        if lacking:
            body: Obj = {"metadata": {"uid": cached.uid, "labels": lacking}}
            await perform(self.context.client, Patch(NODE, cached.key, body))
        if waiting:
            return _TURN
        return deadline - now + 0.01 if now < deadline else None

    async def _taint(self, cached: Cached, node: Obj, found: list[Obj], now: float, text: str) -> bool:
        """Whether the node still waits for its turn to be given up."""
        old = (node.get("spec") or {}).get("taints") or []
        unwell = health.ready_status(found) != "True"
        driven_out = health.is_driven_out(old)
        zone = zone_of(cached.labels)
        evict = unwell and not driven_out and self.zones.may_give_up(zone, now)
        new = health.taints(node, found, None if self.lost else evict, text)
        if new != old:
            body: Obj = {"metadata": {"uid": cached.uid}, "spec": {"taints": new or None}}
            fresh = await self.context.client.get(NODE, cached.name)
            if ((fresh.get("spec") or {}).get("taints") or []) != old:
                # Somebody else tainted it meanwhile: the event of that is on its way.
                return True
            body["metadata"]["resourceVersion"] = fresh["metadata"]["resourceVersion"]
            await perform(self.context.client, Patch(NODE, cached.key, body))
            if evict:
                self.measures.evictions.add(zone)
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
            if view(pod).ready_at is None:
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
    controller = work.controller
    controller.watches(work.nodes).needs(work.leases).needs(work.pods)

    def refresh() -> None:
        evicting.refresh()
        work.known = {node.name for node in work.nodes.items()}
        for node in work.nodes.items():
            controller.enqueue(node.key)

    return Unit([controller, evicting.controller], refresh=refresh)
