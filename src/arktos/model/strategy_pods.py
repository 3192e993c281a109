"""What the server writes into pods at birth, and what the pod subresources take from a client."""

from __future__ import annotations

from collections.abc import Mapping

from arktos.model.kinds import Obj
from arktos.model.qos import qos_class

_GATED: Mapping[str, str] = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}
_AFFINITIES = ("podAffinity", "podAntiAffinity")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

EXTENSIONS = ("nics", "vpc")


def prepare_create(pod: Obj) -> None:
    """The initial status: a phase."""
    pod["status"] = {"phase": "Pending"}


def finish_create(pod: Obj) -> None:
    """What follows from the spec that a new pod has after admission: quality of service, a gated pod's condition,
    selectors from match label keys."""
    spec = pod.get("spec") or {}
    status = pod["status"]
    status["qosClass"] = qos_class(spec)
    if spec.get("schedulingGates"):
        status["conditions"] = [dict(_GATED)]
    labels = (pod.get("metadata") or {}).get("labels") or {}
    affinity = spec.get("affinity")
    if affinity and labels:
        for name in _AFFINITIES:
            _merge_affinity(affinity.get(name) or {}, labels)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _merge_keys(constraint, labels)


def _merge_affinity(affinity: Obj, labels: Mapping[str, str]) -> None:
    for term in affinity.get(_REQUIRED) or ():
        _merge_keys(term, labels)
    for weighted in affinity.get(_PREFERRED) or ():
        _merge_keys(weighted.get("podAffinityTerm") or {}, labels)


def _merge_keys(term: Obj, labels: Mapping[str, str]) -> None:
    """`matchLabelKeys` become requirements with the pod's own values (KEP-3633, KEP-3243)."""
    selector = term.get("labelSelector")
    if selector is None:
        return
    for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        for key in term.get(field) or ():
            if key in labels:
                wanted = {"key": key, "operator": operator, "values": [labels[key]]}
                selector.setdefault("matchExpressions", []).append(wanted)


def keep_extensions(spec: Obj, old: Obj) -> None:
    """Give a pod spec from a client that doesn't know them the fields of ours that the old spec has.

    A spec with containers of its own is no longer a virtual machine's.
    """
    if "virtualMachine" in old and "virtualMachine" not in spec and not spec.get("containers"):
        spec["virtualMachine"] = old["virtualMachine"]
    for name in EXTENSIONS:
        if name in old and name not in spec:
            spec[name] = old[name]


def resized(spec: Obj, old: Obj) -> Obj:
    """The old pod spec with the resources and resize policies that `spec` gives its containers or virtual machine."""
    result = dict(old)
    for kind in ("containers", "initContainers"):
        if not spec.get(kind):
            continue
        mine = [each.get("name") for each in spec[kind]]
        if mine != [each.get("name") for each in old.get(kind) or ()]:
            result[kind] = spec[kind]
            continue
        result[kind] = [_with_needs(new, was) for new, was in zip(spec[kind], old[kind], strict=True)]
    machine = spec.get("virtualMachine")
    if machine is not None and "virtualMachine" in old:
        result["virtualMachine"] = {**old["virtualMachine"], "resources": machine.get("resources", {})}
    return result


def _with_needs(new: Obj, old: Obj) -> Obj:
    container = dict(old)
    for field in ("resources", "resizePolicy"):
        if field in new:
            container[field] = new[field]
        else:
            container.pop(field, None)
    return container
