"""Nodes and the pods booked on them: the state that a plan is made against, always the newest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from arktos.scheduler.machines import Machine
from arktos.scheduler.nodes import Nodes
from arktos.scheduler.pods import Pod, PodKey
from arktos.scheduler.tallies import Tallies
from arktos.scheduler.terms import Labels


class Cluster:
    """Booked pods count from `book` to `release`, whether their node is there already or not.

    `version` grows with every change that can change a verdict.
    """

    def __init__(self, seed: int = 0) -> None:
        self.nodes = Nodes(seed)
        self.tallies = Tallies(self.nodes)
        self.version = 0
        self._places: dict[PodKey, tuple[Pod, str]] = {}
        self._on: dict[str, dict[PodKey, Pod]] = {}
        self._priorities: Counter[int] = Counter()

    def put_node(self, machine: Machine) -> None:
        """A node came or changed. Pods that were booked on it before it was known count from now on."""
        slot = self.nodes.slots.get(machine.name)
        known = self.nodes.machines[slot] if slot is not None else None
        if known == machine:
            return
        self.version += 1
        if slot is None:
            slot = self.nodes.put(machine)
            self.tallies.nodes_changed()
            for pod in self._on.get(machine.name, {}).values():
                self._count(pod, slot, 1)
            return
        self.nodes.put(machine)
        assert known is not None
        if known.labels != machine.labels:
            self.tallies.nodes_changed()

    def remove_node(self, name: str) -> None:
        """A node has gone. Its pods stay booked under its name, and count nowhere."""
        slot = self.nodes.slots.get(name)
        if slot is None:
            return
        self.version += 1
        for pod in self._on.get(name, {}).values():
            self._count(pod, slot, -1)
        self.nodes.remove(name)
        self.tallies.nodes_changed()

    def namespace_changed(self, tenant: str, namespace: str, labels: Labels | None) -> None:
        self.version += 1
        self.tallies.namespace_changed(tenant, namespace, labels)

    def booked(self, key: PodKey) -> Pod | None:
        place = self._places.get(key)
        return place[0] if place else None

    def pods_on(self, name: str) -> Iterable[Pod]:
        return self._on.get(name, {}).values()

    @property
    def lowest_priority(self) -> int | None:
        """The lowest priority of any booked pod."""
        return min(self._priorities, default=None)

    def book(self, pod: Pod, name: str) -> None:
        """Books a pod, or a new version of one, on a node."""
        place = self._places.get(pod.key)
        if place is not None:
            known = place[0]
            if (
                place[1] == name
                and known.template is pod.template
                and known.label_key == pod.label_key
                and known.deleting == pod.deleting
                and known.priority == pod.priority
                and known.owner == pod.owner
            ):
                self._places[pod.key] = (pod, name)
                self._on[name][pod.key] = pod
                return
            self.release(pod.key)
        self.version += 1
        self._places[pod.key] = (pod, name)
        self._on.setdefault(name, {})[pod.key] = pod
        self._priorities[pod.priority] += 1
        slot = self.nodes.slots.get(name)
        if slot is not None:
            self._count(pod, slot, 1)

    def release(self, key: PodKey) -> Pod | None:
        """Takes a booking back; the pod that was booked, None if none was."""
        place = self._places.pop(key, None)
        if place is None:
            return None
        self.version += 1
        pod, name = place
        on = self._on[name]
        del on[key]
        if not on:
            del self._on[name]
        self._priorities[pod.priority] -= 1
        if not self._priorities[pod.priority]:
            del self._priorities[pod.priority]
        slot = self.nodes.slots.get(name)
        if slot is not None:
            self._count(pod, slot, -1)
        return pod

    @contextmanager
    def supposing(self, slot: int, gone: Iterable[Pod] = (), come: Iterable[Pod] = ()) -> Iterator[None]:
        """The state as if some pods of a node were gone, and others were there, until the block ends."""
        moves = [(pod, -1) for pod in gone] + [(pod, 1) for pod in come]
        for pod, times in moves:
            self._count(pod, slot, times)
        try:
            yield
        finally:
            for pod, times in reversed(moves):
                self._count(pod, slot, -times)

    def _count(self, pod: Pod, slot: int, times: int) -> None:
        self.nodes.book(slot, pod.template, times)
        self.tallies.add(pod, slot, times)
