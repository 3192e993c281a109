"""Whether a pod that was bound to this node can be run here. Pure but for looking at the node and the other pods.

Reasons and messages are those that users and controllers know; a pod that is refused is Failed, and its owner makes
another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from arktos.agent.node.ranking import refused
from arktos.agent.pods.table import FINISHED, PodRecord, Pods
from arktos.agent.pods.workload import Ended
from arktos.agent.spec.facts import NodeFacts
from arktos.agent.spec.refusal import refusal
from arktos.model import quantity, workload
from arktos.model.kinds import Obj
from arktos.model.placement import NO_EXECUTE, matches_node, untolerated
from arktos.model.qos import qos_class
from arktos.model.quantity import Quantity


class Admission:
    """`node` gives this node's own API object, None while it is not known; then only what the pod itself says counts,
    and what `facts` tell of this machine. `pressures` are the pressure conditions that hold."""

    def __init__(
        self,
        pods: Pods,
        node: Callable[[], Obj | None],
        facts: Callable[[], NodeFacts],
        pressures: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._pressures = pressures
        self._pods = pods
        self._node = node
        self._facts = facts

    def refuse(self, pod: Obj) -> Ended | None:
        """Why this node does not take a pod; None if it does."""
        never = refusal(pod, self._facts())
        if never is not None:
            return _rejected(never.reason, never.message)
        pressure = refused(pod, self._pressures(), qos_class(pod["spec"]))
        if pressure:
            return _rejected("Evicted", pressure)
        node = self._node()
        if node is None:
            return None
        return _unfit(pod, node) or _short(pod, node, self._others(pod))

    def refuse_resize(self, pod: Obj) -> tuple[str, str] | None:
        """Why a pod cannot have the resources that its document now says: reason (Deferred, Infeasible) and message."""
        node = self._node()
        if node is None:
            return None
        allocatable, wanted = _allocatable(node), workload.requests(pod)
        for name in ("cpu", "memory"):
            asked, whole = _scaled(name, wanted.get(name)), _scaled(name, allocatable.get(name))
            if asked > whole:
                said = f"Node didn't have enough capacity: {name}, requested: {asked}, capacity: {whole}"
                return "Infeasible", said
        short = _short(pod, node, self._others(pod))
        return ("Deferred", short.message.removeprefix(_PREFIX)) if short is not None else None

    def _others(self, pod: Obj) -> list[Obj]:
        """The other pods that have or will get resources of this node."""
        return [
            record.pod
            for record in self._pods
            if record.uid != pod["metadata"]["uid"] and record.admitted and not _is_finished(record)
        ]


_PREFIX = "Pod was rejected: "


def _is_finished(record: PodRecord) -> bool:
    phase = (record.status or record.pod.get("status") or {}).get("phase")
    return record.finished or phase in FINISHED


def _rejected(reason: str, message: str) -> Ended:
    return Ended("Failed", reason, _PREFIX + message)


def _short(pod: Obj, node: Obj, others: Iterable[Obj]) -> Ended | None:
    """Whether some resource does not suffice."""
    here = list(others)
    allocatable = _allocatable(node)
    most = allocatable.get("pods")
    if most is not None and len(here) + 1 > _scaled("pods", most):
        return _out_of("pods", 1, len(here), _scaled("pods", most))
    wanted = workload.requests(pod)
    used: dict[str, Quantity] = {}
    for other in here:
        for name, amount in workload.requests(other).items():
            used[name] = used.get(name, quantity.ZERO) + amount
    for name, amount in wanted.items():
        asked, taken = _scaled(name, amount), _scaled(name, used.get(name))
        whole = _scaled(name, allocatable.get(name))
        if asked and asked + taken > whole:
            return _out_of(name, asked, taken, whole)
    return None


def _out_of(name: str, asked: int, used: int, capacity: int) -> Ended:
    said = f"Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"
    return _rejected(f"OutOf{name}", said)


def _allocatable(node: Obj) -> Mapping[str, Quantity]:
    stated = (node.get("status") or {}).get("allocatable") or {}
    return {name: quantity.parse(str(amount)) for name, amount in stated.items()}


def _scaled(name: str, amount: Quantity | None) -> int:
    """As messages count: thousandths of a CPU, else whole units."""
    if amount is None:
        return 0
    return amount.milli if name == "cpu" else -(-amount.milli // 1000)


def _unfit(pod: Obj, node: Obj) -> Ended | None:
    """Whether the pod does not belong here by labels or taints."""
    spec = pod["spec"]
    if not matches_node(spec, node):
        return _rejected(
            "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        )
    taints = (node.get("spec") or {}).get("taints") or ()
    taint = untolerated(spec.get("tolerations") or (), taints, (NO_EXECUTE,))
    if taint is None:
        return None
    shown = f"{{{taint['key']}: {taint.get('value') or ''}}}"
    said = f"Predicate TaintToleration failed: node(s) had untolerated taint(s) {shown}"
    return _rejected("TaintToleration", said)
