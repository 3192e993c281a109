"""Templates: what the pods of one set have in common. Equal pods share one, and so all that is known of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from arktos.model import workload
from arktos.model.kinds import Obj
from arktos.scheduler import terms
from arktos.scheduler.terms import NodeTerm, PodTerm, Requirement, Spread, Toleration

UNSTATED_MILLI_CPU = 100
"""What scores count for a container without a request, so that such pods spread (as Kubernetes does)."""
UNSTATED_MEMORY = 200 * 1024 * 1024
LARGEST = 2**53
"""Amounts are cut here, so that sums of what users write stay within 64 bits."""
_LIMIT = 20_000
"""Templates remembered for sharing; more are forgotten all at once (they live on with their pods)."""


class Port(NamedTuple):
    address: str
    protocol: str
    port: int


class Weighted(NamedTuple):
    weight: int
    term: PodTerm


class WeightedNodes(NamedTuple):
    weight: int
    term: NodeTerm


class Template(msgspec.Struct, frozen=True, eq=False):
    """Identity is by object. Amounts: thousandths of CPU, bytes, or counts. `scored` is CPU and memory with defaults
    for what states none. Of affinity, `node_terms` None means any node; `preferred` weights are negative for
    anti-affinity."""

    vm: bool
    requests: tuple[tuple[str, int], ...]
    scored: tuple[int, int]
    node_selector: tuple[Requirement, ...]
    node_terms: tuple[NodeTerm, ...] | None
    node_preferences: tuple[WeightedNodes, ...]
    tolerations: tuple[Toleration, ...]
    ports: tuple[Port, ...]
    images: tuple[str, ...]
    workloads: int
    affinity: tuple[PodTerm, ...]
    anti_affinity: tuple[PodTerm, ...]
    preferred: tuple[Weighted, ...]
    spreads: tuple[Spread, ...]
    claims: tuple[str, ...]

    @property
    def carries_terms(self) -> bool:
        """Whether its pods, once placed, matter to others by their own terms."""
        return bool(self.affinity or self.anti_affinity or self.preferred)


_EMPTY = msgspec.Raw(b"")


class _Workload(msgspec.Struct, gc=False, rename="camel"):
    image: str = ""
    resources: msgspec.Raw = _EMPTY
    ports: msgspec.Raw = _EMPTY
    restart_policy: str | None = None


class _Claim(msgspec.Struct, gc=False, rename="camel"):
    claim_name: str = ""


class _Volume(msgspec.Struct, gc=False, rename="camel"):
    name: str = ""
    persistent_volume_claim: _Claim | None = None
    ephemeral: msgspec.Raw = _EMPTY


class Spec(msgspec.Struct, rename="camel"):
    """The part of a pod's spec that scheduling reads, most of it undecoded."""

    node_name: str | None = None
    scheduler_name: str | None = None
    priority: int | None = None
    preemption_policy: str | None = None
    scheduling_gates: list[Any] | None = None
    containers: list[_Workload] | None = None
    init_containers: list[_Workload] | None = None
    virtual_machine: _Workload | None = None
    volumes: list[_Volume] | None = None
    node_selector: msgspec.Raw = _EMPTY
    affinity: msgspec.Raw = _EMPTY
    tolerations: msgspec.Raw = _EMPTY
    topology_spread_constraints: msgspec.Raw = _EMPTY
    overhead: msgspec.Raw = _EMPTY
    resources: msgspec.Raw = _EMPTY


class Templates:
    """Finds the template of a pod, made where there is none yet."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Template] = {}

    def find(self, pod: str, tenant: str, namespace: str, labels: dict[str, str], spec: Spec, raw: bytes) -> Template:
        """`pod` is its name, `raw` the whole object. Raises `msgspec.ValidationError` for what cannot be read."""
        claims = _claims(pod, spec.volumes)
        affinity = bytes(spec.affinity)
        key: tuple[object, ...] = (
            _stated(spec.containers),
            _stated(spec.init_containers) if spec.init_containers else None,
            _stated([spec.virtual_machine]) if spec.virtual_machine else None,
            bytes(spec.node_selector),
            affinity,
            bytes(spec.tolerations),
            bytes(spec.overhead),
            bytes(spec.resources),
        )
        spreads = bytes(spec.topology_spread_constraints)
        if claims or len(spreads) > 4 or b'"pod' in affinity:
            # Terms are about pods like this one: its labels and place are part of what it asks.
            key = (*key, spreads, claims, tenant, namespace, tuple(sorted(labels.items())))
        template = self._known.get(key)
        if template is None:
            if len(self._known) >= _LIMIT:
                self._known.clear()
            try:
                template = _build(msgspec.json.decode(raw), tenant, namespace, labels, claims)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                # No server lets such a pod in; should one, it must not stop everybody's scheduling.
                raise msgspec.ValidationError(f"{type(error).__name__}: {error}") from error
            self._known[key] = template
        return template


def _stated(workloads: list[_Workload] | None) -> tuple[tuple[str, bytes, bytes, str | None], ...]:
    return tuple([(w.image, bytes(w.resources), bytes(w.ports), w.restart_policy) for w in workloads or ()])


def _claims(pod: str, volumes: list[_Volume] | None) -> tuple[str, ...]:
    """Claims by name; an ephemeral volume's claim is named after pod and volume."""
    found = []
    for volume in volumes or ():
        if volume.persistent_volume_claim is not None:
            found.append(volume.persistent_volume_claim.claim_name)
        elif len(volume.ephemeral) > 4:
            found.append(f"{pod}-{volume.name}")
    return tuple(found)


def _build(pod: Obj, tenant: str, namespace: str, labels: dict[str, str], claims: tuple[str, ...]) -> Template:
    spec: Obj = pod.get("spec") or {}
    affinity: Obj = spec.get("affinity") or {}
    nodes: Obj = affinity.get("nodeAffinity") or {}
    near: Obj = affinity.get("podAffinity") or {}
    far: Obj = affinity.get("podAntiAffinity") or {}
    hard, soft = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"

    def required(where: Obj) -> tuple[PodTerm, ...]:
        return tuple(terms.pod_term(term, tenant, namespace, labels) for term in where.get(hard) or ())

    def preferred(where: Obj, sign: int) -> list[Weighted]:
        return [
            Weighted(sign * int(one["weight"]), terms.pod_term(one["podAffinityTerm"], tenant, namespace, labels))
            for one in where.get(soft) or ()
        ]

    requests = {
        name: min(amount.milli if name == "cpu" else amount.value, LARGEST)
        for name, amount in workload.requests(pod).items()
    }
    workloads = workload.workloads(pod)
    return Template(
        vm=workload.is_vm(pod),
        requests=tuple(sorted((name, amount) for name, amount in requests.items() if amount > 0)),
        scored=_scored(pod, requests),
        node_selector=tuple(
            Requirement(key, "In", (value,)) for key, value in sorted((spec.get("nodeSelector") or {}).items())
        ),
        node_terms=terms.node_terms(nodes.get(hard)),
        node_preferences=tuple(
            WeightedNodes(int(one["weight"]), terms.node_term(one.get("preference") or {}))
            for one in nodes.get(soft) or ()
        ),
        tolerations=terms.tolerations(spec),
        ports=_ports(spec),
        images=tuple(w["image"] for w in workloads if w.get("image")),
        workloads=len(workloads) + len(spec.get("initContainers") or ()),
        affinity=required(near),
        anti_affinity=required(far),
        preferred=(*preferred(near, 1), *preferred(far, -1)),
        spreads=tuple(
            terms.spread(one, tenant, namespace, labels) for one in spec.get("topologySpreadConstraints") or ()
        ),
        claims=claims,
    )


def _scored(pod: Obj, requests: dict[str, int]) -> tuple[int, int]:
    """Requests of CPU and memory, each workload without one counted with the default."""
    cpu, memory = requests.get("cpu", 0), requests.get("memory", 0)
    whole = (pod.get("spec") or {}).get("resources") or {}
    whole = whole.get("requests") or {}
    if workload.is_vm(pod):
        return cpu, memory
    for one in workload.workloads(pod):
        stated = (one.get("resources") or {}).get("requests") or {}
        cpu += 0 if "cpu" in stated or "cpu" in whole else UNSTATED_MILLI_CPU
        memory += 0 if "memory" in stated or "memory" in whole else UNSTATED_MEMORY
    return cpu, memory


def _ports(spec: Obj) -> tuple[Port, ...]:
    found = {
        Port(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }
    return tuple(sorted(found))
