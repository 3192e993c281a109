"""Preemption: which pods of lower priority must go, from which node, so that a pod finds room. As few, as unimportant,
and as little against disruption budgets as can be."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np

from arktos.scheduler.budgets import Budgets
from arktos.scheduler.cluster import Cluster
from arktos.scheduler.planning import Nowhere, Planner
from arktos.scheduler.pods import Pod
from arktos.scheduler.refusals import sentence

_NO_VICTIMS = "No preemption victims found for incoming pod"
_NO_HELP = "Preemption is not helpful for scheduling"
_FEWEST = 100
_SHARE = 10
"""Nodes with victims that are compared: a tenth of the hopeful ones, but at least `_FEWEST`."""
_LEAST_PRIORITY = -(2**31)


class Preemption(NamedTuple):
    """Take these away and the pod passes on `node`."""

    node: str
    victims: tuple[Pod, ...]
    broken_budgets: int = 0


class NoPreemption(NamedTuple):
    """What to tell the user, in words that Kubernetes uses. `waits`: victims are on their way out already."""

    message: str
    waits: bool = False


def preempt(
    pod: Pod, nominated: str, refused: Nowhere, cluster: Cluster, planner: Planner, budgets: Budgets, seed: int
) -> Preemption | NoPreemption:
    """The best node to take pods from. `nominated` is where that was done for this pod before."""
    if not pod.preempts:
        return NoPreemption("preemption: not eligible due to preemptionPolicy=Never.")
    if any(p.deleting and p.priority < pod.priority for p in cluster.pods_on(nominated)):
        return NoPreemption("preemption: not eligible due to a terminating pod on the nominated node.", True)
    hopeful = np.flatnonzero(refused.hopeful).tolist() if refused.hopeful is not None else []
    found: list[Preemption] = []
    lowest = cluster.lowest_priority
    if hopeful and lowest is not None and lowest < pod.priority:
        start = random.Random(seed).randrange(len(hopeful))
        enough = max(_FEWEST, len(hopeful) // _SHARE)
        for slot in hopeful[start:] + hopeful[:start]:
            candidate = _on_node(pod, slot, cluster, planner, budgets)
            if candidate is not None:
                found.append(candidate)
                if len(found) >= enough:
                    break
    if found:
        return _best(found)
    reasons = Counter({_NO_VICTIMS: len(hopeful), _NO_HELP: refused.total - len(hopeful)})
    return NoPreemption(f"preemption: {sentence(refused.total, reasons)}")


def _on_node(pod: Pod, slot: int, cluster: Cluster, planner: Planner, budgets: Budgets) -> Preemption | None:
    """The pods that must go from one node, None if that does not help."""
    name = cluster.nodes.name(slot)
    lower = [p for p in cluster.pods_on(name) if p.priority < pod.priority]
    if not lower:
        return None
    lower.sort(key=lambda p: (-p.priority, p.started or p.created))
    with ExitStack() as supposed:
        supposed.enter_context(cluster.supposing(slot, gone=lower))
        if not planner.passes(pod, slot):
            return None
        breaking, fine = budgets.split(lower)
        victims: list[Pod] = []
        broken = 0
        for one in (*breaking, *fine):
            if not _stays(one, pod, slot, cluster, planner, supposed):
                victims.append(one)
                broken += one in breaking
        return Preemption(name, tuple(victims), broken)


def _stays(one: Pod, pod: Pod, slot: int, cluster: Cluster, planner: Planner, supposed: ExitStack) -> bool:
    """Whether a pod may stay, beside those of whom that is already known; if so, it is supposed to be there."""
    with ExitStack() as attempt:
        attempt.enter_context(cluster.supposing(slot, come=(one,)))
        if not planner.passes(pod, slot):
            return False
        supposed.push(attempt.pop_all())
        return True


def _best(found: list[Preemption]) -> Preemption:
    """Kubernetes' order: budgets, highest priority that must go, sum of priorities, how many, who is youngest."""

    def cost(candidate: Preemption) -> tuple[int, int, int, int]:
        priorities = [victim.priority for victim in candidate.victims]
        total = sum(priority - _LEAST_PRIORITY for priority in priorities)
        return candidate.broken_budgets, max(priorities, default=_LEAST_PRIORITY), total, len(priorities)

    least = min(map(cost, found))
    return max((candidate for candidate in found if cost(candidate) == least), key=_age)


def _age(candidate: Preemption) -> str:
    """When the most important victim that ran longest began."""
    highest = max((victim.priority for victim in candidate.victims), default=0)
    return min((v.started or v.created for v in candidate.victims if v.priority == highest), default="")
