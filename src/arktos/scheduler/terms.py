"""What pods ask of nodes and of other pods: selectors, tolerations, spread constraints. Parsed once, hashable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from arktos.model import selectors_labels
from arktos.model.kinds import Obj
from arktos.model.selectors_labels import Requirements, Test
from arktos.model.status import BadRequest

Labels = Mapping[str, str]


class Taint(NamedTuple):
    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{{{self.key}: {self.value}}}"


class Toleration(NamedTuple):
    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        """Kubernetes' rule: an empty effect or (with Exists) key matches all."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        return self.operator == "Exists" or (bool(self.key) and self.value == taint.value)


def tolerations(spec: Obj) -> tuple[Toleration, ...]:
    return tuple(
        Toleration(t.get("key") or "", t.get("operator") or "Equal", t.get("value") or "", t.get("effect") or "")
        for t in spec.get("tolerations") or ()
    )


class Requirement(NamedTuple):
    """One expression over a node's labels or fields. Operators: In, NotIn, Exists, DoesNotExist, Gt, Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class NodeTerm(NamedTuple):
    """All expressions must hold; a term without any matches no node."""

    labels: tuple[Requirement, ...]
    fields: tuple[Requirement, ...] = ()


def _requirements(expressions: Iterable[Obj] | None) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(e.get("key") or "", e.get("operator") or "", tuple(e.get("values") or ()))
        for e in expressions or ()
    )


def node_term(term: Obj) -> NodeTerm:
    return NodeTerm(_requirements(term.get("matchExpressions")), _requirements(term.get("matchFields")))


def node_terms(selector: Obj | None) -> tuple[NodeTerm, ...] | None:
    """The terms of a NodeSelector, one of which must match; None where there is no selector."""
    if selector is None:
        return None
    return tuple(node_term(term) for term in selector.get("nodeSelectorTerms") or ())


class PodTerm(NamedTuple):
    """Which pods of one tenant a term means, and over which topology. `selector` None matches no pod,
    `namespace_selector` None no further namespace."""

    tenant: str
    namespaces: frozenset[str]
    namespace_selector: Requirements | None
    selector: Requirements | None
    topology_key: str

    def matches(self, tenant: str, namespace: str, labels: Labels, namespace_labels: Labels) -> bool:
        """Whether it means a pod. Pods of another tenant: never."""
        if tenant != self.tenant or self.selector is None:
            return False
        if namespace not in self.namespaces and (
            self.namespace_selector is None or not compiled(self.namespace_selector)(namespace_labels)
        ):
            return False
        return compiled(self.selector)(labels)

    @property
    def pods(self) -> PodTerm:
        """The same pods, whatever the topology."""
        return self._replace(topology_key="")


class Spread(NamedTuple):
    """A topology spread constraint. `hard` is DoNotSchedule."""

    tenant: str
    namespace: str
    selector: Requirements | None
    topology_key: str
    max_skew: int
    min_domains: int
    hard: bool
    honor_affinity: bool
    honor_taints: bool

    @property
    def pods(self) -> tuple[str, str, Requirements | None]:
        """Which pods it counts."""
        return self.tenant, self.namespace, self.selector


@lru_cache(maxsize=4096)
def compiled(requirements: Requirements) -> Test:
    return selectors_labels.compiled(requirements)


def _selector(selector: Obj | None, labels: Labels, same: Iterable[str], other: Iterable[str]) -> Requirements | None:
    """A LabelSelector with matchLabelKeys (`same`) and mismatchLabelKeys (`other`) of a pod with `labels` merged in."""
    if selector is None:
        return None
    try:
        found = selectors_labels.from_object(selector)
    except BadRequest:
        return None
    merged = {*found}
    merged.update(selectors_labels.Requirement(key, "in", (labels[key],)) for key in same if key in labels)
    merged.update(selectors_labels.Requirement(key, "notin", (labels[key],)) for key in other if key in labels)
    return tuple(sorted(merged))


def pod_term(term: Obj, tenant: str, namespace: str, labels: Labels) -> PodTerm:
    """The PodAffinityTerm of a pod that lives in `namespace` and has `labels`."""
    over = term.get("namespaceSelector")
    names = frozenset(term.get("namespaces") or ())
    return PodTerm(
        tenant,
        frozenset((namespace,)) if not names and over is None else names,
        _selector(over, {}, (), ()),
        _selector(
            term.get("labelSelector"), labels, term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
        ),
        term.get("topologyKey") or "",
    )


def spread(constraint: Obj, tenant: str, namespace: str, labels: Labels) -> Spread:
    return Spread(
        tenant,
        namespace,
        _selector(constraint.get("labelSelector"), labels, constraint.get("matchLabelKeys") or (), ()),
        constraint.get("topologyKey") or "",
        int(constraint.get("maxSkew") or 1),
        int(constraint.get("minDomains") or 1),
        constraint.get("whenUnsatisfiable") != "ScheduleAnyway",
        (constraint.get("nodeAffinityPolicy") or "Honor") == "Honor",
        constraint.get("nodeTaintsPolicy") == "Honor",
    )
