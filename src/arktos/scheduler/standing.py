"""How every node stands to one template: may it, does it fit, how good. Kept in arrays, brought up to date by slot.

What is here depends on node and template alone; what depends on where other pods are (host ports, affinity, spread)
is computed for each plan.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from arktos.model.selectors_labels import to_int64
from arktos.scheduler.nodes import CPU, MEMORY, PODS, TIE_BITS, Bools, Ints, Nodes, Slots
from arktos.scheduler.templates import Template
from arktos.scheduler.terms import NodeTerm, Requirement, Taint

OK, RUNTIME, UNSCHEDULABLE, TAINT, AFFINITY, ABSENT = 0, 1, 2, 3, 4, 255
"""Codes of the first filter that refuses a node, in the order in which they are asked."""

_UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
_REPELLING = ("NoSchedule", "NoExecute")
_FEW = 4
"""Slots up to which plain arithmetic is faster than vectors."""
_IMAGE_MIN = 23 * 1024 * 1024
_IMAGE_MAX = 1000 * 1024 * 1024

Codes = npt.NDArray[np.uint8]


class Standing:
    """Call `refresh` before reading. `ranks` is -1 where `codes` or `fits` refuse, else score and a random tie breaker
    (`nodes.TIE_BITS`); `preference` and `dislike` are not in it, for they are weighed against each other's extremes.
    `dislikes`: whether any `dislike` may be above 0.
    """

    def __init__(self, template: Template, nodes: Nodes) -> None:
        self.template = template
        self._nodes = nodes
        self._shape = -1
        self._changed_at = 0
        self._booked_at = 0
        self._images_at = (-1, -1)
        self._tables: list[tuple[bool, int]] = []
        self._tolerates_unschedulable = _tolerated(template, _UNSCHEDULABLE)
        self._rows = [(nodes.row(name), amount) for name, amount in template.requests]
        self._asks = dict(template.requests)

    def refresh(self) -> None:
        """Brings all arrays to the nodes' newest state."""
        nodes = self._nodes
        changed = nodes.changed.since(self._changed_at)
        booked = nodes.booked.since(self._booked_at)
        whole = self._shape != nodes.shape or changed is None or booked is None
        whole = self._score_images() or whole
        self._changed_at, self._booked_at = nodes.changed.position, nodes.booked.position
        if whole or changed is None or booked is None:
            self._begin()
            everywhere = np.arange(nodes.capacity)
            self._judge(everywhere)
            self._measure(everywhere)
        elif changed:
            self._judge(np.array(list(set(changed))))
            self._measure(np.array(list({*changed, *booked})))
        elif len(slots := set(booked)) <= _FEW:
            for slot in slots:
                self._measure_one(slot)
        else:
            self._measure(np.array(list(slots)))

    def insufficient(self, where: Bools) -> list[tuple[str, Bools]]:
        """Of the nodes `where`, those that lack a resource, by resource."""
        nodes = self._nodes
        found = [("pods", where & (nodes.used[PODS] + 1 > nodes.allocatable[PODS]))]
        for (row, amount), (name, _) in zip(self._rows, self.template.requests, strict=True):
            if name != "pods":
                found.append((name, where & (nodes.allocatable[row] - nodes.used[row] < amount)))
        return found

    def taint_against(self, taints: tuple[Taint, ...]) -> Taint | None:
        """The first taint that keeps the template away."""
        for taint in taints:
            if taint.effect in _REPELLING and not _tolerated(self.template, taint):
                return taint
        return None

    def _begin(self) -> None:
        capacity = self._nodes.capacity
        self._shape = self._nodes.shape
        self.codes: Codes = np.full(capacity, ABSENT, np.uint8)
        self.affinity_ok: Bools = np.zeros(capacity, np.bool_)
        self.taints_ok: Bools = np.zeros(capacity, np.bool_)
        self.fits: Bools = np.zeros(capacity, np.bool_)
        self.ranks: Ints = np.full(capacity, -1, np.int64)
        self.preference: Ints = np.zeros(capacity, np.int64)
        self.dislike: Ints = np.zeros(capacity, np.int64)

    def _judge(self, at: Slots) -> None:
        """The filters that ask of the node only."""
        nodes, template = self._nodes, self.template
        for taints in nodes.taint_sets[len(self._tables) :]:
            dislikes = sum(t.effect == "PreferNoSchedule" and not _tolerated(template, t) for t in taints)
            self._tables.append((self.taint_against(taints) is None, dislikes))
        clean = np.array([ok for ok, _ in self._tables], np.bool_)
        disliked = np.array([dislikes for _, dislikes in self._tables], np.int64)
        sets = nodes.taints[at]
        self.taints_ok[at] = clean[sets]
        self.dislike[at] = disliked[sets]
        self.dislikes = bool(disliked.any())
        self.affinity_ok[at] = self._selected(at)
        codes: Codes = np.where(self.affinity_ok[at], OK, AFFINITY).astype(np.uint8)
        codes[~self.taints_ok[at]] = TAINT
        if not self._tolerates_unschedulable:
            codes[nodes.unschedulable[at]] = UNSCHEDULABLE
        runs = nodes.runs_vms if template.vm else nodes.runs_containers
        codes[~runs[at]] = RUNTIME
        codes[~nodes.alive[at]] = ABSENT
        self.codes[at] = codes
        if template.node_preferences:
            self.preference[at] = 0
        for weight, term in template.node_preferences:
            if term.labels or term.fields:
                self.preference[at] += weight * self._term(term, at)

    def _selected(self, at: Slots) -> Bools:
        template = self.template
        found: Bools = np.ones(len(at), np.bool_)
        for requirement in template.node_selector:
            found &= matching(requirement, self._nodes, at)
        if template.node_terms is not None:
            either: Bools = np.zeros(len(at), np.bool_)
            for term in template.node_terms:
                if term.labels or term.fields:
                    either |= self._term(term, at)
            found &= either
        return found

    def _term(self, term: NodeTerm, at: Slots) -> Bools:
        return term_matching(term, self._nodes, at)

    def _measure(self, at: Slots) -> None:
        """Whether the pod still fits, and how well: least allocated and balanced, 0 to 100 each, and images."""
        nodes = self._nodes
        allocatable, used = nodes.allocatable, nodes.used
        fits: Bools = used[PODS, at] < allocatable[PODS, at]
        for row, amount in self._rows:
            fits &= allocatable[row, at] - used[row, at] >= amount
        self.fits[at] = fits
        cpu, memory = allocatable[CPU, at], allocatable[MEMORY, at]
        scored = self.template.scored
        score = _free(cpu, nodes.scored[0, at] + scored[0]) + _free(memory, nodes.scored[1, at] + scored[1])
        score //= np.maximum((cpu > 0).astype(np.int64) + (memory > 0), 1)
        asked_cpu, asked_memory = self._asks.get("cpu", 0), self._asks.get("memory", 0)
        if asked_cpu or asked_memory:
            score += _balance(cpu, used[CPU, at] + asked_cpu, memory, used[MEMORY, at] + asked_memory)
        if self._images is not None:
            score += self._images[at]
        passing = fits & (self.codes[at] == OK)
        self.ranks[at] = np.where(passing, (score << TIE_BITS) | nodes.ties[at], -1)

    def _measure_one(self, slot: int) -> None:
        """As `_measure`, for one slot, and ten times as fast: this is what each pod that is placed costs."""
        nodes = self._nodes
        allocatable, used = nodes.allocatable[:, slot].tolist(), nodes.used[:, slot].tolist()
        fits = used[PODS] < allocatable[PODS]
        for row, amount in self._rows:
            fits = fits and allocatable[row] - used[row] >= amount
        self.fits[slot] = fits
        if not fits or self.codes[slot] != OK:
            self.ranks[slot] = -1
            return
        cpu, memory = allocatable[CPU], allocatable[MEMORY]
        cpu_scored, memory_scored = nodes.scored[:, slot].tolist()
        score = max(cpu - cpu_scored - self.template.scored[0], 0) * 100 // max(cpu, 1)
        score += max(memory - memory_scored - self.template.scored[1], 0) * 100 // max(memory, 1)
        score //= max((cpu > 0) + (memory > 0), 1)
        asked_cpu, asked_memory = self._asks.get("cpu", 0), self._asks.get("memory", 0)
        if asked_cpu or asked_memory:
            apart = 0.0
            if cpu > 0 and memory > 0:
                one, other = min((used[CPU] + asked_cpu) / cpu, 1.0), min((used[MEMORY] + asked_memory) / memory, 1.0)
                apart = abs(one - other) / 2
            score += int((1 - apart) * 100)
        if self._images is not None:
            score += int(self._images[slot])
        self.ranks[slot] = (score << TIE_BITS) | int(nodes.ties[slot])

    _images: Ints | None = None

    def _score_images(self) -> bool:
        """Brings image scores up to date; True if they changed."""
        nodes = self._nodes
        now = (nodes.image_version, nodes.count)
        if self._images_at == now:
            return False
        self._images_at = now
        there = [nodes.images[name] for name in map(_tagged, self.template.images) if name in nodes.images]
        if not there:
            had, self._images = self._images is not None, None
            return had
        sums = np.zeros(nodes.capacity, np.float64)
        for sizes in there:
            spread = len(sizes) / nodes.count
            for slot, size in sizes.items():
                sums[slot] += int(size * spread)
        most = _IMAGE_MAX * max(self.template.workloads, 1)
        scores = 100 * (np.clip(sums, _IMAGE_MIN, most) - _IMAGE_MIN) // (most - _IMAGE_MIN)
        self._images = scores.astype(np.int64)
        return True


def _free(capacity: Ints, asked: Ints) -> Ints:
    """Percent that would be left, 0 where there is not enough."""
    left: Ints = np.maximum(capacity - asked, 0) * 100 // np.maximum(capacity, 1)
    return left


def _balance(cpu: Ints, asked_cpu: Ints, memory: Ints, asked_memory: Ints) -> Ints:
    """How even CPU and memory would be in use, 0 to 100."""
    one = np.minimum(asked_cpu / np.maximum(cpu, 1), 1.0)
    other = np.minimum(asked_memory / np.maximum(memory, 1), 1.0)
    apart = np.where((cpu > 0) & (memory > 0), np.abs(one - other) / 2, 0.0)
    even: Ints = ((1 - apart) * 100).astype(np.int64)
    return even


def term_matching(term: NodeTerm, nodes: Nodes, at: Slots) -> Bools:
    """Which of the slots a node selector term (that has expressions) matches."""
    found: Bools = np.ones(len(at), np.bool_)
    for requirement in term.labels:
        found &= matching(requirement, nodes, at)
    for _, operator, values in term.fields:
        named = np.isin(at, [nodes.slots[name] for name in values if name in nodes.slots])
        found &= named if operator == "In" else ~named
    return found


def matching(requirement: Requirement, nodes: Nodes, at: Slots) -> Bools:
    """Which of the slots have labels that meet a requirement."""
    key, operator, values = requirement
    column = nodes.column(key)
    ids = column.ids[at]
    match operator:
        case "Exists":
            there: Bools = ids != 0
            return there
        case "DoesNotExist":
            missing: Bools = ids == 0
            return missing
        case "Gt" | "Lt":
            passing = np.array([_beyond(value, operator, values) for value in column.values], np.bool_)
            passing[0] = False
            found: Bools = passing[ids]
            return found
    wanted = [number for number in map(column.id, values) if number]
    among: Bools = ids == wanted[0] if len(wanted) == 1 else np.isin(ids, wanted)
    return ~among if operator == "NotIn" else among


def _beyond(value: str, operator: str, values: Sequence[str]) -> bool:
    number, bound = to_int64(value), to_int64(values[0]) if values else None
    if number is None or bound is None:
        return False
    return number > bound if operator == "Gt" else number < bound


def _tolerated(template: Template, taint: Taint) -> bool:
    return any(toleration.tolerates(taint) for toleration in template.tolerations)


def _tagged(image: str) -> str:
    """The name under which nodes list an image: with a tag or digest."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"
