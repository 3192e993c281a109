"""How many pods of a sort are where: per node, and per value of those topology labels that are asked for.

Two sorts of tally. A *selection* counts placed pods that some selector means (affinity of a pod to place, spread). A
*burden* counts placed pods that carry a term (their anti-affinity, preferences) which a pod to place may be meant by.
Pods that are alike in tenant, namespace, labels and owner form a `Group`: selectors are matched once per group.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import numpy as np

from arktos.scheduler.nodes import Ints, Nodes, extended
from arktos.scheduler.pods import Pod
from arktos.scheduler.terms import Labels, PodTerm

GroupKey = tuple[str, str, tuple[tuple[str, str], ...], bool, str]
_SELECTIONS = 512
"""Selections kept; the one that was not asked for the longest time goes first."""


class Tally:
    """Counts per slot, and per value of each label asked for by `at`."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self.per_node: Ints = np.zeros(nodes.capacity, np.int64)
        self.total = 0
        self._by_value: dict[str, Ints] = {}

    def add(self, slot: int, amount: int) -> None:
        if slot >= len(self.per_node):
            self.per_node = extended(self.per_node, self._nodes.capacity)
        self.per_node[slot] += amount
        self.total += amount
        for key, counts in self._by_value.items():
            value = self._nodes.column(key).ids[slot]
            if value >= len(counts):
                counts = self._by_value[key] = extended(counts, 2 * int(value) + 2)
            if value:
                counts[value] += amount

    def at(self, key: str) -> Ints:
        """For each slot, the count over all nodes with the same value of label `key`; 0 where the label is missing."""
        column = self._nodes.column(key)
        counts = self._by_value.get(key)
        if counts is None or len(counts) < len(column.values):
            counts = self._by_value[key] = self._counted(key)
        found: Ints = counts[column.ids]
        return found

    def nodes_changed(self) -> None:
        """Labels changed: counts per value are made anew when asked for."""
        self._by_value.clear()

    def over(self) -> Ints:
        """Counts per slot, for all slots there are."""
        if len(self.per_node) < self._nodes.capacity:
            self.per_node = extended(self.per_node, self._nodes.capacity)
        return self.per_node

    def _counted(self, key: str) -> Ints:
        column = self._nodes.column(key)
        counts = np.zeros(2 * len(column.values), np.int64)
        np.add.at(counts, column.ids, self.over())
        counts[0] = 0
        return counts


class Group:
    """Placed pods that no selector can tell apart."""

    def __init__(self, key: GroupKey) -> None:
        self.tenant, self.namespace, pairs, self.deleting, self.owner = key
        self.labels: Labels = dict(pairs)
        self.on: dict[int, int] = {}
        self.tallies: list[Tally] = []


class Selection(Tally):
    """Counts the pods of the groups that `wants` says yes to."""

    def __init__(self, nodes: Nodes, tenant: str, wants: Callable[[Group], bool]) -> None:
        super().__init__(nodes)
        self.tenant = tenant
        self.wants = wants


class Tallies:
    """All tallies. Told of every pod that is placed or taken away."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._groups: dict[str, dict[GroupKey, Group]] = {}
        self._selections: dict[Hashable, Selection] = {}
        self._burdens: dict[str, dict[tuple[PodTerm, bool], Tally]] = {}
        self._namespaces: dict[tuple[str, str], Labels] = {}

    def add(self, pod: Pod, slot: int, times: int) -> None:
        """Counts a pod in (1) or out (-1)."""
        key = (*pod.key[:2], pod.label_key, pod.deleting, pod.owner)
        groups = self._groups.setdefault(pod.key[0], {})
        group = groups.get(key)
        if group is None:
            group = groups[key] = self._joined(Group(key))
        left = group.on.get(slot, 0) + times
        if left:
            group.on[slot] = left
        else:
            del group.on[slot]
            if not group.on:
                del groups[key]
        for tally in group.tallies:
            tally.add(slot, times)
        if pod.template.carries_terms:
            self._burden(pod, slot, times)

    def selection(self, identity: Hashable, tenant: str, wants: Callable[[Group], bool]) -> Tally:
        """The tally of placed pods that `wants` means; `identity` stands for it."""
        selection = self._selections.pop(identity, None)
        if selection is None:
            selection = Selection(self._nodes, tenant, wants)
            for group in self._groups.get(tenant, {}).values():
                if wants(group):
                    group.tallies.append(selection)
                    for slot, pods in group.on.items():
                        selection.add(slot, pods)
            if len(self._selections) >= _SELECTIONS:
                self._forget(next(iter(self._selections)))
        self._selections[identity] = selection
        return selection

    def burdens(self, pod: Pod, hard: bool) -> Iterable[tuple[PodTerm, Tally]]:
        """Tallies of terms of placed pods that mean `pod`: required anti-affinity (`hard`), or weighed preferences."""
        tenant, namespace, _ = pod.key
        over = self.namespace_labels(tenant, namespace)
        for (term, is_hard), tally in self._burdens.get(tenant, {}).items():
            if is_hard is hard and term.matches(tenant, namespace, pod.labels, over):
                yield term, tally

    def namespace_labels(self, tenant: str, namespace: str) -> Labels:
        return self._namespaces.get((tenant, namespace), {})

    def namespace_changed(self, tenant: str, namespace: str, labels: Labels | None) -> None:
        """New labels of a namespace, None when it has gone. Its pods join other selections."""
        if labels == self._namespaces.get((tenant, namespace)):
            return
        if labels is None:
            self._namespaces.pop((tenant, namespace), None)
        else:
            self._namespaces[tenant, namespace] = labels
        for group in self._groups.get(tenant, {}).values():
            if group.namespace == namespace:
                self._count(group, -1)
                self._joined(group)
                self._count(group, 1)

    def nodes_changed(self) -> None:
        """Some node's labels changed."""
        for selection in self._selections.values():
            selection.nodes_changed()
        for burdens in self._burdens.values():
            for tally in burdens.values():
                tally.nodes_changed()

    def _joined(self, group: Group) -> Group:
        group.tallies = [s for s in self._selections.values() if s.tenant == group.tenant and s.wants(group)]
        return group

    def _count(self, group: Group, times: int) -> None:
        for tally in group.tallies:
            for slot, pods in group.on.items():
                tally.add(slot, times * pods)

    def _forget(self, identity: Hashable) -> None:
        selection = self._selections.pop(identity)
        for group in self._groups.get(selection.tenant, {}).values():
            if selection in group.tallies:
                group.tallies.remove(selection)

    def _burden(self, pod: Pod, slot: int, times: int) -> None:
        template = pod.template
        burdens = self._burdens.setdefault(pod.key[0], {})
        carried = [(term, True, 1) for term in template.anti_affinity]
        # A required affinity is also a wish of those already placed, of the least weight.
        carried += [(term, False, 1) for term in template.affinity]
        carried += [(term, False, weight) for weight, term in template.preferred]
        for term, hard, weight in carried:
            tally = burdens.get((term, hard))
            if tally is None:
                tally = burdens[term, hard] = Tally(self._nodes)
            tally.add(slot, times * weight)
            if not tally.total and not tally.per_node.any():
                del burdens[term, hard]
