"""Topology spread: nodes refused for skew (DoNotSchedule), and nodes preferred against it (ScheduleAnyway)."""

from __future__ import annotations

from functools import partial
from math import log

import numpy as np
import numpy.typing as npt

from arktos.scheduler.cluster import Cluster
from arktos.scheduler.nodes import Bools, Ints
from arktos.scheduler.pods import Pod
from arktos.scheduler.refusals import Refusal
from arktos.scheduler.standing import Standing
from arktos.scheduler.tallies import Group, Tally
from arktos.scheduler.terms import Labels, Spread, compiled

PLUGIN = "PodTopologySpread"
_SKEWED = "node(s) didn't match pod topology spread constraints"
_UNLABELLED = f"{_SKEWED} (missing required label)"
_HOSTNAME = "kubernetes.io/hostname"
_DEFAULTS = ((_HOSTNAME, 3), ("topology.kubernetes.io/zone", 5))
"""What replicas that state nothing are spread over, and the skew that is nothing to speak of."""

Floats = npt.NDArray[np.float64]


def refusals(pod: Pod, cluster: Cluster, standing: Standing) -> list[Refusal]:
    hard = [constraint for constraint in pod.template.spreads if constraint.hard]
    if not hard:
        return []
    nodes = cluster.nodes
    labelled = _labelled(cluster, hard)
    skewed: Bools = np.zeros(nodes.capacity, np.bool_)
    for constraint in hard:
        ids = nodes.column(constraint.topology_key).ids
        counted = _counted(constraint, labelled, standing)
        counts, domains = _by_value(ids, counted, _tally(cluster, constraint))
        there = counts[domains]
        least = int(there.min()) if len(there) >= constraint.min_domains and len(there) else 0
        itself = _means(constraint, pod.tenant, pod.namespace, pod.labels)
        skewed |= counts[ids] + itself - least > constraint.max_skew
    return [
        Refusal(PLUGIN, _UNLABELLED, ~labelled, resolvable=False),
        Refusal(PLUGIN, _SKEWED, skewed & labelled),
    ]


def score(pod: Pod, cluster: Cluster, standing: Standing, passing: Bools) -> Ints | None:
    """0 to 100 for each node of `passing`, more where fewer are. By the soft constraints, or, for replicas without any
    constraint, by Kubernetes' defaults over nodes and zones; None where neither counts."""
    soft = [constraint for constraint in pod.template.spreads if not constraint.hard]
    if soft:
        judged = passing & _labelled(cluster, soft)
        crowds = [_crowd(constraint, cluster, standing, judged) for constraint in soft]
    elif pod.owner and not pod.template.spreads:
        judged = passing
        tally = cluster.tallies.selection(("owner", pod.owner), pod.tenant, partial(_is_replica, pod.owner))
        if not tally.total:
            return None
        crowds = [_default_crowd(key, skew, tally, cluster, passing) for key, skew in _DEFAULTS]
    else:
        return None
    scores: Ints = np.zeros(cluster.nodes.capacity, np.int64)
    if judged.any():
        raw = np.rint(sum(crowds)).astype(np.int64)
        most, least = int(raw[judged].max()), int(raw[judged].min())
        scores[judged] = 100 if not most else (100 * (most + least - raw[judged])) // most
    return scores


def _crowd(constraint: Spread, cluster: Cluster, standing: Standing, judged: Bools) -> Floats:
    """How crowded each node is by one constraint; the more domains, the more it weighs."""
    ids = cluster.nodes.column(constraint.topology_key).ids
    tally = _tally(cluster, constraint)
    if constraint.topology_key == _HOSTNAME:
        size, there = int(judged.sum()), tally.over()
    else:
        soft = [other for other in standing.template.spreads if not other.hard]
        counts, _ = _by_value(ids, _counted(constraint, _labelled(cluster, soft), standing), tally)
        size, there = len(np.unique(ids[judged])), counts[ids]
    return there.astype(np.float64) * log(size + 2) + (constraint.max_skew - 1)


def _default_crowd(key: str, skew: int, tally: Tally, cluster: Cluster, passing: Bools) -> Floats:
    """As `_crowd`; a node without the label is not crowded."""
    ids = cluster.nodes.column(key).ids
    if key == _HOSTNAME:
        size, there = int(passing.sum()), tally.over()
    else:
        size, there = len(np.unique(ids[passing & (ids != 0)])), tally.at(key)
    crowded: Floats = np.where(ids != 0, there * log(size + 2) + (skew - 1), 0.0)
    return crowded


def _is_replica(owner: str, group: Group) -> bool:
    return group.owner == owner and not group.deleting


def _labelled(cluster: Cluster, constraints: list[Spread]) -> Bools:
    """Nodes with all the topology labels."""
    labelled = cluster.nodes.alive.copy()
    for constraint in constraints:
        labelled &= cluster.nodes.column(constraint.topology_key).ids != 0
    return labelled


def _counted(constraint: Spread, labelled: Bools, standing: Standing) -> Bools:
    """Nodes whose pods and domain count, by the constraint's policies."""
    counted = labelled
    if constraint.honor_affinity:
        counted = counted & standing.affinity_ok
    if constraint.honor_taints:
        counted = counted & standing.taints_ok
    return counted


def _by_value(ids: npt.NDArray[np.int32], counted: Bools, tally: Tally) -> tuple[Ints, Bools]:
    """Pods per value of the label, and which values count as a domain."""
    length = int(ids.max(initial=0)) + 1
    inside = ids[counted]
    counts = np.bincount(inside, tally.over()[counted], length).astype(np.int64)
    domains: Bools = np.bincount(inside, minlength=length) > 0
    return counts, domains


def _tally(cluster: Cluster, constraint: Spread) -> Tally:
    wants = partial(_counts_group, constraint)
    return cluster.tallies.selection(("spread", *constraint.pods), constraint.tenant, wants)


def _counts_group(constraint: Spread, group: Group) -> bool:
    return not group.deleting and _means(constraint, group.tenant, group.namespace, group.labels)


def _means(constraint: Spread, tenant: str, namespace: str, labels: Labels) -> bool:
    return (
        constraint.selector is not None
        and (constraint.tenant, constraint.namespace) == (tenant, namespace)
        and compiled(constraint.selector)(labels)
    )
