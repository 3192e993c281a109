"""A plan for one pod: the node to run it on, or why there is none. Filters, then scores."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import NamedTuple

import msgspec
import numpy as np

from arktos.scheduler import affinity, spread, volumes
from arktos.scheduler.cluster import Cluster
from arktos.scheduler.nodes import TIE_BITS, Bools, Ints, Nodes
from arktos.scheduler.pods import Pod
from arktos.scheduler.refusals import Refusal, sentence
from arktos.scheduler.standing import ABSENT, AFFINITY, OK, RUNTIME, TAINT, UNSCHEDULABLE, Standing, term_matching
from arktos.scheduler.templates import Template
from arktos.scheduler.volumes import Blocked, Reach, Volumes

_STANDINGS = 128
"""Templates whose standing is kept; at 5,000 nodes one takes about 150 KB."""
_PORTS_TAKEN = "node(s) didn't have free ports for the requested pod ports"
_STATIC = (
    (RUNTIME, "NodeRuntime", "node runtime is not ready"),
    (UNSCHEDULABLE, "NodeUnschedulable", "node(s) were unschedulable"),
    (AFFINITY, "NodeAffinity", "node(s) didn't match Pod's node affinity/selector"),
)


class Chosen(NamedTuple):
    """`waiting`: claims that are to be provisioned for this node before the pod is bound."""

    node: str
    waiting: tuple[str, ...] = ()


class Nowhere(msgspec.Struct, frozen=True):
    """No node passes. `plugins` are the filters that refused; `hopeful` the slots where taking pods away might help."""

    message: str
    plugins: frozenset[str]
    hopeful: Bools | None
    total: int


class Planner:
    """Plans against `cluster`, without changing it."""

    def __init__(self, cluster: Cluster, known: Volumes) -> None:
        self._cluster = cluster
        self._volumes = known
        self._standings: OrderedDict[Template, Standing] = OrderedDict()
        self._nominated: dict[str, dict[tuple[str, str, str], Pod]] = {}

    def nominate(self, pod: Pod, node: str) -> None:
        """Room on a node is being made for a pod; others of no higher priority may not take it."""
        self.unnominate(pod)
        self._nominated.setdefault(node, {})[pod.key] = pod

    def unnominate(self, pod: Pod) -> None:
        for node, pods in list(self._nominated.items()):
            if pods.pop(pod.key, None) is not None and not pods:
                del self._nominated[node]

    def plan(self, pod: Pod, nominated: str = "") -> Chosen | Nowhere:
        """Where to run the pod. `nominated` is the node where room was made for it: it goes first."""
        reach = self._volumes.reach(pod)
        if isinstance(reach, Blocked):
            return self._blocked(reach)
        standing = self._standing(pod.template)
        dynamic = self._dynamic(pod, standing, reach)
        ranks = standing.ranks
        for refusal in dynamic:
            ranks = np.where(refusal.nodes, -1, ranks)
        slot = self._cluster.nodes.slots.get(nominated, -1) if nominated else -1
        if slot < 0 or ranks[slot] < 0 or not self._has_room(pod, slot):
            slot = self._best(pod, standing, self._weighed(pod, standing, ranks))
        if slot < 0:
            return self._nowhere(standing, dynamic)
        return Chosen(self._cluster.nodes.name(slot), reach.waiting)

    def passes(self, pod: Pod, slot: int) -> bool:
        """Whether one node would do, as things are (or are supposed to be), nominated pods counted."""
        reach = self._volumes.reach(pod)
        if isinstance(reach, Blocked):
            return False
        return self._passes(pod, slot, reach) and self._has_room(pod, slot)

    def reaches(self, pod: Pod, node: str) -> bool:
        """Whether the volumes of a pod, which has them all, can be reached from a node."""
        reach, slot = self._volumes.reach(pod), self._cluster.nodes.slots.get(node, -1)
        if isinstance(reach, Blocked) or slot < 0:
            return False
        return all(_matched(each, self._cluster.nodes, np.array([slot])).all() for each in reach.selectors)

    def _passes(self, pod: Pod, slot: int, reach: Reach) -> bool:
        standing = self._standing(pod.template)
        if standing.ranks[slot] < 0:
            return False
        return not any(refusal.nodes[slot] for refusal in self._dynamic(pod, standing, reach))

    def _standing(self, template: Template) -> Standing:
        standing = self._standings.get(template)
        if standing is None:
            standing = self._standings[template] = Standing(template, self._cluster.nodes)
            if len(self._standings) > _STANDINGS:
                self._standings.popitem(last=False)
        else:
            self._standings.move_to_end(template)
        standing.refresh()
        return standing

    def _dynamic(self, pod: Pod, standing: Standing, reach: Reach) -> list[Refusal]:
        """What the pods that are there, and volumes, refuse."""
        nodes = self._cluster.nodes
        found: list[Refusal] = []
        if pod.template.ports:
            taken: Bools = np.zeros(nodes.capacity, np.bool_)
            taken[list(nodes.with_port_taken(pod.template.ports))] = True
            found.append(Refusal("NodePorts", _PORTS_TAKEN, taken))
        for selectors, reason in ((reach.selectors, volumes.CONFLICT), (reach.offers, volumes.NOTHING_TO_BIND)):
            for selector in selectors:
                reached = _matched(selector, nodes, np.arange(nodes.capacity))
                found.append(Refusal(volumes.PLUGIN, reason, ~reached, resolvable=False))
        if pod.template.spreads:
            found += spread.refusals(pod, self._cluster, standing)
        found += affinity.refusals(pod, self._cluster)
        return found

    def _weighed(self, pod: Pod, standing: Standing, ranks: Ints) -> Ints:
        """Ranks with those scores that compare the passing nodes: preferences, taints, near pods, spread."""
        passing = ranks >= 0
        extra: Ints | None = None
        for more, weight in (
            (_percent(standing.preference, passing) if pod.template.node_preferences else None, 2),
            (_reversed(standing.dislike, passing) if standing.dislikes else None, 3),
            (_between(affinity.liking(pod, self._cluster), passing), 2),
            (spread.score(pod, self._cluster, standing, passing), 2),
        ):
            if more is not None:
                extra = weight * more if extra is None else extra + weight * more
        if extra is None:
            return ranks
        weighed: Ints = np.where(passing, ranks + (extra << TIE_BITS), -1)
        return weighed

    def _best(self, pod: Pod, standing: Standing, ranks: Ints) -> int:
        """The slot of the highest rank where no nominated pod has a better claim; -1 if there is none."""
        copied = False
        while True:
            slot = int(ranks.argmax())
            if ranks[slot] < 0:
                return -1
            if not self._nominated or self._has_room(pod, slot):
                return slot
            if not copied:
                ranks, copied = ranks.copy(), True
            ranks[slot] = -1

    def _has_room(self, pod: Pod, slot: int) -> bool:
        """Whether the pod passes on a node with the pods that room is being made for."""
        if not self._nominated:
            return True
        machine = self._cluster.nodes.machines[slot]
        waiting = self._nominated.get(machine.name, {}) if machine is not None else {}
        rivals = [p for p in waiting.values() if p.priority >= pod.priority and p.key != pod.key]
        if not rivals:
            return True
        reach = self._volumes.reach(pod)
        assert isinstance(reach, Reach)
        with self._cluster.supposing(slot, come=rivals):
            return self._passes(pod, slot, reach)

    def _blocked(self, why: Blocked) -> Nowhere:
        count = self._cluster.nodes.count
        return Nowhere(f"0/{count} nodes are available: {why.reason}.", frozenset({volumes.PLUGIN}), None, count)

    def _nowhere(self, standing: Standing, dynamic: list[Refusal]) -> Nowhere:
        """Each node's reason, by the first filter that refuses it."""
        nodes = self._cluster.nodes
        reasons: Counter[str] = Counter()
        plugins: set[str] = set()
        codes = standing.codes
        for code, plugin, reason in _STATIC:
            if refused := int((codes == code).sum()):
                reasons[reason] += refused
                plugins.add(plugin)
        tainted = codes == TAINT
        if tainted.any():
            plugins.add("TaintToleration")
            for number, refused in zip(*np.unique(nodes.taints[tainted], return_counts=True), strict=True):
                taint = standing.taint_against(nodes.taint_sets[number])
                reasons[f"node(s) had untolerated taint {taint}"] += int(refused)
        left = codes == OK
        hopeful = left.copy()
        ports = [refusal for refusal in dynamic if refusal.plugin == "NodePorts"]
        left = _counted_out(ports, left, hopeful, reasons, plugins)
        unfit = left & ~standing.fits
        if unfit.any():
            plugins.add("NodeResourcesFit")
            for resource, where in standing.insufficient(unfit):
                text = "Too many pods" if resource == "pods" else f"Insufficient {resource}"
                if lacking := int(where.sum()):
                    reasons[text] += lacking
        left &= standing.fits
        left = _counted_out([r for r in dynamic if r.plugin != "NodePorts"], left, hopeful, reasons, plugins)
        if left.any():
            # They would do but for the room that is kept for nominated pods.
            plugins.add("NodeResourcesFit")
            reasons["node(s) are nominated for pods of higher or equal priority"] += int(left.sum())
        assert not (codes[nodes.alive] == ABSENT).any()
        return Nowhere(sentence(nodes.count, reasons), frozenset(plugins), hopeful, nodes.count)


def _matched(selector: volumes.Terms, nodes: Nodes, at: Ints) -> Bools:
    """Which of the slots some term of a selector matches."""
    found: Bools = np.zeros(len(at), np.bool_)
    for term in selector:
        if term.labels or term.fields:
            found |= term_matching(term, nodes, at)
    return found


def _counted_out(
    refusals: list[Refusal], left: Bools, hopeful: Bools, reasons: Counter[str], plugins: set[str]
) -> Bools:
    """Takes the refused out of `left`, and for good out of `hopeful` where nothing resolves it."""
    for refusal in refusals:
        refused = left & refusal.nodes
        if refused.any():
            reasons[refusal.reason] += int(refused.sum())
            plugins.add(refusal.plugin)
        if not refusal.resolvable:
            hopeful &= ~refusal.nodes
        left = left & ~refusal.nodes
    return left


def _percent(raw: Ints, passing: Bools) -> Ints | None:
    most = int(raw.max(where=passing, initial=0))
    return raw * 100 // most if most > 0 else None


def _reversed(raw: Ints, passing: Bools) -> Ints | None:
    most = int(raw.max(where=passing, initial=0))
    return 100 - raw * 100 // most if most > 0 else None


def _between(raw: Ints | None, passing: Bools) -> Ints | None:
    """0 for the least, 100 for the most of the passing."""
    if raw is None or not passing.any():
        return None
    inside = raw[passing]
    most, least = int(inside.max()), int(inside.min())
    return (raw - least) * 100 // (most - least) if most > least else None
