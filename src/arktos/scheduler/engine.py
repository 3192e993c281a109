"""The scheduler's pure core: events in, decisions out. No I/O; time is a parameter, chance is seeded.

In a REPL: `h = Harness(); h.node("a", cpu="4"); h.pod("p", cpu="1"); h.run()`, see `harness`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from arktos.scheduler import machines
from arktos.scheduler.budgets import Budgets
from arktos.scheduler.machines import Machine
from arktos.scheduler.pods import Pod, PodKey
from arktos.scheduler.queue import EVERYTHING, Queue
from arktos.scheduler.terms import Labels
from arktos.scheduler.volumes import Volumes

if TYPE_CHECKING:
    from arktos.scheduler.cluster import Cluster
    from arktos.scheduler.planning import Nowhere, Planner

SCHEDULER_NAME = "default-scheduler"
NO_NODES = "no nodes available to schedule pods"
_LEFT = frozenset({"NodeResourcesFit", "NodePorts", "InterPodAffinity", "PodTopologySpread"})
_ARRIVED = frozenset({"InterPodAffinity", "PodTopologySpread"})


class Bind(NamedTuple):
    """The pod is booked on the node: write it down. `waiting` claims are provisioned for the node first."""

    pod: Pod
    node: str
    waiting: tuple[str, ...] = ()


class Refused(NamedTuple):
    """No node now. `victims` are to be deleted so that `nominated` gets room."""

    pod: Pod
    message: str
    nominated: str = ""
    victims: tuple[Pod, ...] = ()


Decision = Bind | Refused


class _Refusal(NamedTuple):
    """What was said of a pod; of its like the same holds until something changes."""

    message: str
    plugins: frozenset[str]


@dataclass(slots=True)
class _Room:
    """What exists once there are nodes."""

    cluster: Cluster
    planner: Planner
    refused_at: int = -1


class Engine:
    """Feed it every event of pods (not only its own: all that run somewhere count), nodes and what pods refer to."""

    def __init__(self, seed: int = 0) -> None:
        self.queue = Queue()
        self.volumes = Volumes()
        self.budgets = Budgets()
        self._seed = seed
        self._pods: dict[PodKey, Pod] = {}
        self._assumed: dict[PodKey, str] = {}
        self._namespaces: dict[tuple[str, str], Labels] = {}
        self._machines: dict[str, Machine] = {}
        self._room: _Room | None = None
        self._nominated: dict[PodKey, str] = {}
        self._refused: dict[tuple[object, ...], _Refusal] = {}

    # events

    def node_changed(self, name: str, machine: Machine | None, now: float) -> None:
        """A node came, changed, or (None) went."""
        old = self._machines.get(name)
        if machine is None:
            self._machines.pop(name, None)
            if self._room is not None:
                self._room.cluster.remove_node(name)
                self.queue.happened(_ARRIVED, now)
            return
        if machine == old:
            return
        self._machines[name] = machine
        self._open().cluster.put_node(machine)
        self.queue.happened(machines.changes(old, machine), now)

    def pod_changed(self, key: PodKey, pod: Pod | None, now: float) -> None:
        """A pod came, changed, or (None) went."""
        old = self._pods.get(key)
        if old is not None and (pod is None or pod.finished or pod.uid != old.uid):
            self._gone(old, now)
        if pod is None or pod.finished:
            return
        self._pods[key] = pod
        if pod.node:
            self._placed(pod, old if old is not None and old.uid == pod.uid else None, now)
        elif key in self._assumed:
            self._book(pod, self._assumed[key])
        else:
            self._waiting(pod, old, now)

    def namespace_changed(self, tenant: str, name: str, labels: Labels | None, now: float) -> None:
        """Labels of a namespace; None when it has gone."""
        if labels is None:
            self._namespaces.pop((tenant, name), None)
        else:
            self._namespaces[tenant, name] = labels
        if self._room is not None:
            self._room.cluster.namespace_changed(tenant, name, labels)
        self.queue.happened(frozenset({"InterPodAffinity"}), now)

    def volumes_changed(self, now: float) -> None:
        """Something was told to `volumes`."""
        self.queue.happened(frozenset({"VolumeBinding"}), now)

    # decisions

    def schedule(self, now: float) -> Decision | None:
        """Decides about the next pod that is due; None if none is. What it decides is booked already."""
        while True:
            key = self.queue.take(now)
            if key is None:
                return None
            pod = self._pods.get(key)
            if pod is not None:
                return self._decide(pod, now)
            self.queue.remove(key)

    def bind_failed(self, bind: Bind, now: float) -> None:
        """The binding was refused: the booking is taken back, and the pod tried again if it is still there to be."""
        key = bind.pod.key
        pod = self._pods.get(key)
        if self._assumed.get(key) != bind.node or pod is None or pod.uid != bind.pod.uid:
            return
        del self._assumed[key]
        if pod.node:
            return
        if self._room is not None:
            self._room.cluster.release(key)
        self.queue.happened(_LEFT, now)
        if not pod.deleting and not pod.gated:
            self.queue.retry(key, pod.priority, now)

    def reaches(self, bind: Bind) -> bool:
        """Whether the volumes of a pod that is booked, which has them all by now, can be reached from its node."""
        return self._room is not None and self._room.planner.reaches(bind.pod, bind.node)

    def known(self, key: PodKey) -> Pod | None:
        """The newest version of a pod that has not ended."""
        return self._pods.get(key)

    @property
    def assumed(self) -> int:
        """Pods that are booked, their binding not yet seen."""
        return len(self._assumed)

    @property
    def cluster(self) -> Cluster | None:
        return self._room.cluster if self._room is not None else None

    def _open(self) -> _Room:
        if self._room is None:
            # numpy comes with these, and without nodes nobody needs it.
            from arktos.scheduler.cluster import Cluster
            from arktos.scheduler.planning import Planner

            cluster = Cluster(self._seed)
            for (tenant, name), labels in self._namespaces.items():
                cluster.namespace_changed(tenant, name, labels)
            self._room = _Room(cluster, Planner(cluster, self.volumes))
            for pod in self._pods.values():
                node = pod.node or self._assumed.get(pod.key, "")
                if node:
                    cluster.book(pod, node)
                elif pod.key in self._nominated:
                    self._room.planner.nominate(pod, self._nominated[pod.key])
        return self._room

    def _decide(self, pod: Pod, now: float) -> Decision:
        if not self._machines:
            self.queue.park(pod.key, frozenset({EVERYTHING}), now)
            return Refused(pod, NO_NODES)
        from arktos.scheduler.planning import Chosen

        room = self._open()
        alike = (pod.template, pod.tenant, pod.namespace, pod.label_key, pod.priority, pod.preempts)
        if room.refused_at != room.cluster.version or self._nominated or pod.template.claims:
            self._refused.clear()
        elif (known := self._refused.get(alike)) is not None:
            self.queue.park(pod.key, known.plugins, now)
            return Refused(pod, known.message)
        outcome = room.planner.plan(pod, self._nominated.get(pod.key, ""))
        if isinstance(outcome, Chosen):
            self._assumed[pod.key] = outcome.node
            self.queue.remove(pod.key)
            self._unnominate(pod)
            room.cluster.book(pod, outcome.node)
            self.queue.happened(_ARRIVED, now, lambda key: key[0] == pod.tenant)
            return Bind(pod, outcome.node, outcome.waiting)
        self.queue.park(pod.key, outcome.plugins, now)
        decision = self._preempt(pod, outcome, room)
        room.refused_at = room.cluster.version
        if not decision.nominated and not pod.template.claims:
            self._refused[alike] = _Refusal(decision.message, outcome.plugins)
        return decision

    def _preempt(self, pod: Pod, refused: Nowhere, room: _Room) -> Refused:
        from arktos.scheduler.preemption import NoPreemption, preempt

        nominated = self._nominated.get(pod.key, "")
        found = preempt(pod, nominated, refused, room.cluster, room.planner, self.budgets, self._seed)
        if isinstance(found, NoPreemption):
            if found.waits:
                return Refused(pod, f"{refused.message} {found.message}", nominated)
            self._unnominate(pod)
            return Refused(pod, f"{refused.message} {found.message}")
        self._nominate(pod, found.node)
        return Refused(pod, refused.message, found.node, found.victims)

    def _nominate(self, pod: Pod, node: str) -> None:
        self._nominated[pod.key] = node
        self._open().planner.nominate(pod, node)

    def _unnominate(self, pod: Pod) -> None:
        if self._nominated.pop(pod.key, None) is not None and self._room is not None:
            self._room.planner.unnominate(pod)

    def _book(self, pod: Pod, node: str) -> None:
        if self._room is not None:
            self._room.cluster.book(pod, node)

    def _placed(self, pod: Pod, old: Pod | None, now: float) -> None:
        """The API says that the pod is on a node. `old` is what it said before."""
        self.queue.remove(pod.key)
        self._unnominate(pod)
        ours = self._assumed.pop(pod.key, "") == pod.node
        self._book(pod, pod.node)
        if old is None or not old.node:
            if not ours:
                self.queue.happened(_ARRIVED, now, lambda key: key[0] == pod.tenant)
            return
        if old.label_key != pod.label_key or old.deleting != pod.deleting:
            self.queue.happened(_ARRIVED, now, lambda key: key[0] == pod.tenant)
        if old.template is not pod.template:
            self.queue.happened(_LEFT, now)

    def _waiting(self, pod: Pod, old: Pod | None, now: float) -> None:
        """A pod without a node: into the queue if it is ours and may go."""
        if pod.scheduler != SCHEDULER_NAME or pod.deleting or pod.gated:
            self.queue.remove(pod.key)
            self._unnominate(pod)
            return
        if pod.told.nominated and old is None:
            self._nominated[pod.key] = pod.told.nominated
            if self._room is not None:
                self._room.planner.nominate(pod, pod.told.nominated)
        self.queue.add(pod.key, pod.priority, now)
        if old is not None and (old.template is not pod.template or old.label_key != pod.label_key):
            self.queue.changed(pod.key, now)

    def _gone(self, pod: Pod, now: float) -> None:
        del self._pods[pod.key]
        self.queue.remove(pod.key)
        self._assumed.pop(pod.key, None)
        self._unnominate(pod)
        if self._room is not None and self._room.cluster.release(pod.key) is not None:
            self.queue.happened(_LEFT, now)
