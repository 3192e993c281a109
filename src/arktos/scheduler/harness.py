"""The scheduler without a server: for tests, benchmarks, and a Python prompt.

h = Harness(); h.node("a", cpu="4"); h.pod("p", cpu="1")
h.run()   # {"p": "a"}
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import msgspec

from arktos.client import Cached
from arktos.model import registry
from arktos.model.kinds import Obj
from arktos.scheduler import machines
from arktos.scheduler.engine import Bind, Decision, Engine, Refused
from arktos.scheduler.pods import PodKey, Reader

PODS = registry.by_resource("pods")
NODES = registry.by_resource("nodes")


class Harness:
    """Objects as the API would show them; `now` is the time, moved by hand. Bindings succeed at once, and victims are
    deleted at once, unless `run(confirm=False)`."""

    def __init__(self, seed: int = 0) -> None:
        self.engine = Engine(seed)
        self.now = 0.0
        self.nodes: dict[str, Obj] = {}
        self.pods: dict[PodKey, Obj] = {}
        self.bound: dict[PodKey, str] = {}
        self.refused: dict[PodKey, Refused] = {}
        self._reader = Reader()
        self._numbers = itertools.count(1)

    def node(
        self,
        name: str,
        *,
        cpu: str = "4",
        memory: str = "8Gi",
        pods: str = "110",
        labels: Mapping[str, str] | None = None,
        taints: Iterable[str] = (),
        unschedulable: bool = False,
        ready: Iterable[str] = (machines.CONTAINER_READY, machines.VM_READY),
        **resources: str,
    ) -> Obj:
        """Adds or replaces a node. Taints are `key=value:Effect`."""
        allocatable = {"cpu": cpu, "memory": memory, "pods": pods, "ephemeral-storage": "100Gi", **resources}
        named = {"kubernetes.io/hostname": name, **(labels or {})}
        node: Obj = {
            "metadata": {"name": name, "uid": f"node-{name}", "labels": named},
            "spec": {"unschedulable": unschedulable, "taints": [_taint(text) for text in taints]},
            "status": {
                "allocatable": allocatable,
                "conditions": [{"type": condition, "status": "True"} for condition in ready],
            },
        }
        self.put_node(node)
        return node

    def put_node(self, node: Obj) -> None:
        name = node["metadata"]["name"]
        self.nodes[name] = node
        cached = Cached.from_raw(NODES, msgspec.json.encode(node))
        self.engine.node_changed(name, machines.read(cached), self.now)

    def remove_node(self, name: str) -> None:
        del self.nodes[name]
        self.engine.node_changed(name, None, self.now)

    def pod(
        self,
        name: str,
        *,
        cpu: str = "",
        memory: str = "",
        tenant: str = "system",
        namespace: str = "default",
        labels: Mapping[str, str] | None = None,
        node: str = "",
        priority: int = 0,
        ports: Iterable[int] = (),
        owner: str = "",
        **spec: object,
    ) -> PodKey:
        """Adds or replaces a pod of one container; `spec` are more fields of its spec, in wire names; `owner` is a
        ReplicaSet's uid."""
        asked = {name: amount for name, amount in (("cpu", cpu), ("memory", memory)) if amount}
        container: Obj = {"name": "main", "image": "img", "resources": {"requests": asked}}
        container["ports"] = [{"containerPort": port, "hostPort": port} for port in ports]
        content: Obj = {"containers": [container], "priority": priority, **spec}
        if node:
            content["nodeName"] = node
        meta: Obj = {"name": name, "namespace": namespace, "tenant": tenant, "labels": dict(labels or {})}
        if owner:
            replicas = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
            meta["ownerReferences"] = [replicas]
        number = next(self._numbers)
        meta |= {
            "uid": f"pod-{number}",
            "creationTimestamp": f"2030-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        }
        return self.put_pod({"metadata": meta, "spec": content, "status": {"phase": "Pending"}})

    def put_pod(self, pod: Obj) -> PodKey:
        cached = Cached.from_raw(PODS, msgspec.json.encode(pod))
        self.pods[cached.key] = pod
        self.engine.pod_changed(cached.key, self._reader.read(cached), self.now)
        return cached.key

    def remove_pod(self, key: PodKey) -> None:
        self.pods.pop(key)
        self.bound.pop(key, None)
        self.engine.pod_changed(key, None, self.now)

    def step(self, confirm: bool = True) -> Decision | None:
        """One decision, carried out."""
        decision = self.engine.schedule(self.now)
        if isinstance(decision, Bind):
            self.bound[decision.pod.key] = decision.node
            self.refused.pop(decision.pod.key, None)
            if confirm:
                pod = self.pods[decision.pod.key]
                self.put_pod({**pod, "spec": {**pod["spec"], "nodeName": decision.node}})
        elif decision is not None:
            self.refused[decision.pod.key] = decision
            if confirm:
                for victim in decision.victims:
                    self.remove_pod(victim.key)
        return decision

    def run(self, confirm: bool = True) -> dict[str, str]:
        """Decides until nothing is due. Where all bound pods are, by name."""
        while self.step(confirm) is not None:
            pass
        return {key[2]: node for key, node in self.bound.items()}


def _taint(text: str) -> Obj:
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect}
