"""Inter-pod affinity: nodes refused, and nodes liked, for the pods that are near. Inside one tenant only."""

from __future__ import annotations

from functools import partial

import numpy as np

from arktos.scheduler.cluster import Cluster
from arktos.scheduler.nodes import Bools, Ints
from arktos.scheduler.pods import Pod
from arktos.scheduler.refusals import Refusal
from arktos.scheduler.tallies import Group, Tallies, Tally
from arktos.scheduler.terms import PodTerm

PLUGIN = "InterPodAffinity"
_NOT_NEAR = "node(s) didn't match pod affinity rules"
_NOT_FAR = "node(s) didn't match pod anti-affinity rules"
_UNWANTED = "node(s) didn't satisfy existing pods anti-affinity rules"


def refusals(pod: Pod, cluster: Cluster) -> list[Refusal]:
    """What required terms refuse: the pod's own, then those of pods already placed."""
    found = []
    template = pod.template
    if template.affinity:
        found.append(Refusal(PLUGIN, _NOT_NEAR, ~_near(pod, cluster), resolvable=False))
    refused: Bools | None = None
    for term in template.anti_affinity:
        there = _pods(cluster, term).at(term.topology_key) > 0
        refused = there if refused is None else refused | there
    if refused is not None:
        found.append(Refusal(PLUGIN, _NOT_FAR, refused))
    refused = None
    for term, tally in cluster.tallies.burdens(pod, hard=True):
        there = tally.at(term.topology_key) > 0
        refused = there if refused is None else refused | there
    if refused is not None:
        found.append(Refusal(PLUGIN, _UNWANTED, refused))
    return found


def liking(pod: Pod, cluster: Cluster) -> Ints | None:
    """The sum of all preferences for each node, None where there are none."""
    total: Ints | None = None
    for weight, term in pod.template.preferred:
        more = weight * _pods(cluster, term).at(term.topology_key)
        total = more if total is None else total + more
    for term, tally in cluster.tallies.burdens(pod, hard=False):
        more = tally.at(term.topology_key)
        total = more if total is None else total + more
    return total


def _near(pod: Pod, cluster: Cluster) -> Bools:
    """Where pods are that match all terms. The first pod of those that want to be together may go anywhere."""
    template, tallies, nodes = pod.template, cluster.tallies, cluster.nodes
    wanted = template.affinity
    both = tuple(term.pods for term in wanted)
    tally = tallies.selection(("all", both), pod.tenant, partial(_all_mean, tallies, both))
    labelled: Bools = np.ones(nodes.capacity, np.bool_)
    near = labelled.copy()
    nowhere = True
    for term in wanted:
        counts = tally.at(term.topology_key)
        labelled &= nodes.column(term.topology_key).ids != 0
        near &= counts > 0
        nowhere = nowhere and not counts.any()
    if nowhere:
        over = tallies.namespace_labels(pod.tenant, pod.namespace)
        if all(term.matches(pod.tenant, pod.namespace, pod.labels, over) for term in both):
            return labelled
    return near


def _pods(cluster: Cluster, term: PodTerm) -> Tally:
    tallies, pods = cluster.tallies, term.pods
    return tallies.selection(("all", (pods,)), term.tenant, partial(_all_mean, tallies, (pods,)))


def _all_mean(tallies: Tallies, wanted: tuple[PodTerm, ...], group: Group) -> bool:
    over = tallies.namespace_labels(group.tenant, group.namespace)
    return all(term.matches(group.tenant, group.namespace, group.labels, over) for term in wanted)
